"""The library's bound, weighted paths and draws, against the grid's sums, in one dimension."""

import jax
import numpy as np
import pytest
import reverses
from numpy.testing import assert_allclose

from dpm_jax.evaluation.likelihood import estimate, evaluate, importance_weighted
from dpm_jax.laboratory import chain
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.space import line
from dpm_jax.process import LAST_STEPS
from dpm_jax.sampling.draw import draw

LINE = line(769)
KEY = jax.random.key(0)
RNG = np.random.default_rng(11)
LAWS = {
    "a normal": reverses.Mixture(np.array([0.3, 0.3] * 4), np.array([0.6, 0.6] * 4), np.ones(8)),
    "two": reverses.Mixture(
        np.array([-0.9, 0.9] * 4), np.array([0.15, 0.3] * 4), np.array([1, 2.0] * 4)
    ),
    "many": reverses.Mixture(
        RNG.uniform(-1.5, 1.5, 8), RNG.uniform(0.06, 0.3, 8), RNG.uniform(0.2, 1, 8)
    ),
}
SCHEDULES = {
    "rising": chain.rates(0.98, 0.5, 6),
    "even": np.full(6, 0.6),
    "short of the end": np.array([0.99, 0.95, 0.9, 0.9, 0.8, 0.7]),
}
POINTS = np.array([-1.0, -0.25, 0.0, 0.5, 1.0])


@pytest.fixture(params=SCHEDULES)
def schedule(request):
    """A schedule and its rates as float32 holds them."""
    return reverses.rates_of(SCHEDULES[request.param])


def assert_same_mean(values, expected):
    found = estimate(np.asarray(values, np.float64))
    assert abs(found.mean - expected) < 5 * found.se + 1e-5, (found, expected)


def check_bound(process, mixture, expected):
    """Mean K within 5 standard errors, once each example's own log q is taken away."""
    x0 = mixture.sample(4_000, np.random.default_rng(1))
    found = evaluate(process, x0, KEY, progress=False)
    assert_same_mean(found.K - mixture.log2_density(x0), expected)


def check_weights(process, density):
    """The mean weight at a point is the model's density there, without bias."""
    x0 = np.repeat(POINTS, 400).astype(np.float32)[:, None]
    weighted = importance_weighted(process, x0, KEY, paths=8, chunk=500, progress=False)
    for at, values in zip(POINTS, np.exp2(weighted).reshape(len(POINTS), -1), strict=True):
        assert_same_mean(values, np.interp(at, LINE.states, density))


def check_draws(process, masses):
    x = draw(process, 8_000, KEY)[:, 0].astype(np.float64)
    for power in (1, 2):
        assert_same_mean(x**power, masses @ LINE.states**power)
    for at in (-1.0, -0.3, 0.4, 1.0):
        edge = at + LINE.cell / 2  # between two points, so that no mass is on it
        assert_same_mean(x < edge, masses[LINE.states < edge].sum())


@pytest.fixture(scope="module", params=LAWS)
def mixture(request):
    """A law, and a kernel that knows its exact reverse: one, so that its programs are shared."""
    return LAWS[request.param], reverses.exact_kernel(LAWS[request.param])


@pytest.mark.slow
def test_the_exact_reverse_is_the_grids(mixture, schedule):
    data, kernel = mixture
    made, alphas = schedule
    process, q = reverses.exact(kernel, made), data.on(LINE)
    restored = chain.restored(LINE, q, alphas, LINE.prior)[0]
    terms = account(LINE, q, alphas)
    check_bound(process, data, terms.K_exact + terms.data)
    check_weights(process, restored / LINE.cell)
    check_draws(process, restored)


@pytest.mark.parametrize(
    ("name", "last_step"),
    # One fast, the others when there is time: each makes thousands of draws.
    [
        pytest.param(name, last, marks=() if (name, last) == ("two", "fixed") else pytest.mark.slow)
        for name in LAWS
        for last in LAST_STEPS
    ],
)
def test_the_best_normal_reverse_is_the_grids(name, schedule, last_step):
    data, (made, alphas) = LAWS[name], schedule
    process, q = reverses.best(data, made, LAST_STEPS[last_step]), data.on(LINE)
    restored = chain.restored_by_best(LINE, q, alphas, LINE.prior, last_step)[0]
    terms = account(LINE, q, alphas, last_step)
    check_bound(process, data, terms.K + terms.data)
    check_weights(process, restored / LINE.cell)
    check_draws(process, restored)


def test_the_terms_of_the_bound_are_the_accounts():
    made, alphas = reverses.rates_of(SCHEDULES["rising"])
    data = LAWS["two"]
    process = reverses.best(data, made, LAST_STEPS["learned"])
    x0 = data.sample(40_000, np.random.default_rng(2))
    found = evaluate(process, x0, KEY, chunk=4_000, progress=False)
    terms = account(LINE, data.on(LINE), alphas)
    assert_allclose(found.step_kl, terms.step_kl, rtol=0.03)
    assert_allclose(found.terms["prior_kl"], terms.prior_kl, rtol=0.02)
    assert_allclose(found.terms["last_step"], terms.last_step, atol=0.02)
    # H(X_1 | X_0), and with it the sum, are those of eq. 24's bounds.
    assert_allclose(found.terms["entropy_first"], 0.5 * np.log2(2 * np.pi * np.e * 0.02), rtol=1e-4)
