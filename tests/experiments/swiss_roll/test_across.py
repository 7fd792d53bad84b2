"""One process at other T: what it is asked, and that its exact version is as good as T allows."""

import jax
import numpy as np
import pytest

from dpm_jax import schedule
from dpm_jax.experiments.swiss_roll import across
from dpm_jax.laws.swiss_roll import limits, roll
from dpm_jax.scaling import NATS_PER_BIT

LAW = roll.law(1.0)  # wide: its quadrature is short


@pytest.fixture(scope="module")
def points():
    """Of the exact process, whose K at every T is the ceiling."""
    family = schedule.learned(6, 3e-3 * LAW.variance, spacing=0.0)
    process = limits.exact_process(LAW, family.apply(family.init()))
    data = roll.load(LAW, train=1, heldout=8_000, seed=0)

    def log_q(x):
        return limits.log_density(LAW, x) / NATS_PER_BIT

    return across.measure(process, LAW, log_q, data.heldout, jax.random.key(1), (3, 6, 12))


def test_the_exact_process_reaches_the_ceiling_of_every_T(points):
    limit = limits.negative_entropy(LAW) / NATS_PER_BIT
    assert [p.steps for p in points] == [3, 6, 12]
    for p in points:
        assert abs(p.gap.mean - (limit - p.ceiling)) < 4 * p.gap.se
        assert p.gap.mean > 4 * p.gap.se
    assert sorted(points, key=lambda p: p.ceiling) == points


def test_its_numbers_are_lists_over_T(points):
    (found,) = across.numbers(points).values()
    assert found["timesteps"] == [3, 6, 12]
    assert {len(of_each) for of_each in found.values()} == {3}
    np.testing.assert_array_equal(found["K_bits"], [p.K.mean for p in points])
    np.testing.assert_array_equal(found["log_q_minus_K_bits_se"], [p.gap.se for p in points])
