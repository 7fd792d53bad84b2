"""How every command ends: exit codes, one line for a person, and how to go on."""

import contextlib
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from dpm_jax.errors import Interrupted, TrainingStopped, Unmeasured, reason


class Refused(Exception):
    """Bad input: one line that says what is wrong, and nothing was touched."""


@contextlib.contextmanager
def exits(go_on: Callable[[], str]) -> Iterator[None]:
    """The exit codes and the one line of every command; ``go_on`` tells how after a signal."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM acts like Ctrl-C
    try:
        yield
    except (Interrupted, KeyboardInterrupt) as stopped:
        # On a line of its own: a progress bar may stand open on this one.
        print(f"\n{str(stopped) or 'interrupted'}. Go on with:\n  {go_on()}", file=sys.stderr)
        sys.exit(130)
    except (Refused, TrainingStopped, Unmeasured) as error:
        print("error:", " ".join(str(error).splitlines()), file=sys.stderr)
        sys.exit(2)
    except MemoryError as error:
        print(f"error: {reason(error)}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}; put it right and go on with --resume", file=sys.stderr)
        sys.exit(2)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """What is raised inside is bad input."""
    try:
        yield
    except (ValueError, OSError, MemoryError) as error:
        raise Refused(error) from None


def again(words: Sequence[str], prog: str | None) -> str:
    """The same command, for a person to type."""
    program = ["python", sys.argv[0]] if prog is None else prog.split()
    return shlex.join([*program, *words])


def go_on(words: Sequence[str], prog: str | None) -> str:
    """The command that goes on after a signal: with --resume, but an evaluation starts anew."""
    if any(word.split("=")[0] == "--evaluate" for word in words):
        return again(words, prog)
    kept = [word for word in words if word not in ("--resume", "--overwrite")]
    return again([*kept, "--resume"], prog)


def quiet_libraries() -> None:
    """Leave to our own lines what the libraries log of the same failures."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    # orbax raises a failed write, and that we report; but it also logs it, and tensorstore's
    # threads then meet an event loop that is closed.
    for library in ("absl", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable


def _unraisable(failure: Any) -> None:  # typeshed has a name for it that run time has not
    if str(failure.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(failure)
