"""What a run leaves on disk while it trains: metrics and checkpoints, in that order."""

from dpm_jax.training.checkpoint import Checkpoints
from dpm_jax.training.folder import RunFolder
from dpm_jax.training.metrics import MetricsWriter, Record, rewind
from dpm_jax.training.state import TrainState


class Journal:
    """Metrics and checkpoints of one run folder.

    Raises:
        ValueError: if TensorBoard is asked for and its writer is not installed.
    """

    def __init__(self, folder: RunFolder, *, tensorboard: bool = False) -> None:
        self._path = folder.metrics
        self._board = folder.tensorboard if tensorboard else None
        self._writer = MetricsWriter(self._path, tensorboard=self._board)
        self.checkpoints = Checkpoints(folder.checkpoints)

    def restore(self, start: TrainState) -> tuple[TrainState, float]:
        """The newest readable state, or ``start``; metrics after it are dropped."""
        state, seconds = self.checkpoints.restore(start) or (start, 0.0)
        self._writer.close()
        rewind(self._path, int(state.step))
        self._writer = MetricsWriter(self._path, tensorboard=self._board)
        return state, seconds

    def write(self, record: Record) -> None:
        """Append a record; always before the checkpoint of its step."""
        self._writer.write(record)

    def save(self, state: TrainState, seconds: float) -> None:
        """Save a checkpoint."""
        self.checkpoints.save(state, seconds)

    def close(self) -> None:
        """Close both."""
        self._writer.close()
        self.checkpoints.close()
