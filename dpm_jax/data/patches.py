"""Images in the model's units, and patches of them drawn inside the compiled step.

The images lie on the device as one long row of pixels, whatever their sizes; a patch is a
gather from it. A whole image is a patch of its own size, of which it has one.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax import scaling
from dpm_jax.array_types import Array, Float, PRNGKey
from dpm_jax.data.dataset import Batch, Dataset, Images, Pixels
from dpm_jax.data.split import heldout_patches
from dpm_jax.scaling import Scaling

CHUNK = 2**20  # numbers standardised at once, in float64
INDEX_LIMIT = 2**31  # pixels and patches are counted in 32 bits


class Layout(NamedTuple):
    """Where the images lie in the row of pixels: one entry per image, int32."""

    start: np.ndarray
    width: np.ndarray
    across: np.ndarray  # positions of a patch along the width
    last: np.ndarray  # cumulative number of patches


class ImageData(NamedTuple):
    """Images as the model sees them, and what it takes to undo that.

    Attributes:
        dataset: ``train`` is the row of pixels; held-out examples are dequantised once, or lie at
            the middle of their grey levels.
        scaling: mean per channel and one scale, of dequantised training pixels.
        grain: width of a grey level in data units: 1 for 8-bit images, 0 for real numbers.
        scenes: held-out images whole, as they were read.
        where: the layout of the training images.
    """

    dataset: Dataset
    scaling: Scaling
    grain: float
    scenes: Pixels
    where: Layout

    @property
    def range(self) -> tuple[float, float]:
        """What is shown as black and as white, data units: all 8-bit levels, or what occurs."""
        if self.grain:
            return 0.0, 255.0
        return float(self.dataset.train.min()), float(self.dataset.train.max())

    @property
    def dequantised(self) -> Batch:
        """How a density draws its examples from ``dataset.train``: grey levels spread evenly."""
        size = self.dataset.heldout.shape[1:3]
        return partial(_batch, self.where, size, self.scaling, self.grain, True)

    @property
    def patches(self) -> int:
        """How many different training examples the images hold."""
        return int(self.where.last[-1])

    def pixels(self, count: int, *, seed: int) -> np.ndarray:
        """At most ``count`` different training examples as stored, [k, *event]."""
        rng, count = np.random.default_rng(seed), min(count, self.patches)
        numbers = np.sort(rng.choice(self.patches, count, replace=False, shuffle=False))
        size = self.dataset.heldout.shape[1:3]
        index = pixel_numbers(self.where, size, jnp.asarray(numbers, jnp.int32))
        return self.dataset.train[np.asarray(index)]

    @property
    def constant_components(self) -> int:
        """How many components of whole images, pixels times channels, never vary in training.

        A density of real numbers has no bound there. Always 0 for 8-bit images, which vary once
        they are dequantised, and for patches.
        """
        whole = self.patches == len(self.where.last)
        if self.grain or not whole:
            return 0
        components = self.dataset.train.reshape(self.patches, -1)
        return int((np.ptp(components, axis=0) == 0).sum())

    @property
    def finest(self) -> float:
        """Width of a grey level in the model's units, the finest structure of the data.

        Real numbers have no grain; a 256th of their range takes its place.
        """
        pixels = self.dataset.train
        return (self.grain or float(np.ptp(pixels)) / 256) / self.scaling.scale


def prepare(
    images: Images, patch: int | None, *, seed: int, heldout: int = 0, dequantise: bool = True
) -> ImageData:
    """Images, or square patches of them with side ``patch``, in the model's units.

    Unless it is to ``dequantise`` them, a grey level is the number in its middle.

    Held-out examples are whole images or a grid of patches that do not overlap; with
    ``heldout`` > 0, that many of them, evenly spread. A standard error needs two.

    Raises:
        ValueError: if there are fewer than ``heldout``, or fewer than 2, or ``heldout`` is 1 or
            negative, or the training images have too many pixels or patches to count.
    """
    examples = np.asarray(images.heldout) if patch is None else _grid(images.heldout, patch)
    _check_heldout(len(examples), heldout)
    examples = examples[evenly(len(examples), heldout or len(examples))]
    size, channels = examples.shape[1:3], examples.shape[-1]
    grain = 1.0 if examples.dtype == np.uint8 else 0.0
    row = _row(images.train, channels)
    units = _fit(row, grain)
    heldout_x0 = _in_units(examples, units, grain, seed if dequantise else None)
    where = layout(images.train, size)
    data = Dataset(row, heldout_x0, partial(_batch, where, size, units, grain, dequantise))
    return ImageData(data, units, grain, images.heldout, where)


def _check_heldout(count: int, wanted: int) -> None:
    if count < 2:
        raise ValueError(
            f"the held-out part has {count} example, but a standard error needs 2; "
            "give more or larger images, or use a smaller --patch"
        )
    if wanted and not 2 <= wanted <= count:
        raise ValueError(
            f"heldout_examples must be at least 2 and at most the {count} that there are, "
            f"or 0 for all, got {wanted}"
        )


def _row(images: Pixels, channels: int) -> np.ndarray:
    """All pixels [n, channels]."""
    if isinstance(images, np.ndarray):
        return images.reshape(-1, channels)  # no copy
    return np.concatenate([image.reshape(-1, channels) for image in images])


def _in_units(
    examples: np.ndarray, units: Scaling, grain: float, seed: int | None
) -> Float[np.ndarray, "n *event"]:
    """Examples as stored [n, *event] in the model's units.

    The noise of their grain is drawn from ``seed``; without one, they lie in the middle of it.
    """
    x0 = np.empty(examples.shape, np.float32)
    rng, count = np.random.default_rng(seed), max(1, CHUNK // x0[0].size)
    for start in range(0, len(x0), count):
        part = examples[start : start + count]
        middle = np.full(part.shape, 0.5, np.float32)
        u = middle if seed is None else rng.random(part.shape, np.float32)
        x0[start : start + count] = scaling.standardise(units, scaling.dequantise(part, grain * u))
    return x0


def evenly(count: int, wanted: int) -> np.ndarray:
    """``wanted`` of the numbers 0..count-1, or all if there are fewer, evenly spread."""
    return np.linspace(0, count - 1, min(wanted, count)).round().astype(int)


def _grid(images: Pixels, patch: int) -> np.ndarray:
    if isinstance(images, np.ndarray):
        return heldout_patches(images, patch)
    return np.concatenate([heldout_patches(image, patch) for image in images])


def layout(images: Pixels, size: tuple[int, int]) -> Layout:
    """The layout of images [height, width, channels] for patches of ``size``.

    Raises:
        ValueError: if there are too many pixels or patches to count.
    """
    height, width = _sides(images)
    across = width - size[1] + 1
    last = np.cumsum((height - size[0] + 1) * across)
    end = np.cumsum(height * width)
    if max(last[-1], end[-1]) >= INDEX_LIMIT:
        raise ValueError(
            f"training images must have fewer than {INDEX_LIMIT} pixels in all, got {end[-1]}"
        )
    columns = (end - height * width, width, across, last)
    return Layout(*(column.astype(np.int32) for column in columns))


def _sides(images: Pixels) -> np.ndarray:
    """Heights and widths [2, n]."""
    if isinstance(images, np.ndarray):
        return np.broadcast_to(np.array(images.shape[1:3])[:, None], (2, len(images)))
    return np.array([image.shape[:2] for image in images], np.int64).T


def _batch(
    where: Layout,
    size: tuple[int, int],
    units: Scaling,
    grain: float,
    dequantise: bool,
    row: Array,
    key: PRNGKey,
    count: int,
) -> Array:
    """``count`` patches, uniform over all of all images, scaled."""
    patch_key, noise_key = jax.random.split(key)
    number = jax.random.randint(patch_key, (count,), 0, where.last[-1])
    pixels = row[pixel_numbers(where, size, number)]
    middle = jnp.full(pixels.shape, 0.5)
    u = grain * (jax.random.uniform(noise_key, pixels.shape) if dequantise else middle)
    return jax.vmap(lambda x, u: scaling.standardise(units, scaling.dequantise(x, u)))(pixels, u)


def pixel_numbers(where: Layout, size: tuple[int, int], number: Array) -> Array:
    """The pixels of patches, counted over all images [n], as indices [n, *size] of the row."""
    image = jnp.searchsorted(jnp.asarray(where.last), number, side="right")
    before = jnp.concatenate([jnp.zeros(1, jnp.int32), jnp.asarray(where.last[:-1])])
    top, left = jnp.divmod(number - before[image], jnp.asarray(where.across)[image])
    width = jnp.asarray(where.width)[image]
    corner = jnp.asarray(where.start)[image] + top * width + left
    down, right = jnp.arange(size[0])[None, :, None], jnp.arange(size[1])[None, None]
    return corner[:, None, None] + down * width[:, None, None] + right


def _fit(row: np.ndarray, grain: float) -> Scaling:
    """Scaling of dequantised pixels [n, channels]: exactly grain/2 and grain²/12 more."""
    units = scaling.fit(row)
    # One row, one column: the mean fits images of any size.
    mean = (units.mean + grain / 2)[None, None]
    return Scaling(mean, float(np.sqrt(units.scale**2 + grain**2 / 12)))
