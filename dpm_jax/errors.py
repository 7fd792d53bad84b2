"""What a person reads when something fails: one line."""

import errno

LONGEST = 200  # characters of another library's message


class TrainingStopped(RuntimeError):
    """The run cannot go on: a loss that is not finite, a disk that is full."""


class Unmeasured(RuntimeError):
    """Parts of a measurement failed; all others are there."""


class Interrupted(TrainingStopped):
    """Somebody asked the run to stop; its state is saved."""


def printable(text: str) -> str:
    """A text as one line that steers no terminal, whatever a person's files are called."""
    line = " ".join(text.splitlines())
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)


def reason(error: Exception) -> str:
    """What an exception says, in one line of at most 200 characters."""
    # Libraries wrap the system's error in types of their own; then only the text tells.
    if getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error):
        return "no space left on the disk"
    text = (getattr(error, "strerror", None) or str(error)).strip() or type(error).__name__
    return text.splitlines()[0][:LONGEST]
