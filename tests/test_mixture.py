"""Mixtures of levels and normals, read by Bayes: against sums over all grey levels in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import schedule64
from scipy import stats

from dpm_jax import levels, mixture
from dpm_jax.bound import all_steps
from dpm_jax.kernels import gaussian
from dpm_jax.levels import Grid
from dpm_jax.mixture import Components
from dpm_jax.process import Process

GRID = Grid(np.array([-0.5]), 0.02, 64)
AT = GRID.lowest + GRID.width * np.arange(64)
PARTS = Components((0.0, 50.0), (12.0, 30.0, 44.0), (5.0, 8.0, 6.0), (0.5, 0.1, 0.1, 0.2, 0.1))


def prior(readout):
    """Probability of every level for a read-out [m]."""
    weights = np.array(PARTS.weights) * np.exp(readout)
    p = np.zeros(64)
    for level, weight in zip(PARTS.atoms, weights[:2], strict=True):
        p[int(level)] += weight
    for mean, std, weight in zip(PARTS.means, PARTS.stds, weights[2:], strict=True):
        p += weight * stats.norm.pdf(np.arange(64), mean, std)
    return p / p.sum()


def posterior(readout, xt, log_alpha_bar):
    log_p = np.log(prior(readout)) - (xt - np.exp(0.5 * log_alpha_bar) * AT) ** 2 / (
        -2 * np.expm1(log_alpha_bar)
    )
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    return p @ AT, p @ (AT - p @ AT) ** 2


@jax.jit
def believed(readout, xt, log_alpha_bar):
    return mixture.belief(GRID, PARTS, readout, xt, log_alpha_bar)


@given(st.integers(0, 2**32 - 1))
def test_the_belief_is_the_posterior_over_all_levels(seed):
    rng = np.random.default_rng(seed)
    readout = rng.normal(0, 2, 5)
    noise = GRID.width * 10 ** rng.uniform(-1, 3)  # of x_t/√ᾱ_t, from a tenth of a level
    log_alpha_bar = -np.log1p(noise**2)
    x0 = rng.choice(AT, p=prior(readout))
    xt = np.exp(0.5 * log_alpha_bar) * (x0 + noise * rng.normal())
    with jax.enable_x64(True):
        read, at = jnp.asarray(readout)[None], jnp.asarray(log_alpha_bar)
        found = jax.device_get(believed(read, jnp.asarray([xt]), at))
    mean, variance = posterior(readout, xt, log_alpha_bar)
    # Two things are not exact: normals reach past the ends of the grid, and at a noise of a level
    # their sum is taken for one normal. Both are small beside what is left open.
    least, std = 0.1 * GRID.width, np.sqrt(variance)
    assert abs(found.mean[0] - mean) < 0.1 * std + least
    assert np.sqrt(found.variance[0]) == pytest.approx(std, rel=0.2, abs=least)


def test_what_a_pixel_says_by_itself_is_bayes_rule_component_by_component(float64):
    log_alpha_bar, xt = -0.3, np.array([-0.4, 0.1, 0.5])
    root, noise = np.exp(-0.15), -np.expm1(-0.3)
    levels_ = GRID.lowest + GRID.width * np.array([*PARTS.atoms, *PARTS.means])
    std = GRID.width * np.array([0, 0, *PARTS.stds])
    spread = np.sqrt(root**2 * std**2 + noise)
    p = np.array(PARTS.weights) * stats.norm.pdf(xt[:, None], root * levels_, spread)
    p /= p.sum(1, keepdims=True)
    each = levels_ + root * std**2 / spread**2 * (xt[:, None] - root * levels_)
    share, mean = mixture.shares(GRID, PARTS, jnp.asarray(xt), jnp.asarray(log_alpha_bar))
    np.testing.assert_allclose(share, p, rtol=1e-6)
    np.testing.assert_allclose(mean, (p * each).sum(1), rtol=1e-6)


def test_gradients_are_finite_in_float32_where_nothing_is_left_of_the_normals():
    def total(readout, xt, log_alpha_bar):
        found = mixture.belief(GRID, PARTS, readout, xt, log_alpha_bar)
        return found.mean.sum() + found.variance.sum()

    readout, xt = jnp.zeros((5, 5)).at[:, 0].set(60.0), jnp.array([-9.0, -0.5, 0.5, 0.7, 40.0])
    for log_alpha_bar in (-1e-7, -1e-3, -1.0, -12.0):
        slopes = jax.grad(total, (0, 1))(readout, xt, jnp.float32(log_alpha_bar))
        for slope in slopes:
            assert np.isfinite(slope).all()


def test_a_pixel_that_is_drawn_from_the_mixture_costs_its_entropy(float64):
    """K of the chain whose belief is the law itself, one pixel: log p, but for finite T."""
    readout = jnp.array([0.0, 0.3, -0.5, 0.2, 0.4])
    steps = 400
    noise = GRID.width * 10 ** np.linspace(np.log10(0.15), 3.5, steps)
    alpha_bar = 1 / (1 + noise**2)
    beta = -np.expm1(np.diff(np.log(alpha_bar), prepend=0.0))

    def step(params, xt, t, c):
        form = mixture.Bridge(GRID, PARTS)
        return form(gaussian.KERNEL, jnp.broadcast_to(readout, (*xt.shape, 5)), xt, c)

    ending = levels.LAST_STEPS["levels"](GRID)
    process = Process(gaussian.KERNEL, schedule64(beta), step, (1,), (), ending)

    def of_one(x, key):
        return all_steps(process, x, jax.random.normal(key, (steps, 1))).K

    x = np.random.default_rng(0).choice(AT, 400, p=prior(np.asarray(readout)))[:, None]
    keys = jax.random.split(jax.random.key(0), len(x))
    K = np.asarray(jax.jit(jax.vmap(of_one))(jnp.asarray(x), keys))
    p = prior(np.asarray(readout))
    entropy = -(p * np.log(p)).sum()
    surprise = -np.log(p)[np.round((x[:, 0] - AT[0]) / GRID.width).astype(int)]
    gap = -K - surprise  # of the same pixels: what the chain costs more
    error = gap.std() / len(gap) ** 0.5
    assert gap.mean() > -4 * error
    assert gap.mean() < 0.06 * entropy + 4 * error


def test_components_of_a_histogram_hold_frequent_levels_and_reach_the_others():
    counts = np.ones(256)
    counts[[0, 7]] = 5000, 300
    found = mixture.components(counts, 6, 3)
    assert found.atoms == (0.0, 7.0)
    assert sum(found.weights) == pytest.approx(1, abs=1e-5)
    assert found.weights[0] == pytest.approx(5000 / counts.sum())
    # Four normals at the eighths of an even range.
    np.testing.assert_allclose(found.means, [32, 96, 160, 224], atol=1.5)
    assert found.stds == (32.0,) * 4
    mixture.check(found, 256)
    assert mixture.components(np.eye(1, 256, 9)[0], 4, 2).atoms == (9.0,)


@pytest.mark.parametrize(
    "change",
    [
        {"atoms": (0.0, 64.0)},
        {"atoms": (0.0,)},
        {"means": ()},
        {"stds": (5.0, 0.0, 6.0)},
        {"stds": (5.0, float("nan"), 6.0)},
        {"weights": (0.5, -0.1, 0.1, 0.2, 0.1)},
    ],
)
def test_components_that_are_none_are_refused(change):
    mixture.check(PARTS, 64)
    with pytest.raises(ValueError, match="components must be"):
        mixture.check(PARTS._replace(**change), 64)
