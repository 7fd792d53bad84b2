"""One coordinate of the roll given the other, from weighted trajectories, against quadrature."""

import jax
import numpy as np
import pytest
from reference import within

from dpm_jax import schedule
from dpm_jax.experiments.swiss_roll import measure
from dpm_jax.laws.swiss_roll import limits
from dpm_jax.laws.swiss_roll.conditional import conditional
from dpm_jax.laws.swiss_roll.roll import law


def roll_given(steps, count, *, best, way=measure.posterior):
    roll = law(0.25)
    beta_1 = 3e-3 * roll.variance
    if best:
        rates = schedule.given(limits.best_schedule(roll, steps, beta_1)[0]).apply({})
    else:
        family = schedule.learned(steps, beta_1)
        rates = family.apply(family.init())
    process = limits.exact_process(roll, rates)
    draws = way(process, count, jax.random.key(1))
    return draws, measure.answer(draws, conditional(roll, 0, measure.KNOWN))


def test_the_rolls_arms_given_one_coordinate_are_near_the_exact_shares():
    draws, said = roll_given(40, 1_000, best=False)
    assert (draws.x[:, 0] == np.float32(measure.KNOWN)).all()
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


@pytest.mark.slow
def test_particles_given_one_coordinate_are_the_exact_shares_and_most_of_them_count():
    draws, said = roll_given(40, 4_000, best=True, way=measure.resampled)
    assert (draws.x[:, 0] == np.float32(measure.KNOWN)).all()
    assert within(said)
    assert said["effective"] > 0.3 * len(draws.x)
