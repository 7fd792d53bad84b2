"""What ``--overwrite`` removes of a run's folder: all that a run makes, or nothing at all."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

FOLDERS = (
    "checkpoints",
    "unreadable_checkpoints",
    "unreadable_metrics",
    "tensorboard",
    "figures",
    "evaluation",
)
FILES = (
    "config.tmp",
    "metrics.jsonl",
    "metrics.tmp",
    "result.json",
    "result.tmp",
    "model.npz",
    "model.tmp",
    "samples.npz",
    "samples.tmp",
    "config.json",  # last: a crash while clearing still leaves a run's folder
)


def check_clearable(path: Path) -> None:
    """Look, but touch nothing.

    Raises:
        ValueError: naming the entry that is not what a run makes (a link, a mount), or the folder
            in which nothing may be removed.
    """
    for name in (*FOLDERS, *FILES):
        entry = path / name
        plain = entry.is_dir() and not entry.is_mount() if name in FOLDERS else entry.is_file()
        if os.path.lexists(entry) and (entry.is_symlink() or not plain):
            raise ValueError(
                f"{entry} is not a plain {'folder' if name in FOLDERS else 'file'}, so --overwrite "
                "does not clear it; move it away, or use another --workdir"
            )
    for folder in _folders(path):
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise ValueError(
                f"workdir {path} cannot be cleared: {folder} may not be written; "
                "use another --workdir"
            )


def clear(path: Path) -> None:
    """Remove what a run makes; a person's own files beside it stay."""
    for name in FOLDERS:
        if (path / name).exists():
            shutil.rmtree(path / name)  # which refuses a link, and follows none inside
    for name in FILES:
        (path / name).unlink(missing_ok=True)


def _folders(path: Path) -> Iterator[Path]:
    yield path
    for name in FOLDERS:
        if (path / name).exists():
            yield path / name
        for root, inner, _ in os.walk(path / name):
            yield from (p for p in (Path(root, name) for name in inner) if not p.is_symlink())
