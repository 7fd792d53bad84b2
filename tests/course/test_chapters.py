"""What chapters add to the laboratory's functions, against other ways to the same numbers."""

from itertools import combinations

import numpy as np
import pytest

from dpm_jax.course.chapters import (
    bits_chain,
    bits_walk,
    eight,
    product,
    restore,
    sampling,
    steps,
)
from dpm_jax.laboratory import chain, law
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.space import line
from dpm_jax.laboratory.transform import posterior
from dpm_jax.laws.cheapest_path import cheapest_path

SPACE = line(257)
Q = law.random(SPACE, 0)
FEW = steps.LEVELS[::3]


def test_ways_back_are_the_laboratorys():
    rates = chain.rates(0.5, 0.9, 3)
    found = restore.ways(SPACE, 0, rates, 5)
    end = chain.disturbed(SPACE, found.exact[3], law.random(SPACE, restore.FIRST_NOISE + 1), 0.5)
    one = chain.restored(SPACE, Q, rates, end)
    np.testing.assert_allclose(found.disturbed[2, 1, :4], one, atol=1e-14)
    np.testing.assert_array_equal(found.disturbed[2, 1, 4], found.disturbed[2, 1, 3])
    np.testing.assert_allclose(
        found.normal[0], chain.restored(SPACE, Q, rates, SPACE.prior)[0], atol=1e-14
    )
    np.testing.assert_allclose(found.disturbed[0, 0], found.exact, atol=1e-14)


def test_sights_that_say_nothing_leave_the_way_back():
    flat = np.ones((1, len(Q)))
    found = product.product_of_steps(SPACE, Q, flat)[0]
    back = chain.restored(SPACE, Q, product.RATES, SPACE.prior)[0]
    np.testing.assert_allclose(found, back, atol=1e-14)


def test_every_step_is_multiplied_and_its_columns_scaled_anew():
    coarse = line(129)
    q, sight = law.random(coarse, 0), np.exp(-((coarse.states - 0.4) ** 2))
    found = sight * coarse.prior / (sight @ coarse.prior)
    laws = chain.forward(coarse, q, product.RATES)
    for before, alpha in zip(laws[-2::-1], product.RATES[::-1], strict=True):
        step = sight[:, None] * posterior(coarse, before, float(alpha))
        found = step / step.sum(0) @ found
    mine = product.product_of_steps(coarse, q, sight[None])[0]
    np.testing.assert_allclose(mine, found, atol=1e-14)


def test_walkers_are_counted_under_their_bars():
    places = np.array([np.argmin(np.abs(SPACE.states - x)) for x in (-3.0, -2.76, 0.0, 0.1)])
    counts = sampling.counted(SPACE, places)
    assert counts[0] == 0.25 + 0.0
    assert counts[1] == 0.25
    assert counts[12] == 0.5
    assert counts.sum() == 1


@pytest.fixture(scope="module")
def few():
    """The costs of a third of the levels, for a quick table."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(steps, "LEVELS", FEW)
        return steps.costs(SPACE, Q)


def test_the_table_of_costs_is_the_account(few, monkeypatch):
    monkeypatch.setattr(steps, "LEVELS", FEW)
    path = np.array([0, 2, 5, 8])
    rates = steps.LEVELS[path[1:]] / steps.LEVELS[path[:-1]]
    assert few.K(path) == pytest.approx(account(SPACE, Q, rates).K, abs=1e-10)


def test_the_best_schedule_is_the_best_of_all_and_learning_goes_uphill(few, monkeypatch):
    monkeypatch.setattr(steps, "LEVELS", FEW)
    for count in (1, 2, 3):
        paths = [np.array((0, *c)) for c in combinations(range(1, len(steps.LEVELS)), count)]
        most = max(few.K(path) for path in paths)
        best, _ = cheapest_path(few.steps, few.end, count)
        assert few.K(best) == pytest.approx(most, abs=1e-12)
        start = steps.fixed(count)
        learned = steps.learned(few, start)
        assert few.K(start) <= few.K(learned) <= most + 1e-12
        assert (np.diff(learned) > 0).all()


@pytest.mark.parametrize("count", steps.STEPS)
def test_the_fixed_schedule_falls_evenly(count):
    path = steps.fixed(count)
    assert len(path) == count + 1
    assert (np.diff(path) > 0).all()
    assert path[-1] == len(steps.LEVELS) - 1
    if count <= 6:
        even = 1 - np.arange(count + 1) / count
        np.testing.assert_allclose(steps.LEVELS[path], even, atol=0.06)


def test_a_chain_of_bits_goes_there_and_back():
    space, data = eight.laws()
    demo = bits_chain._chain(space, data)
    out, _, back = (mark.y for mark in demo.plots[0].marks)  # [seed, start, end, (ratio,) t, state]
    rates = np.linspace(bits_chain.RATES[0], bits_chain.RATES[3], bits_chain.STEPS)
    law_ = data[1]
    for t, alpha in enumerate(rates, 1):
        # A bit is kept with α, or drawn anew: one bit at a time.
        for bit in range(3):
            other = law_.reshape([2] * 3)
            kept = np.moveaxis(other, bit, 0)
            law_ = np.moveaxis(alpha * kept + (1 - alpha) / 2 * kept.sum(0), 0, bit).ravel()
        np.testing.assert_allclose(out[1, 0, 3, t], law_, atol=1e-14)
    np.testing.assert_allclose(back[..., 0, :, :], out, atol=1e-12)  # no noise: the same way
    readings = {reading.name: reading.values for reading in demo.readings}
    assert readings["tv_one_step"].max() < 1e-12
    assert (readings["js_data"] <= readings["js_end"] + 1e-12).all()


def test_entering_a_chain_of_bits_is_bayes_rule():
    space, data = eight.laws()
    demo = bits_chain._see(space, data)
    off = {reading.name: reading.values for reading in demo.readings}
    assert off["tv_entered"].max() < 1e-12
    assert off["tv_walked"].max() > 0.1


def test_walkers_on_bits_and_division_of_bits():
    space, data = eight.laws()
    (walked,) = bits_walk._walk(space, data).plots
    counts = walked.marks[2].y
    np.testing.assert_allclose(counts.sum(-1), 1, atol=1e-12)
    assert (counts[:, :, 0, 0] == 1).all()
    divided = bits_walk._divide(space, data)
    off = {reading.name: reading.values for reading in divided.readings}
    assert off["off_bits"][..., 0].max() < 1e-10  # without an error nothing is lost
    assert off["off_bits"][:, 0, 3].min() > 0.1 > off["off_posterior"].max()
