"""Images of any folder or array: read, checked, and split into training and held-out pixels.

Everything is found, nothing is configured: size, channels and type come from the files. What
cannot be data (corrupt, mixed, constant, not finite) is refused by name, and headers are looked
at before anything is decoded.
"""

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = (".png", ".jpg", ".jpeg")
MAX_PIXELS = 2**26  # of one image: 8192 x 8192
MAX_BYTES = 2**33  # of all pixels: they are held in memory, and on the device
HOLD_OUT = 10  # one image in so many, or images too few to be split by image
GREY_MODES = ("1", "L", "LA", "La")
WIDE_MODES = ("I", "F")  # and all that begin with "I;": 16 bits or more a channel
ORIENTATION = 0x0112  # EXIF tag; 5 to 8 lie on a side


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


class Header(NamedTuple):
    """What an image file says of itself before it is decoded."""

    height: int
    width: int
    channels: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {'grey' if self.channels == 1 else 'colour'}"


def read(path: Path, *, any_size: bool = False) -> Pixels:
    """All images at a path, [height, width, channels] each, uint8 or float32.

    A folder holds PNG and JPEG images, of one size unless ``any_size``, taken in the order of
    their names; hidden files, other files and subfolders are not looked at. A file is one
    image, or a ``.npy`` array [n, height, width] or [n, height, width, channels] of uint8 or
    floats.

    Grey images have one channel, colour and palette images three. Transparency is dropped,
    and a JPEG photo is turned upright as its EXIF says.

    Raises:
        ValueError: naming the file, if there is nothing to read, or a file is corrupt,
            truncated, too large, of more than 8 bits a channel, unlike the others, not finite,
            pickled, or of the wrong rank or type; or if all pixels are equal.
    """
    if not path.exists():
        raise ValueError(f"{path} does not exist; give a folder of images or a .npy array")
    if path.suffix.lower() == ".npy" and not path.is_dir():
        pixels: Pixels = _read_array(path)
    else:
        pixels = _read_files(_image_files(path), any_size)
    _check_varied(pixels, str(path))
    return pixels


def split(pixels: Pixels, *, patch: int | None = None) -> Images:
    """Training and held-out images, or regions of images where there are few.

    From 10 images on, every tenth is held out, beginning with the tenth: names often sort
    images by class or time, and so both parts have some of each. Fewer are cut across their
    longer side: the last quarter (at least one patch) of each, bottom or right, is held out.

    Args:
        pixels: images [height, width, channels].
        patch: side of the square patches that are the examples; None if whole images are.

    Raises:
        ValueError: if images, or the parts of too few images, are smaller than a patch, or
            whole images are too few, or all pixels of the training part are equal.
    """
    if patch is not None:
        for image in pixels:
            _check_patch(image, patch)
    if len(pixels) >= HOLD_OUT:
        last = HOLD_OUT - 1
        parts = Images(
            [image for i, image in enumerate(pixels) if i % HOLD_OUT != last],
            [image for i, image in enumerate(pixels) if i % HOLD_OUT == last],
        )
    elif patch is None:
        raise ValueError(
            f"{len(pixels)} whole images are too few to hold some out, {HOLD_OUT} are needed; "
            "use --patch to train on patches, or give more images"
        )
    else:
        regions = [_cut(image, patch) for image in pixels]
        parts = Images([train for train, _ in regions], [heldout for _, heldout in regions])
    _check_varied(parts.train, "the training part")
    return parts


def _cut(image: np.ndarray, patch: int) -> tuple[np.ndarray, np.ndarray]:
    height, width, _ = image.shape
    side = max(height, width)
    if side < 2 * patch:
        raise ValueError(
            f"patch is {patch}, but images of {width}x{height} cannot be cut into a training "
            f"and a held-out part that large; use a --patch of at most {side // 2}, "
            f"or give {HOLD_OUT} images or more"
        )
    cut = side - max(side // 4, patch)
    if height >= width:
        return image[:cut], image[cut:]
    return image[:, :cut], image[:, cut:]


def heldout_patches(image: np.ndarray, patch: int) -> np.ndarray:
    """The grid of patches of an image that do not overlap, [m, patch, patch, channels].

    Row by row from the top left; what is left over at the right and at the bottom is dropped.

    Raises:
        ValueError: if the image is smaller than a patch.
    """
    _check_patch(image, patch)
    height, width, channels = image.shape
    rows, columns = height // patch, width // patch
    whole = image[: rows * patch, : columns * patch]
    grid = whole.reshape(rows, patch, columns, patch, channels).swapaxes(1, 2)
    return grid.reshape(-1, patch, patch, channels)


def decode(image: Image.Image) -> np.ndarray:
    """The pixels of an opened image, uint8 [height, width, channels].

    Raises:
        OSError: from Pillow, if the image is truncated or broken.
    """
    mode = "L" if image.mode in GREY_MODES else "RGB"
    array = np.asarray(image if image.mode == mode else image.convert(mode))
    return array if array.ndim == 3 else array[..., None]


def reason(error: Exception) -> str:
    """What an exception says, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0]


def _image_files(path: Path) -> list[Path]:
    if not path.is_dir():
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(f"{path} is not a PNG, a JPEG, a .npy array or a folder; give one")
        return [path]
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise ValueError(f"folder {path} cannot be read: {error.strerror}") from None
    files = [
        entry
        for entry in entries
        if entry.suffix.lower() in SUFFIXES and entry.name[0] != "." and entry.is_file()
    ]
    if not files:
        raise ValueError(
            f"folder {path} holds no images; put PNG or JPEG files into it, not into subfolders"
        )
    return files


def _read_files(files: list[Path], any_size: bool) -> Pixels:
    # All headers first: a folder that cannot be used is refused before the first is decoded.
    headers = {file: _header(file) for file in files}
    first = files[0]
    for file, header in headers.items():
        alike = header.channels == headers[first].channels
        if not alike or not (any_size or header == headers[first]):
            raise ValueError(
                f"images must have one {'kind' if any_size else 'size and one kind'}, but {first} "
                f"is {headers[first]} and {file} is {header}; "
                + ("convert them" if any_size else "crop, scale or convert them, or use --patch")
            )
    _check_bytes(sum(math.prod(header) for header in headers.values()), str(first.parent))
    return [_read_image(file) for file in files]


def _header(file: Path) -> Header:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images from 89 million pixels on; ours is the lower limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                width, height = image.size
                wide = image.mode in WIDE_MODES or image.mode.startswith("I;")
                # Pillow cuts 16-bit colours to 8 bits silently: only its raw mode tells.
                wide = wide or any("16" in str(tile[3]) for tile in image.tile)
                channels = 1 if image.mode in GREY_MODES else 3
                if width * height <= MAX_PIXELS:
                    image.verify()  # the checksums of a PNG, which decoding ignores
                if image.format == "JPEG" and image.getexif().get(ORIENTATION, 1) >= 5:
                    width, height = height, width  # it lies on a side
    except Image.DecompressionBombError:
        raise ValueError(_too_large(file, "an absurd number of")) from None
    except Exception as error:  # a broken file makes Pillow raise almost anything
        raise _unreadable(file, error) from None
    if width * height > MAX_PIXELS:
        raise ValueError(_too_large(file, f"{width}x{height}"))
    if wide:
        raise ValueError(f"{file} has more than 8 bits a channel; convert it to 8 bits, or to .npy")
    return Header(height, width, channels)


def _read_image(file: Path) -> np.ndarray:
    try:
        with Image.open(file, formats=("PNG", "JPEG")) as image:
            return decode(ImageOps.exif_transpose(image) if image.format == "JPEG" else image)
    except Exception as error:  # as above
        raise _unreadable(file, error) from None


def _read_array(path: Path) -> np.ndarray:
    try:
        # Only the header is read here; pickled objects never are.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a broken header makes NumPy raise almost anything
        raise ValueError(
            f"{path} cannot be read as an array ({reason(error)}); "
            "write it with numpy.save, uint8 or float32"
        ) from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} is an archive of arrays; save one array with numpy.save")
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
    pixels = array if array.ndim == 4 else array[..., None]
    if pixels.shape[-1] not in (1, 3):
        raise ValueError(
            f"{path} has shape {array.shape}, so {pixels.shape[-1]} channels, but images have "
            "1 or 3, on the last axis; reorder it with numpy.moveaxis"
        )
    _check_bytes(array.size * (1 if array.dtype == np.uint8 else 4), str(path))
    if array.dtype == np.uint8:
        return np.array(pixels)
    with np.errstate(over="ignore"):
        floats = pixels.astype(np.float32)
    if not np.isfinite(floats).all():
        raise ValueError(
            f"{path} has NaN or infinity (or values beyond float32); "
            "remove the images that have them"
        )
    return floats


def _check_patch(image: np.ndarray, patch: int) -> None:
    height, width, _ = image.shape
    if patch < 1:
        raise ValueError(f"patch must be at least 1, got {patch}")
    if patch > min(height, width):
        raise ValueError(
            f"patch is {patch}, but an image is only {width}x{height}; "
            f"use a --patch of at most {min(height, width)}"
        )


def _check_varied(pixels: Pixels, what: str) -> None:
    low, high = min(image.min() for image in pixels), max(image.max() for image in pixels)
    if low == high:
        raise ValueError(
            f"{what} is constant: every pixel is {low:g}, so the variance is 0; "
            "give images that vary"
        )


def _check_bytes(size: int, what: str) -> None:
    if size > MAX_BYTES:
        raise ValueError(
            f"{what} has {size / 2**30:.1f} GiB of pixels, more than the "
            f"{MAX_BYTES / 2**30:g} GiB that are held in memory; give fewer or smaller images"
        )


def _too_large(file: Path, size: str) -> str:
    return f"{file} has {size} pixels, more than {MAX_PIXELS} in all; crop or scale it"


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{file} cannot be read as a PNG or JPEG image ({reason(error)}); replace or remove it"
    )
