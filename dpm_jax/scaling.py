"""Units: grey levels to real numbers; data to mean 0, overall variance 1, and back; nats to bits.

The paper divides by one constant, so that eq. 14's H_p(X_T) is right in the mean and shapes
are kept. Dividing by ``scale`` adds log₂(scale) bits per dimension to a log-density.
"""

import math
from typing import NamedTuple, TypeVar

import numpy as np

from dpm_jax.array_types import Array

NATS_PER_BIT = math.log(2)

Values = TypeVar("Values", np.ndarray, Array)


class Unit(NamedTuple):
    """What a bound is quoted in: ``name``, of which an example holds ``per_example``."""

    name: str
    per_example: int

    def quote(self, bits: float) -> str:
        """Bits per example in this unit, for a person."""
        return f"{bits / self.per_example:.3f} {self.name}"


PER_EXAMPLE = Unit("bits per example", 1)


class Scaling(NamedTuple):
    """x = (data - mean) / scale: a mean per component, one scale for all."""

    mean: np.ndarray  # [*event], or what broadcasts to it
    scale: float


def fit(examples: np.ndarray) -> Scaling:
    """The scaling of a training set [n, *event].

    Raises:
        ValueError: if a value is not finite or the examples are all the same.
    """
    # Part by part: a float64 copy of a large image set would not fit.
    parts = np.array_split(examples, 1 + examples.size // 2**22)
    if not all(np.isfinite(part).all() for part in parts):
        raise ValueError("examples must be finite, got NaN or infinity")
    mean = examples.mean(0, dtype=np.float64)
    scale = math.sqrt(sum(((part - mean) ** 2).sum() for part in parts) / examples.size)
    if scale == 0:
        raise ValueError("examples must vary, got variance 0")
    return Scaling(mean, scale)


def dequantise(levels: Values, u: Values) -> Values:
    """Grey levels spread evenly over their unit: x + u, u uniform in [0, 1).

    The density of the result, averaged over the unit, is the probability of the level, so a
    bound on the one in bits is a bound on the other.
    """
    return levels + u


def standardise(scaling: Scaling, data: Values) -> Values:
    """Data [n, *event] in the model's units, float32; NumPy or jax."""
    return ((data - scaling.mean) / scaling.scale).astype(np.float32)


def invert(scaling: Scaling, x: np.ndarray | Array) -> np.ndarray:
    """The model's x [n, *event] in the data's units."""
    return np.asarray(x) * scaling.scale + scaling.mean


def levels(scaling: Scaling, x: np.ndarray | Array) -> np.ndarray:
    """The model's x [n, *event] as the 8-bit grey levels that dequantisation spread; uint8."""
    return np.clip(invert(scaling, x), 0, 255).astype(np.uint8)  # which cuts off the fraction


def bits_per_dimension(scaling: Scaling, bits: Values, dimensions: int) -> Values:
    """What a lossless code of the grey levels costs: log₂(scale) - bits/dimensions.

    Args:
        scaling: of dequantised grey levels.
        bits: log₂ density of the scaled data, or a bound on it, per example.
        dimensions: pixels times channels.
    """
    return math.log2(scaling.scale) - bits / dimensions
