"""Images that are saved as one array: ``.npy`` and ``.npz`` files, never unpickled."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dpm_jax.data.dataset import check_bytes
from dpm_jax.errors import reason

SUFFIXES = (".npy", ".npz")
NAMED = 5  # arrays of an archive that a message names
CHUNK = 2**24  # bytes copied and checked at once: the array is in memory once, in its final form


def read(path: Path) -> np.ndarray:
    """The images of an array file, [n, height, width, channels], uint8 or float32.

    A file holds one array [n, height, width] or [n, height, width, channels] of uint8 or floats;
    in an archive, under whatever name.

    Raises:
        ValueError: naming the file, if it is corrupt, pickled, too large, of the wrong rank or
            type, not finite, or an archive of any other number of arrays than one.
    """
    array = _load(path)
    _check_type(array, path)
    pixels = array if array.ndim == 4 else array[..., None]
    check_bytes(array.size * (1 if array.dtype == np.uint8 else 4), str(path))
    kept = np.empty(pixels.shape, np.uint8 if array.dtype == np.uint8 else np.float32)
    images = max(1, CHUNK // kept[0].nbytes)
    for start in range(0, len(kept), images):
        part = kept[start : start + images]
        with np.errstate(over="ignore"):
            part[...] = pixels[start : start + images]
        if not np.isfinite(part).all():
            raise ValueError(
                f"{path} has NaN or infinity (or values beyond float32); "
                "remove the images that have them"
            )
    return kept


def _load(path: Path) -> np.ndarray:
    with _readable(path):
        # Only the header is read here; pickled objects never are.
        loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(loaded, np.lib.npyio.NpzFile):
        return loaded
    with loaded as archive:
        if len(archive.files) != 1:
            names = ", ".join(archive.files[:NAMED]) or "none"
            more = ", ..." if len(archive.files) > NAMED else ""
            raise ValueError(
                f"{path} holds {len(archive.files)} arrays ({names}{more}), not one; "
                "save one array of images with numpy.savez"
            )
        assert archive.zip is not None, "open"
        # No more than this is ever unpacked; float64 takes half of it once it is float32.
        check_bytes(archive.zip.infolist()[0].file_size // 2, str(path))
        with _readable(path):
            array = archive[archive.files[0]]
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} holds no array; write it with numpy.savez, uint8 or float32")
    return array


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a broken file makes NumPy raise almost anything
        writer = "numpy.savez" if path.suffix.lower() == ".npz" else "numpy.save"
        raise ValueError(
            f"{path} cannot be read as an array ({reason(error)}); "
            f"write it with {writer}, uint8 or float32"
        ) from None


def _check_type(array: np.ndarray, path: Path) -> None:
    if array.dtype.newbyteorder("=") not in (np.uint8, np.float32, np.float64):
        raise ValueError(
            f"{path} has type {array.dtype}, but images are uint8 (0 to 255), float32 or float64; "
            "convert it with astype"
        )
    if array.ndim not in (3, 4) or array.size == 0:
        raise ValueError(
            f"{path} has shape {array.shape}, but images are [n, height, width] or "
            "[n, height, width, channels], none of them 0; reshape it"
        )
    if array.ndim == 4 and array.shape[-1] not in (1, 3):
        raise ValueError(
            f"{path} has shape {array.shape}, so {array.shape[-1]} channels, but images have "
            "1 or 3, on the last axis; reorder it with numpy.moveaxis"
        )
