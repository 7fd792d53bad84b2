"""Normals restricted to grey levels, against sums over all of them in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import schedule64

from dpm_jax import lattice, levels
from dpm_jax.bound import all_steps
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.levels import Grid
from dpm_jax.process import Process
from dpm_jax.reverse import bridge

GRID = Grid(np.array([-1.0]), 0.5, 12)
AT = GRID.lowest + GRID.width * np.arange(12)
ALIKE = lattice.alike(12)
WIDE = (ALIKE.reach / lattice.STDS) ** 2  # variance, in squared levels
USED = np.array([40, 0, 0, 3, 9, 1, 0, 0, 0, 25, 4, 4])


@jax.jit
def restrict(mean, variance):
    return lattice.restrict(GRID, Normal(mean, variance), ALIKE)


def summed(mean, variance, weights=1.0):
    """Mass relative to the density's, mean and variance, of every normal on all levels."""
    log_p = np.log(weights) - ((AT - mean[:, None]) ** 2) / (2 * variance[:, None])
    highest = log_p.max(1)
    p = np.exp(log_p - highest[:, None])
    log_mass = np.log(p.sum(1)) + highest - 0.5 * np.log(2 * np.pi * variance / GRID.width**2)
    p /= p.sum(1)[:, None]
    middle = p @ AT
    return log_mass, middle, (p * (AT - middle[:, None]) ** 2).sum(1)


@given(st.integers(0, 2**32 - 1))
def test_narrow_normals_are_sums_over_the_levels(seed):
    rng = np.random.default_rng(seed)
    # Three levels on either side are 99.99% of the widest of them; the ends are near, and passed.
    mean = rng.uniform(AT[0] - 0.7, AT[-1] + 0.7, 50)
    variance = GRID.width**2 * 10 ** rng.uniform(-3, np.log10(WIDE), 50)
    with jax.enable_x64(True):
        found = restrict(jnp.asarray(mean), jnp.asarray(variance))
    log_mass, middle, spread = summed(mean, variance)
    np.testing.assert_allclose(found.log_mass, log_mass, atol=2e-3)
    np.testing.assert_allclose(found.mean, middle, atol=2e-3 * GRID.width)
    np.testing.assert_allclose(found.variance, spread, rtol=2e-2, atol=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_levels_that_are_rarely_used_weigh_as_little(seed):
    rng = np.random.default_rng(seed)
    mean = rng.uniform(AT[0] - 1.0, AT[-1] + 1.0, 50)
    # Sixteen levels on either side are all twelve.
    variance = GRID.width**2 * 10 ** rng.uniform(-3, np.log10(16), 50)
    used = lattice.as_used(USED)
    with jax.enable_x64(True):
        found = lattice.restrict(GRID, Normal(jnp.asarray(mean), jnp.asarray(variance)), used)
    # How often a level is met, beside levels around it, by their distance at four levels to one.
    away = np.subtract.outer(np.arange(12), np.arange(12))
    reach = np.exp(-(away**2) / 32)
    share = USED / USED.sum() + 1e-3 / 12
    weights = share / [(reach[k] / reach.sum(0) * share).sum() for k in range(12)]
    log_mass, middle, spread = summed(mean, variance, weights)
    np.testing.assert_allclose(found.log_mass, log_mass, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.mean, middle, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.variance, spread, rtol=1e-7, atol=1e-12)


def test_levels_used_alike_are_weighted_alike():
    used = lattice.as_used(np.full(256, 7))
    np.testing.assert_allclose(used.weights[used.reach + 80 : used.reach + 176], 1.0, atol=1e-9)
    assert not used.weights[: used.reach].any()
    assert not used.weights[-used.reach :].any()


@given(st.integers(0, 2**32 - 1))
def test_moments_rise_as_their_slopes_say(seed):
    """Against differences in float64: the slopes are not by differentiation of the sums."""
    rng = np.random.default_rng(seed)
    mean = rng.uniform(AT[0] - 0.5, AT[-1] + 0.5, 20)
    # None is at the edge of two nearest levels, where it is relative to another of them.
    mean += 0.05 * (np.abs((mean - AT[0]) / GRID.width % 1 - 0.5) < 0.02)
    variance = GRID.width**2 * 10 ** rng.uniform(-1.5, 1, 20)
    with jax.enable_x64(True):
        at = jnp.asarray(mean), jnp.asarray(variance)
        used = lattice.as_used(USED)

        def moments(mean, variance):
            return jnp.stack(lattice.restrict(GRID, Normal(mean, variance), used))

        for way in ((1.0, 0.0), (0.0, 0.3)):
            toward = tuple(jnp.full(20, w) * variance for w in way)
            _, slope = jax.jvp(moments, at, toward)
            step = 1e-5
            ahead, behind = (
                moments(*(x + sign * step * d for x, d in zip(at, toward, strict=True)))
                for sign in (1, -1)
            )
            found = (ahead - behind) / (2 * step)
            np.testing.assert_allclose(slope, found, rtol=1e-5, atol=1e-7)


def test_wide_normals_away_from_the_ends_are_left_alone(float64):
    mean, variance = np.linspace(1.2, 2.2, 9), np.full(9, 1.001 * WIDE * GRID.width**2)
    log_mass, middle, spread = summed(mean, variance)
    # On the levels they are the same to a thousandth: that is why they are left alone.
    np.testing.assert_allclose(log_mass, 0, atol=1e-3)
    np.testing.assert_allclose(middle, mean, atol=1e-3)
    np.testing.assert_allclose(spread, variance, rtol=2e-3)
    found = restrict(jnp.asarray(mean), jnp.asarray(variance))
    np.testing.assert_array_equal(found.log_mass, 0.0)
    np.testing.assert_array_equal(found.mean, mean)
    np.testing.assert_array_equal(found.variance, variance)


@pytest.mark.parametrize("variance", [1e-14, 1e-6, 1e-3, 0.1, 10.0])
@pytest.mark.parametrize("neighbours", [lattice.alike(256), lattice.as_used(np.arange(256) % 3)])
def test_values_and_gradients_are_finite_in_float32_however_far_the_mean(variance, neighbours):
    grid = Grid(np.array([-0.42], np.float32), 0.0127, 256)

    def moments(mean, log_variance):
        return jnp.stack(lattice.restrict(grid, Normal(mean, jnp.exp(log_variance)), neighbours))

    means = jnp.array([-1e4, -9.0, -0.43, -0.42, 0.0, 0.0063, 2.8185, 2.9, 40.0, 1e4])
    log_variance = jnp.full(means.shape, np.log(variance), jnp.float32)
    found = moments(means, log_variance)
    slopes = jax.jacobian(moments, (0, 1))(means, log_variance)
    for numbers in (found, *slopes):
        assert np.isfinite(numbers).all()
    assert (np.asarray(found[2]) >= 0).all()


def bound(form, x):
    """K of one pixel, of a belief that follows from x_t/√ᾱ_t alone."""
    schedule = schedule64([5e-4, *[4e-2] * 20, *[0.3] * 10])

    def step(params, xt, t, c):
        return form(gaussian.KERNEL, jnp.zeros((*xt.shape, 2)), xt, c)

    ending = levels.LAST_STEPS["levels"](GRID)
    process = Process(gaussian.KERNEL, schedule, step, (1,), (), ending)

    def of_one(x, key):
        noise = jax.random.normal(key, (schedule.steps, 1))
        return all_steps(process, x, noise).K

    return np.asarray(jax.vmap(of_one)(x, jax.random.split(jax.random.key(0), len(x))))


def assert_gains(better, worse, x):
    gain = bound(better, x) - bound(worse, x)
    assert gain.mean() > 5 * gain.std() / len(gain) ** 0.5


def test_the_bridge_that_knows_the_grid_gains_the_bits_within_a_level(float64):
    x = jnp.tile(jnp.asarray(AT), 200)[:, None]
    assert_gains(lattice.Bridge(GRID, ALIKE), bridge, x)


def test_the_bridge_that_knows_which_levels_are_used_gains_the_bits_between_them(float64):
    x = jnp.asarray(np.repeat(AT, 20 * USED))[:, None]
    assert_gains(lattice.Bridge(GRID, lattice.as_used(USED)), lattice.Bridge(GRID, ALIKE), x)


@pytest.mark.parametrize("neighbours", [ALIKE, lattice.as_used(USED)])
@pytest.mark.parametrize("std", [0.1, 0.6, 2.0])
def test_the_masses_of_a_guess_add_up_to_one(neighbours, std, float64):
    """Between the ends; an even grid shows in no normal that is wider than it is."""
    normal = Normal(jnp.array([1.6]), jnp.array([(std * GRID.width) ** 2]))
    form = lattice.Bridge(GRID, neighbours)
    dist = lattice.OnGrid(normal, lattice.restrict(GRID, normal, neighbours))
    masses = np.exp([form.log_prob(dist, jnp.array([x])) for x in AT])
    assert masses.sum() == pytest.approx(1, abs=1e-2)
