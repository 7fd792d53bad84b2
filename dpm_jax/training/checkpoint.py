"""Checkpoints: orbax's CheckpointManager, and what to do when a file or the disk fails."""

import json
import logging
import zlib
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from dpm_jax.errors import TrainingStopped, reason
from dpm_jax.training.folder import write_whole
from dpm_jax.training.state import TrainState

KEPT = 3
SEAL = "checksums.json"  # ours: orbax meets damage in many threads, one traceback each

log = logging.getLogger(__name__)


class OtherModelError(Exception):
    """A whole checkpoint, but of other parameters than those that are asked for."""


class Checkpoints:
    """The newest few states of a run, each saved whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, create=True, enable_async_checkpointing=False
        )
        self._manager = ocp.CheckpointManager(self._directory, options=options)

    @property
    def last_step(self) -> int | None:
        """The step of the newest checkpoint."""
        step: int | None = self._manager.latest_step()
        return step

    def save(self, state: TrainState, seconds: float) -> None:
        """Save the state and the training time so far; returns when it is on disk.

        Raises:
            TrainingStopped: if it could not be written, naming the last good checkpoint.
        """
        step, good = int(state.step), self.last_step
        items = ocp.args.Composite(
            state=ocp.args.StandardSave(state), clock=ocp.args.JsonSave({"seconds": seconds})
        )
        try:
            self._manager.save(step, args=items)
            directory = self._directory / str(step)
            write_whole(directory / SEAL, json.dumps(_checksums(directory)))
        except Exception as error:  # orbax reports a full disk in several types
            raise TrainingStopped(
                f"the checkpoint of step {step} could not be written ({reason(error)}); "
                f"last good checkpoint: {describe(good)}"
            ) from error

    def restore(self, like: TrainState) -> tuple[TrainState, float] | None:
        """The newest state that can be read, and its training seconds; None without any.

        A checkpoint that cannot be read is moved aside, never deleted, and said so.

        Raises:
            ValueError: if the checkpoints are of another model; they stay where they are.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract), clock=ocp.args.JsonRestore()
        )
        steps = sorted(self._manager.all_steps(), reverse=True)
        for step in steps:
            try:
                _check_seal(self._directory / str(step))
                _check_model(self._directory / str(step) / "state", like)
                restored = self._manager.restore(step, args=items)
                return restored.state, float(restored.clock["seconds"])
            except OtherModelError as error:
                raise ValueError(f"{self._directory.parent}: {error}") from None
            except Exception as error:  # a truncated file shows as almost any type
                aside = self._set_aside(step)
                log.warning(
                    "the checkpoint of step %d cannot be read (%s); moved to %s, trying the next",
                    step,
                    reason(error),
                    aside,
                )
        if steps:
            log.warning("no checkpoint is left; starting at step 0")
        return None

    def close(self) -> None:
        """Release orbax's threads."""
        self._manager.close()

    def _set_aside(self, step: int) -> Path:
        graveyard = self._directory.parent / "unreadable_checkpoints"
        graveyard.mkdir(exist_ok=True)
        target = graveyard / str(step)
        copies = 1
        while target.exists():
            copies += 1
            target = graveyard / f"{step}.{copies}"
        (self._directory / str(step)).rename(target)
        self._manager.reload()
        return target


def describe(step: int | None) -> str:
    """A checkpoint's name for a message."""
    return "none" if step is None else f"step {step}"


def _checksums(directory: Path) -> dict[str, int]:
    files = (p for p in directory.rglob("*") if p.is_file() and p.name != SEAL)
    return {str(p.relative_to(directory)): zlib.crc32(p.read_bytes()) for p in files}


def _check_seal(directory: Path) -> None:
    # Without a seal the run was killed while writing it: orbax had declared the rest whole.
    if not (directory / SEAL).exists():
        return
    found = _checksums(directory)
    for name, checksum in json.loads((directory / SEAL).read_text()).items():
        if found.get(name) != checksum:
            raise OSError(f"{name} is damaged")


def _check_model(directory: Path, like: TrainState) -> None:
    saved = dict(ocp.PyTreeCheckpointHandler().metadata(directory))
    found, wanted = (_shapes(tree) for tree in (saved["params"], like.params))
    for name in sorted(found.keys() | wanted.keys()):
        if found.get(name) != wanted.get(name):
            raise OtherModelError(
                f"its checkpoints are of another model: {name} has shape "
                f"{found.get(name, 'none')}, not {wanted.get(name, 'none')}"
            )


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path): tuple(leaf.shape) for path, leaf in leaves}
