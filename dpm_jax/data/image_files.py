"""Images of any folder or array, read and checked.

Everything is found, nothing is configured: size, channels and type come from the files. What
cannot be data (corrupt, mixed, constant, not finite) is refused by name, and headers are looked
at before anything is decoded.
"""

import math
import os
import warnings
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
from PIL import Image, ImageOps
from tqdm.auto import tqdm

from dpm_jax.data import arrays, png
from dpm_jax.data.dataset import Pixels, check_bytes, check_varied
from dpm_jax.errors import reason

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")
PHOTOS = ("JPEG", "WEBP")  # formats of cameras, which turn an image by its EXIF alone
MAX_PIXELS = 2**26  # of one image: 8192 x 8192
GREY_MODES = ("1", "L", "LA", "La")
WIDE_MODES = ("I", "F")  # and all that begin with "I;": 16 bits or more a channel
ORIENTATION = 0x0112  # EXIF tag; 5 to 8 lie on a side
# Of Pillow's filters the one that lets the least of the finest detail fold into coarser detail
# when an image shrinks (the kernel widens with it), and that blurs least. A mean over boxes
# weighs whole pixels, so it is uneven unless the ratio is a whole number.
FILTER = Image.Resampling.LANCZOS


class Square(NamedTuple):
    """The centre of an image, as it is or scaled."""

    side: int
    scaled: bool


class Header(NamedTuple):
    """What an image file says of itself before it is decoded."""

    height: int
    width: int
    channels: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {'grey' if self.channels == 1 else 'colour'}"


def read(
    path: Path, *, any_size: bool = False, resize: int | None = None, crop: int | None = None
) -> Pixels:
    """All images at a path, [height, width, channels] each, uint8 or float32.

    A folder and its subfolders hold PNG, JPEG and WebP images, taken in the order of their
    paths; hidden and other files, hidden folders and links to folders are passed over. A file
    is one image, or an array as in ``arrays.read``.

    Grey images have one channel, colour and palette images three (WebP has no grey).
    Transparency is dropped, and a JPEG or WebP photo is turned upright as its EXIF says.

    Args:
        path: a folder or a file.
        any_size: whether sizes may differ.
        resize: side of the squares that the images are made: scaled so that the shorter side
            is this, then cut to the centre.
        crop: side of the squares that are cut from the centres of the images as they are.

    Raises:
        ValueError: naming the file, if there is nothing to read, or a file is corrupt,
            truncated, too large, of more than 8 bits a channel, unlike the others, smaller than
            ``crop``, or an array that ``arrays.read`` refuses or that would be resized; if all
            pixels are equal; or if ``resize`` and ``crop`` are both given, or less than 2.
    """
    square = _square(resize, crop)
    if not path.exists():
        raise ValueError(f"{path} does not exist; give a folder of images or a .npy array")
    if not (path.is_dir() or path.is_file()):
        # Not even opened: a pipe without a writer would wait for ever.
        raise ValueError(f"{path} is a pipe, a socket or a device; give a folder or a plain file")
    if path.suffix.lower() in arrays.SUFFIXES and path.is_file():
        if square is not None:
            raise ValueError(
                f"{'resize' if square.scaled else 'crop'} is {square.side}, but {path} is an "
                "array, and only image files are cut to size; save it in the size that you want"
            )
        pixels: Pixels = arrays.read(path)
    else:
        pixels = _read_files(path, any_size, square)
    check_varied(pixels, str(path))
    return pixels


def decode(image: Image.Image) -> np.ndarray:
    """The pixels of an opened image, uint8 [height, width, channels].

    Raises:
        OSError: from Pillow, if the image is truncated or broken.
    """
    return _array(_in_kind(image))


def _square(resize: int | None, crop: int | None) -> Square | None:
    if resize is not None and crop is not None:
        raise ValueError(f"resize is {resize} and crop is {crop}; give one of them")
    for name, side in (("resize", resize), ("crop", crop)):
        if side is not None and side < 2:
            raise ValueError(f"{name} must be at least 2, got {side}")
    side = crop if resize is None else resize
    return None if side is None else Square(side, scaled=crop is None)


def _image_files(path: Path) -> list[Path]:
    if path.is_file():
        if path.suffix.lower() not in SUFFIXES:
            raise ValueError(
                f"{path} is not a PNG, JPEG or WebP image, a .npy or .npz array, or a folder; "
                "give one"
            )
        return [path]
    files = []
    # Not Path.rglob: it looks into hidden folders, and says nothing of those it cannot read.
    for folder, inner, names in os.walk(path, onerror=_unreadable_folder):
        inner[:] = [name for name in inner if name[0] != "."]
        entries = [Path(folder, name) for name in names if name[0] != "."]
        files += [e for e in entries if e.suffix.lower() in SUFFIXES and e.is_file()]
    if not files:
        raise ValueError(
            f"folder {path} holds no images; put PNG, JPEG or WebP files into it or its "
            "subfolders (links to folders are not followed)"
        )
    return sorted(files)


def _read_files(path: Path, any_size: bool, square: Square | None) -> Pixels:
    # All headers first: a folder that cannot be used is refused before the first is decoded.
    files = _image_files(path)
    bar = tqdm(files, desc="headers", unit=" images", leave=False, disable=None)
    headers = {file: _cut_header(file, _header(file), square) for file in bar}
    _check_alike(headers, any_size)
    check_bytes(sum(math.prod(header) for header in headers.values()), str(path))
    bar = tqdm(files, desc="decoding", unit=" images", leave=False, disable=None)
    return [_read_image(file, square) for file in bar]


def _check_alike(headers: dict[Path, Header], any_size: bool) -> None:
    first, wanted = next(iter(headers.items()))
    for file, header in headers.items():
        alike = header.channels == wanted.channels
        if not alike or not (any_size or header == wanted):
            remedy = "use --resize, --crop or --patch" if alike else "convert them"
            raise ValueError(
                f"images must have one {'kind' if any_size else 'size and one kind'}, but {first} "
                f"is {wanted} and {file} is {header}; {remedy}"
            )


def _header(file: Path) -> Header:
    try:
        with warnings.catch_warnings():
            # Pillow warns of large images from 89 million pixels on; ours is the lower limit.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with file.open("rb") as opened, Image.open(opened, formats=FORMATS) as image:
                width, height = image.size
                wide = image.mode in WIDE_MODES or image.mode.startswith("I;")
                # Pillow cuts 16-bit colours to 8 bits silently: only its raw mode tells.
                wide = wide or any("16" in str(tile[3]) for tile in image.tile)
                channels = 1 if image.mode in GREY_MODES else 3
                if width * height <= MAX_PIXELS:
                    image.verify()  # the checksums of a PNG, which decoding ignores
                    if image.format == "PNG":
                        png.check_rows(opened)
                if image.format in PHOTOS and image.getexif().get(ORIENTATION, 1) >= 5:
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


def _cut_header(file: Path, header: Header, square: Square | None) -> Header:
    if square is None:
        return header
    if not square.scaled and square.side > min(header.height, header.width):
        raise ValueError(
            f"crop is {square.side}, but {file} is only {header}; "
            f"use at most {min(header.height, header.width)}, or --resize"
        )
    return Header(square.side, square.side, header.channels)


def _read_image(file: Path, square: Square | None) -> np.ndarray:
    try:
        with Image.open(file, formats=FORMATS) as opened:
            image = ImageOps.exif_transpose(opened) if opened.format in PHOTOS else opened
            # Palettes cannot be mixed, and transparency would be: first the kind, then the size.
            image = _in_kind(image)
            return _array(image if square is None else _cut(image, square))
    except Exception as error:  # as above
        raise _unreadable(file, error) from None


def _in_kind(image: Image.Image) -> Image.Image:
    mode = "L" if image.mode in GREY_MODES else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _cut(image: Image.Image, square: Square) -> Image.Image:
    side = min(image.size) if square.scaled else square.side
    left, top = (image.width - side) // 2, (image.height - side) // 2
    box = (left, top, left + side, top + side)
    if not square.scaled:
        return image.crop(box)
    # Cut and scaled at once: scaled whole, a panorama could take any amount of memory.
    return image.resize((square.side, square.side), FILTER, box)


def _array(image: Image.Image) -> np.ndarray:
    array = np.asarray(image)
    return array if array.ndim == 3 else array[..., None]


def _too_large(file: Path, size: str) -> str:
    return f"{file} has {size} pixels, more than {MAX_PIXELS} in all; crop or scale it"


def _unreadable(file: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{file} cannot be read as a PNG, JPEG or WebP image ({reason(error)}); "
        "replace or remove it"
    )


def _unreadable_folder(error: OSError) -> NoReturn:
    raise ValueError(f"folder {error.filename} cannot be read: {reason(error)}") from None
