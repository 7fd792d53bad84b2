"""Multiplying distributions, against sums over all trajectories and against normals' algebra."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import fixed64, jit, process_of
from small_chains import ACTIVITY, STATES, entangled, law_of_bits, linear_gaussian, random_bits

from dpm_jax.kernels import binomial, gaussian
from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.sampling import perturb, trajectory

SAMPLES = 20_000


def draws(process, perturbation, count=SAMPLES, seed=0):
    """Ends, normalised weights and the mean weight with its standard error."""
    run = jit(jax.vmap(lambda k: trajectory.sample(process, k, perturbation=perturbation)))
    found = jax.device_get(run(jax.random.split(jax.random.key(seed), count)))
    weight = np.exp(np.asarray(found.log_weight, np.float64))
    return found.end, weight / weight.sum(), (weight.mean(), weight.std() / np.sqrt(count))


def errors(values, weight, expected):
    """How many standard errors a weighted mean is off."""
    mean = weight @ values
    return np.abs(mean - expected) / np.sqrt(weight**2 @ (values - mean) ** 2)


def product_of_bits(process, **options):
    return perturb.product(process, Bernoulli(jnp.array([1.5, -0.7, 0.0])), **options)


def of_product(x):
    return -np.log1p(np.exp(np.where(x > 0.5, -1, 1) * np.array([1.5, -0.7, 0.0]))).sum(-1)


def of_entangled(x):
    return np.array([entangled(s) for s in x])


@pytest.mark.parametrize("annealed", [False, True])
@pytest.mark.parametrize(
    ("make", "log_r"),
    [
        (product_of_bits, of_product),
        (partial(perturb.smooth, log_r=entangled), of_entangled),
    ],
    ids=["product", "smooth"],
)
def test_weighted_bits_have_the_law_p_times_r(make, log_r, annealed):
    process = random_bits()
    x, weight, (mean, error) = draws(process, make(process, annealed=annealed))
    law = np.linalg.multi_dot(law_of_bits()) * np.exp(log_r(STATES))
    assert abs(mean - law.sum()) < 5 * error
    is_state = (x[:, None] == STATES).all(-1)
    assert (errors(is_state, weight, law / law.sum()) < 5).all()
    # Sharp enough to see a wrong sign, or a weight left out.
    assert errors(is_state, np.full(len(x), 1 / len(x)), law / law.sum()).max() > 8
    assert error < 0.02 * mean


def test_observed_bits_too_and_with_a_smaller_spread_of_weights():
    process, r = random_bits(), Bernoulli(jnp.array([1.5, -0.7, 0.0]))
    x, weight, (mean, error) = draws(process, perturb.observed(process, r))
    law = np.linalg.multi_dot(law_of_bits()) * np.exp(of_product(STATES))
    assert abs(mean - law.sum()) < 5 * error
    is_state = (x[:, None] == STATES).all(-1)
    assert (errors(is_state, weight, law / law.sum()) < 5).all()


def test_observed_multiplies_by_what_r_says_of_this_very_step(float64):
    """E_π[r(x_0) | x_t] = N(y; √ᾱ_t x_t, s² + 1-ᾱ_t): its product with p, at every t."""
    process = process_of(gaussian.KERNEL, fixed64(5), lambda *args: None, (1,))
    y, s2, mean, variance = 2.0, 0.5, 0.4, 0.3
    r, p = Normal(jnp.array([y]), jnp.array([s2])), Normal(jnp.array([mean]), jnp.array([variance]))
    multiplied = perturb.observed(process, r)
    for t in range(6):
        alpha_bar = 1 - t / 5
        noise = s2 + 1 - alpha_bar
        precision = 1 / variance + alpha_bar / noise
        centre = (mean / variance + np.sqrt(alpha_bar) * y / noise) / precision
        for eps in (0.0, 1.0):
            found = multiplied(process.kernel, p, jnp.zeros(1), jnp.asarray(t), jnp.full(1, eps)).x
            np.testing.assert_allclose(found, [centre + eps * precision**-0.5], atol=1e-6)


@pytest.mark.parametrize("name", ["gaussian", "binomial"])
def test_evidence_is_the_expectation_of_r_under_the_prior(name, float64):
    """By quadrature over x_0, or by both values of a bit; up to a constant in x_t."""
    log_alpha_bar = jnp.log(0.3)
    if name == "binomial":
        kernel, r = binomial.kernel(ACTIVITY), Bernoulli(jnp.array([1.5]))
        x0 = [jnp.array([0.0]), jnp.array([1.0])]
        prior = np.array([1 - ACTIVITY, ACTIVITY])
        states_t = x0
    else:
        kernel, r = gaussian.KERNEL, Normal(jnp.array([0.8]), jnp.array([0.5]))
        nodes, prior = np.polynomial.hermite_e.hermegauss(60)
        x0, prior = [jnp.array([x]) for x in nodes], prior / prior.sum()
        states_t = [jnp.array([x]) for x in (-1.0, 0.2, 2.0)]
    expected = []
    for xt in states_t:
        joint = [
            p * np.exp(kernel.log_prob(kernel.marginal(x, log_alpha_bar), xt))
            for p, x in zip(prior, x0, strict=True)
        ]
        weighted = [j * np.exp(kernel.log_prob(r, x)) for j, x in zip(joint, x0, strict=True)]
        expected.append(np.log(sum(weighted) / sum(joint)))
    found = np.array([kernel.log_prob(kernel.evidence(r, log_alpha_bar), x) for x in states_t])
    np.testing.assert_allclose(np.diff(found), np.diff(expected), rtol=1e-6)


def test_evidence_without_any_signal_says_nothing():
    for kernel, r in (
        (gaussian.KERNEL, Normal(jnp.array([0.8]), jnp.array([0.5]))),
        (binomial.kernel(ACTIVITY), Bernoulli(jnp.array([1.5]))),
    ):
        p = kernel.prior((1,))
        found = kernel.product(p, kernel.evidence(r, jnp.log(0.0)), jnp.ones(()))
        for a, b in zip(found, p, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("bits", [(1, 0), (0, 1)])
def test_weighted_unknown_bits_have_the_exact_conditional(bits):
    process, mask = random_bits(), np.array([True, False, True])
    value = np.array([bits[0], np.nan, bits[1]])
    perturbation = perturb.known(process, jnp.asarray(value, jnp.float32), jnp.asarray(mask))
    x, weight, (mean, error) = draws(process, perturbation)
    np.testing.assert_array_equal(x[:, mask], np.tile(value[mask], (SAMPLES, 1)))
    agree = (STATES[:, mask] == value[mask]).all(-1)
    p = np.linalg.multi_dot(law_of_bits()) * agree
    assert abs(mean - p.sum()) < 5 * error
    assert error < 0.02 * mean
    assert errors(x[:, 1:2], weight, (p @ STATES / p.sum())[1]) < 5
    plain = np.full(SAMPLES, 1 / SAMPLES)
    assert errors(x[:, 1:2], plain, (p @ STATES / p.sum())[1]) > 10


def test_constant_known_bits_are_weighted_by_the_whole_path():
    process, mask, bits = random_bits(), np.array([True, False, True]), np.array([1.0, 0, 0])
    perturbation = perturb.known(
        process, jnp.asarray(bits, jnp.float32), jnp.asarray(mask), constant=True
    )
    x, weight, (mean, error) = draws(process, perturbation)
    np.testing.assert_array_equal(x[:, mask], np.tile(bits[mask], (SAMPLES, 1)))
    agree = (STATES[:, mask] == bits[mask]).all(-1)
    p, *steps = law_of_bits()
    p = p * agree
    for step in steps:
        p = p @ step * agree
    assert abs(mean - p.sum()) < 5 * error
    assert errors(x[:, 1:2], weight, (p @ STATES / p.sum())[1]) < 5


def test_weighted_normals_have_the_exact_conditional():
    process, mean, cov = linear_gaussian()
    value, mask = jnp.array([1.1, np.nan]), jnp.array([True, False])
    x, weight, (evidence, error) = draws(process, perturb.known(process, value, mask))
    assert (x[:, 0] == np.float32(1.1)).all()
    centre = mean[1] + cov[1, 0] / cov[0, 0] * (1.1 - mean[0])
    variance = cov[1, 1] - cov[1, 0] ** 2 / cov[0, 0]
    y = x[:, 1:].astype(np.float64)
    assert errors(y, weight, centre) < 5
    assert errors((y - centre) ** 2, weight, variance) < 5
    density = np.exp(-((1.1 - mean[0]) ** 2) / 2 / cov[0, 0]) / np.sqrt(2 * np.pi * cov[0, 0])
    assert abs(evidence - density) < 5 * error
    assert error < 0.02 * evidence
    # The unweighted conditional is off, so that a weight left out would be seen.
    assert errors(y, np.full(len(y), 1 / len(y)), centre) > 10


@pytest.mark.parametrize("annealed", [False, True])
@pytest.mark.parametrize("form", ["product", "smooth"])
def test_weighted_denoising_is_the_product_of_normals(form, annealed):
    process, mean, cov = linear_gaussian()
    y, s2 = np.array([1.0, 0.5]), 2.0
    r = Normal(jnp.asarray(y, jnp.float32), jnp.full(2, s2))
    if form == "product":
        perturbation = perturb.product(process, r, annealed=annealed)
    else:
        perturbation = perturb.smooth(process, lambda x: gaussian.log_prob(r, x), annealed=annealed)
    x, weight, (evidence, error) = draws(process, perturbation)
    gain = cov @ np.linalg.inv(cov + s2 * np.eye(2))
    x, centre, posterior = x.astype(np.float64), mean + gain @ (y - mean), cov - gain @ cov
    assert (errors(x, weight, centre) < 5).all()
    assert (errors((x - centre) ** 2, weight, np.diag(posterior)) < 5).all()
    assert errors((x - centre).prod(-1)[:, None], weight, posterior[0, 1]) < 5
    away = (y - mean) @ np.linalg.solve(cov + s2 * np.eye(2), y - mean)
    density = np.exp(-away / 2) / (2 * np.pi * np.sqrt(np.linalg.det(cov + s2 * np.eye(2))))
    assert abs(evidence - density) < 5 * error
    assert error < 0.03 * evidence


PROCESSES = {"bits": random_bits, "normals": lambda: linear_gaussian()[0]}


@pytest.mark.parametrize("make", PROCESSES.values(), ids=PROCESSES)
def test_no_r_changes_nothing(make):
    process = make()
    shape = process.event_shape
    nothing_known = jnp.zeros(shape, bool)
    ones = [
        perturb.nothing(process),
        perturb.smooth(process, lambda x: 0 * x.sum()),
        perturb.smooth(process, lambda x: 0 * x.sum(), annealed=True),
        perturb.known(process, jnp.full(shape, jnp.nan), nothing_known),
    ]

    def ends(key):
        found = [trajectory.sample(process, key, keep=(2,))]
        for one in ones:
            found.append(trajectory.sample(process, key, keep=(2,), perturbation=one))
        return jax.tree.map(lambda *a: jnp.stack(a), *found)

    found = jit(jax.vmap(ends))(jax.random.split(jax.random.key(1), 100))
    for array in (found.end, found.kept):
        np.testing.assert_array_equal(array, np.repeat(array[:, :1], 5, axis=1))
    np.testing.assert_array_equal(found.log_weight, 0)


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("make", PROCESSES.values(), ids=PROCESSES)
def test_known_components_are_the_same_bits_and_the_others_vary(make, constant):
    process = make()
    (size,) = process.event_shape
    mask = jnp.arange(size) == 1
    value = jnp.where(mask, 1 / 3 if size == 2 else 1.0, jnp.nan)
    keep = (process.schedule.steps, 1, 0)
    perturbation = perturb.known(process, value, mask, constant=constant)
    sample = partial(trajectory.sample, process, keep=keep, perturbation=perturbation)
    end, kept, log_weight = jit(jax.vmap(lambda k: sample(k)))(
        jax.random.split(jax.random.key(2), 100)
    )
    assert np.isfinite(log_weight).all()
    assert np.asarray(end[:, 1]).tobytes() == 100 * np.asarray(value[1]).tobytes()
    assert (np.asarray(end[:, 0]).std() > 0.1).all()
    on_the_way = np.asarray(kept[:, 0, 1])
    assert (on_the_way == value[1]).all() == constant


@pytest.mark.usefixtures("float64")
def test_known_path_is_the_forward_process():
    # With everything known, the weight's target is p(value) itself; the path has q's marginals.
    kernel, rates = gaussian.KERNEL, fixed64(5)
    process = process_of(kernel, rates, lambda x, t, c: kernel.step(x, c.beta), (1,))
    value = jnp.array([1.5])
    perturbation = perturb.known(process, value, jnp.ones(1, bool))
    sample = partial(trajectory.sample, process, keep=(5, 3, 1), perturbation=perturbation)
    found = jit(jax.vmap(lambda k: sample(k)))(jax.random.split(jax.random.key(3), 5_000))
    for i, alpha_bar in enumerate((0.0, 0.4, 0.8)):
        x = np.asarray(found.kept[:, i, 0])
        error = np.sqrt((1 - alpha_bar) / len(x))
        assert abs(x.mean() - 1.5 * np.sqrt(alpha_bar)) < 5 * error
        assert abs(x.var() - (1 - alpha_bar)) < 5 * (1 - alpha_bar) * np.sqrt(2 / len(x))
    # Detailed balance: with the forward kernel as the reverse, every path weighs log π(x_0).
    np.testing.assert_allclose(found.log_weight, kernel.log_prob(kernel.prior((1,)), value))


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("annealed", [False, True])
def test_gaussian_r_is_the_closed_form_at_every_step(annealed):
    steps, v, s2, y = 5, 0.3, 0.5, 2.0
    process = process_of(
        gaussian.KERNEL, fixed64(steps), lambda x, t, c: gaussian.step(x, c.beta), (1,)
    )
    p, r = Normal(jnp.array([0.4]), jnp.array([v])), Normal(jnp.array([y]), jnp.array([s2]))
    form = {"annealed": True} if annealed else {}  # not annealed by default
    product = perturb.product(process, r, **form)
    smooth = perturb.smooth(process, partial(gaussian.log_prob, r), **form)
    for t in range(steps + 1):
        a = (steps - t) / steps if annealed else 1.0
        precision = 1 / v + a / s2
        mean, middle, up = (0.4 / v + a * y / s2) / precision, jnp.zeros(1), jnp.ones(1)
        found = [product(process.kernel, p, middle, jnp.asarray(t), e) for e in (middle, up)]
        np.testing.assert_allclose(found[0].x, mean, rtol=1e-12)
        np.testing.assert_allclose(found[1].x - found[0].x, precision**-0.5, rtol=1e-12)
        # p/g is Z/r^a at any x; at t = 0 r itself comes on top.
        for x, log_weight in found:
            log_g = gaussian.log_prob(Normal(jnp.full(1, mean), jnp.full(1, 1 / precision)), x)
            expected = gaussian.log_prob(p, x) - log_g
            expected += gaussian.log_prob(r, x) if t == 0 else 0
            np.testing.assert_allclose(log_weight, expected, atol=1e-12)
        np.testing.assert_allclose(
            smooth(process.kernel, p, middle, jnp.asarray(t), middle).x,
            0.4 + v * a * (y - 0.4) / s2,
            rtol=1e-12,
        )


def test_one_trace_for_all_values_and_keys():
    process, traces = linear_gaussian()[0], []

    @jax.jit
    def run(key, y):
        def log_r(x):
            traces.append(1)
            return -jnp.sum((x - y) ** 2)

        return trajectory.sample(process, key, perturbation=perturb.smooth(process, log_r))

    one = run(jax.random.key(0), jnp.zeros(2))
    first = len(traces)
    other = run(jax.random.key(1), jnp.ones(2))
    assert len(traces) == first
    assert (np.asarray(one.end) != np.asarray(other.end)).all()
