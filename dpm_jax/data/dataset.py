"""What every dataset returns."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from dpm_jax.array_types import Array, Float, PRNGKey

Batch = Callable[[Array, PRNGKey, int], Float[Array, "batch *event"]]
"""``batch(train, key, size)``: examples in the model's units, drawn inside the compiled step."""


def examples(train: Array, key: PRNGKey, size: int) -> Array:
    """``size`` of the examples [n, *event], uniform, with replacement."""
    return train[jax.random.randint(key, (size,), 0, train.shape[0])]


class Dataset(NamedTuple):
    """Data on the leading axis.

    Attributes:
        train: [n, ...], what lies on the device: float32 examples, or 8-bit images.
        heldout: [heldout_examples, *event], float32, in the model's units, never trained on.
        batch: how training draws its examples from ``train``.
    """

    train: np.ndarray
    heldout: np.ndarray
    batch: Batch = examples
