"""What image files cost: PNG and lossless WebP, yardsticks for bits per dimension.

Each image is a file of its own, headers and all, which at 28×28 are a good part of it. So the same
images are coded once more as one sheet, a grid without gaps: there the headers count for nothing,
and a codec learns from one image for the next, which no density of single images may do. Only grey
levels have files. WebP knows no grey images: it takes them in colour, and subtracts one channel
from the others, which makes those nearly free.
"""

import io
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from dpm_jax.evaluation import report
from dpm_jax.evaluation.likelihood import estimate

Levels = UInt8[np.ndarray, "n height width channels"]

CODECS: Mapping[str, Mapping[str, Any]] = {
    "png": {"format": "PNG", "optimize": True},
    "webp": {"format": "WebP", "lossless": True, "quality": 100, "method": 4},
}
"""Pillow's settings. Method 6 makes WebP files 1.5% smaller, and takes 20 times as long."""
MOST_IMAGES = 2_000
MOST_PIXELS = 2**21  # of all images together: a few seconds
LONGEST_SIDE = 16_383  # of a WebP file, pixels


def bits_per_dimension(images: Levels) -> dict[str, Any]:
    """Bits of files over height·width·channels of what they hold, for ``result.json``.

    By codec: mean and standard error over a file for each image, and the bits of one sheet of
    them all. ``enough`` says how many images take a few seconds.

    Raises:
        ValueError: if there are fewer than 2 images.
    """
    if len(images) < 2:
        raise ValueError(f"images must be at least 2, got {len(images)}")
    together, held = sheet(images)
    dimensions = images[0].size
    found: dict[str, Any] = {"images": len(images), "sheet_images": held}
    for codec in CODECS:
        alone = np.array([file_bits(image, codec) for image in images]) / dimensions
        found |= report.pair(f"{codec}_bits_per_dimension", estimate(alone))
        found[f"{codec}_sheet_bits_per_dimension"] = file_bits(together, codec) / dimensions / held
    return found


def enough(height: int, width: int) -> int:
    """How many images of this size are to be coded at most: ``MOST_IMAGES``, fewer large ones."""
    return min(MOST_IMAGES, max(2, MOST_PIXELS // (height * width)))


def sheet(images: Levels) -> tuple[UInt8[np.ndarray, "rows columns channels"], int]:
    """One nearly square picture of as many images as fit into a WebP, and how many these are.

    They stand row by row; what is left of the last row is black.
    """
    count, height, width, channels = images.shape
    across = max(1, min(math.ceil(math.sqrt(count)), LONGEST_SIDE // width))
    down = max(1, min(math.ceil(count / across), LONGEST_SIDE // height))
    held = min(count, across * down)
    grid = np.zeros((down * across, height, width, channels), np.uint8)
    grid[:held] = images[:held]
    rows = grid.reshape(down, across, height, width, channels).swapaxes(1, 2)
    return rows.reshape(down * height, across * width, channels), held


def file_bits(image: UInt8[np.ndarray, "height width channels"], codec: str) -> int:
    """Size in bits of the file of one image, grey or in colour."""
    return 8 * len(encoded(image, codec))


def encoded(image: UInt8[np.ndarray, "height width channels"], codec: str) -> bytes:
    """The file of one image with 1 or 3 channels, by one of ``CODECS``."""
    file = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
    picture.save(file, **CODECS[codec])
    return file.getvalue()
