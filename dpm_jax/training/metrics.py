"""metrics.jsonl: one JSON object per dispatch, on disk before the checkpoint of its step.

Wall-clock numbers stay out of it, so that an interrupted and resumed run leaves the same
bytes as an unbroken one.
"""

import contextlib
import importlib.util
import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from dpm_jax import files
from dpm_jax.training.folder import spare, write_whole

MOST = 1 << 28  # bytes of a file: more than a million records
LONGEST = 1 << 20  # bytes of a line: no record comes near
LARGEST = 2.0**128  # no float32 reaches it

Record = dict[str, int | float]

log = logging.getLogger(__name__)


def read(path: Path, *finite: str) -> list[Record]:
    """The whole records of a metrics file that hold finite numbers under the names ``finite``.

    Lines that are no records, cut short by a crash or damaged, are passed over.

    Raises:
        OSError: if it is no regular file, larger than ``MOST``, or cannot be read.
    """
    records = [record for line in _lines(path) if (record := _parse(line)) is not None]
    return [r for r in records if all(math.isfinite(r.get(name, math.nan)) for name in finite)]


def require_tensorboard() -> None:
    """Raise ValueError unless TensorBoard's writer is installed."""
    if importlib.util.find_spec("tensorboardX") is None:
        raise ValueError(
            "tensorboard needs the package tensorboardX: pip install 'dpm_jax[tensorboard]'"
        )


def add_pictures(board: Path, pictures: Mapping[str, np.ndarray], *, step: int) -> None:
    """Add pictures [height, width, 3], uint8, to TensorBoard's directory."""
    from tensorboardX import SummaryWriter

    with SummaryWriter(str(board)) as writer:
        for name, picture in pictures.items():
            writer.add_image(name, picture, step, dataformats="HWC")


class MetricsWriter:
    """Appends records to ``metrics.jsonl``, and to TensorBoard if asked.

    Records after step ``after`` are dropped first: a resumed run writes them again. If lines are
    damaged, the file as it was is kept aside, and said so.

    Raises:
        OSError: as in ``read``, or if the disk refuses.
    """

    def __init__(self, path: Path, *, after: int, tensorboard: Path | None = None) -> None:
        lines = _lines(path)
        records = [_parse(line) for line in lines]
        if damaged := records.count(None):
            _keep_aside(path, damaged)
        kept = (a for a, b in zip(lines, records, strict=True) if b and b["step"] <= after)
        write_whole(path, b"".join(line + b"\n" for line in kept))
        self._file: TextIO = path.open("a")
        self._board: Any = None
        if tensorboard is not None:
            from tensorboardX import SummaryWriter

            self._board = SummaryWriter(str(tensorboard), purge_step=after + 1)

    def write(self, record: Record) -> None:
        """Append one record, which holds the key "step"."""
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        if self._board is not None:
            for name, value in record.items():
                self._board.add_scalar(name, value, int(record["step"]))

    def close(self) -> None:
        """Close both."""
        with contextlib.suppress(OSError):  # of a record whose ``write`` has raised already
            self._file.close()
        if self._board is not None:
            self._board.close()


def _lines(path: Path) -> list[bytes]:
    """The lines of a file, but for a record at its end that a kill cut short."""
    if not path.exists():
        return []
    if files.regular_size(path) > MOST:
        raise OSError(f"larger than {MOST} bytes")
    *lines, rest = path.read_bytes().split(b"\n")
    start = b'{"step": '
    cut = start.startswith(rest[: len(start)]) and b"}" not in rest
    return lines if cut else [*lines, rest]


def _parse(line: bytes) -> Record | None:
    """The record in a line, if it is one."""
    try:
        record = json.loads(line.decode()) if len(line) <= LONGEST else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not all(map(_is_number, record.values())):
        return None
    step = record.get("step")
    return record if isinstance(step, int) and 0 <= step < 2**31 else None


def _is_number(value: Any) -> bool:
    # What is measured may be infinite or no number at all, but not out of range.
    if isinstance(value, float) and not math.isfinite(value):
        return True
    return type(value) in (int, float) and abs(value) < LARGEST


def _keep_aside(path: Path, damaged: int) -> None:
    """Copied, not moved: whoever is killed here finds both."""
    graveyard = path.parent / "unreadable_metrics"
    graveyard.mkdir(exist_ok=True)
    aside = spare(graveyard / path.name)
    write_whole(aside, path.read_bytes())
    what = "1 line is no record" if damaged == 1 else f"{damaged} lines are no records"
    log.warning("%s: %s, left out; the file as it was is kept as %s", path, what, aside)
