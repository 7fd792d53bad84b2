"""Checkpoints: orbax's CheckpointManager, and what to do when a file or the disk fails."""

import logging
from pathlib import Path

import jax
import orbax.checkpoint as ocp

from dpm_jax.training.errors import TrainingStopped
from dpm_jax.training.state import TrainState

KEPT = 3
log = logging.getLogger(__name__)


class Checkpoints:
    """The newest few states of a run, each saved whole or not at all."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory.absolute()
        options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, create=True)
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
            self._manager.wait_until_finished()
        except Exception as error:  # orbax reports a full disk in several types
            raise TrainingStopped(
                f"the checkpoint of step {step} could not be written ({_first_line(error)}); "
                f"last good checkpoint: {describe(good)}"
            ) from error

    def restore(self, like: TrainState) -> tuple[TrainState, float] | None:
        """The newest state that can be read, and its training seconds; None without any.

        A checkpoint that cannot be read is moved aside, never deleted, and said so.
        """
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, like)
        items = ocp.args.Composite(
            state=ocp.args.StandardRestore(abstract), clock=ocp.args.JsonRestore()
        )
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                restored = self._manager.restore(step, args=items)
                return restored.state, float(restored.clock["seconds"])
            except Exception as error:  # a truncated file shows as almost any type
                aside = self._set_aside(step)
                log.warning(
                    "the checkpoint of step %d cannot be read (%s); moved to %s, trying the next",
                    step,
                    _first_line(error),
                    aside,
                )
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
