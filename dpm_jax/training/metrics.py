"""metrics.jsonl: one JSON object per dispatch, on disk before the checkpoint of its step.

Wall-clock numbers stay out of it, so that an interrupted and resumed run leaves the same
bytes as an unbroken one.
"""

import json
from pathlib import Path
from typing import Any, TextIO

Record = dict[str, float]


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


def rewind(path: Path, step: int) -> None:
    """Drop the records after ``step``: what a resumed run will write again."""
    kept = [record for record in read(path) if record["step"] <= step]
    scratch = path.with_suffix(".tmp")
    scratch.write_text("".join(_line(record) for record in kept))
    scratch.replace(path)  # atomic: never half a file


class MetricsWriter:
    """Appends records to ``metrics.jsonl``, and to TensorBoard if asked."""

    def __init__(self, path: Path, *, tensorboard: Path | None = None) -> None:
        self._file: TextIO = path.open("a")
        self._board: Any = None
        if tensorboard is not None:
            self._board = _summary_writer(tensorboard)

    def write(self, record: Record) -> None:
        """Append one record, which holds the key "step"."""
        self._file.write(_line(record))
        self._file.flush()
        if self._board is not None:
            for name, value in record.items():
                self._board.add_scalar(name, value, int(record["step"]))

    def close(self) -> None:
        """Flush and close."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"


def _summary_writer(directory: Path) -> Any:
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        raise ValueError(
            "tensorboard needs the package tensorboardX: pip install 'dpm_jax[tensorboard]'"
        ) from None
    return SummaryWriter(str(directory))
