"""K term by term: two routes to it, normals in closed form, and all paths of a few bits."""

import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dpm_jax.laboratory import chain, law
from dpm_jax.laboratory.account import account, log_probability
from dpm_jax.laboratory.space import bits, line
from dpm_jax.laboratory.transform import likelihood, posterior

LINE, BITS = line(385), bits(4, 0.3)
RATES = chain.rates(0.95, 0.6, 5)
LAWS = {
    "gaps": (LINE, law.random(LINE, 4, 0.2, 1)),
    "mixture": (LINE, law.mixture(LINE, np.array([-1, 1.0]), np.array([0.1, 0.3]), np.ones(2))),
    "bits": (BITS, law.heartbeat(BITS, 2)),
}
BOTH = pytest.mark.parametrize(("space", "q"), LAWS.values(), ids=LAWS)
LAST = pytest.mark.parametrize("last_step", ["learned", "fixed"])


@BOTH
@LAST
def test_the_papers_sum_and_ours_are_one_number(space, q, last_step):
    found = account(space, q, RATES, last_step)
    assert found.steps.shape == found.reverse.shape == (5,)
    assert found.lower.shape == found.upper.shape == (4,)
    paper = found.last_step - found.prior_kl - found.step_kl.sum()
    assert_allclose(paper, found.K, rtol=1e-12)
    assert (found.steps > 0).all()
    assert (found.step_kl > 0).all()
    assert found.K < found.K_exact < -found.data


@BOTH
def test_the_entropies_of_a_gaussian_step_are_the_papers(space, q):
    found, bar = account(space, q, RATES), chain.alpha_bar(RATES)
    if space is BITS:
        return
    beta_tilde = (1 - RATES[1:]) * (1 - bar[:-1]) / (1 - bar[1:])
    assert_allclose(found.upper, 0.5 * np.log2(2 * math.pi * math.e * (1 - RATES[1:])), rtol=1e-9)
    assert_allclose(found.lower, 0.5 * np.log2(2 * math.pi * math.e * beta_tilde), rtol=1e-9)


@BOTH
def test_entropies_lie_between_the_bounds(space, q):
    # The upper bound is for data no wider than π: variance 1, or activity p₀.
    if space is BITS:
        space = bits(4, 0.5)
        found = account(space, law.heartbeat(space, 2), RATES)
    else:
        q = law.mixture(space, np.array([-0.9, 0.9]), np.array([0.3, 0.3]), np.ones(2))
        found = account(space, q, RATES)
    assert (found.lower < found.reverse[1:]).all()
    assert (found.reverse[1:] < found.upper).all()


@LAST
def test_a_normal_loses_nothing_but_at_its_end(last_step):
    mean, std = 0.3, 0.8
    found = account(LINE, law.normal(LINE, mean, std), RATES, last_step)
    bar = math.prod(RATES)
    m, v = math.sqrt(bar) * mean, bar * std**2 + 1 - bar
    end = 0.5 * (v + m**2 - 1 - math.log(v)) / math.log(2)
    assert_allclose(found.end, end, rtol=1e-6)
    assert_allclose(found.data, 0.5 * math.log2(2 * math.pi * math.e * std**2), rtol=1e-9)
    # -KL(q(x_0 | x_1) ‖ T_π): of two normals, averaged over x_1.
    a = float(RATES[0])
    total = a * std**2 + 1 - a
    slope, spread = math.sqrt(a) * std**2 / total, std**2 * (1 - a) / total
    ahead, mean_1 = slope - math.sqrt(a), math.sqrt(a) * mean
    off = ahead**2 * total + (mean + ahead * mean_1 - slope * mean_1) ** 2
    ratio = spread / (1 - a)
    fixed = 0.5 * (ratio - 1 - math.log(ratio) + off / (1 - a)) / math.log(2)
    assert_allclose(found.steps[0], fixed if last_step == "fixed" else 0, rtol=1e-6, atol=1e-12)
    assert_allclose(found.steps[1:], 0, atol=1e-12)
    reverse = 0.5 * math.log2(2 * math.pi * math.e * spread)
    assert_allclose(found.reverse[0], reverse, rtol=1e-9)


def test_the_laws_of_normals_make_an_upper_bound_tight():
    found = account(LINE, LINE.prior, RATES)
    assert_allclose(found.reverse[1:], found.upper, rtol=1e-9)
    assert_allclose(found.K, -0.5 * math.log2(2 * math.pi * math.e), rtol=1e-9)
    assert abs(found.end) < 1e-12


@LAST
def test_K_is_the_mean_log_weight_of_all_paths(last_step):
    # Eq. 9, path by path: 4 states, T = 3.
    space, alphas = bits(2, 0.3), np.array([0.8, 0.5, 0.4])
    q = law.law(space, np.array([3.0, 1.0, 0.0, 2.0]))
    laws = chain.forward(space, q, alphas)
    forward = [likelihood(space, float(a)) for a in alphas]
    reverse = []
    for t, alpha in enumerate(alphas):
        p = posterior(space, laws[t], float(alpha))
        one = space.states.T @ p  # the best bits have the posterior's means
        each = np.where(space.states[:, :, None] > 0.5, one, 1 - one)
        reverse.append(each.prod(1))
    if last_step == "fixed":
        reverse[0] = forward[0]
    K, model = 0.0, np.zeros(4)
    for path in itertools.product(range(4), repeat=4):
        up = math.prod(f[b, a] for f, a, b in zip(forward, path, path[1:], strict=False))
        down = math.prod(r[a, b] for r, a, b in zip(reverse, path, path[1:], strict=False))
        down *= space.prior[path[-1]]
        model[path[0]] += down
        if q[path[0]] > 0:
            K += q[path[0]] * up * math.log2(down / up)
    assert_allclose(account(space, q, alphas, last_step).K, K, rtol=1e-12)
    restored = chain.restored_by_best(space, q, alphas, space.prior, last_step)[0]
    assert_allclose(restored, model, rtol=1e-12)
    held = q > 0
    truth = float(q[held] @ np.log2(model[held]))
    assert_allclose(log_probability(restored, q, 1.0), truth, rtol=1e-12)
    assert truth > K


@BOTH
def test_no_other_step_of_the_family_costs_less(space, q):
    # A little off the best mean, or the best odds, costs more: the gradient is zero there.
    from dpm_jax.laboratory.distances import mean_kl
    from dpm_jax.laboratory.losses import loss

    laws = chain.forward(space, q, RATES)
    best = space.log_best(posterior(space, laws[1], float(RATES[1])))
    least = loss(space, q, RATES, 2, best)
    assert_allclose(least, account(space, q, RATES).steps[1], rtol=1e-12)
    direction = space.states[:, None] if space is not BITS else space.states[:, :1]
    for size in (-0.1, 0.1):
        tilted = best + size * direction  # a normal's mean, or a bit's odds, moved
        tilted = tilted - np.log(np.exp(tilted).sum(0))
        assert loss(space, q, RATES, 2, tilted) > least + 1e-4
        exact = posterior(space, laws[1], float(RATES[1]))
        assert_allclose(mean_kl(laws[2], exact, tilted), loss(space, q, RATES, 2, tilted))


def test_log_probability_is_no_less_than_K():
    for space, q in LAWS.values():
        found = account(space, q, RATES)
        best = chain.restored_by_best(space, q, RATES, space.prior)[0]
        exact = chain.restored(space, q, RATES, space.prior)[0]
        assert found.K < log_probability(best, q, space.cell) < -found.data
        assert found.K_exact < log_probability(exact, q, space.cell) < -found.data


def test_a_finer_grid_gives_the_same_account():
    answers = []
    for count in (257, 513):
        grid = line(count)
        q = law.mixture(grid, np.array([-1, 0.8]), np.array([0.2, 0.3]), np.ones(2))
        answers.append(account(grid, q, RATES))
    for name in ("data", "end", "steps", "reverse", "lower", "upper", "prior_kl"):
        coarse, fine = (getattr(a, name) for a in answers)
        assert_allclose(coarse, fine, rtol=1e-7, atol=1e-9)
