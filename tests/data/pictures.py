"""Small images, and files of them."""

from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, height=6, width=8, channels=3) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(height, width, channels), dtype=np.uint8)


def save(path: Path, array: np.ndarray, **options) -> Path:
    Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array).save(path, **options)
    return path
