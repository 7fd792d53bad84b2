"""One process in a run's folder, and what the second one is told."""

import errno
import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from dpm_jax.training import lock
from dpm_jax.training.folder import check_folder, make_numbered, open_folder
from dpm_jax.training.journal import Journal

CONFIG = {"experiment": "toy"}
PLAIN = {"resume": False, "overwrite": False}
RESUME = {"resume": True, "overwrite": False}
OVERWRITE = {"resume": False, "overwrite": True}

HOLD = """
import sys
from pathlib import Path
from dpm_jax.training.folder import open_folder

folder = open_folder(Path(sys.argv[1]), {"experiment": "toy"}, resume=True, overwrite=False)
print("held", flush=True)
sys.stdin.read()
"""


def tree(path):
    """Every file below, with its bytes."""
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the folder "run"."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.stdin.close()


@pytest.mark.parametrize("mode", [PLAIN, RESUME, OVERWRITE])
def test_the_second_process_is_told_who_holds_the_folder_and_touches_nothing(
    tmp_path, holder, mode
):
    (tmp_path / "run/metrics.jsonl").write_text('{"step": 10}\n')
    before = tree(tmp_path / "run")
    said = (
        rf"^workdir {tmp_path}/run is in use by process {holder.pid} on {socket.gethostname()}; "
        "wait until it ends, or use another --workdir$"
    )
    for refuse in (check_folder, open_folder):
        with pytest.raises(ValueError, match=said):
            refuse(tmp_path / "run", CONFIG, **mode)
    # Even if the first look came too early.
    with pytest.raises(ValueError, match=said):
        lock.Lock(tmp_path / "run")
    assert tree(tmp_path / "run") == before


def test_a_process_that_is_killed_holds_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / "run" / lock.NAME).exists()
    open_folder(tmp_path / "run", CONFIG, **RESUME).close()


@pytest.mark.parametrize("mode", [PLAIN, RESUME, OVERWRITE])
def test_of_many_that_start_at_once_in_a_folder_that_is_not_there_one_may(tmp_path, mode):
    def start(_):
        try:
            return open_folder(tmp_path / "a/run", CONFIG, **mode)
        except ValueError as refused:
            return str(refused)

    with ThreadPoolExecutor(8) as threads:
        opened = list(threads.map(start, range(8)))
    assert sum(not isinstance(folder, str) for folder in opened) == 1
    told = [said for said in opened if isinstance(said, str)]
    assert all("is in use by" in said or "already holds a run" in said for said in told)
    assert not (tmp_path / "a/run/config.tmp").exists()


def test_clearing_waits_for_the_lock_and_leaves_it(tmp_path, monkeypatch):
    """A first look that saw nobody is not enough."""
    first = open_folder(tmp_path, CONFIG, **PLAIN)
    first.metrics.write_text('{"step": 10}\n')
    monkeypatch.setattr(lock, "check_free", lambda path: None)
    with pytest.raises(ValueError, match="is in use by this very process, whose journal is not"):
        open_folder(tmp_path, CONFIG, **OVERWRITE)
    assert first.metrics.exists()
    first.close()
    inode = (tmp_path / lock.NAME).stat().st_ino
    second = open_folder(tmp_path, CONFIG, **OVERWRITE)
    assert not second.metrics.exists()
    assert (tmp_path / lock.NAME).stat().st_ino == inode


def test_what_changed_before_the_lock_was_ours_is_seen(tmp_path, monkeypatch):
    class Late(lock.Lock):
        def __init__(self, folder):
            super().__init__(folder)
            (folder / "config.json").write_text('{"experiment": "another"}')

    monkeypatch.setattr("dpm_jax.training.folder.Lock", Late)
    with pytest.raises(ValueError, match="already holds a run") as refused:
        open_folder(tmp_path, CONFIG, **PLAIN)
    lock.check_free(tmp_path)  # even while the traceback keeps what it held
    assert refused.tb is not None


def test_a_journal_that_is_closed_lets_others_in(tmp_path):
    journal = Journal(open_folder(tmp_path, CONFIG, **PLAIN))
    with pytest.raises(ValueError, match="is in use by this very process"):
        check_folder(tmp_path, CONFIG, **RESUME)
    journal.close()
    check_folder(tmp_path, CONFIG, **RESUME)


def test_a_folder_with_nothing_but_a_lock_is_empty(tmp_path):
    (tmp_path / lock.NAME).write_text("process 1 on a host that is gone\n")
    folder = open_folder(tmp_path, CONFIG, **PLAIN)
    assert (tmp_path / lock.NAME).read_text() == f"{lock._owner()}\n"
    folder.close()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_said_once_and_the_run_goes_on(
    tmp_path, monkeypatch, caplog, number
):
    def refuse(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with caplog.at_level(logging.WARNING):
        folder = open_folder(tmp_path, CONFIG, **PLAIN)
    [said] = caplog.messages
    assert said == (
        f"workdir {tmp_path} is on a file system without locks ({os.strerror(number)}): "
        "start no second run in it"
    )
    assert folder.config.exists()


def test_a_lock_file_that_cannot_be_one_is_a_line(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / lock.NAME).symlink_to(tmp_path / "mine")
    with pytest.raises(ValueError, match=r"cannot be written: Too many levels of symbolic links"):
        open_folder(tmp_path / "run", CONFIG, **PLAIN)
    assert (tmp_path / "mine").read_text() == "mine"


def test_folders_that_are_asked_for_at_once_are_different(tmp_path):
    (tmp_path / "1").mkdir()
    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: make_numbered(lambda n: tmp_path / str(n)), range(8)))
    assert sorted(int(path.name) for path in made) == [*range(2, 10)]
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"workdir .*file/1 cannot be written: Not a directory$"):
        make_numbered(lambda n: tmp_path / "file" / str(n))
