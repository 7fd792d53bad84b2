"""A belief about x_0 carried to x_{t-1}: against sums over x_0, detailed balance, and its ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import sigmoid
from reference import bit_step, bit_steps, fixed64, jit, schedule64

from dpm_jax import schedule
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.kernels.gaussian import Normal

pytestmark = pytest.mark.usefixtures("float64")

ACTIVITY, STEPS = 0.3, 6
BITS = binomial.kernel(ACTIVITY)
SCHEDULES = {"to nothing": fixed64(STEPS), "short of it": schedule64([1e-4, 0.1, 0.3, 0.4, 0.6])}
KERNELS = {"gaussian": gaussian.KERNEL, "binomial": BITS}


@pytest.fixture(params=SCHEDULES)
def coefficients(request):
    """(t, coefficients) for t = 1..T."""
    s = SCHEDULES[request.param]
    return [(t, schedule.at(s, jnp.asarray(t))) for t in range(1, s.steps + 1)]


def test_bits_are_summed_over_both_values_of_x0(coefficients):
    beta = np.array([c.beta for _, c in coefficients])
    xt, p = np.array([0, 0, 1, 1]), np.array([0.2, 0.95, 0.001, 0.6])
    belief = Bernoulli(jnp.asarray(np.log(p / (1 - p))))
    for t, c in coefficients:
        # q(x_{t-1} = j | x_t, x_0 = k) ∝ before[k, j] step[j, x_t]
        before, step = bit_steps(beta[: t - 1], ACTIVITY), bit_step(beta[t - 1], ACTIVITY)
        joint = before[:, :, None] * step[None]
        one = (joint[:, 1] / joint.sum(1))[:, xt]  # [x_0, component]
        found = BITS.bridge(belief, jnp.asarray(xt, float), c.beta, c.log_alpha_bar_prev)
        expected = (1 - p) * one[0] + p * one[1]
        np.testing.assert_allclose(sigmoid(found.logits), expected, rtol=1e-9)
        np.testing.assert_allclose(sigmoid(-found.logits), 1 - expected, rtol=1e-9)


def test_normals_have_the_moments_of_the_sum_over_x0(coefficients):
    xt, mean, variance = 1.3, -0.6, 0.4
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    x0, weights = mean + np.sqrt(variance) * nodes, weights / weights.sum()
    belief = Normal(jnp.array([mean]), jnp.array([variance]))
    before = 1.0  # ᾱ_{t-1}
    for _, c in coefficients:
        beta = float(c.beta)
        # Regression of the joint normal of (x_{t-1}, x_t) given x_0.
        slope = np.sqrt(1 - beta) * (1 - before) / (1 - before * (1 - beta))
        means = np.sqrt(before) * x0 + slope * (xt - np.sqrt(before * (1 - beta)) * x0)
        centre = weights @ means
        spread = (1 - before) * (1 - slope * np.sqrt(1 - beta)) + weights @ (means - centre) ** 2
        found = gaussian.bridge(belief, jnp.array([xt]), c.beta, c.log_alpha_bar_prev)
        np.testing.assert_allclose(found.mean, [centre], rtol=1e-9)
        np.testing.assert_allclose(found.variance, [spread], rtol=1e-9)
        before *= 1 - beta


@pytest.mark.parametrize("name", KERNELS)
def test_the_belief_under_the_prior_gives_the_forward_kernel(name, coefficients):
    kernel, xt = KERNELS[name], jnp.array([1.0, 0.0])
    for _, c in coefficients:
        belief = kernel.marginal(xt, c.log_alpha_bar)
        found = kernel.bridge(belief, xt, c.beta, c.log_alpha_bar_prev)
        for a, b in zip(found, kernel.step(xt, c.beta), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", KERNELS)
def test_a_belief_that_is_certain_gives_the_posterior(name, coefficients):
    kernel, x0, xt = KERNELS[name], jnp.array([1.0, 0.0, 1.0]), jnp.array([1.0, 1.0, 0.0])
    certain = Normal(x0, jnp.zeros(3)) if name == "gaussian" else Bernoulli((2 * x0 - 1) * jnp.inf)
    for _, c in coefficients:
        found = kernel.bridge(certain, xt, c.beta, c.log_alpha_bar_prev)
        expected = kernel.posterior(x0, xt, c.beta, c.log_alpha_bar_prev)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", KERNELS)
def test_values_and_gradients_are_finite_from_no_noise_to_no_signal(name, coefficients):
    kernel, x = KERNELS[name], jnp.array([1.0, 0.0, 1.0])

    def log_prob(belief, xt, c):
        return kernel.log_prob(kernel.bridge(belief, xt, c.beta, c.log_alpha_bar_prev), x)

    belief = kernel.shift(kernel.marginal(x, jnp.log(0.7)), jnp.ones((3, kernel.channels)))
    for t, c in coefficients:
        value, gradient = jit(jax.value_and_grad(log_prob, (0, 1)))(belief, 1 - x, c)
        assert np.isfinite(value)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient)), t
        if kernel.learnable and c.beta < 1:  # a learned rate never reaches 1
            by_rate = jit(jax.grad(log_prob, 2))(belief, 1 - x, c)
            assert all(np.isfinite(leaf) for leaf in by_rate), t


@pytest.mark.parametrize("before", [1.0, 1 - 1e-7, 1 - 1e-5])
@pytest.mark.parametrize("beta", [1e-7, 1e-5, 0.3])
def test_float32_keeps_the_digits_of_a_shifted_belief_near_the_data(before, beta):
    """Also at t = 1, where ᾱ_{t-1} = 1 and the bridge is the belief; against float64 NumPy."""
    beta, prev = np.float32(beta), np.float32(np.log(before))
    b, left = float(beta), -np.expm1(float(prev))  # 1-ᾱ_{t-1}
    now = np.float32(float(prev) + np.log1p(-b))
    xt, z = np.float32([1.3, -0.2]), np.float32([[0.7, -1.5], [-2.0, 0.4]])

    def bridge_of(kernel, xt):
        args = (jnp.asarray(a, jnp.float32) for a in (xt, now, z[:, : kernel.channels]))
        return kernel.bridge(*belief_of(kernel, *args), jnp.asarray(beta), jnp.asarray(prev))

    total = left + (1 - left) * b
    mean, variance = np.sqrt(1 - total) * xt + np.sqrt(total) * z[:, 0], total * np.exp(z[:, 1])
    slope = np.sqrt(1 - left) * b / total
    expected = slope * mean + np.sqrt(1 - b) * left / total * xt
    spread = b * left / total + slope**2 * variance
    found = bridge_of(gaussian.KERNEL, xt)
    np.testing.assert_allclose(found.variance, spread, rtol=2e-6)
    # Means are near x_t itself, whose own rounding is all that may be lost.
    np.testing.assert_allclose(found.mean, expected, atol=2e-7)

    xt = np.array([1, 0])
    one = (1 - total) * xt + total * ACTIVITY
    one = one / (1 - one) * np.exp(np.float64(z[:, 0]))  # odds of x_0 = 1
    one = np.stack([1 / (1 + one), one / (1 + one)])  # [x_0, component]
    row = np.array([[1 - left * ACTIVITY, left * ACTIVITY], [left * (1 - ACTIVITY), 0]])
    row[1, 1] = 1 - row[1, 0]  # [x_0, x_{t-1}]
    joint = row[:, :, None] * bit_step(b, ACTIVITY)[:, xt][None]
    joint = (one[:, None] * joint / joint.sum(1, keepdims=True)).sum(0)
    found = bridge_of(BITS, xt).logits
    np.testing.assert_allclose(found, np.log(joint[1] / joint[0]), rtol=2e-6)


def belief_of(kernel, xt, log_alpha_bar, readout):
    """The first two arguments of ``bridge``: a shifted belief, and x_t."""
    return kernel.shift(kernel.marginal(xt, log_alpha_bar), readout), xt


def test_a_read_out_of_zero_shifts_nothing_and_others_what_they_say():
    normal, bits = Normal(jnp.array([0.5]), jnp.array([4.0])), Bernoulli(jnp.array([0.5]))
    for dist, shift, channels in ((normal, gaussian.shift, 2), (bits, binomial.shift, 1)):
        for a, b in zip(shift(dist, jnp.zeros((1, channels))), dist, strict=True):
            np.testing.assert_array_equal(a, b)
    moved = gaussian.shift(normal, jnp.array([[0.3, -1.0]]))
    np.testing.assert_allclose(moved.mean, [0.5 + 2 * 0.3])
    np.testing.assert_allclose(moved.variance, [4 * np.exp(-1)])
    np.testing.assert_allclose(binomial.shift(bits, jnp.array([[0.3]])).logits, [0.8])
