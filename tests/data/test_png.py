"""A PNG must hold all of its rows, whatever its kind of pixels, interlaced or not."""

import io
import itertools
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from PIL import Image
from refusals import refusal

from dpm_jax.data import prepared
from dpm_jax.data.image_files import read
from dpm_jax.data.png import CHANNELS, PASSES, check_rows

KINDS = [(1, 0), (2, 0), (4, 0), (8, 0), (8, 2), (1, 3), (4, 3), (8, 3), (8, 4), (8, 6), (16, 2)]
SIZES = [(1, 1), (5, 1), (1, 5), (3, 9), (8, 8), (17, 6)]


def chunk(kind: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum


def rows(width, height, depth, colour, interlaced) -> bytes:
    """The inflated image data of a random image."""
    rng = np.random.default_rng(0)
    data = b""
    for top, left, down, right in PASSES if interlaced else [(0, 0, 1, 1)]:
        columns = len(range(left, width, right))
        for _ in range(top, height, down) if columns else ():
            data += b"\0" + rng.bytes((columns * depth * CHANNELS[colour] + 7) // 8)
    return data


def png(data: bytes, width, height, depth, colour, interlaced, pieces=1) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    chunks = [chunk(b"IHDR", header), chunk(b"PLTE", bytes(range(256)) * 3)]
    packed = zlib.compress(data)
    cuts = np.linspace(0, len(packed), pieces + 1).astype(int)
    chunks += [chunk(b"IDAT", packed[a:b]) for a, b in itertools.pairwise(cuts)]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*chunks, chunk(b"IEND", b"")])


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize(("depth", "colour"), KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_all_bytes_of_all_rows_must_be_there(size, depth, colour, interlaced):
    kind = (*size, depth, colour, interlaced)
    whole = rows(*kind)
    for pieces in (1, 3):
        file = io.BytesIO(png(whole, *kind, pieces=pieces))
        Image.open(file).load()  # as Pillow sees it too, it is whole
        check_rows(file)
    with pytest.raises(OSError, match="image data end before the last row"):
        check_rows(io.BytesIO(png(whole[:-1], *kind)))


@pytest.mark.parametrize("interlaced", [0, 1])
def test_a_file_with_too_few_rows_is_named(tmp_path, interlaced):
    kind = (8, 6, 8, 2, interlaced)
    whole = rows(*kind)
    (tmp_path / "a.png").write_bytes(png(whole, *kind))
    assert read(tmp_path)[0].shape == (6, 8, 3)
    (tmp_path / "a.png").write_bytes(png(whole[: len(whole) // 2], *kind))
    message = refusal(read, tmp_path)
    assert "a.png cannot be read as a PNG, JPEG or WebP image (image data end before the" in message


def test_a_prepared_image_must_have_all_rows_too():
    kind = (28, 28, 8, 0, 0)
    whole = rows(*kind)
    assert prepared._decode(png(whole, *kind)).shape == (28, 28, 1)
    with pytest.raises(OSError, match="before the last row"):
        prepared._decode(png(whole[:-1], *kind))


def test_rows_that_take_few_bytes_are_all_counted():
    kind = (1000, 3000, 8, 0, 0)
    check_rows(io.BytesIO(png(bytes(3000 * 1001), *kind)))
    with pytest.raises(OSError, match="before the last row"):
        check_rows(io.BytesIO(png(bytes(3000 * 1001 - 1), *kind)))


def test_image_data_are_inflated_only_as_far_as_rows_go():
    bomb = png(bytes(2**28), 4, 4, 8, 0, 0)
    assert len(bomb) < 2**19
    tracemalloc.start()
    check_rows(io.BytesIO(bomb))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**22
