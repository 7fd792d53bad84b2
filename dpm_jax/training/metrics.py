"""metrics.jsonl: one JSON object per dispatch, on disk before the checkpoint of its step.

Wall-clock numbers stay out of it, so that an interrupted and resumed run leaves the same
bytes as an unbroken one.
"""

import contextlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from dpm_jax.training.folder import write_whole

Record = dict[str, int | float]


def read(path: Path) -> list[Record]:
    """All whole records of a metrics file; a line that a crash cut short is left out."""
    if not path.exists():
        return []
    records = []
    for line in path.read_text().splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return records


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

    Records after step ``after`` are dropped first: a resumed run writes them again.
    """

    def __init__(self, path: Path, *, after: int, tensorboard: Path | None = None) -> None:
        kept = [record for record in read(path) if record["step"] <= after]
        write_whole(path, "".join(map(_line, kept)))
        self._file: TextIO = path.open("a")
        self._board: Any = None
        if tensorboard is not None:
            from tensorboardX import SummaryWriter

            self._board = SummaryWriter(str(tensorboard), purge_step=after + 1)

    def write(self, record: Record) -> None:
        """Append one record, which holds the key "step"."""
        self._file.write(_line(record))
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


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"
