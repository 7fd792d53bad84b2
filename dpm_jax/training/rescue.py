"""When a run's folder goes away under it: what it still holds goes into a new one beside it."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from dpm_jax import hosts
from dpm_jax.errors import TrainingStopped, reason
from dpm_jax.training.folder import RunFolder, make_numbered, open_folder

T = TypeVar("T")


def write_or_rescue(
    folder: RunFolder,
    write: Callable[[RunFolder], T],
    rescue: Callable[[RunFolder], object],
    said: str,
) -> T:
    """``write(folder)``; but if that is no longer the run's, ``rescue(another)`` and stop.

    A folder that a person has deleted is not made again: the other one is new, beside it, and has
    the run's ``config.json``. ``said`` tells, with {} for its path, what it holds. Several hosts
    write together, or stop together and rescue nothing.

    Raises:
        TrainingStopped: if the folder was deleted, renamed or replaced; saying ``said``.
    """
    if hosts.several():
        if hosts.any_of(hosts.first() and not folder.is_ours()):
            raise TrainingStopped(_gone(folder))
        return write(folder)
    if folder.is_ours():
        try:
            written = write(folder)
        except (OSError, TrainingStopped):
            if folder.is_ours():
                raise
        else:
            if folder.is_ours():
                return written
    raise _rescued(folder, rescue, said)


def _rescued(
    folder: RunFolder, rescue: Callable[[RunFolder], object], said: str
) -> TrainingStopped:
    gone = _gone(folder)
    try:
        path = make_numbered(lambda number: _beside(folder, number))
        another = open_folder(path, json.loads(folder.content), resume=False, overwrite=False)
        try:
            rescue(another)
        finally:
            another.close()
    except (OSError, ValueError, TrainingStopped) as error:
        return TrainingStopped(
            f"{gone}, and what it still held could not be saved ({reason(error)})"
        )
    return TrainingStopped(f"{gone}; {said.format(shlex.quote(str(path)))}")


def _gone(folder: RunFolder) -> str:
    return f"workdir {folder.path} was deleted, renamed or replaced while its run went on"


def _beside(folder: RunFolder, number: int) -> Path:
    assert folder.lock is not None, "opened to be written into"
    home = folder.lock.folder
    place = next(parent for parent in home.parents if parent.is_dir())
    return place / f"{home.name}.rescued{'' if number == 1 else f'.{number}'}"
