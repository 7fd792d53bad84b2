"""Taking turns: every side in a process of its own, and rounds that say what else was running."""

import multiprocessing
import os
import resource
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

OTHERS = 0.05
"""Share of the machine's CPU time that others may take before a round is marked."""


class Round(NamedTuple):
    """One turn of one side: units per second, CPU seconds per unit, and the share of others."""

    rate: float
    cpu: float
    others: float


class Row(NamedTuple):
    """All rounds of one side.

    Attributes:
        rate: units per second, the median.
        spread: from the lowest to the highest round, over the median.
        cpu: seconds of CPU time per unit, the median, of all threads.
        others: the largest share of the machine's CPU time that others took.
        facts: what the side said of itself when it was ready.
        memory: peak of its process in bytes, of what was imported too.
    """

    rate: float
    spread: float
    cpu: float
    others: float
    facts: dict[str, float]
    memory: int


def busy() -> float:
    """CPU seconds that the whole machine has worked; 0 where it does not say."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:  # not Linux
        return 0.0
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[:8])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def share_of_others(all_seconds: float, own: float, wall: float) -> float:
    """Of the CPU time that the machine has, what others took of it; from 0 to 1."""
    return min(1.0, max(0.0, all_seconds - own) / (wall * (os.cpu_count() or 1)))


def measured(run: Callable[[int], None], units: int, seconds: float) -> Round:
    """Calls of ``run`` that take about so many seconds, after one that says how many these are."""
    begin = time.perf_counter()
    run(1)
    count = max(1, round(seconds / (time.perf_counter() - begin)))
    all_before, own_before, begin = busy(), time.process_time(), time.perf_counter()
    run(count)
    wall = time.perf_counter() - begin
    own = time.process_time() - own_before
    others = share_of_others(busy() - all_before, own, wall)
    return Round(count * units / wall, own / (count * units), others)


def _serve(connection: Connection, make: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Make the work, then a round for each number of seconds that is sent, until None is."""
    try:
        run, units, facts = make(*args)
    except Exception as error:
        connection.send(error)
        return
    connection.send(facts)
    while (seconds := connection.recv()) is not None:
        connection.send(measured(run, units, seconds))
    connection.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)


class Worker:
    """A side in a process of its own, which sleeps while others have their turn.

    ``make(*args)`` is made there: work, its units, and facts about it.
    """

    def __init__(self, make: Callable[..., Any], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, args), daemon=True)
        self._process.start()
        theirs.close()
        self.facts: dict[str, float] = self._received()

    def round(self, seconds: float) -> Round:
        """One turn."""
        self._connection.send(seconds)
        return self._received()

    def stop(self) -> int:
        """End it; the peak of its memory, bytes."""
        self._connection.send(None)
        memory = self._received()
        self._process.join()
        return memory

    def _received(self) -> Any:
        found = self._connection.recv()
        if isinstance(found, Exception):
            raise found
        return found


def in_turns(workers: Mapping[str, Worker], rounds: int, seconds: float) -> dict[str, Row]:
    """Rounds of all sides, one after the other; every worker is stopped."""
    taken: dict[str, list[Round]] = {side: [] for side in workers}
    for _ in range(rounds):
        for side, worker in workers.items():
            taken[side].append(worker.round(seconds))
    return {side: _row(taken[side], worker) for side, worker in workers.items()}


def _row(rounds: Sequence[Round], worker: Worker) -> Row:
    rates = [each.rate for each in rounds]
    middle = statistics.median(rates)
    return Row(
        rate=middle,
        spread=(max(rates) - min(rates)) / middle,
        cpu=statistics.median(each.cpu for each in rounds),
        others=max(each.others for each in rounds),
        facts=worker.facts,
        memory=worker.stop(),
    )
