"""What only the binomial kernel has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import sigmoid
from reference import bit_steps, draws_of, jit
from scipy import stats

from dpm_jax.kernels import binomial
from dpm_jax.kernels.binomial import Bernoulli

BETA = [0.1, 0.35, 0.2, 0.6]


@pytest.mark.parametrize("activity", [0.2, 0.5, 0.9])
def test_marginal_is_the_product_of_transition_matrices(activity):
    kernel, x0 = binomial.kernel(activity), jnp.array([0.0, 1.0])
    for t in range(1, len(BETA) + 1):
        log_alpha_bar = jnp.asarray(np.log1p(-np.array(BETA[:t])).sum())
        one = sigmoid(kernel.marginal(x0, log_alpha_bar).logits)
        np.testing.assert_allclose(one, bit_steps(BETA[:t], activity)[:, 1], rtol=1e-6)


def test_counts_of_transported_bits():
    p = np.array([0.003, 0.2, 0.5, 0.99])
    dist, kernel = Bernoulli(jnp.asarray(np.log(p / (1 - p)))), binomial.kernel(0.2)
    x = draws_of(lambda key: kernel.transport(dist, kernel.noise(key, (4,))), 0, 20_000)
    x = np.asarray(x)
    assert set(np.unique(x)) == {0.0, 1.0}
    scaled = (x - p) / np.sqrt(p * (1 - p))
    assert (np.abs(scaled.mean(0)) < 5 / np.sqrt(len(x))).all()
    correlation = scaled.T @ scaled / len(x)  # components are independent
    assert (np.abs(correlation[np.triu_indices(4, 1)]) < 5 / np.sqrt(len(x))).all()


def test_noise_is_logistic():
    noise = draws_of(lambda key: binomial.noise(key, (2,)), 1, 10_000)
    assert noise.dtype == np.float32
    for component in np.asarray(noise).T:
        assert stats.kstest(component, stats.logistic.cdf).pvalue > 1e-3
    assert abs(np.corrcoef(np.asarray(noise).T)[0, 1]) < 5 / np.sqrt(10_000)


def share_of_ones(p):
    """P(X = 1) from the map of random bits to a sample, counted over all 2^48 of them.

    On either side of u = 1/2 the sample changes once as the other 47 bits count up.
    """
    dist = Bernoulli(jnp.asarray([np.log(p) - np.log1p(-p)], jnp.float32))

    def one(count, side):
        high, low = np.uint32([count >> 15]), np.uint16([((count & (2**15 - 1)) << 1) + side])
        return bool(
            binomial.transport(dist, binomial._logistic(jnp.asarray(high), jnp.asarray(low)))
        )

    ones = 0
    for side in (0, 1):
        first = one(0, side)
        low, high = 0, 2**47  # the first that differs, or 2^47 if none does
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if one(middle, side) == first else (low, middle)
        ones += low if first else 2**47 - low
    return ones / 2**48


@pytest.mark.parametrize("p", [1e-9, 1e-6, 0.01, 0.3, 0.5])
def test_both_tails_of_transport_have_their_probability(p):
    assert share_of_ones(p) == pytest.approx(p, rel=1e-5)
    # From above too: float32 logits hold 1 - p to 1e-6 of itself.
    assert share_of_ones(1 - p) == pytest.approx(1 - p, rel=1e-12 + 1e-5 * p)


@pytest.mark.parametrize("logit", [-20.7, 20.7])
def test_what_happens_once_in_a_billion_does_not_happen_in_ten_million_draws(logit):
    dist = Bernoulli(jnp.full(2**20, logit))
    draw = jax.jit(lambda key: jnp.mean(binomial.transport(dist, binomial.noise(key, (2**20,)))))
    means = jax.lax.map(draw, jax.random.split(jax.random.key(0), 32))
    np.testing.assert_array_equal(means, float(logit > 0))


@pytest.mark.parametrize("activity", [1e-6, 1e-4, 0.2, 0.5, 1 - 1e-4])
def test_logits_keep_their_digits_from_no_noise_to_no_signal(activity):
    """Steps, likelihoods, posteriors, beliefs and evidence, against float64, within 2e-6."""
    small = np.logspace(-7, -1, 13)
    beta = np.unique(np.float32(np.concatenate([small, [0.3, 0.5], 1 - small, [1.0]])))
    log_alpha_bar = np.float32(np.log(np.concatenate([small, [0.3, 0.5], 1 - small])))
    kernel = binomial.kernel(activity)

    def logits(beta, log_alpha_bar, r, x):
        r = Bernoulli(r)
        return (
            kernel.step(x, beta).logits,
            kernel.marginal(x, log_alpha_bar).logits,
            binomial.log_likelihood_ratio(x, beta, activity=activity),
            kernel.posterior(x[::-1], x, beta, log_alpha_bar).logits,
            kernel.bridge(r, x, beta, log_alpha_bar).logits,
            kernel.evidence(r, log_alpha_bar).logits,
        )

    def of_all(dtype):
        rates = (jnp.asarray(a.ravel(), dtype) for a in np.meshgrid(beta, log_alpha_bar))
        r, x = jnp.asarray([-9.0, 2.0, 9.0], dtype), jnp.asarray([1.0, 0.0, 0.0], dtype)
        return jit(jax.vmap(lambda b, a: logits(b, a, r, x)))(*rates)

    single = of_all(np.float32)
    with jax.enable_x64(True):
        for found, exact in zip(single, of_all(np.float64), strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, exact, rtol=2e-6, atol=2e-6)


def test_nothing_is_multiplied_where_the_power_is_zero():
    certain, dist = Bernoulli(jnp.array([-jnp.inf, jnp.inf])), Bernoulli(jnp.array([0.3, -2.0]))
    found = binomial.product(dist, certain, jnp.zeros(()))
    np.testing.assert_array_equal(found.logits, dist.logits)
    np.testing.assert_array_equal(
        binomial.product(dist, certain, jnp.ones(())).logits, certain.logits
    )


def test_transport_has_no_gradient():
    noise = jnp.array([-2.0, 0.5])
    gradient = jax.grad(lambda logits: binomial.transport(Bernoulli(logits), noise).sum())
    np.testing.assert_array_equal(gradient(jnp.zeros(2)), 0)


def test_extreme_logits_have_finite_information():
    q = Bernoulli(jnp.array([-40.0, 40.0, 0.0]))
    p = Bernoulli(jnp.array([40.0, 40.0, 90.0]))
    value, gradient = jax.value_and_grad(lambda p: binomial.kl(q, p))(p)
    np.testing.assert_allclose(value, 40 + 0 + 45 - np.log(2), rtol=1e-6)
    np.testing.assert_allclose(gradient.logits, [1, 0, 0.5], atol=1e-6)
    assert np.isfinite(binomial.entropy(q))


@pytest.mark.parametrize("activity", [0.0, 1.0, -0.1, float("nan")])
def test_activity_is_checked(activity):
    with pytest.raises(ValueError, match=rf"activity must lie in \(0, 1\), got {activity}"):
        binomial.kernel(activity)
