"""Units: data to mean 0 and overall variance 1 and back; nats to bits.

The paper divides by one constant, so that eq. 14's H_p(X_T) is right in the mean and shapes
are kept. Dividing by ``scale`` adds log₂(scale) bits per dimension to a log-density.
"""

import math
from typing import NamedTuple

import numpy as np

from dpm_jax.array_types import Array

NATS_PER_BIT = math.log(2)


class Scaling(NamedTuple):
    """x = (data - mean) / scale: a mean per component, one scale for all."""

    mean: np.ndarray  # [*event]
    scale: float


def fit(examples: np.ndarray) -> Scaling:
    """The scaling of a training set [n, *event].

    Raises:
        ValueError: if a value is not finite or the examples are all the same.
    """
    values = np.asarray(examples, np.float64)
    if not np.isfinite(values).all():
        raise ValueError("examples must be finite, got NaN or infinity")
    mean = values.mean(0)
    scale = float(np.sqrt(((values - mean) ** 2).mean()))
    if scale == 0:
        raise ValueError("examples must vary, got variance 0")
    return Scaling(mean, scale)


def standardise(scaling: Scaling, data: np.ndarray | Array) -> np.ndarray:
    """Data [n, *event] in the model's units, float32."""
    return ((np.asarray(data) - scaling.mean) / scaling.scale).astype(np.float32)


def invert(scaling: Scaling, x: np.ndarray | Array) -> np.ndarray:
    """The model's x [n, *event] in the data's units."""
    return np.asarray(x) * scaling.scale + scaling.mean


def bits_in_data_units(scaling: Scaling, bits: float, dimensions: int) -> float:
    """log₂ density of the data from that of the scaled data: less log₂(scale) a dimension."""
    return bits - dimensions * math.log2(scaling.scale)
