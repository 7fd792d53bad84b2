"""Several hosts as one machine: the same program on each, and decisions that all make alike.

Every host computes with all others, in the same order; the first one writes and speaks for all. A
host that is lost ends the others: from what is on disk the launcher starts them again.
"""

import atexit
import ctypes
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, TypeVar

from dpm_jax.errors import reason

T = TypeVar("T")

HEARTBEAT = 30  # seconds of silence after which a host is lost
AUTO = "auto"
LOST = 2  # exit code of those that are left
LONGEST = 4096  # bytes that the first host tells


@dataclass(frozen=True, kw_only=True)
class HostFlags:
    """Flags of a command that runs on several hosts at once.

    Attributes:
        coordinator: HOST:PORT of process 0, with --processes and --process; or "auto", where the
            launcher tells: SLURM, Open MPI, Kubernetes, Cloud TPU. The same command on every host.
        processes: how many processes there are, with --coordinator HOST:PORT.
        process: which of them this is, from 0.
    """

    coordinator: str | None = None
    processes: int | None = None
    process: int | None = None

    def check_hosts(self) -> None:
        """Raise ValueError unless the three flags fit together."""
        several = self.processes, self.process
        if self.coordinator in (None, AUTO):
            if several != (None, None):
                raise ValueError(
                    "processes and process must be given with coordinator HOST:PORT, "
                    f"got coordinator {self.coordinator}"
                )
            return
        host, _, port = self.coordinator.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ValueError(f"coordinator must be HOST:PORT or auto, got {self.coordinator}")
        if self.processes is None or self.process is None:
            raise ValueError("coordinator HOST:PORT needs processes and process beside it")
        if not 1 <= self.processes < 2**16:
            raise ValueError(f"processes must lie in 1 to 65535, got {self.processes}")
        if not 0 <= self.process < self.processes:
            raise ValueError(f"process must lie in 0 to {self.processes - 1}, got {self.process}")


def start(flags: HostFlags) -> None:
    """Join the other hosts, if the flags say so; before jax is asked for any device.

    Raises:
        ValueError: in one line, if the others cannot be joined.
    """
    flags.check_hosts()
    if flags.coordinator is None:
        return
    import jax

    if jax.distributed.is_initialized():  # by ``dpm evaluate``, which reads the run first
        return
    # Our own handlers answer SIGTERM, on all hosts after the same step.
    jax.config.update("jax_enable_preemption_service", False)
    address = None if flags.coordinator == AUTO else flags.coordinator
    try:
        jax.distributed.initialize(
            address,
            flags.processes,
            flags.process,
            # Nobody else may connect where the coordinator is not asked for.
            coordinator_bind_address=address,
            cluster_detection_method=address and "deactivate",
            heartbeat_timeout_seconds=HEARTBEAT,
        )
    except Exception as error:  # of what the launcher did not tell, or of a network
        where = "the launcher's environment" if address is None else address
        raise ValueError(
            f"coordinator {flags.coordinator}: no hosts could be joined by {where} "
            f"({reason(error)})"
        ) from None
    if several():
        _end_in_one_line()
    if not first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - as long as the process


def several() -> bool:
    """Whether other hosts compute with this one."""
    if "jax" not in sys.modules:  # which would not start fast
        return False
    import jax

    # Without this, the question would start the devices.
    return jax.distributed.is_initialized() and jax.process_count() > 1


def first() -> bool:
    """Whether this host writes and speaks."""
    if not several():
        return True
    import jax

    return jax.process_index() == 0


def tell(text: str) -> str:
    """The first host's text, on every host."""
    if not several():
        return text
    import numpy as np
    from jax.experimental import multihost_utils

    content = text.encode()[:LONGEST]
    room = np.zeros(LONGEST, np.uint8)
    room[: len(content)] = np.frombuffer(content, np.uint8)
    told = np.asarray(multihost_utils.broadcast_one_to_all(room), np.uint8)
    return told.tobytes().rstrip(b"\0").decode(errors="ignore")


def by_first(act: Callable[[], T], otherwise: T) -> T:
    """``act()`` on the first host, ``otherwise`` on the others, once it is done.

    Raises:
        ValueError: on all hosts, with what the first one's says.
    """
    found, refused = otherwise, ""
    if first():
        try:
            found = act()
        except ValueError as error:
            refused = str(error) or "refused"
    refused = tell(refused)
    if refused:
        raise ValueError(refused)
    return found


def least(number: int) -> int:
    """The least of all hosts' numbers, below 2**63."""
    return int(min(_of_all(number)))


def any_of(said: bool) -> bool:
    """Whether any host says so."""
    return any(_of_all(int(said)))


def fetch(tree: Any) -> Any:
    """A tree of arrays as NumPy's, whole on every host, wherever its rows lie."""
    import jax

    if not several():
        return jax.device_get(tree)
    from jax.experimental import multihost_utils

    return multihost_utils.process_allgather(tree, tiled=True)


def leave(code: int, line: str) -> None:
    """Say why, and end.

    Where other hosts are, at once: Python would wait for them, and they for this one.
    """
    if not several():
        print(line, file=sys.stderr)
        sys.exit(code)
    _last_word.acquire()
    print(line, file=sys.stderr)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def _of_all(number: int) -> list[int]:
    if not several():
        return [number]
    import numpy as np
    from jax.experimental import multihost_utils

    # Two words: without x64 jax cuts a number to 32 bits.
    words = np.array(divmod(number, 2**31), np.int32)
    found = np.asarray(multihost_utils.process_allgather(words))
    return [int(high) * 2**31 + int(low) for high, low in found.reshape(-1, 2)]


_last_word = threading.Lock()  # of two threads that end this process, one says why


def _end_in_one_line() -> None:
    """Where another host is lost, jax logs a page from a thread of its own and aborts.

    Its standard error and output go into a file, Python's stay where they were, and the abort
    becomes one line and an exit.
    """
    log = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
    sys.stdout.flush()
    errors = os.dup(2)
    sys.stderr = os.fdopen(errors, "w", buffering=1)
    sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
    for number in (1, 2):
        os.dup2(log.fileno(), number)

    def aborted(number: int) -> None:
        if not _last_word.acquire(blocking=False):
            time.sleep(1)  # the other thread is about to end the process
            os._exit(LOST)
        line = f"\nerror: another host was lost ({_why(log)}); go on with --resume\n"
        os.write(errors, line.encode())
        os._exit(LOST)

    handler = ctypes.CFUNCTYPE(None, ctypes.c_int)(aborted)
    atexit.register(lambda: handler)  # held as long as the process
    ctypes.CDLL(None).signal(signal.SIGABRT, handler)


def _why(log: BinaryIO) -> str:
    """What jax's page says of the reason."""
    log.seek(0)
    text = log.read().decode(errors="replace")
    lines = text.rpartition("absl::Status: ")[2].splitlines() or ["no reason given"]
    return " ".join(lines[:2])[:200]
