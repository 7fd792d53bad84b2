"""Why a run ended early. The message is one line, for a person."""


class TrainingStopped(RuntimeError):
    """The run cannot go on: a loss that is not finite, a disk that is full."""


class Interrupted(TrainingStopped):
    """Somebody asked the run to stop; its state is saved."""
