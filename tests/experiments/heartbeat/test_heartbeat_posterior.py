"""The phase given five bits, from weighted trajectories, against Bayes."""

import jax
import numpy as np
import pytest
from reference import within

from dpm_jax import schedule
from dpm_jax.experiments.heartbeat import measure
from dpm_jax.laws import heartbeat


def phases(steps, count, seed=0):
    process = heartbeat.exact_process(schedule.fixed(steps).apply({}))
    return measure.posteriors(process, count, jax.random.key(seed))


def test_phases_given_bits_are_within_the_error_of_bayes():
    found = phases(200, 1_000)
    assert found.keys() == measure.QUESTIONS.keys()
    for name, said in found.items():
        # What 200 steps of independent bits cannot do: a few samples in a hundred.
        assert within(said, floor=0.02), name
        # Without weights, every answer would be wrong.
        assert np.abs(np.array(said["unweighted"]) - said["exact"]).max() > 0.08, name
    certain = found["one period"]
    assert np.array(certain["estimate"])[2] > 0.98
    np.testing.assert_allclose(found["five zeros"]["exact"], [0, 0, 1 / 3, 1 / 3, 1 / 3])


@pytest.mark.slow
def test_particles_given_bits_are_bayes_and_keep_a_third_of_their_number():
    process = heartbeat.exact_process(schedule.fixed(300).apply({}))
    found = measure.resampled(process, 1_000, jax.random.key(0))
    assert found.keys() == measure.QUESTIONS.keys()
    for name, said in found.items():
        assert within(said, floor=0.01), name  # of 300 steps of independent bits
        assert said["effective"] > 0.3 * said["trajectories"], name


@pytest.mark.slow
def test_phases_given_bits_are_bayes_in_two_thousand_steps():
    # An excluded phase has a few millionths, of which no standard error can speak.
    for name, said in phases(2000, 4_000).items():
        assert within(said, floor=1e-4), name


def test_few_steps_and_few_samples_give_numbers(monkeypatch):
    name = "three in ten flipped"
    monkeypatch.setattr(measure, "QUESTIONS", {name: measure.QUESTIONS[name]})
    found = phases(6, 50)
    for said in found.values():
        assert np.isfinite(said["estimate"]).all()
        np.testing.assert_allclose(sum(said["estimate"]), 1)
