"""What a kernel refuses to diffuse, and what it warns of."""

import warnings

import numpy as np
import pytest

from dpm_jax import scaling
from dpm_jax.kernels import binomial, gaussian


def standard(seed=0):
    return np.random.default_rng(seed).normal(size=(200, 3)).astype(np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_normals_must_be_finite(bad):
    examples = standard()
    examples[17, 1] = bad
    with pytest.raises(ValueError, match=r"^examples must be finite, got NaN or infinity$"):
        gaussian.KERNEL.check(examples)


@pytest.mark.parametrize(("mean", "scale"), [(5, 1), (0, 100), (0, 1e-3)])
def test_data_in_other_units_are_warned_of_with_the_remedy(mean, scale):
    examples = mean + scale * standard()
    with pytest.warns(UserWarning, match=r"scale them with dpm_jax\.scaling\.fit") as said:
        gaussian.KERNEL.check(examples)
    (warning,) = said
    assert f"mean {examples.mean(dtype=np.float64):.3g} " in str(warning.message)
    assert f"deviation {examples.std(dtype=np.float64):.3g}," in str(warning.message)


@pytest.mark.parametrize(
    ("mean", "scale", "warned"),
    [
        *((0, 1.8, False), (0, 0.6, False), (1.8, 0, False), (0.6, 0, False)),
        *((0, 2.2, True), (0, 0.45, True), (2.2, 0, True), (0.45, 0, True)),
    ],
)
def test_the_second_moment_decides(mean, scale, warned):
    signs = np.resize(np.float32([1, -1]), (200, 3))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gaussian.KERNEL.check(mean + scale * signs)
    assert bool(said) == warned


def test_scaled_data_pass_without_a_word():
    examples = 5 + 100 * standard()
    units = scaling.fit(examples)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gaussian.KERNEL.check(standard())
        gaussian.KERNEL.check(scaling.standardise(units, examples))
        gaussian.KERNEL.check(np.zeros((0, 3), np.float32))
        binomial.kernel(0.2).check((standard() > 0).astype(np.float32))


@pytest.mark.parametrize("bad", [0.5, 2.0, -1.0, np.nan])
def test_bits_must_be_zero_or_one_and_the_stray_is_named(bad):
    examples = (standard() > 0).astype(np.float32)
    examples[17, 1] = bad
    with pytest.raises(ValueError, match=rf"^examples must be bits, 0 or 1, got {bad}$"):
        binomial.kernel(0.2).check(examples)
