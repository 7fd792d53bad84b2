"""One writer in a folder at a time: a lock that the system frees when its process ends."""

import contextlib
import fcntl
import logging
import os
import socket
import weakref
from pathlib import Path

from dpm_jax.errors import reason

NAME = "run.lock"
LONGEST = 200  # bytes of the owner's name

log = logging.getLogger(__name__)


class Lock:
    """The right to write into a folder, until ``close`` or the end of the process, however it ends.

    The file stays behind: one that is removed could be made anew and held by two.

    Raises:
        ValueError: if it is held already, naming process and host.
        OSError: if the file cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self._file = Path(os.path.abspath(folder / NAME))  # wherever the process goes
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self._file, flags, 0o666)
        self.close = weakref.finalize(self, os.close, self._descriptor)
        try:
            _take(self._descriptor, fcntl.LOCK_EX, folder)
        except OSError as error:
            log.warning(
                "workdir %s is on a file system without locks (%s): start no second run in it",
                folder,
                reason(error),
            )
        with contextlib.suppress(OSError):  # on a full disk the lock holds without a name
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{_owner()}\n".encode(), 0)

    @property
    def folder(self) -> Path:
        """The folder, absolute."""
        return self._file.parent

    def is_there(self) -> bool:
        """Whether the folder at this path is still the one whose lock is held."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._file.stat())
        except OSError:
            return False


def check_free(folder: Path) -> None:
    """Look, but touch nothing.

    Raises:
        ValueError: if the folder is held, naming process and host.
    """
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # no lock file; and what is wrong with one, taking it will tell
        return
    try:
        with contextlib.suppress(OSError):
            _take(descriptor, fcntl.LOCK_SH, folder)
    finally:
        os.close(descriptor)


def _take(descriptor: int, kind: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        line, *_ = os.pread(descriptor, LONGEST, 0).decode(errors="replace").split("\n")
        if line == _owner():
            line = "this very process, whose journal is not closed"
        raise ValueError(
            f"workdir {folder} is in use by {line or 'another process'}; "
            "wait until it ends, or use another --workdir"
        ) from None


def _owner() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}"
