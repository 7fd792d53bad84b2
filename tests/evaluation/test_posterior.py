"""Weighted estimates: their errors, and the toy problems' posteriors against the exact answers."""

import json

import jax
import numpy as np
import pytest
import toys

from dpm_jax import perturb, schedule
from dpm_jax.data import swiss_roll as data
from dpm_jax.evaluation import heartbeat, posterior, swiss_roll
from dpm_jax.evaluation.posterior import Posterior
from dpm_jax.limits import heartbeat as heartbeat_limits
from dpm_jax.limits import swiss_roll as roll_limits
from dpm_jax.limits.conditional import conditional
from dpm_jax.process import bind, init


def of_shifted_normal(seed, count=500):
    """x ~ N(0, 1), weighted to N(0.5, 1); Z is e."""
    x = np.random.default_rng(seed).normal(size=(count, 1))
    return Posterior(x, 0.5 * x[:, 0] - 0.125 + 1)


def test_errors_are_those_of_repeated_estimates():
    means, errors, evidences = [], [], []
    for seed in range(400):
        draws = of_shifted_normal(seed)
        mean, error = draws.mean(np.concatenate([draws.x, draws.x > 0], axis=-1))
        means, errors = [*means, mean], [*errors, error]
        evidences.append(draws.log_evidence)
    means, errors, evidences = map(np.array, (means, errors, evidences))
    spread = means.std(0)
    np.testing.assert_allclose(np.mean(errors, 0), spread, rtol=0.15)
    truth = [0.5, 0.6914625]
    assert (np.abs(means.mean(0) - truth) < 5 * spread / np.sqrt(400) + 1e-3).all()
    np.testing.assert_allclose(evidences[:, 1].mean(), evidences[:, 0].std(), rtol=0.15)
    np.testing.assert_allclose(evidences[:, 0].mean(), 1, atol=0.01)


def test_effective_counts_the_draws_that_matter():
    x = np.zeros((4, 1))
    np.testing.assert_allclose(Posterior(x, np.full(4, -1e4)).effective, 4)
    np.testing.assert_allclose(Posterior(x, np.array([0, 0, -np.inf, -np.inf])).effective, 2)
    assert Posterior(x, np.zeros(4)).log_evidence == (0.0, 0.0)


def test_what_cannot_be_is_said():
    model = toys.bits()
    with pytest.raises(ValueError, match="no trajectory reached a positive weight"):
        posterior.draw(
            lambda params: bind(model, params),
            init(model, jax.random.key(0)),
            lambda process: perturb.smooth(process, lambda x: -np.inf * (1 + x[0])),
            (3,),
            5,
            jax.random.key(1),
        )


def within(said, floor=1e-9):
    """Whether every estimate is within 5 standard errors of the exact answer."""
    estimate, error, exact = (np.array(said[k]) for k in ("estimate", "estimate_se", "exact"))
    evidence = said["log_evidence_bits"] - said["log_evidence_exact_bits"]
    assert json.loads(json.dumps(said)) == said
    return (np.abs(estimate - exact) < 5 * error + floor).all() and abs(evidence) < 5 * said[
        "log_evidence_bits_se"
    ]


def phases(steps, count, seed=0):
    process = heartbeat_limits.exact_process(schedule.fixed(steps).apply({}))
    return heartbeat.posteriors(lambda _: process, None, count, jax.random.key(seed))


def test_phases_given_bits_are_within_the_error_of_bayes():
    found = phases(200, 1_000)
    assert found.keys() == heartbeat.QUESTIONS.keys()
    for name, said in found.items():
        # What 200 steps of independent bits cannot do: a few samples in a hundred.
        assert within(said, floor=0.02), name
        # Without weights, every answer would be wrong.
        assert np.abs(np.array(said["unweighted"]) - said["exact"]).max() > 0.08, name
    certain = found["one period"]
    assert np.array(certain["estimate"])[2] > 0.98
    np.testing.assert_allclose(found["five zeros"]["exact"], [0, 0, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.slow
def test_phases_given_bits_are_bayes_in_two_thousand_steps():
    # An excluded phase has a few millionths, of which no standard error can speak.
    for name, said in phases(2000, 4_000).items():
        assert within(said, floor=1e-4), name


def test_few_steps_and_few_samples_give_numbers(monkeypatch):
    name = "three in ten flipped"
    monkeypatch.setattr(heartbeat, "QUESTIONS", {name: heartbeat.QUESTIONS[name]})
    found = phases(6, 50)
    for said in found.values():
        assert np.isfinite(said["estimate"]).all()
        np.testing.assert_allclose(sum(said["estimate"]), 1)


def roll_given(steps, count, *, best):
    roll = data.law(0.25)
    beta_1 = 3e-3 * roll.variance
    if best:
        rates = schedule.given(roll_limits.best_schedule(roll, steps, beta_1)[0]).apply({})
    else:
        family = schedule.learned(steps, beta_1)
        rates = family.apply(family.init())
    process = roll_limits.exact_process(roll, rates)
    draws = swiss_roll.posterior(lambda _: process, None, count, jax.random.key(1))
    return draws, swiss_roll.answer(draws, conditional(roll, 0, swiss_roll.KNOWN))


def test_the_rolls_arms_given_one_coordinate_are_near_the_exact_shares():
    draws, said = roll_given(40, 1_000, best=False)
    assert (draws.x[:, 0] == np.float32(swiss_roll.KNOWN)).all()
    assert said["of"] == ["arm 1", "arm 2", "arm 3", "arm 4", "mean"]
    np.testing.assert_allclose(sum(said["estimate"][:4]), 1)
    # What forty steps of independent normals cannot do, with this schedule.
    assert within(said, floor=0.02)
    assert said["effective"] > 100


@pytest.mark.slow
def test_the_rolls_arms_given_one_coordinate_are_the_exact_shares():
    _, said = roll_given(40, 10_000, best=True)
    assert within(said)
    assert max(said["estimate_se"][:4]) < 0.01
