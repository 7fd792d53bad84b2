"""What a run leaves on disk while it trains: metrics and checkpoints, in that order."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

from dpm_jax import hosts
from dpm_jax.errors import TrainingStopped, reason
from dpm_jax.training.checkpoint import Checkpoints, describe
from dpm_jax.training.folder import RunFolder, write_whole
from dpm_jax.training.metrics import MetricsWriter, Record, require_tensorboard
from dpm_jax.training.rescue import write_or_rescue
from dpm_jax.training.state import TrainState


class Journal:
    """Metrics and checkpoints of one run folder; ``restore`` opens it.

    Of several hosts the first writes the metrics, and all a checkpoint together.

    Raises:
        ValueError: if TensorBoard is asked for and its writer is not installed.
        TrainingStopped: from ``restore``, ``write`` and ``save``, if the disk refuses; from
            ``restore`` also if there are checkpoints, but none can be restored; from ``save``
            also if the folder is gone.
    """

    def __init__(self, folder: RunFolder, *, tensorboard: bool = False) -> None:
        if tensorboard:
            require_tensorboard()
        self._folder = folder
        self._path = folder.metrics
        self._board = folder.tensorboard if tensorboard else None
        self._writer: MetricsWriter | None = None
        self._written: TextIO | None = None  # held open: it can be read when its name is gone
        self.checkpoints = Checkpoints(folder.checkpoints)

    def restore(self, start: TrainState) -> tuple[TrainState, float]:
        """The newest readable state, or ``start``; metrics after it are dropped."""
        state, seconds = self.checkpoints.restore(start) or (start, 0.0)
        if hosts.first():
            with self._disk():
                self._open(after=int(state.step))
        return state, seconds

    def write(self, record: Record) -> None:
        """Append a record; always before the checkpoint of its step."""
        if not hosts.first():
            return
        assert self._writer is not None, "restore first"
        with self._disk():
            self._writer.write(record)

    def save(self, state: TrainState, seconds: float) -> None:
        """Save a checkpoint; where the folder is gone, into another that can be resumed."""

        def rescue(another: RunFolder) -> None:
            self.copy_metrics(another)
            checkpoints = Checkpoints(another.checkpoints)
            checkpoints.save(state, seconds)
            checkpoints.close()

        said = f"step {int(state.step)} is saved: go on with --resume --workdir {{}}"
        write_or_rescue(self._folder, lambda _: self.checkpoints.save(state, seconds), rescue, said)

    def copy_metrics(self, another: RunFolder) -> None:
        """Copy the metrics, if they can still be read, into another folder."""
        with suppress(OSError):
            if self._written is not None:
                write_whole(another.metrics, self._written.read())

    def close(self) -> None:
        """Close both, and let other processes into the folder."""
        if self._writer is not None:
            self._writer.close()
        if self._written is not None:
            self._written.close()
        self.checkpoints.close()
        self._folder.close()

    def _open(self, after: int) -> None:
        self._writer = MetricsWriter(self._path, after=after, tensorboard=self._board)
        self._written = self._path.open()

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingStopped(
                f"{self._path} could not be written ({reason(error)}); "
                f"last good checkpoint: {describe(self.checkpoints.last_step)}"
            ) from error
