"""The dynamic program, against every path tried out."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from dpm_jax.laws.cheapest_path import cheapest_path


@pytest.mark.parametrize("steps", [1, 2, 4, 7])
def test_cheapest_path_is_the_cheapest_of_all(steps):
    rng = np.random.default_rng(steps)
    cost, end = rng.normal(size=(8, 8)), rng.normal(size=8)
    paths = [(0, *rest) for rest in combinations(range(1, 8), steps)]
    totals = [sum(cost[i, j] for i, j in pairwise(p)) + end[p[-1]] for p in paths]
    path, total = cheapest_path(cost, end, steps)
    assert tuple(path) == paths[int(np.argmin(totals))]
    np.testing.assert_allclose(total, min(totals))


@pytest.mark.parametrize("steps", [0, 8])
def test_paths_that_cannot_rise_are_refused(steps):
    with pytest.raises(ValueError, match=r"steps must lie in 1\.\.7 for 8 levels"):
        cheapest_path(np.zeros((8, 8)), np.zeros(8), steps)
