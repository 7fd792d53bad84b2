"""From read-outs to reverse steps: what each form is at z = 0, in general, and at the ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import sigmoid
from reference import bit_mixture, fixed64, jit, schedule64

from dpm_jax import schedule
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.reverse import (
    DENOISED_NORMAL,
    DIRECT_BERNOULLI,
    DIRECT_NORMAL,
    PAPER_NORMAL,
    PERTURBED_NORMAL,
    perturbed_bernoulli_reverse,
)

ACTIVITY = 0.3
BITS = binomial.kernel(ACTIVITY)
PERTURBED_BERNOULLI = perturbed_bernoulli_reverse(ACTIVITY)
PERTURBED = {
    "gaussian": (gaussian.KERNEL, PERTURBED_NORMAL, jnp.array([0.3, -2.0])),
    "denoised gaussian": (gaussian.KERNEL, DENOISED_NORMAL, jnp.array([0.3, -2.0])),
    "binomial": (BITS, PERTURBED_BERNOULLI, jnp.array([0.0, 1.0])),
}
STEPS = 6


def every_step(s, f):
    """f(t, coefficients) for t = 1..T, stacked."""
    t = jnp.arange(1, s.steps + 1)
    return jit(jax.vmap(lambda t: f(t, schedule.at(s, t))))(t)


@pytest.mark.parametrize("name", PERTURBED)
def test_zero_read_out_is_the_forward_kernel(name, float64):
    # At every t, also t = 1 where ᾱ_0 = 1 and t = T where β = 1, ᾱ = 0.
    kernel, form, xt = PERTURBED[name]
    xt, zeros = xt.astype(float), jnp.zeros((2, form.channels))

    def difference(t, c):
        reverse, forward = form.distribution(zeros, xt, c), kernel.step(xt, c.beta)
        return [jnp.abs(a - b) for a, b in zip(reverse, forward, strict=True)]

    for field in every_step(fixed64(STEPS), difference):
        np.testing.assert_allclose(field, 0, atol=1e-12)


@pytest.mark.parametrize("name", PERTURBED)
def test_zero_read_out_is_the_forward_kernel_in_float32(name):
    # In nats over a whole trajectory, on the long schedules of the paper.
    kernel, form, xt = PERTURBED[name]
    zeros = jnp.zeros((2, form.channels))
    family = schedule.fixed(2000) if name == "binomial" else schedule.learned(40, 1e-5)

    def kl(t, c):
        return kernel.kl(kernel.step(xt, c.beta), form.distribution(zeros, xt, c))

    assert jnp.abs(every_step(family.apply(family.init()), kl)).sum() < 1e-6


def test_perturbed_bernoulli_is_bayes_over_x0(float64):
    rng = np.random.default_rng(0)
    s = fixed64(STEPS)
    shift, xt = rng.normal(size=(50, 3)) * 3, rng.integers(2, size=(50, 3)).astype(float)

    def one(t, c):
        f = jax.vmap(lambda z, x: PERTURBED_BERNOULLI.distribution(z[:, None], x, c).logits)
        return sigmoid(f(jnp.asarray(shift), jnp.asarray(xt)))

    ours = every_step(s, one)
    for t in range(1, STEPS + 1):
        expected = bit_mixture(shift, xt, np.asarray(s.beta), t, ACTIVITY)
        np.testing.assert_allclose(ours[t - 1], expected, rtol=1e-9, atol=1e-12)


def test_perturbed_normal_moves_in_units_of_the_steps_noise():
    c = schedule.Coefficients(*(jnp.asarray(a) for a in (0.36, -1.0, -0.5)))
    dist = PERTURBED_NORMAL.distribution(jnp.array([[0.5, 1.5]]), jnp.array([2.0]), c)
    np.testing.assert_allclose(dist.mean, [1.6 + 0.6 * 0.5], rtol=1e-6)
    odds = 0.36 / 0.64 * np.exp(1.5)
    np.testing.assert_allclose(dist.variance, [odds / (1 + odds)], rtol=1e-6)


def test_denoised_normal_is_the_posterior_averaged_over_a_belief_about_x0(float64):
    """Its mean and variance by quadrature over x_0 ~ N(x̂_0, V), at every t ≥ 2."""
    s = schedule64([0.1, 0.3, 0.4, 0.6])
    xt, z_mean, z_variance = 1.3, -0.7, 0.4
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    for t in (2, 3, 4):
        c = schedule.at(s, jnp.asarray(t))
        alpha_bar = float(np.exp(c.log_alpha_bar))
        guess = np.sqrt(alpha_bar) * xt + np.sqrt(1 - alpha_bar) * z_mean
        x0 = guess + np.sqrt((1 - alpha_bar) * np.exp(z_variance)) * nodes
        q = [
            gaussian.posterior(jnp.array([x]), jnp.array([xt]), c.beta, c.log_alpha_bar_prev)
            for x in x0
        ]
        means, variances = (np.array([float(a[i][0]) for a in q]) for i in (0, 1))
        mean = weights @ means
        variance = weights @ (variances + (means - mean) ** 2)
        readout = jnp.array([[z_mean, z_variance]])
        ours = DENOISED_NORMAL.distribution(readout, jnp.array([xt]), c)
        np.testing.assert_allclose(ours.mean, [mean], rtol=1e-10)
        np.testing.assert_allclose(ours.variance, [variance], rtol=1e-10)


def test_paper_normal_is_eq_64_and_65():
    c = schedule.Coefficients(*(jnp.asarray(a) for a in (0.36, -1.0, -0.5)))
    dist = PAPER_NORMAL.distribution(jnp.array([[0.5, 1.5]]), jnp.array([2.0]), c)
    odds = 0.36 / 0.64 * np.exp(1.5)
    sigma = odds / (1 + odds)
    np.testing.assert_allclose(dist.variance, [sigma], rtol=1e-6)
    np.testing.assert_allclose(dist.mean, [(2.0 - 0.5) * (1 - sigma) + 0.5], rtol=1e-6)
    # At z = 0 it is not the forward kernel: (1-β) x, not √(1-β) x.
    dist = PAPER_NORMAL.distribution(jnp.zeros((1, 2)), jnp.array([2.0]), c)
    np.testing.assert_allclose(dist.mean, [2.0 * 0.64], rtol=1e-6)


def test_direct_forms_are_the_read_outs_of_the_paper():
    c = schedule.Coefficients(*(jnp.asarray(a) for a in (0.36, -1.0, -0.5)))
    xt, z = jnp.array([1.0, 0.0]), jnp.array([[0.7, -2.0], [-0.1, 3.0]])
    normal = DIRECT_NORMAL.distribution(z, xt, c)
    np.testing.assert_array_equal(normal.mean, z[:, 0])
    np.testing.assert_allclose(normal.variance, 1 / (1 + np.exp(-np.asarray(z[:, 1]))), rtol=1e-6)
    np.testing.assert_array_equal(DIRECT_BERNOULLI.distribution(z[:, :1], xt, c).logits, z[:, 0])


@pytest.mark.parametrize(
    ("kernel", "form"),
    [
        (gaussian.KERNEL, PERTURBED_NORMAL),
        (gaussian.KERNEL, DIRECT_NORMAL),
        (BITS, PERTURBED_BERNOULLI),
        (BITS, DIRECT_BERNOULLI),
    ],
    ids=["perturbed normal", "direct normal", "perturbed bernoulli", "direct bernoulli"],
)
def test_values_and_gradients_are_finite_at_every_step(kernel, form):
    # From ᾱ_0 = 1 to β_T = 1, ᾱ_T = 0: in the KL (t ≥ 2) and in the likelihood of a step.
    family = schedule.fixed(STEPS)
    s = family.apply(family.init())
    x0, xt = jnp.array([1.0, 0.0, 1.0]), jnp.array([1.0, 1.0, 0.0])
    readout = jnp.linspace(-3, 3, 3 * form.channels).reshape(3, form.channels)

    def likelihood(readout, xt, c):
        return kernel.log_prob(form.distribution(readout, xt, c), x0)

    def kl(readout, x0, xt, c):
        q = kernel.posterior(x0, xt, c.beta, c.log_alpha_bar_prev)
        return kernel.kl(q, form.distribution(readout, xt, c))

    def everything(t, c):
        step = jax.value_and_grad(likelihood, (0, 1))(readout, xt, c)
        # The posterior of t = 1 is x_0 itself; no KL is taken there.
        safe = schedule.at(s, jnp.maximum(t, 2))
        return step, jax.value_and_grad(kl, (0, 1, 2))(readout, x0, xt, safe)

    leaves = jax.tree.leaves(every_step(s, everything))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    gradient = leaves[1]
    assert (jnp.abs(gradient[1:-1]).sum((1, 2)) > 0).all()
