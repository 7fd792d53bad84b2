"""Seconds from a command to its first optimiser step, with nothing compiled before and again."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from timing import busy, share_of_others

SCRIPT = Path(__file__).parents[1] / "experiments" / "swiss_roll.py"
LIMIT = 600.0  # seconds, after which there will be no first step


def first_step(cache: Path | None) -> tuple[float, float]:
    """Of the roll: seconds until the record of step 1 is on disk, and the share of other work.

    What is compiled is kept in ``cache`` and taken from there; without one, not.

    Raises:
        RuntimeError: if the command ends before.
    """
    given = dict(os.environ)
    given.pop("JAX_COMPILATION_CACHE_DIR", None)
    if cache is not None:
        given["JAX_COMPILATION_CACHE_DIR"] = str(cache)
    with tempfile.TemporaryDirectory() as folder:
        workdir = Path(folder) / "run"
        words = ["--workdir", str(workdir), "--steps-per-dispatch", "1"]
        before, begin = busy(), time.perf_counter()
        command = subprocess.Popen(
            [sys.executable, str(SCRIPT), *words],
            env=given,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _wait(command, workdir / "metrics.jsonl", begin)
            seconds = time.perf_counter() - begin
            own = _cpu(command.pid)
        finally:
            command.kill()
            command.wait()
    return seconds, share_of_others(busy() - before, own, seconds)


def _wait(command: subprocess.Popen, metrics: Path, begin: float) -> None:
    while not (metrics.exists() and metrics.stat().st_size):
        if command.poll() is not None or time.perf_counter() - begin > LIMIT:
            raise RuntimeError(f"{SCRIPT.name} ended, or took too long, before its first step")
        time.sleep(0.005)


def _cpu(process: int) -> float:
    """CPU seconds that a process has taken; 0 where the machine does not say."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cold_and_cached(rounds: int) -> dict[str, list[tuple[float, float]]]:
    """``first_step`` so many times without a cache, and with one that an earlier call has filled.

    In turns.
    """
    found: dict[str, list[tuple[float, float]]] = {"cold": [], "cached": []}
    with tempfile.TemporaryDirectory() as folder:
        first_step(Path(folder))
        for _ in range(rounds):
            found["cold"].append(first_step(None))
            found["cached"].append(first_step(Path(folder)))
    return found
