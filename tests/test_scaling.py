"""Units against probability itself: code lengths of a law that can be written down."""

import jax.numpy as jnp
import numpy as np
import pytest

from dpm_jax import scaling


def test_a_density_of_dequantised_levels_is_a_code_for_the_levels():
    """Levels 0..3: the piecewise constant density of x + u has the entropy of the levels."""
    probability = np.array([0.5, 0.25, 0.2, 0.05])
    units = scaling.Scaling(np.array(1.7), 2.5)
    rng = np.random.default_rng(0)
    levels = rng.choice(4, size=(1000, 6), p=probability)
    x = scaling.standardise(units, scaling.dequantise(levels, rng.random(levels.shape)))
    # In the model's units a level is 1/2.5 wide, so the density is 2.5 times the probability.
    level = np.floor(scaling.invert(units, x.astype(np.float64)) + 1e-6).astype(int)
    density_bits = np.log2(2.5 * probability[level]).sum(1)
    code = scaling.bits_per_dimension(units, density_bits, 6)
    np.testing.assert_allclose(code, -np.log2(probability[levels]).mean(1), rtol=1e-6)


def test_moments_do_not_depend_on_how_much_there_is():
    examples = np.random.default_rng(0).normal(5.0, 3.0, (70_000, 31))  # more than one part
    units = scaling.fit(examples)
    np.testing.assert_allclose(units.mean, examples.mean(0), rtol=1e-12)
    np.testing.assert_allclose(units.scale, np.sqrt(examples.var(0).mean()), rtol=1e-12)


def test_moments_of_floats_have_the_digits_of_doubles():
    # Far from zero, a float32 sum of 100,000 numbers is off by more than their spread.
    examples = np.random.default_rng(0).normal(1000.0, 0.01, (100_000, 2)).astype(np.float32)
    examples[:2] = 0.0
    exact = examples.astype(np.float64)
    units = scaling.fit(examples)
    np.testing.assert_allclose(units.mean, exact.mean(0), rtol=1e-12)
    np.testing.assert_allclose(units.scale, np.sqrt(exact.var(0).mean()), rtol=1e-9)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_cannot_be_scaled_is_refused(bad):
    with pytest.raises(ValueError, match="finite"):
        scaling.fit(np.array([[1.0, 2.0], [bad, 3.0]]))
    with pytest.raises(ValueError, match="variance 0"):
        scaling.fit(np.full((3, 2), 7.0))


def test_levels_come_back_from_the_units_they_were_spread_in():
    units = scaling.Scaling(np.array([100.0, 3.0]), 37.0)
    grey = np.random.default_rng(0).integers(0, 256, (500, 2), np.uint8)
    u = np.random.default_rng(1).uniform(0.01, 0.99, grey.shape)
    x = scaling.standardise(units, scaling.dequantise(grey, u))
    found = scaling.levels(units, x)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, grey)


def test_what_comes_back_is_numpys_and_keeps_its_digits():
    units = scaling.Scaling(np.array([1e6, 3.0]), 0.125)
    found = scaling.invert(units, jnp.array([[1.0, -1.0]]))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found, [[1e6 + 0.125, 2.875]])


def test_levels_outside_the_range_are_its_ends():
    units = scaling.Scaling(np.array(0.0), 1.0)
    x = np.array([-5.0, -0.1, 0.9, 255.0, 256.0, 1e6])
    np.testing.assert_array_equal(scaling.levels(units, x), [0, 0, 0, 255, 255, 255])


def test_a_bound_is_quoted_in_its_unit():
    assert scaling.PER_EXAMPLE.quote(-1.23456) == "-1.235 bits per example"
    assert scaling.Unit("bits/pixel", 784).quote(784 * 1.5) == "1.500 bits/pixel"
