"""From read-outs to reverse steps: what each form is at z = 0, in general, and at the ends."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jax.nn import sigmoid
from reference import bit_mixture, fixed64, jit, schedule64

from dpm_jax import schedule
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.reverse import (
    FORMS,
    MEANS,
    VARIANCES,
    between,
    bridge,
    direct,
    named,
    paper,
    velocity,
)

ACTIVITY = 0.3
BITS = binomial.kernel(ACTIVITY)
BOTH = {
    "gaussian": (gaussian.KERNEL, jnp.array([0.3, -2.0])),
    "binomial": (BITS, jnp.array([0.0, 1.0])),
}
STEPS = 6


def every_step(s, f):
    """f(t, coefficients) for t = 1..T, stacked."""
    t = jnp.arange(1, s.steps + 1)
    return jit(jax.vmap(lambda t: f(t, schedule.at(s, t))))(t)


def test_the_forms_have_the_names_of_the_configurations():
    assert {"bridge": bridge, "paper": paper, "direct": direct} == FORMS


@pytest.mark.parametrize("name", BOTH)
def test_zero_read_out_is_the_forward_kernel(name, float64):
    # At every t, also t = 1 where ᾱ_0 = 1 and t = T where β = 1, ᾱ = 0.
    kernel, xt = BOTH[name]
    xt, zeros = xt.astype(float), jnp.zeros((2, kernel.channels))

    def difference(t, c):
        reverse, forward = bridge(kernel, zeros, xt, c), kernel.step(xt, c.beta)
        return [jnp.abs(a - b) for a, b in zip(reverse, forward, strict=True)]

    for field in every_step(fixed64(STEPS), difference):
        np.testing.assert_allclose(field, 0, atol=1e-12)


@pytest.mark.parametrize("name", BOTH)
def test_zero_read_out_is_the_forward_kernel_in_float32(name):
    # In nats over a whole trajectory, on the long schedules of the paper.
    kernel, xt = BOTH[name]
    zeros = jnp.zeros((2, kernel.channels))
    family = schedule.fixed(2000) if name == "binomial" else schedule.learned(40, 1e-5)

    def kl(t, c):
        return kernel.kl(kernel.step(xt, c.beta), bridge(kernel, zeros, xt, c))

    assert jnp.abs(every_step(family.apply(family.init()), kl)).sum() < 1e-6


@pytest.mark.parametrize("beta_1", [1e-5, 1e-7])
@pytest.mark.parametrize("name", BOTH)
def test_float32_keeps_the_digits_of_any_read_out(name, beta_1):
    # Against float64 at the same coefficients; nats per dimension over the whole trajectory.
    kernel, _ = BOTH[name]
    rng = np.random.default_rng(0)
    readout = rng.normal(size=(100, kernel.channels)).astype(np.float32)
    xt = rng.normal(size=100).astype(np.float32)
    if name == "binomial":
        xt = (xt > 0).astype(np.float32)
    family = schedule.learned(40, beta_1)
    coefficients = every_step(family.apply(family.init()), lambda t, c: c)

    def at_every_step(dtype):
        c, z, x = jax.tree.map(lambda a: jnp.asarray(a, dtype), (coefficients, readout, xt))
        return jit(jax.vmap(lambda c: bridge(kernel, z, x, c)))(c)

    single = at_every_step(np.float32)
    with jax.enable_x64(True):
        double = at_every_step(np.float64)
        assert all(field.dtype == np.float64 for field in double)
        single = jax.tree.map(lambda a: jnp.asarray(a, np.float64), single)
        kls = jit(jax.vmap(jax.vmap(kernel.kl)))(double, single)
    assert np.asarray(kls).sum(0).max() < 2e-6


def test_bridge_of_bits_is_bayes_over_x0(float64):
    rng = np.random.default_rng(0)
    s = fixed64(STEPS)
    shift, xt = rng.normal(size=(50, 3)) * 3, rng.integers(2, size=(50, 3)).astype(float)

    def one(t, c):
        f = jax.vmap(lambda z, x: bridge(BITS, z[:, None], x, c).logits)
        return sigmoid(f(jnp.asarray(shift), jnp.asarray(xt)))

    ours = every_step(s, one)
    for t in range(1, STEPS + 1):
        expected = bit_mixture(shift, xt, np.asarray(s.beta), t, ACTIVITY)
        np.testing.assert_allclose(ours[t - 1], expected, rtol=1e-9, atol=1e-12)


def test_bridge_of_normals_is_the_posterior_averaged_over_a_shifted_belief(float64):
    """Its mean and variance by quadrature over x_0 ~ N(x̂_0, V), at every t."""
    s = fixed64(5)
    xt, z_mean, z_variance = 1.3, -0.7, 0.4
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    weights = weights / weights.sum()
    for t in range(1, 6):
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
        ours = bridge(gaussian.KERNEL, readout, jnp.array([xt]), c)
        np.testing.assert_allclose(ours.mean, [mean], rtol=1e-10)
        np.testing.assert_allclose(ours.variance, [variance], rtol=1e-10)


SOME = schedule.Coefficients(*(jnp.asarray(a) for a in (0.36, -1.0, -0.5)))


def test_paper_is_eq_64_and_65():
    dist = paper(gaussian.KERNEL, jnp.array([[0.5, 1.5]]), jnp.array([2.0]), SOME)
    odds = 0.36 / 0.64 * np.exp(1.5)
    sigma = odds / (1 + odds)
    np.testing.assert_allclose(dist.variance, [sigma], rtol=1e-6)
    np.testing.assert_allclose(dist.mean, [(2.0 - 0.5) * (1 - sigma) + 0.5], rtol=1e-6)
    # At z = 0 it is not the forward kernel: (1-β) x, not √(1-β) x.
    dist = paper(gaussian.KERNEL, jnp.zeros((1, 2)), jnp.array([2.0]), SOME)
    np.testing.assert_allclose(dist.mean, [2.0 * 0.64], rtol=1e-6)


def test_bits_have_no_eq_64():
    with pytest.raises(ValueError, match=r"^reverse must be bridge or direct for bits, got paper"):
        paper(BITS, jnp.zeros((2, 1)), jnp.zeros(2), SOME)


def test_direct_forms_are_the_read_outs_of_the_paper():
    xt, z = jnp.array([1.0, 0.0]), jnp.array([[0.7, -2.0], [-0.1, 3.0]])
    normal = direct(gaussian.KERNEL, z, xt, SOME)
    np.testing.assert_array_equal(normal.mean, z[:, 0])
    np.testing.assert_allclose(normal.variance, 1 / (1 + np.exp(-np.asarray(z[:, 1]))), rtol=1e-6)
    np.testing.assert_array_equal(direct(BITS, z[:, :1], xt, SOME).logits, z[:, 0])


ALL_FORMS = {
    "bridge of normals": (gaussian.KERNEL, bridge),
    "paper": (gaussian.KERNEL, paper),
    "direct normal": (gaussian.KERNEL, direct),
    "bridge of bits": (BITS, bridge),
    "direct bits": (BITS, direct),
}


@pytest.mark.parametrize(("kernel", "form"), ALL_FORMS.values(), ids=ALL_FORMS)
def test_values_and_gradients_are_finite_at_every_step(kernel, form):
    # From ᾱ_0 = 1 to β_T = 1, ᾱ_T = 0: in the KL (t ≥ 2) and in the likelihood of a step.
    family = schedule.fixed(STEPS)
    s = family.apply(family.init())
    x0, xt = jnp.array([1.0, 0.0, 1.0]), jnp.array([1.0, 1.0, 0.0])
    readout = jnp.linspace(-3, 3, 3 * kernel.channels).reshape(3, kernel.channels)

    def likelihood(readout, xt, c):
        return kernel.log_prob(form(kernel, readout, xt, c), x0)

    def kl(readout, x0, xt, c):
        q = kernel.posterior(x0, xt, c.beta, c.log_alpha_bar_prev)
        return kernel.kl(q, form(kernel, readout, xt, c))

    def everything(t, c):
        step = jax.value_and_grad(likelihood, (0, 1))(readout, xt, c)
        # The posterior of t = 1 is x_0 itself; no KL is taken there.
        safe = schedule.at(s, jnp.maximum(t, 2))
        return step, jax.value_and_grad(kl, (0, 1, 2))(readout, x0, xt, safe)

    leaves = jax.tree.leaves(every_step(s, everything))
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    gradient = leaves[1]
    assert (jnp.abs(gradient[1:-1]).sum((1, 2)) > 0).all()


SCHEDULES = {
    "fixed": schedule.fixed(STEPS),
    "learned": schedule.learned(STEPS, 1e-7),
    "steep": schedule.given([1e-10, 1e-9, 1e-4, 0.3, 0.9, 0.99]),
}


@cache
def of_a_read_out(name):
    """(read-out, x_0, x_t) -> KLs of t = 2..T and log-likelihoods of t = 1..T, and gradients."""
    kernel, form = ALL_FORMS[name]

    def information(readout, x0, xt, t, c):
        p = form(kernel, readout, xt, c)
        q = kernel.posterior(x0, xt, c.beta, c.log_alpha_bar_prev)
        # The posterior of t = 1 is x_0 itself; no KL is taken there.
        return kernel.kl(jax.tree.map(lambda a, b: jnp.where(t > 1, a, b), q, p), p)

    def likelihood(readout, x0, xt, t, c):
        return kernel.log_prob(form(kernel, readout, xt, c), x0)

    def both(readout, x0, xt):
        found = []
        for family in SCHEDULES.values():
            s = family.apply(family.init())
            for f in (information, likelihood):
                at_each = jax.vmap(
                    lambda t, f=f, s=s: jax.value_and_grad(f, (0, 1, 2))(
                        readout, x0, xt, t, schedule.at(s, t)
                    )
                )
                found.append(at_each(jnp.arange(1, STEPS + 1)))
        return found

    return jit(both)


FAR = 1e4
MOST = float(np.finfo(np.float32).max)


@pytest.mark.parametrize("name", ALL_FORMS)
@given(
    arrays(np.float32, (3, 2), elements=st.floats(-FAR, FAR, width=32)),
    st.sampled_from([None, -MOST, -120.0, -90.0, -30.0, 89.0, MOST]),
)
@example(np.zeros((3, 2), np.float32), -90.0)
@example(np.zeros((3, 2), np.float32), 89.0)
@example(np.full((3, 2), FAR, np.float32), -MOST)
@example(np.full((3, 2), -FAR, np.float32), MOST)
def test_every_read_out_has_a_finite_KL_and_finite_gradients(name, readout, z_variance):
    kernel, _ = ALL_FORMS[name]
    if z_variance is not None:
        readout = np.stack([readout[:, 0], np.full(3, z_variance, np.float32)], -1)
    x0, xt = jnp.array([1.0, 0.0, 1.0]), jnp.array([1.0, 1.0, 0.0])
    found = of_a_read_out(name)(jnp.asarray(readout[:, : kernel.channels]), x0, xt)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))
    assert all((value > -1e-3).all() for value, _ in found[::2])  # the KLs


def test_the_variance_of_a_read_out_saturates_where_it_is_said_to():
    least, z = gaussian.LEAST_VARIANCE, np.array([-1e4, -20.0, 20.0, 39.0, 1e4])
    readout = jnp.asarray(np.stack([0 * z, z], -1), jnp.float32)
    moved = gaussian.shift(Normal(jnp.zeros(5), jnp.full(5, 0.1)), readout).variance
    np.testing.assert_allclose(moved, [least, *0.1 * np.exp([-20.0, 20.0, 39.0, 40.0])], rtol=1e-5)
    odds = np.exp(np.minimum(z, 80.0))
    found = direct(gaussian.KERNEL, readout, jnp.zeros(5), SOME).variance
    np.testing.assert_allclose(found, np.maximum(odds / (1 + odds), least), rtol=1e-5)
    odds = 0.36 / 0.64 * odds
    found = paper(gaussian.KERNEL, readout, jnp.zeros(5), SOME).variance
    np.testing.assert_allclose(found, np.maximum(odds / (1 + odds), least), rtol=1e-5)


# DDPM's forms


def ddpm_by_hand(predicts, variance, z, spread, xt, beta, t):
    """Ho et al.'s own formulas, in float64 NumPy, from β_1..β_T alone; t = 2..T."""
    alpha_bar = np.cumprod(1 - beta)
    ab, before, b = alpha_bar[t - 1], alpha_bar[t - 2], beta[t - 1]
    if predicts == "epsilon":  # their eq. 11
        mean = (xt - b / np.sqrt(1 - ab) * z) / np.sqrt(1 - b)
    else:
        guess = z if predicts == "x0" else np.sqrt(ab) * xt - np.sqrt(1 - ab) * z
        mean = np.sqrt(before) * b * guess + np.sqrt(1 - b) * (1 - before) * xt  # their eq. 7
        mean = mean / (1 - ab)
    tilde = b * (1 - before) / (1 - ab)
    f = (spread + 1) / 2
    return mean, {"beta": b, "beta_tilde": tilde, "between": b**f * tilde ** (1 - f)}[variance]


@pytest.mark.parametrize("variance", ["beta", "beta_tilde", "between"])
@pytest.mark.parametrize("predicts", ["epsilon", "x0", "v"])
def test_ddpm_forms_are_those_of_the_paper(predicts, variance, float64):
    beta = np.array([0.02, 0.1, 0.3, 0.45])
    s, form = schedule64(beta), named(predicts, variance)
    xt, z, spread = np.array([0.3, -1.7]), np.array([0.9, 0.2]), np.array([-0.4, 1.8])
    readout = jnp.stack([jnp.asarray(z), jnp.asarray(spread)], -1)
    for t in (2, 3, 4):
        found = form(gaussian.KERNEL, readout, jnp.asarray(xt), schedule.at(s, jnp.asarray(t)))
        mean, expected = ddpm_by_hand(predicts, variance, z, spread, xt, beta, t)
        np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
        np.testing.assert_allclose(found.variance, np.broadcast_to(expected, 2), rtol=1e-12)


def test_ddpm_at_the_first_step_ends_at_x0_with_the_variance_of_beta_1(float64):
    s, xt = schedule64([0.02, 0.1]), jnp.array([0.3, -1.7])
    readout = jnp.array([[0.5, 0.7], [0.25, -0.3]])
    for variance in ("beta", "beta_tilde", "between"):
        found = named("x0", variance)(gaussian.KERNEL, readout, xt, schedule.at(s, jnp.asarray(1)))
        np.testing.assert_allclose(found.mean, [0.5, 0.25], rtol=1e-12)
        np.testing.assert_allclose(found.variance, 0.02, rtol=1e-12)


def test_names_of_forms():
    assert named("bridge", None) is bridge
    assert named("v", None) is named("v", None)
    assert (MEANS["v"], VARIANCES["between"]) == (velocity, between)
    with pytest.raises(ValueError, match=r"^reverse must be bridge or direct for bits, got one of"):
        named("v", None)(BITS, jnp.zeros((2, 1)), jnp.zeros(2), schedule.Coefficients(*jnp.ones(3)))


@pytest.mark.parametrize("predicts", ["epsilon", "x0", "v"])
def test_the_step_to_the_data_is_the_guess(predicts, float64):
    # The noise in x_t that L_simple compares, and the posterior mean of denoising, are read there.
    s, xt = schedule64([0.02, 0.1, 0.3]), jnp.array([0.3, -1.7])
    x0, eps = jnp.array([0.8, -0.5]), jnp.array([0.1, 1.3])
    c = schedule.at(s, jnp.asarray(3))
    ab = np.prod(1 - np.array([0.02, 0.1, 0.3]))
    xt = np.sqrt(ab) * x0 + np.sqrt(1 - ab) * eps
    z = {"epsilon": eps, "x0": x0, "v": np.sqrt(ab) * eps - np.sqrt(1 - ab) * x0}[predicts]
    readout = jnp.stack([z, jnp.zeros(2)], -1)
    found = named(predicts, "beta")(gaussian.KERNEL, readout, xt, c.to_data)
    np.testing.assert_allclose(found.mean, x0, rtol=1e-12)
