"""Networks from elsewhere: their bound is the one that is known, whatever they predict and count.

The reference is float64 NumPy: β̃, x̂_0 and each KL from their definitions, the expectations over
x_0 and x_t in closed form or by quadrature.
"""

import re
from functools import cache, partial
from math import erf
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpm_jax import draw, estimate, evaluate, foreign, scaling
from dpm_jax.evaluation import likelihood
from dpm_jax.sampling import enter
from dpm_jax.schedule import at

BETA = np.array([0.02, 0.05, 0.1, 0.3, 0.6])
ALPHA_BAR = np.cumprod(1 - BETA)
PREVIOUS = np.append(1.0, ALPHA_BAR[:-1])
BETA_TILDE = BETA * (1 - PREVIOUS) / (1 - ALPHA_BAR)
MEAN, STD = 0.4, 0.3
OFF = 0.1  # how far x̂_0 is from the best: there the bound is not flat
VALUES = 2
SETTING = {"predicts": "x0", "variance": "beta", "first_step": 0}
KEY = jax.random.key(0)


def lines(predicts, off=OFF):
    """Slope and offset, by t - 1, of the best prediction for x_0 ~ N(MEAN, STD²), moved by off."""
    signal, noise = np.sqrt(ALPHA_BAR), np.sqrt(1 - ALPHA_BAR)
    gain = signal * STD**2 / (ALPHA_BAR * STD**2 + 1 - ALPHA_BAR)
    slope, offset = gain, MEAN * (1 - gain * signal) + off
    if predicts != "x0":  # that of ε
        slope, offset = (1 - signal * slope) / noise, -signal * offset / noise
    if predicts == "v":  # v = (√ᾱ x_t - x_0)/√(1-ᾱ) = (ε - √(1-ᾱ) x_t)/√ᾱ
        slope, offset = (slope - noise) / signal, offset / signal
    return np.stack([slope, offset], -1).astype(np.float32)


def linear(params, xt, t):
    return params[t, 0] * xt + params[t, 1]


def linear_with_share(params, xt, t):
    return linear(params[0], xt, t), jnp.full(xt.shape, params[1][t])


def continuous(**changed):
    """The process of the linear network for real numbers."""
    setting = {**SETTING, "params": lines(changed.get("predicts", "x0")), "last_step": "learned"}
    predict = changed.pop("predict", linear)
    return foreign.process(predict, BETA, (VALUES,), **(setting | changed))


def examples(n=4_000):
    x = np.random.default_rng(0).normal(MEAN, STD, size=(n, VALUES))
    return x.astype(np.float32)


def known_bound(variance):
    """K of x_0 ~ N(MEAN, STD²), bits per example; σ_t² = ``variance`` [T]."""
    left = STD**2 * (1 - ALPHA_BAR) / (ALPHA_BAR * STD**2 + 1 - ALPHA_BAR) + OFF**2  # E(x_0-x̂_0)²
    weight = np.sqrt(PREVIOUS) * BETA / (1 - ALPHA_BAR)
    ratio = BETA_TILDE[1:] / variance[1:]
    kl = 0.5 * (ratio - 1 - np.log(ratio) + weight[1:] ** 2 * left[1:] / variance[1:])
    end = ALPHA_BAR[-1]
    prior = 0.5 * (end * (MEAN**2 + STD**2) - end - np.log(1 - end))
    last = -0.5 * (np.log(2 * np.pi * variance[0]) + left[0] / variance[0])
    return VALUES * (last - prior - kl.sum()) / np.log(2)


def as_in_their_code(first):
    """Variances of which the first is β̃_2."""
    return np.append(BETA_TILDE[1], first[1:])


@cache
def bounds(variance):
    """K of every example where x_0 is predicted, and steps count from 0."""
    return evaluate(continuous(variance=variance), examples(), KEY, progress=False).K


@pytest.mark.parametrize(
    ("predicts", "variance", "first_step"),
    [
        ("epsilon", "beta", 0),
        ("epsilon", "beta", 1),
        ("v", "beta", 0),
        ("x0", "beta_tilde", 1),
        ("v", "beta_tilde", 1),
    ],
)
def test_the_bound_of_a_linear_network_is_the_known_one(predicts, variance, first_step):
    before = np.full((first_step, 2), np.nan, np.float32)
    params = np.concatenate([before, lines(predicts)])
    process = continuous(predicts=predicts, variance=variance, first_step=first_step, params=params)
    found = evaluate(process, examples(), KEY, progress=False).K
    K, rates = estimate(found), {"beta": BETA, "beta_tilde": BETA_TILDE}[variance]
    assert abs(K.mean - known_bound(as_in_their_code(rates))) < 5 * K.se
    assert K.se < 0.08
    # The same x_t, and so the same numbers whatever is predicted.
    np.testing.assert_allclose(found, bounds(variance), rtol=1e-4, atol=1e-4)


def test_a_network_that_is_asked_one_step_late_has_another_bound():
    """By more than the errors that the test above allows for."""
    params = np.concatenate([lines("epsilon"), lines("epsilon")[-1:]])
    late = continuous(predicts="epsilon", params=params, first_step=1)
    K = estimate(evaluate(late, examples(), KEY, progress=False).K)
    assert abs(K.mean - known_bound(as_in_their_code(BETA))) > 15 * K.se


def test_a_learned_variance_lies_between_the_two_of_the_step():
    share = np.array([-1.0, 0.5, 0.2, -0.3, 1.0], np.float32)
    process = continuous(predict=linear_with_share, params=(lines("x0"), share), variance="between")
    K = estimate(evaluate(process, examples(), KEY, progress=False).K)
    f = (share + 1.0) / 2
    variance = BETA**f * as_in_their_code(BETA_TILDE) ** (1 - f)
    assert abs(K.mean - known_bound(variance)) < 5 * K.se
    for t in range(1, 6):
        step = process.reverse(
            jnp.zeros(VALUES), jnp.asarray(t), at(process.schedule, jnp.asarray(t))
        )
        np.testing.assert_allclose(step.variance, variance[t - 1], rtol=1e-5)


def test_the_paper_s_last_step_takes_the_place_of_the_network_s():
    K = estimate(evaluate(continuous(last_step="fixed"), examples(), KEY, progress=False).K)
    # E log N(x_0; √(1-β_1) x_1, β_1) is the same term with x̂_0 = √ᾱ_1 x_1.
    changed, own = BETA[0], BETA_TILDE[1]
    left = STD**2 * (1 - ALPHA_BAR[0]) / (ALPHA_BAR[0] * STD**2 + 1 - ALPHA_BAR[0]) + OFF**2
    error = (1 - ALPHA_BAR[0]) ** 2 * (STD**2 + MEAN**2) + ALPHA_BAR[0] * changed
    last = -0.5 * (np.log(2 * np.pi * changed) + error / changed)
    last += 0.5 * (np.log(2 * np.pi * own) + left / own)
    expected = known_bound(as_in_their_code(BETA)) + VALUES * last / np.log(2)
    assert abs(K.mean - expected) < 5 * K.se


def test_what_is_noisy_has_the_posterior_mean_of_the_network_in_one_call():
    noise = np.sqrt((1 - ALPHA_BAR[2]) / ALPHA_BAR[2])
    y = np.array([[0.1, 2.0]], np.float32)
    process = continuous(predicts="v", params=lines("v", off=0.0))
    bayes = MEAN + STD**2 / (STD**2 + noise**2) * (y - MEAN)
    found = enter.posterior_mean(process, y, float(noise))
    np.testing.assert_allclose(found, bayes, rtol=1e-4)


# One pixel of four grey levels.

RATES = np.array([0.03, 0.2, 0.7])
LEVELS = np.array([-1.0, -1 / 3, 1 / 3, 1.0])
WALK = np.linspace(-6, 6, 1_501)  # x_1 and beyond


def bent(xp, params, xt, t):
    return params[t] * xp.tanh(2 * xt + 0.3) + 0.4 * xt


BENT = partial(bent, jnp)
PARAMS = np.array([1.1, 0.9, 0.5])
ONE_PIXEL = {"predicts": "epsilon", "variance": "beta_tilde", "grey_levels": 4}


def one_pixel(predict=BENT, **changed):
    params = jnp.asarray(PARAMS, jnp.float32)
    setting = {"first_step": 0, "params": params, **ONE_PIXEL}
    return foreign.process(predict, RATES, (1,), **(setting | changed))


def normal(x, mean, variance):
    return np.exp(-0.5 * (x - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)


def chain(last_step, clip):
    """[level]: log p(x_0), and K, by quadrature over the whole reverse chain; nats."""
    alpha_bar = np.cumprod(1 - RATES)
    previous = np.append(1.0, alpha_bar[:-1])
    tilde = RATES * (1 - previous) / (1 - alpha_bar)
    d = WALK[1] - WALK[0]

    def reverse(t):
        a, b = alpha_bar[t], previous[t]
        guess = (WALK - np.sqrt(1 - a) * bent(np, PARAMS, WALK, t)) / np.sqrt(a)
        guess = np.clip(guess, -1, 1) if clip else guess
        to_x0, to_xt = np.sqrt(b) * RATES[t], np.sqrt(1 - RATES[t]) * (1 - b)
        return (to_x0 * guess + to_xt * WALK) / (1 - a)

    of_x1 = np.empty((4, WALK.size))  # p(x_0 | x_1)
    if last_step == "levels":
        bayes = normal(WALK, np.sqrt(alpha_bar[0]) * LEVELS[:, None], 1 - alpha_bar[0])
        of_x1 = bayes / bayes.sum(0)
    else:
        edges = np.array([-2 / 3, 0.0, 2 / 3])[:, None]
        z = (edges - reverse(0)) / np.sqrt(tilde[1])
        below = 0.5 * (1 + np.vectorize(erf)(z / np.sqrt(2)))
        # The upper tail from above, or it would be rounded away.
        above = 0.5 * (1 + np.vectorize(erf)(-z / np.sqrt(2)))
        inner = np.where(z[:-1] > 0, above[:-1] - above[1:], below[1:] - below[:-1])
        of_x1 = np.stack([below[0], *inner, above[-1]])
    p = normal(WALK, 0, 1)
    for t in (2, 1):
        p = normal(WALK[:, None], reverse(t), tilde[t]) @ p * d
    log_p = np.log(of_x1 @ p * d)

    K = []
    for level, x0 in enumerate(LEVELS):
        q = [normal(WALK, np.sqrt(a) * x0, 1 - a) * d for a in alpha_bar]
        where = q[0] > 1e-14
        terms = [q[0][where] @ np.log(of_x1[level][where])]
        for t in (1, 2):
            a, b = alpha_bar[t], previous[t]
            right = np.sqrt(b) * RATES[t] * x0 + np.sqrt(1 - RATES[t]) * (1 - b) * WALK
            terms.append(-q[t] @ (right / (1 - a) - reverse(t)) ** 2 / (2 * tilde[t]))
        end = alpha_bar[-1]
        terms.append(-0.5 * (end * x0**2 - end - np.log(1 - end)))
        K.append(sum(terms))
    return log_p, np.array(K)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("last_step", ["binned", "levels"])
def test_the_bound_of_a_pixel_is_below_its_probability_and_what_quadrature_says(last_step, clip):
    log_p, expected = chain(last_step, clip)
    np.testing.assert_allclose(np.exp(log_p).sum(), 1, atol=1e-6)
    assert (expected < log_p).all()
    process = one_pixel(last_step=last_step, clip=clip)
    repeats = 4_000
    x0 = np.repeat(LEVELS, repeats).astype(np.float32)[:, None]
    K = evaluate(process, x0, KEY, progress=False).K.reshape(4, repeats) * scaling.NATS_PER_BIT
    for found, truth in zip(K, expected, strict=True):
        mean, se = likelihood.estimate(found)
        assert abs(mean - truth) < 5 * se
        assert se < 0.1


@pytest.mark.parametrize("last_step", ["binned", "levels"])
def test_draws_are_levels_with_the_probabilities_of_quadrature(last_step):
    log_p, _ = chain(last_step, clip=False)
    drawn = draw(one_pixel(last_step=last_step), 8_000, KEY)
    share = np.array([(np.abs(drawn - level) < 1e-6).mean() for level in LEVELS])
    assert share.sum() == 1
    assert (np.abs(share - np.exp(log_p)) < 5 * np.sqrt(share / 8_000)).all()


def on_host(calls=None, shape=(1,)):
    def network(x, t):
        if calls is not None:
            calls.append(x.shape)
        assert x.shape[1:] == shape
        assert t.shape == x.shape[:1]
        return bent(np, PARAMS[:, None], x, t)

    return network


def test_a_numpy_network_has_the_bound_of_its_jax_twin():
    calls = []
    x0 = np.repeat(LEVELS, 5).astype(np.float32)[:, None]
    there = one_pixel(foreign.on_host(on_host(calls)), params=(), last_step="learned")
    here = one_pixel(last_step="learned")
    found, ours = (evaluate(p, x0, KEY, progress=False).K for p in (there, here))
    np.testing.assert_allclose(found, ours, rtol=1e-5)
    assert max(calls) > (20, 1)  # batches, and not one example after another
    np.testing.assert_allclose(draw(there, 50, KEY), draw(here, 50, KEY), rtol=1e-5)


def test_a_numpy_network_may_return_its_variance_too():
    def both(x, t):
        return on_host()(x, t), np.zeros_like(x, np.float16)

    def twin(params, xt, t):
        return BENT(params, xt, t), jnp.zeros_like(xt)

    t, xt = jnp.asarray(2), jnp.array([0.3])
    processes = (
        one_pixel(foreign.on_host(both, arrays=2), params=(), variance="between"),
        one_pixel(twin, variance="between"),
    )
    found, ours = (p.reverse(xt, t, at(p.schedule, t)) for p in processes)
    np.testing.assert_allclose(found, ours, rtol=1e-5)


def test_the_chain_keeps_its_digits_under_a_network_in_bfloat16():
    def rounded(dtype, params, xt, t):
        out = BENT(params, xt, t), jnp.full(xt.shape, 0.3)
        return tuple(a.astype(jnp.bfloat16).astype(dtype) for a in out)

    t, xt = jnp.asarray(2), jnp.array([0.3])
    processes = (
        one_pixel(partial(rounded, dtype), variance="between")
        for dtype in (jnp.bfloat16, jnp.float32)
    )
    found, ours = (p.reverse(xt, t, at(p.schedule, t)) for p in processes)
    np.testing.assert_allclose(found, ours, rtol=1e-6)


def test_equal_arguments_are_one_program_whatever_the_numbers():
    network = on_host()
    for make in (
        lambda beta: foreign.process(
            BENT, beta, (1,), **ONE_PIXEL, first_step=0, params=jnp.asarray(PARAMS)
        ),
        lambda beta: foreign.process(
            foreign.on_host(network), beta, (1,), **ONE_PIXEL, first_step=0, clip=True
        ),
    ):
        one, other = (jax.tree.structure(make(beta)) for beta in (RATES, RATES / 2))
        assert one == other
    assert jax.tree.structure(one_pixel()) != jax.tree.structure(one_pixel(first_step=1))


@pytest.mark.parametrize("range", [(-1.0, 1.0), (0.0, 1.0)])
def test_eight_bit_images_reach_their_range_and_come_back(range, recwarn):
    low, high = range
    scale = 255 / (high - low)
    units = scaling.Scaling(np.array(0.5 - low * scale), scale)
    images = np.arange(256, dtype=np.uint8).reshape(16, 4, 4)
    x = scaling.standardise(units, images + 0.5)
    np.testing.assert_allclose(x, low + (high - low) * images / 255, atol=1e-6)
    np.testing.assert_array_equal(scaling.levels(units, x), images)
    setting = SETTING | {"range": range}
    process = foreign.process(lambda p, xt, t: 0.9 * xt, BETA, (4, 4), **setting)
    dark = scaling.standardise(units, images // 8 + 0.5)
    process.kernel.check(dark)
    process.last_step.check(dark)
    assert not recwarn.list  # units of its own are no mistake
    with pytest.raises(ValueError, match=r"^examples must be grey levels"):
        evaluate(process, x + 0.3 / scale, KEY, progress=False)
    with pytest.raises(ValueError, match=r"^examples must be finite"):
        evaluate(process, x * np.nan, KEY, progress=False)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"predicts": "eps"}, "predicts must be one of epsilon, x0, v, got 'eps'"),
        (
            {"variance": "fixed_small"},
            "variance must be one of beta, beta_tilde, between, got 'fixed_small'",
        ),
        ({"first_step": 2}, "first_step must be one of 0, 1, got 2"),
        (
            {"last_step": "posterior"},
            "last_step must be one of binned, levels, fixed, learned, got 'posterior'",
        ),
        ({"range": (1.0, -1.0)}, "range must be two finite numbers that rise, got (1.0, -1.0)"),
        ({"range": (0.0, np.inf)}, "range must be two finite numbers that rise, got (0.0, inf)"),
        ({"grey_levels": 1}, "grey_levels must be at least 2, got 1"),
        ({"beta": [0.1, 1.5]}, "beta must lie in (0, 1), got beta_2 = 1.5"),
        ({"beta": [0.0, 0.5]}, "beta must lie in (0, 1), got beta_1 = 0.0"),
        (
            {"beta": [0.1, 1.0], "predicts": "epsilon"},
            "beta must end below 1 where predicts is epsilon, got 1",
        ),
        (
            {"predict": lambda p, x, t: x[None]},
            "predict must return one array of x_t's shape (2,), got (1, 2)",
        ),
        (
            {"predict": lambda p, x, t: (x, x)},
            "predict must return one array of x_t's shape (2,), got (2,), (2,)",
        ),
        (
            {"predict": foreign.on_host(lambda x, t: x.T)},
            "network must return one array of x's shape (1, 2), got (2, 1)",
        ),
        (
            {"variance": "between"},
            "predict must return 2 arrays of x_t's shape (2,), got (2,)",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(changed, said):
    arguments = {"predict": lambda p, x, t: x, "beta": BETA, "event_shape": (2,), **SETTING}
    with pytest.raises(ValueError, match="^" + re.escape(said)) as error:
        foreign.process(**(arguments | changed))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("predicts", ["x0", "v"])
def test_a_schedule_may_end_in_pure_noise_where_the_prediction_has_a_meaning_there(predicts):
    setting = SETTING | {"predicts": predicts, "last_step": "learned"}
    process = foreign.process(lambda p, xt, t: 0.5 * xt, [0.1, 0.5, 1.0], (2,), **setting)
    assert np.isfinite(evaluate(process, examples(10), KEY, progress=False).K).all()


@pytest.mark.slow
def test_the_example_of_the_page_runs():
    page = (Path(__file__).parent.parent / "docs" / "conventions.md").read_text()
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names = {}
    exec(example, names)
    bits = names["bits"]
    assert np.isfinite([bits.mean, bits.se]).all()
    assert names["pictures"].dtype == np.uint8
    assert names["pictures"].shape == (16, 1, 8, 8)
