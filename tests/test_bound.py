"""K, path weights and their estimators, against enumeration, closed forms and each other."""

from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import (
    bit_mixture,
    draws_of,
    fixed64,
    jit,
    process_of,
    product_law,
    schedule64,
    standard_errors,
    state_step,
    states,
)
from scipy import stats

from dpm_jax import bound, schedule
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.process import FIXED, LAST_STEPS, LEARNED
from dpm_jax.reverse import FORMS, bridge

pytestmark = pytest.mark.usefixtures("float64")

BETA = [0.1, 0.3, 0.4, 0.6]
BITS, STATES = 3, states(3)
ACTIVITY = 0.3
BIT_KERNEL = binomial.kernel(ACTIVITY)
BOTH_LAST_STEPS = pytest.mark.parametrize("last_step", LAST_STEPS.values(), ids=LAST_STEPS)
NOISE = np.random.default_rng(0).normal(size=(4, 8, BITS))
TABLE = (2 * STATES - 1) + 0.5 * NOISE  # a read-out for every t and state x_t


def noisy_bound(process, x0):
    """key -> the bound of x0 with fresh noise for every step."""

    def draw(key):
        noise = process.kernel.noise(key, (process.schedule.steps, *x0.shape))
        return bound.all_steps(process, x0, noise)

    return draw


# Detailed balance


@BOTH_LAST_STEPS
@pytest.mark.parametrize("name", ["gaussian", "binomial"])
def test_forward_kernel_as_reverse_gives_log_prior_on_every_path(name, last_step):
    kernel = gaussian.KERNEL if name == "gaussian" else binomial.kernel(ACTIVITY)
    x0 = jnp.array([3.0, -0.4, 1.0]) if name == "gaussian" else jnp.array([1.0, 0.0, 1.0])
    process = process_of(
        kernel, fixed64(5), lambda xt, t, c: kernel.step(xt, c.beta), (3,), last_step
    )

    def draw(key):
        path = bound.path_log_weight(process, x0, key)
        several = bound.importance_weighted(process, x0, key, 3)
        return path, several, noisy_bound(process, x0)(key)

    log_prior = kernel.log_prob(kernel.prior((3,)), x0)
    path, several, K = draws_of(draw, 1, 2_000)
    np.testing.assert_allclose(path, log_prior, rtol=1e-10)
    np.testing.assert_allclose(several, log_prior, rtol=1e-10)
    np.testing.assert_allclose(K.null, log_prior)
    assert standard_errors(K.K, log_prior) < 5


@pytest.mark.parametrize("name", ["gaussian", "binomial"])
def test_a_thousand_steps_of_a_whole_image_add_up_in_float32(name):
    # Each log p of 3,072 components is thousands of nats, and the weight a few of them.
    kernel = gaussian.KERNEL if name == "gaussian" else binomial.kernel(ACTIVITY)
    x0 = np.random.default_rng(0).normal(size=3072).astype(np.float32)
    x0 = x0 if name == "gaussian" else (x0 > 0.5).astype(np.float32)
    with jax.enable_x64(False):
        rates = schedule.given(np.full(1000, 0.01)).apply({})
        process = process_of(kernel, rates, lambda xt, t, c: kernel.step(xt, c.beta), x0.shape)
        keys = jax.random.split(jax.random.key(1), 4)
        paths = jax.jit(jax.vmap(lambda k: bound.path_log_weight(process, jnp.asarray(x0), k)))(
            keys
        )
    log_prior = stats.norm.logpdf(x0.astype(np.float64)).sum()
    if name == "binomial":
        log_prior = np.log(np.where(x0 > 0.5, ACTIVITY, 1 - ACTIVITY)).sum()
    assert paths.dtype == np.float32
    np.testing.assert_allclose(paths, log_prior, atol=1.5e-3)


@pytest.mark.parametrize("name", ["gaussian", "binomial"])
def test_null_of_data_from_the_prior_is_its_entropy(name):
    kernel = gaussian.KERNEL if name == "gaussian" else binomial.kernel(ACTIVITY)
    process = process_of(kernel, schedule64(BETA), lambda xt, t, c: kernel.step(xt, c.beta), (2,))

    def draw(key):
        data_key, noise_key = jax.random.split(key)
        x0 = kernel.transport(kernel.prior((2,)), kernel.noise(data_key, (2,)))
        return noisy_bound(process, x0)(noise_key)

    draws = draws_of(draw, 4, 10_000)
    expected = -2 * (0.5 * np.log(2 * np.pi * np.e))
    if name == "binomial":
        expected = 2 * (0.3 * np.log(0.3) + 0.7 * np.log(0.7))
    assert standard_errors(draws.null, expected) < 5
    assert standard_errors(draws.K, expected) < 5


# Brute force over bits


def table_process(form, last_step):
    """Bits whose read-out is looked up in TABLE by t and by the state x_t."""

    def reverse(xt, t, c):
        state = jnp.sum(xt.astype(int) * jnp.array([1, 2, 4]))
        readout = jnp.asarray(TABLE)[t - 1, state]
        return FORMS[form](BIT_KERNEL, readout[:, None], xt, c)

    return process_of(BIT_KERNEL, schedule64(BETA), reverse, (BITS,), last_step)


def table_reverse(form, last_step):
    """[t-1][x_t, x_{t-1}]: the same reverse process as matrices, from the reference alone."""
    matrices = [state_step(BETA[0], ACTIVITY, BITS)]  # T_π(x_0 | x_1; β_1)
    for t in range(1 if last_step is LEARNED else 2, 5):
        table = TABLE[t - 1]
        one = 1 / (1 + np.exp(-table))
        if form == "bridge":
            one = bit_mixture(table, STATES, BETA, t, ACTIVITY)
        matrices[t - 1 :] = [product_law(one)]
    return matrices


def enumerated(form, last_step):
    """log p(x_0) and K(x_0) of all states, as sums over all trajectories."""
    reverse = table_reverse(form, last_step)
    forward = [state_step(b, ACTIVITY, BITS) for b in BETA]
    prior = product_law(np.full(BITS, ACTIVITY))
    p = prior
    for matrix in reversed(reverse):
        p = p @ matrix
    # K is the mean log of p(x_T) ∏ p(x_{t-1}|x_t)/q(x_t|x_{t-1}): each factor needs only the
    # law of the pair (x_{t-1}, x_t).
    law, K = np.eye(8), np.zeros(8)  # law[x_0, x_{t-1}]
    for q, r in zip(forward, reverse, strict=True):
        K += np.einsum("ij,jk,jk->i", law, q, np.log(r.T / q))
        law = law @ q
    return np.log(p), K + law @ np.log(prior)


@pytest.mark.parametrize(
    ("form", "last_step"),
    [
        ("direct", FIXED),
        ("bridge", LEARNED),
        pytest.param("direct", LEARNED, marks=pytest.mark.slow),
        pytest.param("bridge", FIXED, marks=pytest.mark.slow),
    ],
    ids=["direct fixed", "bridge learned", "direct learned", "bridge fixed"],
)
def test_bits_against_enumeration(form, last_step):
    log_p, K = enumerated(form, last_step)
    np.testing.assert_allclose(np.exp(log_p).sum(), 1, rtol=1e-12)
    assert (log_p > K).all()

    process, x0 = table_process(form, last_step), jnp.asarray(STATES)

    def draw(key):
        K_key, path_key, *keys = jax.random.split(key, 4)

        def one(x):
            iw = [
                bound.importance_weighted(process, x, k, n)
                for k, n in zip(keys, (4, 16), strict=True)
            ]
            path = bound.path_log_weight(process, x, path_key)
            return jnp.stack([noisy_bound(process, x)(K_key).K, path, *iw])

        return jax.vmap(one)(x0)

    draws = np.asarray(draws_of(draw, 5, 2_000))  # [draw, x_0, estimator]
    assert (standard_errors(draws[..., 0], K) < 5).all()
    assert (standard_errors(draws[..., 1], K) < 5).all()
    # The mean weight is p(x_0), whatever the number of paths ...
    for estimator in (1, 2, 3):
        assert (standard_errors(np.exp(draws[..., estimator]), np.exp(log_p)) < 5).all()
    # ... its log, K at one path, rises with their number and stays below log p(x_0).
    rises = np.diff(draws[..., 1:], axis=-1)
    margin = 5 * rises.std(0) / np.sqrt(len(rises))
    assert (rises.mean(0) > -margin).all()
    assert (rises.mean(0).mean(0) > margin.mean(0)).all()
    error = 5 * draws[..., 3].std(0) / np.sqrt(len(draws))
    assert (draws[..., 3].mean(0) < log_p + error).all()


def test_many_paths_meet_log_p():
    log_p, K = enumerated("direct", FIXED)
    process = table_process("direct", FIXED)
    key = jax.random.key(6)
    weighted = jit(jax.vmap(lambda x: bound.importance_weighted(process, x, key, 10_000)))
    ours = weighted(jnp.asarray(STATES))
    assert (log_p - K).mean() > 0.1
    np.testing.assert_allclose(ours, log_p, atol=0.1 * (log_p - K).min())


def test_every_path_is_exact_when_the_reverse_is():
    # Bits of unequal activity, noised to nothing (ᾱ_T = 0): a constant shift of the odds is exact.
    activity = np.array([0.1, 0.3, 0.8])
    shift = jnp.asarray(np.log(activity / (1 - activity)) - np.log(ACTIVITY / (1 - ACTIVITY)))

    def reverse(xt, t, c):
        return bridge(BIT_KERNEL, shift[:, None], xt, c)

    process = process_of(BIT_KERNEL, fixed64(5), reverse, (BITS,), LEARNED)
    log_p = np.log(product_law(activity))

    def draw(key):
        paths = jax.vmap(lambda x: bound.path_log_weight(process, x, key))
        K = jax.vmap(lambda x: noisy_bound(process, x)(key).K)
        return paths(jnp.asarray(STATES)), K(jnp.asarray(STATES))

    paths, K = draws_of(draw, 7, 2_000)
    np.testing.assert_allclose(paths[:100], np.tile(log_p, (100, 1)), rtol=1e-9)
    assert (standard_errors(K, log_p) < 5).all()


# Normals, closed form

MEAN, VARIANCE = 0.4, 0.3


def exact_reverse(xt, t, c):
    """q(x_{t-1} | x_t) of data N(MEAN, VARIANCE): product of the prior at t-1 and the step."""
    alpha_bar = jnp.exp(c.log_alpha_bar_prev)
    mean, variance = jnp.sqrt(alpha_bar) * MEAN, alpha_bar * VARIANCE + 1 - alpha_bar
    precision = 1 / variance + (1 - c.beta) / c.beta
    shift = mean / variance + jnp.sqrt(1 - c.beta) / c.beta * xt
    return Normal(shift / precision, jnp.broadcast_to(1 / precision, xt.shape))


@BOTH_LAST_STEPS
def test_gaussian_data_with_the_exact_reverse(last_step):
    s, x0 = fixed64(5), jnp.array([1.3])
    process = process_of(gaussian.KERNEL, s, exact_reverse, (1,), last_step)
    log_p = stats.norm(MEAN, np.sqrt(VARIANCE)).logpdf(1.3)
    draw = noisy_bound(process, x0)
    paths, draws = draws_of(
        lambda key: (bound.path_log_weight(process, x0, key), draw(key)), 8, 5_000
    )
    if last_step is LEARNED:
        np.testing.assert_allclose(paths, log_p, rtol=1e-9)
        assert standard_errors(draws.K, log_p) < 5
        return
    # The fixed last step costs E_q[log q(x_0|x_1) - log T_π(x_0|x_1)], here by quadrature.
    beta, nodes = float(s.beta[0]), np.polynomial.hermite_e.hermegauss(60)
    x1 = np.sqrt(1 - beta) * 1.3 + np.sqrt(beta) * nodes[0]
    precision = 1 / VARIANCE + (1 - beta) / beta
    exact = stats.norm(
        (MEAN / VARIANCE + np.sqrt(1 - beta) / beta * x1) / precision, precision**-0.5
    )
    fixed = stats.norm(np.sqrt(1 - beta) * x1, np.sqrt(beta))
    weights = nodes[1] / nodes[1].sum()
    K = log_p + weights @ (fixed.logpdf(1.3) - exact.logpdf(1.3))
    assert standard_errors(paths, K) < 5
    assert standard_errors(draws.K, K) < 5


def random_normal_process(beta, last_step=FIXED):
    """A Gaussian process with an arbitrary smooth reverse, mean and variance both off."""

    def reverse(xt, t, c):
        z_mean = 0.5 * jnp.sin(2 * xt + t)
        z_variance = 0.5 * jnp.cos(3 * xt.sum() - t) * jnp.ones_like(xt)
        return bridge(gaussian.KERNEL, jnp.stack([z_mean, z_variance], -1), xt, c)

    return process_of(gaussian.KERNEL, schedule64(beta), reverse, (2,), last_step)


@BOTH_LAST_STEPS
def test_K_is_the_mean_log_weight_of_paths(last_step):
    process = random_normal_process(BETA, last_step)
    x0 = jnp.array([0.8, -1.1])

    def draw(key):
        K_key, path_key = jax.random.split(key)
        K = noisy_bound(process, x0)(K_key).K
        return K - bound.path_log_weight(process, x0, path_key)

    assert standard_errors(draws_of(draw, 10, 20_000), 0) < 5


# Eq. 14


@pytest.mark.parametrize("name", ["gaussian", "binomial"])
def test_eq14_agrees_on_matched_data_and_differs_by_the_mismatch(name):
    # K - K_eq14 = (1 - ᾱ_1 + ᾱ_T) Σ (log π(x_0) + H_π), which the second moment (activity) decides.
    if name == "gaussian":
        process = random_normal_process(BETA)
        matched = jnp.array([[-1.5, 1.0], [0.0, -0.2], [-0.5, 0.5], [2.0, 1.5]])
        matched = matched / jnp.sqrt(jnp.mean(matched**2))

        def mismatch(x0):
            return 0.5 * (1 - x0**2).sum()
    else:
        process = table_process("direct", FIXED)
        matched = jnp.asarray(STATES[[7, 3, 1, 2, 4, 4, 0, 0, 0, 0]])  # 9 ones of 30 bits

        def mismatch(x0):
            return np.log(ACTIVITY / (1 - ACTIVITY)) * (x0 - ACTIVITY).sum()

    def bounds(x0):
        return noisy_bound(process, x0)(jax.random.key(11))

    b = jit(jax.vmap(bounds))(matched)
    np.testing.assert_allclose(b.K.mean(), b.K_eq14.mean(), rtol=1e-12)
    alpha_bar = np.cumprod(1 - np.array(BETA))
    expected = (1 - alpha_bar[0] + alpha_bar[-1]) * jax.vmap(mismatch)(matched)
    assert np.abs(expected).max() > 0.3
    np.testing.assert_allclose(b.K - b.K_eq14, expected, rtol=1e-9, atol=1e-12)


# One sampled step


@BOTH_LAST_STEPS
def test_sampled_steps_average_to_all_steps(last_step):
    # With the same noise at each t this is an identity, not an estimate.
    process = random_normal_process(BETA, last_step)
    x0 = jnp.array([0.8, -1.1])
    noise = jax.random.normal(jax.random.key(12), (4, 2))
    batch = jit(lambda *args: bound.all_steps_of_batch(process, *args))
    # The batched form, at the second of two examples.
    others, zeros = jnp.stack([jnp.zeros(2), x0]), jnp.zeros((4, 2))
    whole = jax.tree.map(lambda term: term[1], batch(others, jnp.stack([zeros, noise], 1)))
    one = jax.vmap(lambda t, eps: bound.sampled_step(process, x0, t, eps))
    parts = jit(one)(jnp.array([2, 3, 4]), noise[jnp.array([[0, 1], [0, 2], [0, 3]])])
    assert parts.step_kl.shape == (3, 1)
    assert np.std(parts.step_kl) > 0.01
    np.testing.assert_allclose(parts.step_kl[:, 0] / 3, whole.step_kl, rtol=1e-12)
    np.testing.assert_allclose(parts.K.mean(), whole.K, rtol=1e-12)
    np.testing.assert_allclose(parts.K_eq14.mean(), whole.K_eq14, rtol=1e-12)


@BOTH_LAST_STEPS
def test_stratified_steps_are_unbiased_and_with_all_of_them_every_step_is_taken(last_step):
    process = random_normal_process(BETA, last_step)
    x0 = jnp.array([0.8, -1.1])
    noise = jax.random.normal(jax.random.key(12), (20_000, 4, 2))
    whole = jit(lambda e: jax.vmap(lambda n: bound.all_steps(process, x0, n).K)(e))(noise).mean()
    spread = {}
    for times in (1, 3):
        one = partial(bound.stratified_steps, process, x0, times=times)
        K = np.asarray(draws_of(lambda key, one=one: one(key).K, 15, 20_000))
        assert standard_errors(K, whole) < 5
        spread[times] = K.std()
    assert spread[3] < 0.7 * spread[1]


def test_more_draws_of_the_same_steps_have_noise_of_their_own():
    # T = 4: 3 and 30 draws are 1 and 10 of each step. The boundary has no noise.
    process = random_normal_process(BETA)
    x0, spread = jnp.array([0.8, -1.1]), []
    for times in (3, 30):
        one = partial(bound.stratified_steps, process, x0, times=times)
        spread.append(np.std(draws_of(lambda key, one=one: one(key).K, 15, 400)))
    np.testing.assert_allclose(spread[1], spread[0] / np.sqrt(10), rtol=0.2)


def test_memory_of_stratified_steps_does_not_grow_with_their_number():
    def forward_kernel(xt, t, c):
        return gaussian.step(xt, c.beta)

    process = process_of(gaussian.KERNEL, schedule64([0.01] * 400), forward_kernel, (1000,))

    def temporaries(times):
        x0, key = jnp.zeros((1000,)), jax.random.key(0)
        K = jax.jit(lambda x0, key: bound.stratified_steps(process, x0, key, times).K)
        return K.lower(x0, key).compile().memory_analysis().temp_size_in_bytes

    assert temporaries(320) < 2 * temporaries(32)


def test_more_paths_than_are_weighed_at_once_are_each_counted_once():
    process = table_process("direct", FIXED)
    x0, key, paths = jnp.asarray(STATES[3]), jax.random.key(8), bound.PATHS_AT_ONCE + 3
    one = jit(
        jax.vmap(lambda path: bound.path_log_weight(process, x0, jax.random.fold_in(key, path)))
    )
    expected = np.log(np.exp(np.asarray(one(jnp.arange(paths)))).mean())
    found = jit(lambda x0: bound.importance_weighted(process, x0, key, paths))(x0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_memory_of_weighted_paths_does_not_grow_with_their_number():
    process = process_of(
        gaussian.KERNEL,
        schedule64([0.01] * 4),
        lambda xt, t, c: gaussian.step(xt, c.beta),
        (100,),
    )

    def temporaries(paths):
        weigh = jax.jit(lambda x0, key: bound.importance_weighted(process, x0, key, paths))
        lowered = weigh.lower(jnp.zeros((100,)), jax.random.key(0))
        return lowered.compile().memory_analysis().temp_size_in_bytes

    assert temporaries(640) < 2 * temporaries(64)


def test_stratified_times_are_uniform_and_even():
    draws = np.asarray(draws_of(lambda key: bound.stratified_times(key, 8, 6), 13, 5_000))
    assert set(np.unique(draws)) == {2, 3, 4, 5, 6}
    for t in range(2, 7):  # at every place in the batch
        assert (np.abs((draws == t).mean(0) - 0.2) < 5 * np.sqrt(0.16 / 5_000)).all()
    assert (np.abs((draws[:, None] == np.arange(2, 7)[:, None]).sum(2) - 1.6) < 1).all()
    even = np.asarray(bound.stratified_times(jax.random.key(14), 15, 6))
    np.testing.assert_array_equal(np.sort(even), np.repeat(np.arange(2, 7), 3))


def test_no_stratified_time_is_beyond_the_last_step(monkeypatch):
    # The largest float32 below 1 as the offset: (count - 1 + u)/count rounds to 1.
    largest = jnp.asarray(1 - 2**-24, jnp.float32)
    monkeypatch.setattr(jax.random, "uniform", lambda key: largest)
    with jax.enable_x64(False):
        drawn = bound.stratified_times(jax.random.key(0), 100, 6)
    assert drawn.max() == 6
    np.testing.assert_array_equal(np.bincount(drawn)[2:], 20)


def test_stratified_times_have_the_smaller_variance():
    def reverse(xt, t, c):  # a KL that grows with t, as an untrained network's may
        return gaussian.shift(gaussian.step(xt, c.beta), jnp.full((2, 2), 0.3 * t))

    process = process_of(gaussian.KERNEL, fixed64(8), reverse, (2,))
    x0 = jax.random.normal(jax.random.key(15), (16, 2))

    def estimate(t, key):
        noise = jax.random.normal(key, (16, 2, 2))
        one = jax.vmap(lambda x, t, eps: bound.sampled_step(process, x, t, eps).K)
        return one(x0, t, noise).mean()

    def draw(key):
        stratified, independent, noise = jax.random.split(key, 3)
        return jnp.stack(
            [
                estimate(bound.stratified_times(stratified, 16, 8), noise),
                estimate(jax.random.randint(independent, (16,), 2, 9), noise),
                jax.vmap(lambda x: noisy_bound(process, x)(noise).K)(x0).mean(),
            ]
        )

    draws = np.asarray(draws_of(draw, 16, 2_000))
    assert standard_errors(draws[:, 0] - draws[:, 2], 0) < 5
    assert standard_errors(draws[:, 1] - draws[:, 2], 0) < 5
    assert draws[:, 0].var() < 0.3 * draws[:, 1].var()


# Frozen noise


@BOTH_LAST_STEPS
def test_gradient_by_the_schedule_is_that_of_frozen_noise(last_step):
    family = schedule.learned(5, 1e-2)
    process = random_normal_process(BETA, last_step)
    x0, noise = jnp.array([0.8, -1.1]), jax.random.normal(jax.random.key(17), (5, 2))

    def K(params):
        s = family.apply({"gaps": params[:4], "end": params[4]})
        b = bound.all_steps(replace(process, schedule=s), x0, noise)
        return jnp.stack([b.K, b.K_eq14])

    params = jnp.array([0.3, -0.5, 0.1, 0.6, 0.7])
    K, gradient = jit(K), jit(jax.jacobian(K))(params)
    for i in range(5):
        step = jnp.zeros(5).at[i].set(1e-5)
        finite = (K(params + step) - K(params - step)) / 2e-5
        np.testing.assert_allclose(gradient[:, i], finite, rtol=1e-6, atol=1e-8)
        assert (np.abs(finite) > 1e-3).all()
