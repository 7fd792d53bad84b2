"""What both kernels must satisfy, summed over all states (bits) or over a fine grid (normals)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import draws_of, jit, standard_errors

from dpm_jax.kernels import binomial, gaussian

pytestmark = pytest.mark.usefixtures("float64")

KERNELS = {
    "gaussian": gaussian.KERNEL,
    "fair bits": binomial.kernel(0.5),
    "rare bits": binomial.kernel(0.2),
}
GRID = np.linspace(-14, 14, 1401)  # sums over it integrate normals of σ ≥ 0.1 to rounding


@pytest.fixture(params=KERNELS)
def kernel(request):
    return KERNELS[request.param]


def is_bits(kernel) -> bool:
    return kernel.transport is binomial.transport


def support(kernel):
    """One-component states [S, 1] and the measure of each: Σ_s measure f(state_s) is ∫ f."""
    points = np.array([0.0, 1.0]) if is_bits(kernel) else GRID
    return jnp.asarray(points[:, None]), 1.0 if is_bits(kernel) else GRID[1] - GRID[0]


def density(kernel, dist):
    """Probabilities [S] of the states under ``dist``, a distribution over one component."""
    points, _ = support(kernel)
    return jnp.exp(jax.vmap(lambda x: kernel.log_prob(dist, x))(points))


def transition(kernel, beta):
    """[x_{t-1}, x_t] densities of one step between the states."""
    points, _ = support(kernel)
    return jit(jax.vmap(lambda x: density(kernel, kernel.step(x, beta))))(points)


def random_states(kernel, seed, shape):
    rng = np.random.default_rng(seed)
    draws = rng.normal(size=shape)
    return jnp.asarray((draws > 0).astype(float) if is_bits(kernel) else 2 * draws)


def two_distributions(kernel):
    """Two different distributions over one component."""
    x = jnp.ones(1)
    q = kernel.marginal(x, jnp.log(0.7))
    return q, kernel.step(kernel.transport(q, jnp.full(1, 0.9)), jnp.asarray(0.8))


def test_bayes(kernel):
    # q(x_t|x_{t-1}) q(x_{t-1}|x_0) = q(x_{t-1}|x_t,x_0) q(x_t|x_0), near the data and far from it.
    rng = np.random.default_rng(0)
    count = 300
    x0, before, xt = (random_states(kernel, seed, (count, 3)) for seed in (1, 2, 3))
    beta = jnp.asarray(10 ** rng.uniform(-5, -0.01, count))
    prev = jnp.asarray(-(10 ** rng.uniform(-5, 1, count)))

    def both_sides(x0, before, xt, beta, prev):
        now = prev + jnp.log1p(-beta)
        forward = kernel.log_prob(kernel.step(before, beta), xt)
        forward += kernel.log_prob(kernel.marginal(x0, prev), before)
        backward = kernel.log_prob(kernel.posterior(x0, xt, beta, prev), before)
        return forward, backward + kernel.log_prob(kernel.marginal(x0, now), xt)

    forward, backward = jit(jax.vmap(both_sides))(x0, before, xt, beta, prev)
    np.testing.assert_allclose(forward, backward, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize("x0", [0.0, 1.0])
def test_single_steps_compose_to_the_marginal(kernel, x0):
    # Chapman-Kolmogorov: sum over every state of the step before.
    beta = [0.1, 0.35, 0.2, 0.6]
    _, measure = support(kernel)
    law = density(kernel, kernel.step(jnp.full(1, x0), jnp.asarray(beta[0])))
    for b in beta[1:]:
        law = measure * law @ transition(kernel, jnp.asarray(b))
    log_alpha_bar = jnp.log(jnp.prod(1 - jnp.asarray(beta)))
    expected = density(kernel, kernel.marginal(jnp.full(1, x0), log_alpha_bar))
    np.testing.assert_allclose(law, expected, atol=1e-12)


@pytest.mark.parametrize("beta", [0.05, 0.5, 1.0])
def test_prior_is_the_equilibrium(kernel, beta):
    _, measure = support(kernel)
    pi, step = density(kernel, kernel.prior((1,))), transition(kernel, jnp.asarray(beta))
    np.testing.assert_allclose(measure * pi.sum(), 1, rtol=1e-12)
    np.testing.assert_allclose(measure * step.sum(1)[600:800], 1, rtol=1e-12)
    np.testing.assert_allclose(measure * pi @ step, pi, atol=1e-12)
    flow = pi[:, None] * step  # detailed balance: as much there as back
    np.testing.assert_allclose(flow, flow.T, atol=1e-14)


def test_information_is_the_sum_over_states(kernel):
    _, measure = support(kernel)
    q, p = two_distributions(kernel)
    q_x, p_x = density(kernel, q), density(kernel, p)
    log_ratio = jnp.log(jnp.where(p_x > 0, q_x / p_x, 1.0))
    entropy = -measure * jnp.sum(q_x * jnp.log(jnp.where(q_x > 0, q_x, 1.0)))
    np.testing.assert_allclose(kernel.kl(q, p), measure * jnp.sum(q_x * log_ratio), rtol=1e-9)
    np.testing.assert_allclose(kernel.entropy(q), entropy, rtol=1e-9)
    assert kernel.kl(q, p) > 0.01
    np.testing.assert_allclose(kernel.kl(q, q), 0, atol=1e-15)


def test_step_entropy_is_the_sum_over_states(kernel):
    _, measure = support(kernel)
    q, _ = two_distributions(kernel)
    step = transition(kernel, jnp.asarray(0.3))
    entropies = -measure * jnp.sum(step * jnp.log(jnp.where(step > 0, step, 1.0)), axis=1)
    expected = measure * jnp.sum(density(kernel, q) * entropies)
    np.testing.assert_allclose(kernel.step_entropy(q, jnp.asarray(0.3)), expected, rtol=1e-9)


def test_events_add_up(kernel):
    # An event of three components has the information of its components, one by one.
    x0, xt = random_states(kernel, 4, (2, 3, 1))

    def facts(x0, xt):
        q = kernel.posterior(x0, xt, jnp.asarray(0.3), jnp.asarray(-0.5))
        p = kernel.step(xt, jnp.asarray(0.6))
        step = kernel.step_entropy(q, jnp.asarray(0.2))
        return jnp.stack([kernel.kl(q, p), kernel.entropy(q), step, kernel.log_prob(q, x0)])

    whole, parts = jit(facts)(x0[:, 0], xt[:, 0]), jit(jax.vmap(facts))(x0, xt).sum(0)
    np.testing.assert_allclose(whole, parts, rtol=1e-12)


def test_samples_have_the_law_of_their_distribution(kernel):
    # Means of log q and log q - log p over samples are -H and KL, within 5 standard errors.
    x0, xt = random_states(kernel, 5, (2, 3))
    q = kernel.posterior(x0, xt, jnp.asarray(0.4), jnp.asarray(-0.6))
    p = kernel.step(xt, jnp.asarray(0.7))

    def draw(key):
        x = kernel.transport(q, kernel.noise(key, (3,)))
        return jnp.stack([kernel.log_prob(q, x), kernel.log_prob(q, x) - kernel.log_prob(p, x)])

    draws = draws_of(draw, 6, 20_000)
    expected = np.array([-kernel.entropy(q), kernel.kl(q, p)])
    assert (standard_errors(draws, expected) < 5).all()


def test_no_signal_is_left_at_the_limit(kernel):
    # β_T = 1 and log ᾱ_T = -∞ (§2.4.1): q(x_T | x_0) is π, with a zero gradient, not NaN.
    x0, xt = random_states(kernel, 7, (2, 3))
    gone = jnp.asarray(-jnp.inf)
    prior = kernel.prior((3,))

    def prior_kl(x0):
        return kernel.kl(kernel.marginal(x0, gone), prior)

    def step_kl(x0):
        return kernel.kl(kernel.step(x0, jnp.asarray(1.0)), prior)

    def posterior_kl(x0):
        # The last step's evidence is empty: q(x_{T-1} | x_T, x_0) is q(x_{T-1} | x_0).
        before = kernel.marginal(x0, jnp.asarray(-0.3))
        return kernel.kl(kernel.posterior(x0, xt, jnp.asarray(1.0), jnp.asarray(-0.3)), before)

    for f in (prior_kl, step_kl, posterior_kl):
        value, gradient = jit(jax.value_and_grad(f))(x0)
        np.testing.assert_allclose(value, 0, atol=1e-14)
        np.testing.assert_allclose(gradient, 0, atol=1e-14)


def test_float32_keeps_the_digits_of_the_first_steps(kernel):
    # β = 1e-5 after log ᾱ = -1e-5: 1 - ᾱ has two digits left when formed as written.
    x0 = random_states(kernel, 8, (3,))
    xt = kernel.transport(kernel.marginal(x0, jnp.asarray(-2e-5)), jnp.full(3, 0.3))

    def facts(x0, xt, beta, prev):
        q = kernel.posterior(x0, xt, beta, prev)
        return jnp.stack([kernel.entropy(kernel.marginal(x0, prev)), kernel.entropy(q)])

    exact = facts(x0, xt, jnp.asarray(1e-5), jnp.asarray(-1e-5))
    single = (jnp.asarray(a, jnp.float32) for a in (x0, xt, 1e-5, -1e-5))
    np.testing.assert_allclose(facts(*single), exact, rtol=3e-6)


@pytest.mark.parametrize("power", [0.0, 0.3, 1.0])
def test_product_is_the_product_of_densities(kernel, power):
    _, measure = support(kernel)
    dist, other = two_distributions(kernel)
    law = density(kernel, dist) * density(kernel, other) ** power
    found = density(kernel, kernel.product(dist, other, jnp.asarray(power)))
    np.testing.assert_allclose(found, law / (measure * law.sum()), rtol=1e-8, atol=1e-14)


def test_tilt_is_exact_where_log_r_is_linear_in_every_component(kernel):
    dist, slope = kernel.marginal(jnp.array([1.0, 0.0, 1.0]), jnp.log(0.7)), np.array([0.7, -2, 0])
    tilted = kernel.tilt(dist, lambda x: x @ jnp.asarray(slope))
    _, measure = support(kernel)
    points, _ = support(kernel)
    for i in range(3):
        of_one, found = (jax.tree.map(lambda a, i=i: a[i : i + 1], d) for d in (dist, tilted))
        law = density(kernel, of_one) * jnp.exp(slope[i] * points[:, 0])
        law = law / (measure * law.sum())
        np.testing.assert_allclose(density(kernel, found), law, rtol=1e-8, atol=1e-14)


def test_tilt_nears_the_product_as_the_distribution_narrows(kernel):
    # The error is second order in what the event leaves open: logits of bits, variance of normals.
    def log_r(x):
        return -0.5 * ((x.sum() - 2.0) ** 2)

    def error(log_alpha_bar):
        dist = kernel.marginal(jnp.array([1.0, 0.0]), jnp.asarray(log_alpha_bar))
        _, measure = support(kernel)
        points = support(kernel)[0][:, 0] if is_bits(kernel) else jnp.linspace(-5, 5, 801)
        measure = measure if is_bits(kernel) else points[1] - points[0]
        grid = jnp.stack(jnp.meshgrid(points, points, indexing="ij"), -1).reshape(-1, 2)
        log_p = jax.vmap(lambda x: kernel.log_prob(dist, x))(grid)
        weight = jnp.exp(log_p + jax.vmap(log_r)(grid))
        exact = weight @ grid / weight.sum()
        tilted = jit(lambda d: kernel.tilt(d, log_r))(dist)
        centre = jax.nn.sigmoid(tilted.logits) if is_bits(kernel) else tilted.mean
        plain = jax.nn.sigmoid(dist.logits) if is_bits(kernel) else dist.mean
        moved = np.abs(exact - plain).max()
        return np.abs(centre - exact).max() / moved

    wide, narrow = error(-0.1), error(-0.01)
    assert narrow < 0.2 * wide
    assert narrow < 0.05


def test_overlap_and_mean_are_sums_over_states(kernel):
    points, measure = support(kernel)
    q, p = two_distributions(kernel)
    both = measure * density(kernel, q) @ density(kernel, p)
    np.testing.assert_allclose(kernel.overlap(q, p), [np.log(both)], rtol=1e-9)
    mean = measure * density(kernel, q) @ points
    np.testing.assert_allclose(kernel.mean(q), mean, rtol=1e-9)
