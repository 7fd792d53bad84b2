"""Whether a PNG holds all of its rows: Pillow takes fewer, and fills the rest with zeros."""

import struct
import zlib
from collections.abc import Iterator
from io import BufferedIOBase

SIGNATURE = 8  # bytes before the first chunk
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by the header's type of colour
# The passes of an interlaced image (Adam7): first row and column, and how far the next ones are.
PASSES = (
    (0, 0, 8, 8),
    (0, 4, 8, 8),
    (4, 0, 8, 4),
    (0, 2, 4, 4),
    (2, 0, 4, 2),
    (0, 1, 2, 2),
    (1, 0, 2, 1),
)
PIECE = 2**20  # bytes inflated at once: few bytes may become very many


def check_rows(file: BufferedIOBase) -> None:
    """Raise OSError if the image data of a PNG whose chunks are sound end before its last row."""
    file.seek(SIGNATURE)
    chunks = _chunks(file)
    wanted = _bytes_of_rows(next(chunks)[1])
    stream = zlib.decompressobj()
    for kind, body in chunks:
        while kind == b"IDAT" and body and wanted > 0:
            wanted -= len(stream.decompress(body, PIECE))
            body = stream.unconsumed_tail
    if wanted > 0:
        raise OSError("image data end before the last row")


def _chunks(file: BufferedIOBase) -> Iterator[tuple[bytes, bytes]]:
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        yield kind, file.read(length)
        file.seek(4, 1)  # the checksum


def _bytes_of_rows(header: bytes) -> int:
    """How many bytes the rows of an image are, each with one for its filter."""
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header[:13])
    total = 0
    for top, left, down, right in PASSES if interlaced else ((0, 0, 1, 1),):
        rows, columns = len(range(top, height, down)), len(range(left, width, right))
        if columns:
            total += rows * (1 + (columns * depth * CHANNELS[colour] + 7) // 8)
    return total
