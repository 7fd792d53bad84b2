"""The posterior transform as a Markov chain, against eigenvectors, regression and walkers."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dpm_jax.laboratory import law, markov
from dpm_jax.laboratory.distances import js, tv
from dpm_jax.laboratory.space import bits, line
from dpm_jax.laboratory.transform import posterior

LINE, BITS = line(193), bits(4, 0.3)
LAWS = {
    "smooth": (LINE, law.random(LINE, 1, 0.2)),
    "gaps": (LINE, law.random(LINE, 4, 0.15, 2)),
    "bits": (BITS, law.heartbeat(BITS, 2)),
    "any bits": (BITS, law.law(BITS, np.random.default_rng(0).uniform(size=16))),
}
ALL = pytest.mark.parametrize(("space", "q"), LAWS.values(), ids=LAWS)
ALPHAS = pytest.mark.parametrize("alpha", [0.2, 0.7, 0.95])


@ALL
@ALPHAS
def test_the_stationary_law_stays(space, q, alpha):
    matrix, found = posterior(space, q, alpha), markov.stationary(space, q, alpha)
    assert abs(found.sum() - 1) < 1e-12
    assert_allclose(matrix @ found, found, rtol=0, atol=1e-13)
    # It is the only one: what starts elsewhere gets there.
    assert tv(markov.power(matrix, 20_000) @ space.prior, found) < 1e-6


@ALL
@ALPHAS
def test_eigenvalues_are_those_of_the_matrix(space, q, alpha):
    matrix = posterior(space, q, alpha)
    exact = np.linalg.eigvals(matrix)
    assert np.abs(exact.imag).max() < 1e-6
    found = markov.eigenvalues(matrix)
    assert_allclose(found[:5], np.sort(exact.real)[::-1][:5], rtol=0, atol=1e-6)
    assert_allclose(found[0], 1, rtol=1e-12)
    assert found.min() > -1e-12
    assert markov.second_eigenvalue(matrix) == found[1]


@pytest.mark.parametrize("std", [0.3, 1.0])
@ALPHAS
def test_the_eigenvalues_of_a_normal_are_powers(std, alpha):
    # x' = slope · x + noise, a first-order autoregression.
    slope = math.sqrt(alpha) * std**2 / (alpha * std**2 + 1 - alpha)
    found = markov.eigenvalues(posterior(LINE, law.normal(LINE, 0.2, std), alpha))
    assert_allclose(found[:4], slope ** np.arange(4), rtol=1e-6)


def test_the_eigenvalue_of_a_bit():
    q, alpha, p0 = np.array([0.3, 0.7]), 0.6, 0.2
    matrix = posterior(bits(1, p0), q, alpha)
    assert_allclose(markov.second_eigenvalue(matrix), np.trace(matrix) - 1, rtol=1e-12)


def test_bits_of_their_own_activity_come_to_rest_at_q_and_keep_alpha():
    # q_Z = π: the posterior is the forward kernel itself.
    found = posterior(BITS, BITS.prior, 0.6)
    assert_allclose(markov.stationary(BITS, BITS.prior, 0.6), BITS.prior, rtol=1e-12)
    assert_allclose(markov.second_eigenvalue(found), 0.6, rtol=1e-12)


@ALL
@ALPHAS
def test_a_step_brings_laws_closer(space, q, alpha):
    rng = np.random.default_rng(7)
    matrix = posterior(space, q, alpha)
    for _ in range(5):
        a, b = (law.law(space, space.prior * rng.uniform(size=len(q)) ** 3) for _ in range(2))
        before, after = markov.contraction(matrix, a, b)
        for name in ("tv", "kl", "js"):
            assert getattr(after, name) < getattr(before, name)


@ALL
def test_powers_and_iterations_are_the_same_steps(space, q):
    matrix = posterior(space, q, 0.8)
    laws = markov.iterated(matrix, space.prior, 6)
    assert laws.shape == (7, len(q))
    assert_allclose(laws.sum(1), 1, rtol=0, atol=1e-12)
    for count in (0, 1, 6):
        assert_allclose(markov.power(matrix, count) @ space.prior, laws[count], atol=1e-13)
    assert_allclose(markov.power(matrix, 100_000).sum(0), 1, rtol=0, atol=1e-12)


@ALL
def test_laws_come_closer_by_the_second_eigenvalue(space, q):
    alpha = 0.8
    matrix = posterior(space, q, alpha)
    rest = markov.stationary(space, q, alpha)
    start = (np.arange(len(q)) == np.flatnonzero(q)[0]) * 1.0
    away = tv(markov.iterated(matrix, start, 60), rest)
    at = int(np.flatnonzero(away > 1e-9)[-1])  # late, but before rounding
    ratio = away[at] / away[at - 1]
    values = markov.eigenvalues(matrix)
    # Another eigenvalue may lead, where the second's direction is not in the start.
    assert np.abs(values[1:4] - ratio).min() < 0.02


def test_the_stationary_law_nears_q_as_noise_grows():
    space, q = LAWS["gaps"]
    apart = [js(markov.stationary(space, q, alpha), q) for alpha in (0.9, 0.5, 0.1, 0.01, 1e-4)]
    assert (np.diff(apart) < 0).all()
    # In proportion to α: what is left is the mean of q, √α of which is in q_Z.
    assert_allclose(apart[-2] / apart[-1], 100, rtol=0.05)


@ALL
def test_walkers_are_where_the_law_is(space, q):
    rng, matrix = np.random.default_rng(0), posterior(space, q, 0.5)
    start = markov.draw(space.prior, 20_000, rng)
    places = markov.walk(matrix, start, 3, rng)
    assert places.shape == (4, 20_000)
    laws = markov.iterated(matrix, space.prior, 3)
    cuts = np.arange(len(q))[:: max(1, len(q) // 16)]
    for at, expected in zip(places, laws, strict=True):
        share = np.array([(at <= cut).mean() for cut in cuts])
        exact = np.cumsum(expected)[cuts]
        se = np.sqrt(np.abs(exact * (1 - exact)) / 20_000) + 1e-4
        assert (np.abs(share - exact) < 5 * se).all()
    assert (q[places[1:]] > 0).all()  # no walker is where q has nothing
