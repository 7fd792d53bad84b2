"""What every dataset returns."""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from dpm_jax.array_types import Array, Float, PRNGKey

MAX_BYTES = 2**33  # of all pixels: they are held in memory, and on the device

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


Pixels = Sequence[np.ndarray] | np.ndarray
"""Images [height, width, channels]: a list of any sizes, or one array of one size."""


class Images(NamedTuple):
    """Raw pixels: images [height, width, channels], with one or three channels.

    All are uint8, levels 0 to 255, or finite float32: continuous data that was never
    quantised, in any unit. Sizes may differ where patches are the examples; images of one
    size may also be one array [n, height, width, channels].

    Attributes:
        train: what training draws from.
        heldout: pixels that training never sees.
    """

    train: Pixels
    heldout: Pixels


def digest(*parts: Pixels) -> str:
    """The sha256 of what arrays hold: numbers, types, shapes and order, and which part they are of.

    It does not depend on whether the arrays of a part are a list or one array.
    """
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update(f"{len(part)}\n".encode())
        for array in part:
            sha256.update(f"{array.dtype.str} {array.shape}\n".encode())
            sha256.update(np.ascontiguousarray(array).data)  # no copy, but of a cut image
    return sha256.hexdigest()


def check_varied(pixels: Pixels, what: str) -> None:
    """Raise ValueError if all pixels are equal."""
    blocks = [pixels] if isinstance(pixels, np.ndarray) else pixels  # an array may hold millions
    low, high = min(block.min() for block in blocks), max(block.max() for block in blocks)
    if low == high:
        raise ValueError(
            f"{what} is constant: every pixel is {low:g}, so the variance is 0; "
            "give images that vary"
        )


def check_bytes(size: int, what: str) -> None:
    """Raise ValueError if the pixels of ``what`` take more memory than there may be."""
    if size > MAX_BYTES:
        raise ValueError(
            f"{what} has {size / 2**30:.1f} GiB of pixels, more than the "
            f"{MAX_BYTES / 2**30:g} GiB that are held in memory; give fewer or smaller images"
        )
