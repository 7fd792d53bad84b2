"""Forward chains and the way back, against one transform for many, DDPM's numbers, and Bayes."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dpm_jax.laboratory import chain, law
from dpm_jax.laboratory.distances import js, kl, tv
from dpm_jax.laboratory.space import bits, line
from dpm_jax.laboratory.transform import posterior, posterior_at, transform

LINE, BITS = line(257), bits(4, 0.3)
LAWS = {
    "line": (LINE, law.random(LINE, 4, 0.2, 1), chain.rates(0.95, 0.6, 6)),
    "bits": (BITS, law.heartbeat(BITS, 2), chain.rates(0.95, 0.6, 6)),
}
BOTH = pytest.mark.parametrize(("space", "q", "alphas"), LAWS.values(), ids=LAWS)


@BOTH
def test_one_transform_stands_for_many(space, q, alphas):
    laws = chain.forward(space, q, alphas)
    assert laws.shape == (7, len(q))
    assert_allclose(laws.sum(1), 1, rtol=0, atol=1e-12)
    for t in range(1, 7):
        alone = transform(space, q, math.prod(alphas[:t]))
        assert_allclose(laws[t], alone, rtol=1e-9, atol=1e-14)
    assert_allclose(chain.alpha_bar(alphas)[-1], math.prod(alphas), rtol=1e-14)


def test_three_times_095_is_once_0857375():
    grid = line(1025)
    for q in (law.random(grid, 0), law.random(grid, 1, 0.05, 2), law.normal(grid, 1.0, 0.3)):
        three = chain.forward(grid, q, np.full(3, 0.95))[-1]
        assert tv(three, transform(grid, q, 0.857375)) < 1e-13


def test_ddpm_is_one_transform():
    # 1,000 steps in twenty, since no grid of a modest size resolves noise of 1e-4.
    q = law.random(LINE, 0)
    one = float(chain.alpha_bar(chain.ddpm_rates())[-1])
    assert_allclose(chain.alpha_bar(chain.ddpm_rates(20))[-1], one, rtol=1e-12)
    assert f"{math.sqrt(one):.5f}" == "0.00635"
    assert f"{math.sqrt(1 - one):.5f}" == "0.99998"
    end = chain.forward(LINE, q, chain.ddpm_rates(20))[-1]
    assert tv(end, transform(LINE, q, one)) < 1e-13


@BOTH
def test_posteriors_bring_every_law_back(space, q, alphas):
    laws = chain.forward(space, q, alphas)
    back = chain.restored(space, q, alphas, laws[-1])
    assert_allclose(back, laws, rtol=0, atol=1e-13)
    from_prior = chain.restored(space, q, alphas, space.prior)
    assert_allclose(from_prior.sum(1), 1, rtol=0, atol=1e-12)
    # Each step brings the two chains closer, or no further apart.
    for distance in (js, kl, tv):
        apart = distance(from_prior, laws)
        assert (np.diff(apart) >= -1e-15).all()
        assert apart[0] < 0.5 * apart[-1]


@BOTH
def test_a_chain_of_posteriors_is_the_posterior_of_one_transform(space, q, alphas):
    found = chain.composed(space, q, alphas)
    assert_allclose(found.sum(0), 1, rtol=0, atol=1e-12)
    one = posterior(space, q, math.prod(alphas))
    likely = transform(space, q, math.prod(alphas)) > 1e-6
    assert_allclose(found[:, likely], one[:, likely], rtol=0, atol=1e-9)


def test_a_column_of_the_composed_chain_is_the_posterior_at_that_z():
    q, alphas = law.random(LINE, 7, 0.2), chain.rates(0.9, 0.5, 4)
    found = chain.composed(LINE, q, alphas)[:, 140]
    at, _ = posterior_at(LINE, q, math.prod(alphas), float(LINE.states[140]))
    assert_allclose(found, at * LINE.cell, rtol=0, atol=1e-11)


@BOTH
def test_best_steps_bring_the_law_nearly_back(space, q, alphas):
    laws = chain.forward(space, q, alphas)
    best = chain.restored_by_best(space, q, alphas, laws[-1])
    assert_allclose(best.sum(1), 1, rtol=0, atol=1e-12)
    assert 1e-4 < js(best, laws)[0] < 0.2
    fixed = chain.restored_by_best(space, q, alphas, laws[-1], "fixed")
    assert_allclose(fixed[1:], best[1:], rtol=1e-12)
    assert js(fixed[0], q) > js(best[0], q)


def test_best_normals_bring_a_normal_back():
    # Posteriors of a normal are normal: nothing is lost, from its own end.
    q, alphas = law.normal(LINE, 0.6, 0.5), chain.rates(0.9, 0.5, 5)
    laws = chain.forward(LINE, q, alphas)
    assert_allclose(chain.restored_by_best(LINE, q, alphas, laws[-1]), laws, rtol=0, atol=1e-10)


def test_restoring_a_normal_from_the_prior_is_known():
    # From N(0, 1) through the posterior of one transform: mean and variance by regression.
    mean, std, alpha = 0.8, 0.5, 0.7
    found = chain.restored(LINE, law.normal(LINE, mean, std), np.array([alpha]), LINE.prior)[0]
    total = alpha * std**2 + 1 - alpha
    slope = math.sqrt(alpha) * std**2 / total
    expected = mean - slope * math.sqrt(alpha) * mean
    variance = std**2 * (1 - alpha) / total + slope**2
    assert_allclose(found, law.normal(LINE, expected, math.sqrt(variance)), rtol=1e-6, atol=1e-13)


def test_a_disturbed_end_is_a_mixture():
    other = law.random(LINE, 9)
    assert_allclose(chain.disturbed(LINE, LINE.prior, other, 1.0), other, atol=1e-15)
    found = chain.disturbed(LINE, LINE.prior, other, 0.25)
    assert_allclose(found, 0.75 * LINE.prior + 0.25 * other, rtol=1e-12)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: chain.rates(0.0, 0.5, 3), r"start must lie in \(0, 1\), got 0"),
        (lambda: chain.rates(0.5, 1.0, 3), r"end must lie in \(0, 1\), got 1"),
        (lambda: chain.rates(0.5, 0.5, 0), "steps must be at least 1, got 0"),
        (lambda: chain.ddpm_rates(3), "steps must divide 1000, got 3"),
        (lambda: chain.alpha_bar(np.zeros(0)), "alphas must hold at least one rate, got none"),
        (
            lambda: chain.forward(LINE, LINE.prior, np.array([0.5, 1.5])),
            r"alpha_2 must lie in \(0, 1\), got 1\.5",
        ),
        (lambda: chain.forward(LINE, 2 * LINE.prior, np.array([0.5])), "q must sum to 1, got 2"),
        (
            lambda: chain.restored(LINE, LINE.prior, np.array([0.5]), 3 * LINE.prior),
            "end must sum to 1, got 3",
        ),
        (
            lambda: chain.disturbed(LINE, LINE.prior, LINE.prior, 1.5),
            r"ratio must lie in \[0, 1\], got 1\.5",
        ),
    ],
)
def test_what_makes_no_chain_is_refused(make, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        make()
