"""Dead leaves: opaque discs that fall on one another until every pixel is covered.

Radii have density ∝ r⁻³ between a least and a greatest radius, so that the image looks alike at
all scales between the two (Lee, Mumford and Huang 2001); centres are uniform over the plane, and
grey levels over 0 to 255. A pixel shows the uppermost leaf that covers its centre.

Sampling is exact. Seen from below, the first leaf to cover a pixel is the one that stays visible
there: new leaves fill only pixels that are not yet covered, and when none is left, the image is
a draw from the law of infinitely many leaves.
"""

import math
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from dpm_jax.data.dataset import Images
from dpm_jax.errors import reason
from dpm_jax.files import regular_size

CHUNK = 256  # images painted together: enough for NumPy, few enough for the cache
MAX_SIZE = 256
MIN_RADIUS = 0.5
VERSION = 1  # in the names of cached files; to be raised when the same seed draws other images


class Law(NamedTuple):
    """The law of the images.

    Attributes:
        size: height and width in pixels.
        radius_min: least radius of a leaf, in pixels.
        radius_max: greatest radius of a leaf, in pixels.
    """

    size: int
    radius_min: float
    radius_max: float


class Leaves(NamedTuple):
    """One leaf for each image of a chunk, in pixels; all [CHUNK]."""

    row: np.ndarray
    column: np.ndarray
    squared_radius: np.ndarray
    grey: np.ndarray


def law(size: int = 32, radius_min: float = 2.0, radius_max: float = 32.0) -> Law:
    """The law of dead leaves images; by default, radii over four octaves up to the image's size.

    Raises:
        ValueError: if a parameter is out of range.
    """
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"size must be 1 to {MAX_SIZE} pixels, got {size}")
    if not (math.isfinite(radius_min) and radius_min >= MIN_RADIUS):
        raise ValueError(
            f"radius_min must be at least {MIN_RADIUS}, got {radius_min}: "
            "smaller leaves fall between the pixels"
        )
    if not (math.isfinite(radius_max) and radius_max > radius_min):
        raise ValueError(
            f"radius_max must be finite and above radius_min = {radius_min}, got {radius_max}"
        )
    return Law(size, float(radius_min), float(radius_max))


def sample(law: Law, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` images; uint8 [count, size, size, 1].

    The first images do not depend on how many follow.
    """
    images = np.empty((count, law.size, law.size, 1), np.uint8)
    starts = range(0, count, CHUNK)
    for start, stream in zip(
        tqdm(starts, desc="dead leaves", leave=False, disable=None),
        rng.spawn(len(starts)),
        strict=True,
    ):
        part = images[start : start + CHUNK]
        part[..., 0] = _paint(law, len(part), stream)
    return images


def load(law: Law, *, train: int, heldout: int, seed: int, cache: Path) -> Images:
    """Independent training and held-out images from one seed, kept in the folder ``cache``.

    The names of the files hold all that the images depend on. A file that cannot be read, or
    does not hold such images, is drawn and written anew: nothing in it is worth keeping.

    Raises:
        ValueError: if a count or the seed is out of range, or ``cache`` cannot be written.
    """
    for name, value, least in (("train", train, 1), ("heldout", heldout, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    streams = np.random.default_rng(seed).spawn(2)
    parts = []
    for name, count, rng in zip(("train", "heldout"), (train, heldout), streams, strict=True):
        path = cache / _file_name(law, name, count, seed)
        images = _read(path, (count, law.size, law.size, 1))
        if images is None:
            images = sample(law, count, rng)
            _write(path, images)
        parts.append(images)
    return Images(*parts)


def _paint(law: Law, count: int, rng: np.random.Generator) -> np.ndarray:
    grey = np.empty((count, law.size, law.size), np.uint8)
    # Only what is not yet covered is kept, one entry per pixel: it shrinks with every leaf.
    image, row, column = np.indices(grey.shape, np.int16).reshape(3, -1)
    while image.size:
        leaves = _drop(law, rng)
        distance = (row - leaves.row[image]) ** 2 + (column - leaves.column[image]) ** 2
        bare = distance > leaves.squared_radius[image]
        here = image[~bare], row[~bare], column[~bare]
        grey[here] = leaves.grey[here[0]]
        image, row, column = image[bare], row[bare], column[bare]
    return grey


def _drop(law: Law, rng: np.random.Generator) -> Leaves:
    """The next leaf that touches each image, of those that fall all over the plane."""
    # A leaf can touch the image if its centre lies in the square widened by r on all sides. So
    # such leaves have radii ∝ r⁻³ (s + 2r)² = s² r⁻³ + 4s r⁻² + 4 r⁻¹, and centres uniform over
    # their own widened square: no edge is different, and no leaf is drawn in vain.
    side, low, high = law.size, law.radius_min, law.radius_max
    weights = np.array(
        [
            side**2 * (low**-2 - high**-2) / 2,
            4 * side * (1 / low - 1 / high),
            4 * math.log(high / low),
        ]
    )
    power = rng.choice(3, size=CHUNK, p=weights / weights.sum())
    u = rng.uniform(size=CHUNK)
    radius = np.choose(
        power,
        [
            (low**-2 + u * (high**-2 - low**-2)) ** -0.5,
            1 / (1 / low + u * (1 / high - 1 / low)),
            low * (high / low) ** u,
        ],
    )
    # Pixel centres are whole numbers: the image reaches from -1/2 to size - 1/2.
    row, column = rng.uniform(-radius, side + radius, size=(2, CHUNK)) - 0.5
    return Leaves(row, column, radius**2, rng.integers(256, size=CHUNK, dtype=np.uint8))


def _file_name(law: Law, part: str, count: int, seed: int) -> str:
    return (
        f"dead_leaves-v{VERSION}-size{law.size}-radius{law.radius_min}to{law.radius_max}"
        f"-seed{seed}-{part}{count}.npy"
    )


def _read(path: Path, shape: tuple[int, ...]) -> np.ndarray | None:
    try:
        regular_size(path)
        images = np.load(path, allow_pickle=False)
    except Exception:  # absent, truncated, or no array at all
        return None
    whole = isinstance(images, np.ndarray) and images.shape == shape and images.dtype == np.uint8
    return images if whole else None


def _write(path: Path, images: np.ndarray) -> None:
    # Another name until it is whole; the process id keeps two runs apart.
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with scratch.open("wb") as file:
                np.save(file, images, allow_pickle=False)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(
            f"cache {path.parent} cannot be written: {reason(error)}; give another folder"
        ) from None
