"""Mixed at x_t and brought back: Bayes on the mixture, and the examples themselves at its ends."""

import jax
import numpy as np
import pytest
import toys
from test_enter import MEAN, NOISES, RATES, VARIANCE, normal_process

from dpm_jax.sampling.interpolate import interpolate

T = 30


def test_what_comes_back_is_bayes_on_the_mixture():
    count, weights = 4_000, np.array([0.0, 0.25, 1.0])
    first, second = (np.full((count, 3), value, np.float32) for value in (-2.0, 3.0))
    ends = interpolate(normal_process(), first, second, T, weights, jax.random.key(0))
    assert ends.shape == (3, count, 3)
    noise = NOISES[T - 1] ** 2  # of x_t/√ᾱ_t
    gain = VARIANCE / (VARIANCE + noise)
    for w, found in zip(weights, ends.reshape(3, -1).astype(np.float64), strict=True):
        mixed, spread = (1 - w) * -2.0 + w * 3.0, ((1 - w) ** 2 + w**2) * noise
        mean = MEAN + gain * (mixed - MEAN)
        variance = gain * noise + gain**2 * spread
        assert abs(found.mean() - mean) < 5 * np.sqrt(variance / found.size)
        np.testing.assert_allclose(found.var(), variance, rtol=5 * np.sqrt(2 / found.size))


def test_the_noise_is_the_same_for_all_weights():
    first = np.full((2, 3), 5.0, np.float32)
    a, b = interpolate(normal_process(), first, first, 1, np.array([0.0, 0.0]), jax.random.key(1))
    # At t = 1 hardly anything is forgotten: both come back to where they were.
    np.testing.assert_allclose(a, first, atol=0.2)
    assert np.abs(a - b).max() < 6 * np.sqrt(-np.expm1(float(RATES.log_alpha_bar[0])))


@pytest.mark.parametrize("t", [0, 61])
def test_a_step_that_there_is_not_is_refused(t):
    x = np.zeros((1, 3), np.float32)
    with pytest.raises(ValueError, match=f"^t must lie in 1 to 60, got {t}$"):
        interpolate(normal_process(), x, x, t, np.array([0.5]), jax.random.key(0))


def test_bits_are_refused():
    x = np.zeros((1, 3), np.float32)
    process = toys.random_process(toys.bits())
    with pytest.raises(ValueError, match=r"^process must be Gaussian to be interpolated: bits"):
        interpolate(process, x, x, 2, np.array([0.5]), jax.random.key(0))
