"""How every command ends: exit codes, one line for a person, and how to go on."""

import contextlib
import logging
import os
import shlex
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from types import FrameType
from typing import Any

from dpm_jax import hosts
from dpm_jax.errors import Interrupted, TrainingStopped, Unmeasured, printable, reason

SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPED = 130  # exit code after any of them
UNREAD = 141  # and where nobody reads the output to its end, as of `dpm table RUN | head -1`


class Refused(Exception):
    """Bad input: one line that says what is wrong, and nothing was touched."""


@contextlib.contextmanager
def exits(go_on: Callable[[], str]) -> Iterator[None]:
    """The exit codes and the one line of every command; ``go_on`` tells how once it is possible.

    Signals are taken until the process ends.
    """
    for number in SIGNALS:
        signal.signal(number, partial(_leave, go_on))
    try:
        try:
            yield
        finally:
            print(end="", flush=True)
    except Interrupted as stopped:
        hosts.leave(STOPPED, _stopped(str(stopped), go_on).rstrip("\n"))
    except (Refused, TrainingStopped, Unmeasured) as error:
        hosts.leave(2, f"error: {printable(str(error))}")
    except MemoryError as error:
        hosts.leave(2, f"error: {reason(error)}")
    except OSError as error:
        _drop_output()
        if isinstance(error, BrokenPipeError):
            sys.exit(UNREAD)
        hosts.leave(2, f"error: {error}; put it right and go on with: {go_on()}")
    except Exception:
        if not hosts.several():
            raise
        hosts.leave(1, traceback.format_exc())


def _leave(go_on: Callable[[], str], number: int, frame: FrameType | None) -> None:
    # No exception: where Python happens to be, in a callback of XLA's or in a __del__, it may be
    # swallowed. Nothing is lost, because the process may be killed at any moment.
    for again_ in SIGNALS:
        signal.signal(again_, signal.SIG_DFL)
    try:
        os.write(sys.stderr.fileno(), os.fsencode(_stopped("interrupted", go_on)))
    finally:
        os._exit(STOPPED)


def _stopped(why: str, go_on: Callable[[], str]) -> str:
    # On a line of its own: a progress bar may stand open on this one.
    return f"\n{why}. Go on with:\n  {go_on()}\n"


def _drop_output() -> None:
    """Give up what cannot be printed: Python would try again at its end, with a traceback."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """What is raised inside is bad input."""
    try:
        yield
    except BrokenPipeError:  # it is not the input: the reader of --help has left
        raise
    except (ValueError, OSError, MemoryError) as error:
        raise Refused(str(error) or type(error).__name__) from None


def again(words: Sequence[str], prog: str | None) -> str:
    """The same command, for a person to type."""
    program = ["python", sys.argv[0]] if prog is None else prog.split()
    return shlex.join([*program, *words])


def go_on(words: Sequence[str], prog: str | None) -> str:
    """The command that goes on with a run: with --resume, but an evaluation starts anew."""
    given = {word.split("=")[0] for word in words}
    kept = [word for word in words if word not in ("--resume", "--overwrite")]
    if "--evaluate" not in given:
        return again([*kept, "--resume"], prog)
    # By default it takes a new folder, but one that was named has now been used.
    return again([*kept, "--overwrite"] if "--workdir" in given else words, prog)


def quiet_libraries() -> None:
    """Leave to our own lines what the libraries log of the same failures."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    # orbax raises a failed write, and that we report; but it also logs it, and tensorstore's
    # threads then meet an event loop that is closed.
    for library in ("absl", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    # Writes that it had ready when another one failed are collected unused: no news for a person.
    warnings.filterwarnings("ignore", "coroutine .* was never awaited", RuntimeWarning)
    sys.unraisablehook = _unraisable


def _unraisable(failure: Any) -> None:  # typeshed has a name for it that run time has not
    if str(failure.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(failure)
