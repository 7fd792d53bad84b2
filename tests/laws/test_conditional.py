"""One coordinate of the roll given the other, against a dense sum and against samples."""

import numpy as np
import pytest

from dpm_jax.laws.swiss_roll import roll as swiss_roll
from dpm_jax.laws.swiss_roll.conditional import conditional


@pytest.mark.parametrize("coordinate", [0, 1])
@pytest.mark.parametrize("noise", [0.05, 0.25, 3.0])
def test_density_is_the_sum_over_a_dense_curve(noise, coordinate):
    roll, value = swiss_roll.law(noise), 0.3
    found = conditional(roll, coordinate, value)
    centres, v = roll.curve((np.arange(50_000) + 0.5) / 50_000), roll.variance
    weight = np.exp(-((value - centres[:, coordinate]) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v)
    near = weight > 1e-12 * weight.max()
    weight, other = weight[near], centres[near, 1 - coordinate]
    each = np.exp(-((found.grid[:, None] - other) ** 2) / (2 * v)) / np.sqrt(2 * np.pi * v)
    expected = each @ weight / weight.sum()
    np.testing.assert_allclose(found.density, expected, atol=1e-5 * expected.max())
    np.testing.assert_allclose(found.log_evidence, np.log(weight.sum() / 50_000), atol=1e-5)
    np.testing.assert_allclose(found.mean, weight @ other / weight.sum(), atol=1e-5)
    np.testing.assert_allclose(found.cdf[[0, -1]], [0, 1], atol=1e-6)


def test_arms_have_the_shares_of_samples():
    roll = swiss_roll.law(0.25)
    exact = conditional(roll, 0, 0.3)
    assert len(exact.arms) == 5
    np.testing.assert_allclose(exact.mass(exact.arms).sum(), 1, atol=1e-6)
    x = swiss_roll.sample(roll, 1_000_000, np.random.default_rng(0))
    # A narrow window around the value; its bias is far below the error.
    near = x[np.abs(x[:, 0] - 0.3) < 0.01, 1]
    share, _ = np.histogram(near, exact.arms)
    share = share / len(near)
    error = np.sqrt(share * (1 - share) / len(near))
    assert (np.abs(share - exact.mass(exact.arms)) < 5 * error).all()
    assert error.max() < 0.01


def test_a_wide_roll_has_one_arm():
    assert len(conditional(swiss_roll.law(10.0), 1, 0.0).arms) == 2


def test_what_is_off_the_roll_is_refused():
    roll = swiss_roll.law(0.25)
    with pytest.raises(ValueError, match="value must lie between"):
        conditional(roll, 0, 40.0)
    with pytest.raises(ValueError, match="coordinate must be 0 or 1"):
        conditional(roll, 2, 0.0)
