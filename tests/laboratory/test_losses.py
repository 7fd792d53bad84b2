"""The two losses of a step differ by what no model changes (6.19, A.15)."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from dpm_jax.laboratory import chain, law
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.distances import entropy, mean_entropy
from dpm_jax.laboratory.losses import cross_entropy, kl_given_other, loss, loss_given_data
from dpm_jax.laboratory.space import bits, line
from dpm_jax.laboratory.transform import likelihood, posterior, transform

LINE, BITS = line(129), bits(3, 0.4)
RATES = np.array([0.7, 0.6, 0.5])
LAWS = {"line": (LINE, law.random(LINE, 4, 0.3, 1)), "bits": (BITS, law.heartbeat(BITS, 2))}
BOTH = pytest.mark.parametrize(("space", "q"), LAWS.values(), ids=LAWS)


@BOTH
@pytest.mark.parametrize("t", [2, 3])
def test_the_difference_is_the_same_for_every_model(space, q, t):
    terms, rng = account(space, q, RATES), np.random.default_rng(t)
    constant = terms.reverse[t - 1] - terms.lower[t - 2]
    assert constant > 0.01
    count = len(q)
    models = [space.log_best(posterior(space, q, 0.5))]
    models += [np.log(rng.dirichlet(np.ones(count), count).T) for _ in range(2)]
    for log_p in models:
        apart = loss_given_data(space, q, RATES, t, log_p) - loss(space, q, RATES, t, log_p)
        assert_allclose(apart, constant, rtol=1e-6)


@BOTH
def test_the_loss_is_the_cross_entropy_less_the_entropy(space, q):
    laws = chain.forward(space, q, RATES)
    exact = posterior(space, laws[1], 0.6)
    log_p = space.log_best(exact)
    joint = exact * laws[2]
    expected = cross_entropy(joint, log_p, space.cell) - mean_entropy(space, laws[2], exact)
    assert_allclose(loss(space, q, RATES, 2, log_p), expected, rtol=1e-9)


@BOTH
def test_terms_of_the_account_are_losses_given_data(space, q):
    terms, laws = account(space, q, RATES), chain.forward(space, q, RATES)
    for t in (2, 3):
        log_p = space.log_best(posterior(space, laws[t - 1], float(RATES[t - 1])))
        found = loss_given_data(space, q, RATES, t, log_p)
        assert_allclose(found, terms.step_kl[t - 2], rtol=1e-6)


@BOTH
def test_a_condition_adds_what_the_two_share(space, q):
    given, z = likelihood(space, 0.6), transform(space, q, 0.6)
    shared = entropy(space, z) - mean_entropy(space, q, given)
    for p in (space.prior, z):
        plain, conditional = kl_given_other(q, given, p)
        assert_allclose(conditional - plain, shared, rtol=1e-9)
        assert conditional > plain


@BOTH
def test_steps_that_are_not_there_are_refused(space, q):
    log_p = np.zeros((len(q), len(q)))
    with pytest.raises(ValueError, match=r"^t must be 1 to 3, got 0$"):
        loss(space, q, RATES, 0, log_p)
    with pytest.raises(ValueError, match=r"^t must be 2 to 3, got 4$"):
        loss_given_data(space, q, RATES, 4, log_p)
