"""Kills at random moments and a disk that fails at random calls: nothing is lost, not one bit."""

import errno
import json
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest
import toys
from kills import CONFIG, KINDS, Fault

from dpm_jax.training import metrics
from dpm_jax.training.optimizer import make_optimizer
from dpm_jax.training.state import initial_state

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
SERVERS = 2
ERRORS = (
    *("ENOSPC", "EDQUOT", "EIO", "EROFS", "EACCES", "EPERM", "EMFILE", "ENFILE", "ENOENT"),
    *("ENOTDIR", "EISDIR", "ENAMETOOLONG", "EFBIG", "ESTALE", "ETIMEDOUT", "EINTR", "ENOMEM"),
    *("ELOOP", "EBUSY", "ENODEV", "EEXIST", "ENOTEMPTY", "EXDEV", "EINVAL", "EBADF", "EAGAIN"),
)
TRY_AGAIN = (errno.EINTR, errno.EAGAIN)  # who is told so for ever tries for ever
NO_FAULT = Fault()
GONE = (errno.ENOENT, errno.ENOTDIR)  # what the disk says of a folder that was deleted


class Ended(NamedTuple):
    """How a process ended: exit code, what a person saw, and the steps that it found and saved."""

    code: int
    said: str
    restored: int | None
    saved: int | None


class Place:
    """A run's folder, and the processes that train in it one after the other."""

    def __init__(self, server: subprocess.Popen, path: Path) -> None:
        self.run, self._said = path / "run", path / "said"
        self.rng = np.random.default_rng(zlib.crc32(path.name.encode()))
        self._server = server
        path.mkdir()

    def train(self, fault: Fault = NO_FAULT, *, kill_after: float = 60) -> Ended:
        log = self._said.with_suffix(".log")
        log.write_text("")
        order = [str(self.run), str(self._said), fault, kill_after]
        print(json.dumps(order), file=self._server.stdin, flush=True)
        code = int(self._server.stdout.readline())
        told = {what: int(step) for what, step in map(str.split, log.open())}
        return Ended(code, self._said.read_text(), told.get("restored"), told.get("saved"))

    def calls(self) -> dict[str, int]:
        return json.loads(self._said.with_suffix(".calls").read_text())

    @property
    def newest(self) -> int:
        names = (p.name for p in self.run.glob("checkpoints/*"))
        return max((int(name) for name in names if name.isdigit()), default=0)


class Unbroken(NamedTuple):
    """A run that nothing has happened to."""

    place: Place
    seconds: float
    calls: dict[str, int]

    def assert_nothing_lost(self, place: Place, before: int, ended: Ended) -> int:
        """What was there before the process began, and what it promised, is there.

        Returns the last good step.
        """
        good = max(before, ended.saved or 0)
        unreadable = place.run / "unreadable_checkpoints"
        if unreadable.exists():  # what could not be read once is kept, and said, and trained again
            assert [p.name for p in unreadable.iterdir()] == [str(before)], ended
            assert f"the checkpoint of step {before} cannot be read" in ended.said
            shutil.rmtree(unreadable)
            good = ended.saved or ended.restored or 0
        else:
            assert ended.restored in (None, before), ended
        assert place.newest >= good, ended
        straight = metrics.read(self.place.run / "metrics.jsonl")
        covered = [record for record in straight if record["step"] <= place.newest]
        assert metrics.read(place.run / "metrics.jsonl")[: len(covered)] == covered, ended
        return good

    def assert_same(self, place: Place) -> None:
        """The same files, and in them the same bits; older checkpoints may be more or fewer."""
        run, straight = place.run, self.place.run
        assert {p.name for p in run.iterdir()} == {p.name for p in straight.iterdir()}
        assert all(p.name.isdigit() for p in run.glob("checkpoints/*"))
        for name in ("config.json", "metrics.jsonl", "result.json"):
            assert (run / name).read_bytes() == (straight / name).read_bytes()
        states = (toys.checkpoint(path, CONFIG.steps) for path in (run, straight))
        jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    """A queue of processes that are free to train."""
    if sys.platform != "linux" or not shutil.which("cc"):
        pytest.skip("needs Linux and a C compiler")
    base = tmp_path_factory.mktemp("servers")
    start, shim = base / "start", base / "faults.so"
    state = initial_state(toys.reals(), make_optimizer(toys.config()), jax.random.key(0))
    start.write_bytes(pickle.dumps(jax.device_get(state)))
    flags = ["-shared", "-fPIC", "-O1", "-o", shim, HERE / "faults.c", "-ldl"]
    subprocess.run(["cc", *flags], check=True)
    paths = {"LD_PRELOAD": str(shim), "PYTHONPATH": str(HERE.parents[1])}
    command = [sys.executable, HERE / "kills.py", start, shim]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | paths | {"JAX_PLATFORMS": "cpu"}
    free = queue.SimpleQueue()
    with ExitStack() as held:
        for _ in range(SERVERS):
            free.put(held.enter_context(subprocess.Popen(command, env=environment, **pipes)))
        yield free


@pytest.fixture(scope="module")
def side_by_side(servers, tmp_path_factory):
    """Calls ``chain(place)`` for a new place of every name, some at a time."""
    base = tmp_path_factory.mktemp("kills")

    def all_(chain, names) -> list:
        def one(name):
            server = servers.get()
            try:
                return chain(Place(server, base / name))
            finally:
                servers.put(server)

        with ThreadPoolExecutor(SERVERS) as pool:
            return list(pool.map(one, names))

    return all_


@pytest.fixture(scope="module")
def unbroken(side_by_side) -> Unbroken:
    def straight(place):
        begin = time.perf_counter()
        assert place.train() == (0, "", 0, CONFIG.steps)
        return Unbroken(place, time.perf_counter() - begin, place.calls())

    warm, run = (side_by_side(straight, [name])[0] for name in ("warm", "unbroken"))
    run.assert_same(warm.place)
    return run


def at_a_time(place, unbroken) -> dict:
    return {"kill_after": place.rng.uniform(0, 1.1) * unbroken.seconds}


def at_a_call(place, unbroken) -> dict:
    kind, first = "write", 1 + int(place.run.parent.name.split()[-1])
    if place.run.exists():  # in a new folder every write is another one
        kind = str(place.rng.choice(KINDS))
        first = any_of(unbroken.calls[kind], place.rng)
    return {"fault": Fault(kind, first, first)}


def any_of(calls: int, rng) -> int:
    """Evenly among their logarithms: the last repeat themselves."""
    return int(calls ** rng.random())


@pytest.mark.parametrize("moment", [at_a_time, at_a_call])
def test_fifty_kills_lose_nothing(side_by_side, unbroken, moment):
    def chain(place) -> int:
        killed = 0
        while killed < 5:
            before, how = place.newest, moment(place, unbroken)
            ended = place.train(**how)
            unbroken.assert_nothing_lost(place, before, ended)
            assert ended.said == "", how
            if ended.code == 0:
                unbroken.assert_same(place)
                shutil.rmtree(place.run)
            else:
                assert ended.code == -signal.SIGKILL, how
                killed += 1
        assert place.train().code == 0
        unbroken.assert_same(place)
        return killed

    names = [f"{moment.__name__} {i}" for i in range(10)]
    assert sum(side_by_side(chain, names)) == 50


def test_whatever_the_disk_says_it_is_one_line_and_nothing_is_lost(side_by_side, unbroken):
    def chain(place) -> int:
        number, refused = getattr(errno, place.run.parent.name), 0
        for kind in map(str, place.rng.choice(KINDS, 3, replace=False)):
            first = any_of(unbroken.calls[kind] // 2, place.rng)
            once = number in TRY_AGAIN or place.rng.random() < 0.5
            before, fault = place.newest, Fault(kind, first, first if once else sys.maxsize, number)
            ended = place.train(fault)
            rescued = place.run.with_name("run.rescued")
            if rescued.exists():  # go on there, as a person is told to
                assert number in GONE, (fault, ended)
                shutil.rmtree(place.run)
                rescued.rename(place.run)
            good = unbroken.assert_nothing_lost(place, before, ended)
            if ended.code == 0:  # what failed was tried again, or not needed
                assert errors(ended) == [], (fault, ended)
                unbroken.assert_same(place)
                shutil.rmtree(place.run)
            else:
                assert ended.code == 2, (fault, ended)
                assert_one_line(ended, good)
                refused += 1
        assert place.train().code == 0
        unbroken.assert_same(place)
        return refused

    assert sum(side_by_side(chain, ERRORS)) > len(ERRORS)


def errors(ended: Ended) -> list[str]:
    """What was said but for warnings."""
    return [line for line in ended.said.splitlines() if not line.startswith("WARNING:dpm_jax")]


def assert_one_line(ended: Ended, good: int) -> None:
    [said] = errors(ended)
    assert said.startswith("error: "), ended
    if ended.restored is None or "was deleted, renamed or replaced" in said:
        return  # at the door, where nothing has begun; or rescued
    named = f"; last good checkpoint: {f'step {good}' if good else 'none'}"
    trained = ("; put it right and go on with: again",) if good == CONFIG.steps else ()
    assert said.endswith((named, *trained)), ended
