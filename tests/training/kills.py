"""Runs in processes of their own, that may be killed at any moment or meet a disk that fails.

``fit``, the journal and the exits are the real ones. What is compiled is not: NumPy stands in for
the optimiser's steps, so that a whole run takes half a second and most of it is writing.

    python kills.py START SHIM

forks a process for every line that it reads, a JSON list of the arguments of ``train``, and
answers with its exit code. It imports everything and opens no device, so that forking is safe.
"""

import ctypes
import json
import os
import pickle
import signal
import sys
import time
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dpm_jax.experiments.exits import exits, quiet_libraries, refusing
from dpm_jax.training import loop
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.folder import open_folder, write_whole
from dpm_jax.training.journal import Journal
from dpm_jax.training.program import Program
from dpm_jax.training.state import TrainState
from dpm_jax.training.step import NEVER, Report

CONFIG = TrainConfig(steps=40, batch_size=8, steps_per_dispatch=5, checkpoint_every=10)
KINDS = ("open", "write", "rename", "mkdir", "fsync", "unlink")  # as in faults.c


class Fault(NamedTuple):
    """The calls of a kind below the run's folder, first to last, that fail; error 0 is a kill."""

    kind: str = KINDS[0]
    first: int = 0
    last: int = 0
    error: int = 0


class Told(Journal):
    """A journal that tells the file ``log`` what was promised."""

    log: Path

    def tell(self, what: str, step: int) -> None:
        with self.log.open("a") as file:
            file.write(f"{what} {step}\n")

    def restore(self, start):
        state, seconds = super().restore(start)
        self.tell("restored", int(state.step))
        return state, seconds

    def save(self, state, seconds):
        super().save(state, seconds)
        self.tell("saved", int(state.step))


def serve(start: TrainState, shim: ctypes.CDLL) -> None:
    for line in sys.stdin:
        run, said, fault, seconds = json.loads(line)
        process = os.fork()
        if not process:
            return train(Path(run), Path(said), start, shim, Fault(*fault))
        print(exit_code(process, seconds), flush=True)
    return None


def exit_code(process: int, seconds: float) -> int:
    """Of a process, which is killed after some seconds."""
    end = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.001)


def train(run: Path, said: Path, start: TrainState, shim: ctypes.CDLL, fault: Fault) -> None:
    """What ``experiments.run`` does; ``said`` holds what a person sees."""
    os.dup2(os.open(said, os.O_CREAT | os.O_WRONLY | os.O_TRUNC), 2)
    quiet_libraries()
    whole = Program(lambda: (jax.device_put(start), np.zeros(0)), program, 0.0)
    loop.bind = lambda model, params: params
    numbers = (KINDS.index(fault.kind), *fault[1:])
    shim.arm(os.fsencode(run), *map(ctypes.c_long, numbers))
    with exits(lambda: "again"):
        with refusing():
            folder = open_folder(run, {"experiment": "toy"}, resume=run.exists(), overwrite=False)
            journal = Told(folder)
        journal.log = said.with_suffix(".log")
        try:
            fitted = loop.fit(None, None, CONFIG, journal=journal, program=whole, progress=False)
        finally:
            journal.close()
        sums = [float(leaf.sum()) for leaf in jax.tree.leaves(fitted.params)]
        write_whole(folder.result, json.dumps(sums))
    counted = {kind: shim.counted(i) for i, kind in enumerate(KINDS)}
    said.with_suffix(".calls").write_text(json.dumps(counted))


def program(state: TrainState, data: np.ndarray, count: np.int32) -> tuple[TrainState, Report]:
    """Steps that never repeat and forget no bit."""
    step, tree = int(state.step) + int(count), jax.device_get(state)
    for i in range(int(count)):
        tree = jax.tree.map(lambda a, i=i: mixed(a, i), tree)
    total = sum(float(leaf.sum()) for leaf in jax.tree.leaves(tree.params))
    state = jax.device_put(tree._replace(step=np.int32(step)))
    return state, Report({"K_bits": total, "gradient_norm": total / 3}, NEVER)


def mixed(leaf: np.ndarray, i: int) -> np.ndarray:
    if leaf.dtype == np.float32:
        return np.sin(np.float32(3.7) * leaf + np.float32(1 + i))
    return leaf


if __name__ == "__main__":
    serve(pickle.loads(Path(sys.argv[1]).read_bytes()), ctypes.CDLL(sys.argv[2]))
