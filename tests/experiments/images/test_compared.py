"""Intervals that are right cover what they say, of numbers that are equal too."""

import numpy as np
import pytest

from dpm_jax.experiments.images.compared import INTERVAL, inside


@pytest.mark.parametrize("levels", [None, 3], ids=["real", "levels"])
@pytest.mark.parametrize("weighted", [False, True])
def test_draws_of_the_truths_law_cover_it(levels, weighted):
    rng = np.random.default_rng(0)
    x, own = (
        rng.random(shape) if levels is None else rng.integers(levels, size=shape).astype(float)
        for shape in ((400, 20_000), 20_000)
    )
    weight = rng.random(400) if weighted else np.ones(400)
    covered = inside(weight / weight.sum(), x, own, rng)
    # One truth for each component, so that these are independent given the weights.
    assert covered.mean() == pytest.approx(INTERVAL, abs=5 * 0.4 / 20_000**0.5 + 0.004)


def test_the_truth_counts_as_much_as_one_of_the_draws_that_weights_leave():
    rng = np.random.default_rng(0)
    x, own = rng.random((8, 20_000)), rng.random(20_000)
    covered = inside(np.array([0, 1, 0, 1, 1, 0, 0, 1]) / 4, x, own, rng)
    assert covered.mean() == pytest.approx(INTERVAL, abs=5 * 0.4 / 20_000**0.5)


def test_draws_that_are_too_narrow_cover_less():
    rng = np.random.default_rng(0)
    x, own = 0.5 * rng.normal(size=(100, 5_000)), rng.normal(size=5_000)
    assert inside(np.full(100, 0.01), x, own, rng).mean() < 0.6
