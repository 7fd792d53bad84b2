"""Checkpoints: orbax's CheckpointManager, and what to do when a file or the disk fails."""

import json
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp

from dpm_jax import files, hosts
from dpm_jax.errors import TrainingStopped, reason
from dpm_jax.training.folder import spare, write_whole
from dpm_jax.training.state import TrainState

KEPT = 3
SEAL = "checksums.json"  # ours: orbax meets damage in many threads, one traceback each

log = logging.getLogger(__name__)


class OtherModelError(Exception):
    """A whole checkpoint, but of other parameters than those that are asked for."""


class Checkpoints:
    """The newest few states of a run, each saved whole or not at all, by all hosts together.

    They can be restored on any number of devices and hosts that share the folder.

    Raises:
        TrainingStopped: if orbax cannot even list them.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        options = ocp.CheckpointManagerOptions(
            max_to_keep=KEPT, create=True, enable_async_checkpointing=False
        )
        try:
            self._manager = ocp.CheckpointManager(self._directory, options=options)
        except OSError:
            raise
        except Exception as error:  # what each says of itself is read, but not checked
            raise TrainingStopped(
                f"the checkpoints in {self._directory} cannot be read ({reason(error)}); move the "
                "newest one away, or start anew with --overwrite"
            ) from None

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
            if hosts.first():
                directory = self._directory / str(step)
                write_whole(directory / SEAL, json.dumps(_checksums(directory)))
        except Exception as error:  # orbax reports a full disk in several types
            raise TrainingStopped(
                f"the checkpoint of step {step} could not be written ({reason(error)}); "
                f"last good checkpoint: {describe(good)}"
            ) from error

    def restore(self, like: TrainState) -> tuple[TrainState, float] | None:
        """The newest state that can be read, and its training seconds; None without checkpoints.

        Newer ones that cannot be read are moved aside, never deleted, and said so.

        Raises:
            TrainingStopped: if none can be read, or they are of another model: nothing is moved.
        """
        unreadable: dict[int, str] = {}
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                restored = self._read(step, like)
            except OtherModelError as error:
                raise TrainingStopped(f"{self._directory.parent}: {error}") from None
            except Exception as error:  # a truncated file shows as almost any type
                unreadable[step] = reason(error)
            else:
                self._set_aside(unreadable, good=step)
                return restored
        if unreadable:
            # Hours of training may be at stake: to start anew is for a person to say.
            whys = "; ".join(f"step {step}: {why}" for step, why in unreadable.items())
            raise TrainingStopped(
                f"none of the checkpoints in {self._directory} can be read ({whys}); "
                "put a copy of one back, or start anew with --overwrite"
            )
        return None

    def close(self) -> None:
        """Release orbax's threads."""
        self._manager.close()

    def _read(self, step: int, like: TrainState) -> tuple[TrainState, float]:
        directory = self._directory / str(step)
        _check_seal(directory)
        _check_model(directory / "state", like)
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract), clock=ocp.args.JsonRestore()
        )
        restored = self._manager.restore(step, args=items)
        if restored.state.step != step:
            raise OSError(f"it is the checkpoint of step {restored.state.step}")
        return restored.state, float(restored.clock["seconds"])

    def _set_aside(self, unreadable: Mapping[int, str], good: int) -> None:
        graveyard = self._directory.parent / "unreadable_checkpoints"
        try:
            for step, why in unreadable.items():
                if not hosts.first():
                    continue
                graveyard.mkdir(exist_ok=True)
                aside = (self._directory / str(step)).rename(spare(graveyard / str(step)))
                log.warning(
                    "the checkpoint of step %d cannot be read (%s); moved to %s, going on from %s",
                    *(step, why, aside, describe(good)),
                )
            hosts.tell("")  # the others wait until all is moved
            self._manager.reload()
        except OSError as error:
            raise TrainingStopped(
                f"unreadable checkpoints could not be moved to {graveyard} ({reason(error)}); "
                f"last good checkpoint: {describe(good)}"
            ) from error


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
    seal = _read_seal(directory / SEAL)
    if not seal:
        log.warning("the checkpoint of step %s is unverified: %s is damaged", directory.name, SEAL)
    found = _checksums(directory)
    for name, checksum in seal.items():
        if found.get(name) != checksum:
            raise OSError(f"{name} is damaged")


def _read_seal(path: Path) -> dict[str, int]:
    """The checksum of every file, by its path; empty if the seal is damaged itself."""
    try:
        seal = files.read_object(path)
    except (OSError, ValueError):
        return {}
    return seal if all(type(checksum) is int for checksum in seal.values()) else {}


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
