"""Arrays as text for a page: 16-bit steps between the least and the largest value, or PNG.

Frames that are equal are kept once: ``index`` has the number of the kept row for each setting.
"""

import struct
import zlib
from base64 import b64decode, b64encode
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8

LEVELS = 65535
DIGITS = 4  # of a number beside a picture
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

Packed = dict[str, Any]


def curves(y: Float[np.ndarray, "*axes n"]) -> Packed:
    """Rows of y as little-endian unsigned 16-bit steps; ``unpacked`` is the way back.

    Raises:
        ValueError: if a value is not finite.
    """
    if not np.isfinite(y).all():
        raise ValueError(f"y must be finite, got {y[~np.isfinite(y)][0]}")
    lo, hi = float(y.min()), float(y.max())
    steps = np.rint((y - lo) * (LEVELS / (hi - lo or 1.0))).astype("<u2")
    rows, index = np.unique(steps.reshape(-1, y.shape[-1]), axis=0, return_inverse=True)
    data = b64encode(rows.tobytes()).decode()
    return {"lo": lo, "hi": hi, "n": y.shape[-1], "index": index.ravel().tolist(), "data": data}


def unpacked(packed: Packed) -> Float[np.ndarray, "frames n"]:
    """The curves of all frames, as a page draws them."""
    steps = np.frombuffer(b64decode(packed["data"]), "<u2").reshape(-1, packed["n"])
    values = packed["lo"] + (packed["hi"] - packed["lo"]) / LEVELS * steps
    return values[packed["index"]]


def pictures(values: Float[np.ndarray, "*axes rows columns"]) -> Packed:
    """Frames as grey PNG files, the first row lowest; 0 is white, a frame's largest value black."""
    frames = values.reshape(-1, *values.shape[-2:])
    files: dict[str, int] = {}
    index = [files.setdefault(b64encode(png(shades(f))).decode(), len(files)) for f in frames]
    return {"index": index, "files": list(files)}


def shades(values: Float[np.ndarray, "rows columns"]) -> UInt8[np.ndarray, "rows columns"]:
    """As a page shows them: top row first."""
    return np.rint(255 * (1 - values[::-1] / values.max())).astype(np.uint8)


def png(grey: UInt8[np.ndarray, "rows columns"]) -> bytes:
    """An 8-bit grey PNG file."""
    rows, columns = grey.shape
    body = b"".join(b"\0" + row.tobytes() for row in grey)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(body, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def number(value: float) -> str:
    """As it stands beside a picture."""
    if value == 0 or abs(value) < 1e-12:  # below what sums in float64 keep
        return "0"
    text = f"{value:.{DIGITS}g}"
    mantissa, _, exponent = text.partition("e")
    return f"{mantissa}·10{str(int(exponent)).translate(RAISED)}" if exponent else text
