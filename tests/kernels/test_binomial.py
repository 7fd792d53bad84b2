"""What only the binomial kernel has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import sigmoid
from reference import bit_steps, draws_of

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


def test_transport_has_no_gradient():
    noise = jnp.array([0.1, 0.6])
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
