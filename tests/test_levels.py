"""Last steps on grey levels: probabilities that add up, draws that follow them, K ≤ log p."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import draws_of, jit, schedule64, standard_errors
from scipy import integrate, stats
from scipy.special import logsumexp

from dpm_jax import bound, levels
from dpm_jax.evaluation.likelihood import evaluate
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.base import log_prob_of_each
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.levels import Grid, OnLevels
from dpm_jax.process import Process
from dpm_jax.sampling import perturb, trajectory
from dpm_jax.schedule import given as rates

FEW = Grid(np.array([-1.3]), 0.8, 4)  # -1.3, -0.5, 0.3, 1.1
LEVELS = FEW.lowest + FEW.width * np.arange(4)
BOTH = {"posterior": levels.posterior, "binned": levels.binned}
EACH = pytest.mark.parametrize("name", BOTH)


def believed(params, xt, t, c):
    """A reverse step that pulls towards a mean: N(x̂_0, V) bridged, with any x̂_0 and V."""
    mean, variance = params
    guess = Normal(0.4 * xt + mean, jnp.full(xt.shape, variance))
    return gaussian.bridge(guess, xt, c.beta, c.log_alpha_bar_prev)


def process_on(grid, name, beta, params=(0.2, 0.3), shape=(1,)):
    return Process(gaussian.KERNEL, schedule64(beta), believed, shape, params, BOTH[name](grid))


def family_of(name, grid):
    process = process_on(grid, name, [0.1, 0.5])
    return process.last_step.family(process)


def on(grid, mean, variance):
    mean = jnp.asarray(mean, float)
    lowest = jnp.broadcast_to(jnp.asarray(grid.lowest, float), mean.shape)
    return OnLevels(mean, jnp.full(mean.shape, variance), lowest)


def masses(name, grid, mean, variance):
    """By SciPy: the normal's density at the levels, renormalised, or its mass in each interval."""
    at = grid.lowest + grid.width * np.arange(grid.levels)
    if name == "posterior":
        log_p = stats.norm.logpdf(at, mean, np.sqrt(variance))
        return np.exp(log_p - logsumexp(log_p))
    edges = np.concatenate([[-np.inf], at[:-1] + grid.width / 2, [np.inf]])
    return np.diff(stats.norm.cdf(edges, mean, np.sqrt(variance)))


@EACH
def test_probabilities_are_those_of_scipy_and_add_up(name, float64):
    rng, family = np.random.default_rng(0), family_of(name, FEW)
    means, variances = rng.uniform(-4, 4, 200), 10.0 ** rng.uniform(-4, 3, 200)

    def of_all(mean, variance):
        dist = on(FEW, mean[None], variance)
        return jax.vmap(lambda x: family.log_prob(dist, x))(jnp.asarray(LEVELS)[:, None])

    found = np.exp(jit(jax.vmap(of_all))(jnp.asarray(means), jnp.asarray(variances)))
    np.testing.assert_allclose(found.sum(1), 1, rtol=3e-5)
    expected = [masses(name, FEW, m, v) for m, v in zip(means, variances, strict=True)]
    np.testing.assert_allclose(found, expected, rtol=3e-5, atol=1e-9)


@EACH
def test_float32_and_its_gradient_far_from_the_mean(name):
    # 256 levels, of which the mean is up to a thousand standard deviations away.
    grid = Grid(np.array([-1.0], np.float32), 2 / 255, 256)
    family = family_of(name, grid)

    def log_prob(mean, variance, level):
        dist = OnLevels(mean[None], variance[None], jnp.asarray(grid.lowest))
        return family.log_prob(dist, jnp.asarray(grid.lowest) + grid.width * level)

    args = [
        jnp.asarray(a, jnp.float32)
        for a in zip(
            *((m, v, k) for m in (-9.0, -1, 0.1, 1, 9) for v in (1e-14, 1e-6, 1.0, 1e12)
              for k in (0, 1, 128, 254, 255)),
            strict=True,
        )
    ]  # fmt: skip
    value = jit(jax.vmap(log_prob))(*args)
    assert np.isfinite(value).all()
    assert (np.asarray(value) < 1e-6).all()
    if name == "binned":  # the posterior has nothing that is learned
        for gradient in jit(jax.vmap(jax.grad(log_prob, (0, 1))))(*args):
            assert np.isfinite(gradient).all()


@EACH
def test_draws_follow_the_probabilities(name, float64):
    family = family_of(name, FEW)
    for mean, variance in ((-0.9, 0.5), (1.4, 0.2), (0.0, 30.0)):
        dist = on(FEW, [mean], variance)

        noise = gaussian.noise(jax.random.key(3), (20_000, 1))
        drawn = np.asarray(jax.vmap(family.transport, (None, 0))(dist, noise))[:, 0]
        hit = np.isclose(drawn[:, None], LEVELS)
        assert hit.sum(1).all()
        p = masses(name, FEW, mean, variance)
        seen = (p > 1e-3) & (p < 1 - 1e-3)
        assert (standard_errors(hit[:, seen], p[seen]) < 5).all()


@EACH
def test_products_with_a_normal_are_products_on_the_levels(name, float64):
    # Of the posterior exactly; of intervals where they are narrow beside the normals.
    grid = FEW if name == "posterior" else Grid(np.array([-4.0]), 0.04, 200)
    family, at = family_of(name, grid), grid.lowest + grid.width * np.arange(grid.levels)
    p, r = on(grid, [0.3], 0.7), Normal(jnp.array([-0.4]), jnp.array([0.5]))
    product = family.product(p, r, jnp.asarray(0.6))
    found = jax.vmap(lambda x: family.log_prob(product, x))(jnp.asarray(at)[:, None])
    expected = np.log(masses(name, grid, 0.3, 0.7)) + 0.6 * stats.norm.logpdf(at, -0.4, 0.5**0.5)
    expected -= logsumexp(expected)
    likely = expected > -12
    np.testing.assert_allclose(found[likely], expected[likely], atol=3e-3)
    # A log-linear r is a tilt.
    tilted = family.tilt(p, lambda x: 1.5 * x.sum())
    found = jax.vmap(lambda x: family.log_prob(tilted, x))(jnp.asarray(at)[:, None])
    expected = np.log(masses(name, grid, 0.3, 0.7)) + 1.5 * at
    expected -= logsumexp(expected)
    np.testing.assert_allclose(found[likely], expected[likely], atol=0.04)


def chain_log_prob(process, name, x0, *, nodes=801, wide=9.0):
    """Log p(x_0) of a one-pixel chain of two steps, by quadrature over x_2 and x_1."""
    x, width = np.linspace(-wide, wide, nodes, retstep=True)
    mean, variance = process.params
    beta, log_alpha_bar = (np.asarray(a) for a in process.schedule)

    def bridged(xt, t):
        before, total = 1 - np.exp(log_alpha_bar[t - 2]), 1 - np.exp(log_alpha_bar[t - 1])
        if t == 1:
            before, total = 0.0, beta[0]
        signal = np.sqrt(np.exp(log_alpha_bar[t - 2])) if t > 1 else 1.0
        weight = signal * beta[t - 1] / total
        centre = weight * (0.4 * xt + mean) + np.sqrt(1 - beta[t - 1]) * before / total * xt
        return centre, beta[t - 1] * before / total + weight**2 * variance

    centre, spread = bridged(x, 2)
    p1 = width * stats.norm.pdf(x[:, None], centre, np.sqrt(spread)) @ stats.norm.pdf(x)
    grid_at = FEW.lowest + FEW.width * np.arange(FEW.levels)
    k = int(np.argmin(abs(grid_at - x0)))
    if name == "posterior":
        kept = np.sqrt(np.exp(log_alpha_bar[0]))
        last = [masses(name, FEW, a / kept, 1 / kept**2 - 1)[k] for a in x]
    else:
        centre, spread = bridged(x, 1)
        last = [masses(name, FEW, a, spread)[k] for a in centre]
    return np.log(integrate.simpson(p1 * np.array(last), x=x))


@EACH
def test_K_is_a_bound_on_the_probability_of_a_level(name, float64):
    process = process_on(FEW, name, [0.25, 0.6])
    log_p = np.array([chain_log_prob(process, name, x0) for x0 in LEVELS])
    np.testing.assert_allclose(logsumexp(log_p), 0, atol=1e-6)  # it is a probability
    x0 = jnp.asarray(LEVELS)[:, None]

    def K(key):
        return jax.vmap(lambda x, e: bound.all_steps(process, x, e).K)(
            x0, gaussian.noise(key, (4, 2, 1))
        )

    found = np.asarray(draws_of(K, 5, 4_000))
    error = found.std(0) / np.sqrt(len(found))
    assert (found.mean(0) < log_p + 5 * error).all()
    assert (log_p - found.mean(0)).max() > 0.01
    # Paths weighted by eq. 9 average to the probability itself.
    weigh = jax.vmap(partial(bound.path_log_weight, process), (0, None))
    weights = np.exp(np.asarray(draws_of(lambda key: weigh(x0, key), 6, 10_000)))
    assert (standard_errors(weights, np.exp(log_p)) < 5).all()


@EACH
def test_samples_end_on_levels_as_often_as_the_chain_says(name, float64):
    process = process_on(FEW, name, [0.25, 0.6])
    expected = np.exp([chain_log_prob(process, name, x0) for x0 in LEVELS])
    drawn = np.asarray(draws_of(lambda key: trajectory.sample(process, key).end[0], 7, 8_000))
    assert (standard_errors(np.isclose(drawn[:, None], LEVELS), expected) < 5).all()


@EACH
def test_weights_of_a_multiplied_chain_estimate_the_evidence(name, float64):
    # Σ_k p(x_0 = k) r(k), with r a normal, by weighted trajectories.
    process = process_on(FEW, name, [0.25, 0.6])
    r = Normal(jnp.array([0.4]), jnp.array([0.6]))
    exact = logsumexp(
        [chain_log_prob(process, name, x0) + stats.norm.logpdf(x0, 0.4, 0.6**0.5) for x0 in LEVELS]
    )
    multiply = perturb.product(process, r)
    found = draws_of(
        lambda key: trajectory.sample(process, key, perturbation=multiply).log_weight, 8, 8_000
    )
    weight = np.exp(np.asarray(found))
    assert standard_errors(weight, np.exp(exact)) < 5


def test_what_a_posterior_over_levels_costs():
    # At a noise of 0.15 levels 0.0035 bits: E log 1 + Σ_j exp(-(j² - 2 j s n)/2s²), j ≠ 0.
    s, away, n = 0.15, np.array([-3, -2, -1, 1, 2, 3])[:, None], np.linspace(-9, 9, 20_001)
    terms = np.exp((2 * away * s * n - away**2) / (2 * s**2)).sum(0)
    cost = integrate.simpson(np.log2(1 + terms) * stats.norm.pdf(n), x=n)
    np.testing.assert_allclose(cost, 0.0035, atol=2e-4)
    grid = Grid(np.array([-1.0], np.float32), 0.01, 256)
    std = s * grid.width
    schedule = rates([std**2 / (1 + std**2), 0.5]).apply({})
    process = Process(gaussian.KERNEL, schedule, believed, (1,), (0.0, 1.0), levels.posterior(grid))
    x0 = jnp.asarray(grid.lowest) + 0.01 * 77

    def last(key):
        return process.last_step.expected_log_prob(process, x0, gaussian.noise(key, (1,)))

    found = np.asarray(draws_of(last, 9, 100_000)) / np.log(2)
    assert standard_errors(found, -cost) < 5


def test_each_component_has_a_grid_of_its_own(float64):
    grid = Grid(np.array([[[-1.3, 0.1, 5.0]]]), 0.8, 4)
    process = process_on(grid, "posterior", [0.25, 0.6], shape=(2, 2, 3))
    ends = trajectory.sample(process, jax.random.key(0)).end
    level = (np.asarray(ends) - grid.lowest) / grid.width
    np.testing.assert_allclose(level, np.round(level), atol=1e-9)
    assert level.min() >= 0
    assert level.max() < 3 + 1e-9
    dist = process.last_step.distribution(process, jnp.zeros((2, 2, 3)))
    family = process.last_step.family(process)
    each = log_prob_of_each(family, dist, ends)
    np.testing.assert_allclose(each.sum(), family.log_prob(dist, ends), rtol=1e-12)


@pytest.mark.parametrize(
    ("level", "said"), [(4.0, "got one at 4"), (-1.0, "got one at -1"), (1.5, "got one at 1.5")]
)
@EACH
def test_what_is_no_grey_level_is_refused(name, level, said):
    process = process_on(FEW, name, [0.25, 0.6])
    examples = np.full((3, 1), FEW.lowest[0] + FEW.width * level, np.float32)
    says = f"examples must be grey levels, whole numbers from 0 to 3, {said}"
    with pytest.raises(ValueError, match=f"^{says}$"):
        evaluate(process, examples, jax.random.key(0), progress=False)
    evaluate(process, examples * 0 + FEW.lowest[0], jax.random.key(0), progress=False)
