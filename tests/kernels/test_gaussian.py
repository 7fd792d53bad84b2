"""What only the Gaussian kernel has."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import draws_of, standard_errors
from scipy import stats

from dpm_jax.kernels import gaussian
from dpm_jax.kernels.gaussian import KERNEL, Normal


def test_transport_is_normal():
    # Kolmogorov-Smirnov against the law that the distribution's fields name.
    dist = Normal(jnp.array([0.0, 3.0]), jnp.array([1.0, 0.04]))
    x = draws_of(lambda key: KERNEL.transport(dist, KERNEL.noise(key, (2,))), 0, 4_000)
    for i in (0, 1):
        law = stats.norm(dist.mean[i], dist.variance[i] ** 0.5)
        assert stats.kstest(x[:, i], law.cdf).pvalue > 1e-3
    assert standard_errors(x[:, 0] * (x[:, 1] - 3), 0) < 5  # components are independent


def test_step_is_table_app_1():
    dist = gaussian.step(jnp.array([2.0, -1.0]), jnp.asarray(0.36))
    np.testing.assert_allclose(dist.mean, [1.6, -0.8], rtol=1e-6)
    np.testing.assert_allclose(dist.variance, [0.36, 0.36], rtol=1e-6)


def test_posterior_is_the_regression_on_both_ends():
    # Mean and variance of x_{t-1} by ordinary conditioning of the joint normal of (x_{t-1}, x_t).
    x0, xt, beta, alpha_bar = 0.7, -1.2, 0.3, 0.6
    variance, covariance = 1 - alpha_bar, np.sqrt(1 - beta) * (1 - alpha_bar)
    variance_t = 1 - alpha_bar * (1 - beta)
    slope = covariance / variance_t
    mean = np.sqrt(alpha_bar) * x0 + slope * (xt - np.sqrt(alpha_bar * (1 - beta)) * x0)
    q = gaussian.posterior(
        jnp.full(1, x0), jnp.full(1, xt), jnp.asarray(beta), jnp.log(jnp.asarray(alpha_bar))
    )
    np.testing.assert_allclose(q.mean, [mean], rtol=1e-5)
    np.testing.assert_allclose(q.variance, [variance - slope * covariance], rtol=1e-5)


def test_transport_is_differentiable_at_frozen_noise():
    noise = jnp.array([-0.5, 2.0])
    dist = Normal(jnp.array([1.0, 2.0]), jnp.array([4.0, 0.25]))
    gradient = jax.grad(lambda d: gaussian.transport(d, noise).sum())(dist)
    np.testing.assert_allclose(gradient.mean, [1, 1])
    np.testing.assert_allclose(gradient.variance, noise / (2 * jnp.array([2.0, 0.5])))


@pytest.mark.parametrize("r", [1e-4, 3e-4, 1e-3, 0.03])
def test_kl_of_nearly_equal_normals_keeps_its_digits(r):
    # KL ≈ r²/4 for variances in the ratio 1+r; of e^r - 1 - r float32 has nothing left. Not
    # against a variance of 1: there e^r happens to be a float32, the other variance.
    q, p = (Normal(jnp.zeros(1), jnp.full(1, v)) for v in (0.7 * (1 + r), 0.7))
    r = float(q.variance[0]) / float(p.variance[0]) - 1
    np.testing.assert_allclose(KERNEL.kl(q, p), 0.5 * (r - np.log1p(r)), rtol=1e-2)


def test_a_product_with_nothing_or_of_certainties_is_no_nan():
    dist, delta = Normal(jnp.array([0.4]), jnp.array([0.3])), Normal(jnp.ones(1), jnp.zeros(1))
    zero, one = jnp.zeros(()), jnp.ones(())
    for first, other, power, expected in (
        (dist, delta, zero, dist),  # r^0, as annealing has it at t = T
        (dist, delta, one, delta),
        (delta, dist, one, delta),
        (delta, delta, one, delta),
    ):
        found = gaussian.product(first, other, power)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6)
        gradient = jax.jacobian(gaussian.product)(first, other, power)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
