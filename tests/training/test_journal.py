"""What survives on disk: damaged checkpoints, cut lines, a full disk."""

import contextlib
import errno
import json
import logging
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dpm_jax.errors import TrainingStopped
from dpm_jax.training import checkpoint, metrics
from dpm_jax.training.checkpoint import Checkpoints
from dpm_jax.training.folder import open_folder
from dpm_jax.training.journal import Journal
from dpm_jax.training.optimizer import make_optimizer
from dpm_jax.training.state import initial_state


@pytest.fixture(scope="module")
def start():
    return initial_state(toys.reals(), make_optimizer(toys.config()), jax.random.key(0))


def at_step(start, step):
    """A state that knows its step in every number."""
    shifted = jax.tree.map(lambda leaf: leaf + step, start)
    return shifted._replace(step=jnp.asarray(step, jnp.int32))


def assert_equal(state, other):
    jax.tree.map(np.testing.assert_array_equal, state, other)


def run(path, **options) -> Journal:
    return Journal(
        open_folder(path, {"experiment": "toy"}, resume=True, overwrite=False), **options
    )


@pytest.fixture(scope="module")
def saved(start, tmp_path_factory):
    """A run with checkpoints of steps 1 and 2; copied by each test that damages it."""
    path = tmp_path_factory.mktemp("saved") / "run"
    journal = run(path)
    journal.restore(start)
    for step in (1, 2):
        journal.write({"step": step, "K_bits": 0.1 * step})
        journal.save(at_step(start, step), seconds=10.0 * step)
    journal.close()
    return path


def test_a_state_comes_back_bit_for_bit(saved, start):
    state, seconds = Checkpoints(saved / "checkpoints").restore(start)
    assert_equal(state, at_step(start, 2))
    assert seconds == 20.0
    assert jax.tree.map(lambda a: a.sharding, state) == jax.tree.map(lambda a: a.sharding, start)


def test_only_the_newest_are_kept(tmp_path, start):
    checkpoints = Checkpoints(tmp_path)
    for step in range(1, 6):
        checkpoints.save(at_step(start, step), 0.0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["3", "4", "5"]


DAMAGE = {
    "half": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "empty": lambda file: file.write_bytes(b""),
    "missing": lambda file: file.unlink(),
    "one bit": lambda file: file.write_bytes(
        bytes([file.read_bytes()[0] ^ 1]) + file.read_bytes()[1:]
    ),
}


def said_by_us(caplog) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name.startswith("dpm_jax")]


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize(
    "part",
    [
        "state/d/*",
        "state/manifest.ocdbt",
        "state/ocdbt.process_0/manifest.ocdbt",
        "state/_METADATA",
        "state/array_metadatas/*",
        "clock/metadata",
        "_CHECKPOINT_METADATA",
    ],
)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(
    saved, start, tmp_path, caplog, part, how
):
    path = shutil.copytree(saved, tmp_path / "run")
    file = next((path / "checkpoints/2").glob(part))
    DAMAGE[how](file)
    journal = run(path)
    with caplog.at_level(logging.WARNING, "dpm_jax"):
        state, seconds = journal.restore(start)
    assert_equal(state, at_step(start, 1))
    assert seconds == 10.0
    assert [r["step"] for r in metrics.read(path / "metrics.jsonl")] == [1]
    [said] = said_by_us(caplog)
    name = file.relative_to(path / "checkpoints/2")
    assert said.startswith(f"the checkpoint of step 2 cannot be read ({name} is damaged); moved to")
    assert (path / "unreadable_checkpoints/2").is_dir()
    journal.save(at_step(start, 2), 0.0)  # its place is free again
    assert journal.checkpoints.last_step == 2


def tree(path):
    """Every file below, with its bytes."""
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def wider(model):
    """The same network with one more number in every read-out."""
    return replace(model, network=toys.linear(model.kernel.channels + 1, model.event_shape))


def deeper(model):
    """The same network with a parameter of another name."""
    start = model.network.init
    network = model.network._replace(init=lambda key: start(key) | {"gain": jnp.ones(3)})
    return replace(model, network=network)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (wider, r"\['network'\]\['offset'\] has shape \(4, 2, 2\), not \(4, 2, 3\)"),
        (deeper, r"\['network'\]\['gain'\] has shape none, not \(3,\)"),
    ],
)
def test_checkpoints_of_another_model_are_refused_and_stay(saved, tmp_path, caplog, change, named):
    path = shutil.copytree(saved, tmp_path / "run")
    before = tree(path)
    optimizer = make_optimizer(toys.config())
    other = initial_state(change(toys.reals()), optimizer, jax.random.key(0))
    message = rf"^{path}: its checkpoints are of another model: {named}$"
    with pytest.raises(TrainingStopped, match=message):
        run(path).restore(other)
    assert {k: v for k, v in tree(path).items() if k in before} == before
    assert not (path / "unreadable_checkpoints").exists()
    assert said_by_us(caplog) == []


def test_a_damaged_checkpoint_before_another_models_stays_too(saved, tmp_path):
    path = shutil.copytree(saved, tmp_path / "run")
    DAMAGE["half"](path / "checkpoints/2/state/_METADATA")
    other = initial_state(wider(toys.reals()), make_optimizer(toys.config()), jax.random.key(0))
    with pytest.raises(TrainingStopped, match="its checkpoints are of another model"):
        run(path).restore(other)
    assert (path / "checkpoints/2").is_dir()


def test_without_our_seal_orbax_decides(saved, start, tmp_path):
    """A run that was killed between orbax's commit and our seal has a whole checkpoint."""
    path = shutil.copytree(saved, tmp_path / "run") / "checkpoints"
    (path / "2" / checkpoint.SEAL).unlink()
    assert_equal(Checkpoints(path).restore(start)[0], at_step(start, 2))
    DAMAGE["half"](path / "2/state/_METADATA")
    assert_equal(Checkpoints(path).restore(start)[0], at_step(start, 1))


def test_when_every_checkpoint_is_damaged_a_person_decides_and_nothing_is_touched(
    saved, start, tmp_path, caplog
):
    path = shutil.copytree(saved, tmp_path / "run")
    for step in ("1", "2"):
        DAMAGE["empty"](path / "checkpoints" / step / "state/_METADATA")
    before = tree(path)
    message = (
        r"^none of the checkpoints in .*/checkpoints can be read \(step 2: state/_METADATA is "
        r"damaged; step 1: state/_METADATA is damaged\); put a copy of one back, or start anew"
    )
    for _ in range(2):  # asking again changes nothing
        with pytest.raises(TrainingStopped, match=message):
            run(path).restore(start)
    assert tree(path) == before
    assert said_by_us(caplog) == []
    shutil.copytree(saved / "checkpoints/1", path / "checkpoints/1", dirs_exist_ok=True)
    assert_equal(run(path).restore(start)[0], at_step(start, 1))


def test_an_earlier_accident_is_not_overwritten(saved, start, tmp_path):
    path = shutil.copytree(saved, tmp_path / "run")
    DAMAGE["empty"](path / "checkpoints/2/state/_METADATA")
    (path / "unreadable_checkpoints/2").mkdir(parents=True)
    run(path).restore(start)
    assert sorted(p.name for p in (path / "unreadable_checkpoints").iterdir()) == ["2", "2.2"]


def test_where_nothing_can_be_moved_aside_the_run_stops_in_one_line(saved, start, tmp_path):
    path = shutil.copytree(saved, tmp_path / "run")
    DAMAGE["empty"](path / "checkpoints/2/state/_METADATA")
    (path / "unreadable_checkpoints").write_text("in the way")
    message = r"could not be moved to .* \(File exists\); last good checkpoint: step 1$"
    with pytest.raises(TrainingStopped, match=message):
        run(path).restore(start)


SAYS_NOTHING = {
    "empty": b"",
    "zeros": bytes(100),
    "half": b'{"state/_METADATA": 12',
    "not UTF-8": b'{"\xff": 1}',
    "null": b"null",
    "a list": b"[1]",
    "no file": b"{}",
    "deep": b"[" * 100_000,
    "checksum of text": b'{"state/_METADATA": "12"}',
    "checksum null": b'{"state/_METADATA": null}',
    "checksum 1.5": b'{"state/_METADATA": 1.5}',
    "checksum of 5000 digits": b'{"state/_METADATA": ' + b"7" * 5000 + b"}",
}


@pytest.mark.parametrize("how", SAYS_NOTHING)
def test_a_seal_that_says_nothing_does_not_condemn(saved, start, tmp_path, caplog, how):
    path = shutil.copytree(saved, tmp_path / "run")
    for step in ("1", "2"):
        (path / "checkpoints" / step / checkpoint.SEAL).write_bytes(SAYS_NOTHING[how])
    state, seconds = run(path).restore(start)
    assert_equal(state, at_step(start, 2))
    assert seconds == 20.0
    [said] = said_by_us(caplog)
    assert said == "the checkpoint of step 2 is unverified: checksums.json is damaged"


def test_a_checkpoint_that_only_orbax_finds_damaged_is_set_aside(saved, start, tmp_path):
    path = shutil.copytree(saved, tmp_path / "run")
    (path / "checkpoints/2" / checkpoint.SEAL).write_bytes(b"")
    DAMAGE["half"](path / "checkpoints/2/state/_METADATA")
    assert_equal(run(path).restore(start)[0], at_step(start, 1))


@pytest.mark.parametrize("time", [10**400, 1.5, "noon", [1]], ids=["late", "real", "text", "list"])
def test_a_checkpoint_of_no_time_is_one_line(saved, tmp_path, time):
    path = shutil.copytree(saved, tmp_path / "run")
    about = path / "checkpoints/2/_CHECKPOINT_METADATA"
    changed = dict.fromkeys(("init_timestamp_nsecs", "commit_timestamp_nsecs"), time)
    about.write_text(json.dumps(json.loads(about.read_text()) | changed))
    with pytest.raises(
        TrainingStopped, match=r"^the checkpoints in .* cannot be read \(.*\); move"
    ):
        Checkpoints(path / "checkpoints")


@pytest.mark.parametrize("name", ["../../config.json", "/etc/passwd", "state/none", "\n\ud800"])
def test_a_seal_of_a_file_that_is_not_there_condemns(saved, start, tmp_path, caplog, name):
    path = shutil.copytree(saved, tmp_path / "run")
    seal = path / "checkpoints/2" / checkpoint.SEAL
    seal.write_text(json.dumps(json.loads(seal.read_text()) | {name: 1}))
    assert_equal(run(path).restore(start)[0], at_step(start, 1))
    [said] = said_by_us(caplog)
    assert "\n" not in said


STRAY = {
    "file 7": lambda path: (path / "7").write_text("mine"),
    "folder abc": lambda path: (path / "abc").mkdir(),
    "empty folder 12": lambda path: (path / "12").mkdir(),
    "step 1 under the name 12": lambda path: shutil.copytree(path / "1", path / "12"),
    "a link": lambda path: (path / "12").symlink_to("2"),
    "a link to nothing": lambda path: (path / "12").symlink_to("nowhere"),
    "a very late step": lambda path: (path / ("9" * 30)).mkdir(),
    "digits of another script": lambda path: (path / "٣").mkdir(),
    "no UTF-8": lambda path: (path / os.fsdecode(b"\xff")).mkdir(),
    "a file without end": lambda path: os.mkfifo(path / "12"),
}


@pytest.mark.parametrize("what", STRAY)
def test_what_else_lies_among_the_checkpoints_is_no_checkpoint(saved, start, tmp_path, what):
    path = shutil.copytree(saved, tmp_path / "run")
    STRAY[what](path / "checkpoints")
    journal = run(path)
    assert_equal(journal.restore(start)[0], at_step(start, 2))
    journal.save(at_step(start, 3), 0.0)
    journal.close()
    assert_equal(run(path).restore(start)[0], at_step(start, 3))


def test_a_checkpoint_that_was_being_written_is_ignored(saved, start, tmp_path):
    path = shutil.copytree(saved, tmp_path / "run") / "checkpoints"
    shutil.copytree(path / "2", path / "3.orbax-checkpoint-tmp")
    assert_equal(Checkpoints(path).restore(start)[0], at_step(start, 2))


def test_a_checkpoint_that_cannot_be_written_names_the_last_good_one(
    saved, start, tmp_path, monkeypatch
):
    checkpoints = Checkpoints(shutil.copytree(saved, tmp_path / "run") / "checkpoints")

    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoints._manager, "save", full)
    message = (
        r"^the checkpoint of step 3 could not be written \(no space left on the disk\); "
        "last good checkpoint: step 2$"
    )
    with pytest.raises(TrainingStopped, match=message):
        checkpoints.save(at_step(start, 3), 0.0)


def test_a_line_that_was_cut_ends_the_record(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}\n{"ste')
    assert metrics.read(path) == [{"step": 1}, {"step": 2}]
    writer = metrics.MetricsWriter(path, after=1)
    writer.write({"step": 2, "K_bits": 0.5})
    writer.close()
    assert path.read_text() == '{"step": 1}\n{"step": 2, "K_bits": 0.5}\n'


def test_tensorboard_gets_every_record(tmp_path, start):
    path = tmp_path / "run"
    journal = run(path, tensorboard=True)
    journal.restore(start)
    journal.write({"step": 10, "K_bits": 0.5})
    journal.close()
    [events] = (path / "tensorboard").iterdir()
    assert b"K_bits" in events.read_bytes()


def test_tensorboard_without_its_package_is_one_line_and_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    folder = open_folder(tmp_path, {"experiment": "toy"}, resume=False, overwrite=False)
    with pytest.raises(ValueError, match=r"pip install 'dpm_jax\[tensorboard\]'$"):
        Journal(folder, tensorboard=True)
    assert not folder.checkpoints.exists()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of one megabyte."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    yield path
    subprocess.run(["umount", str(path)], check=True)


def fill(disk):
    with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    assert shutil.disk_usage(disk).free == 0


def write_until_refused(journal):
    for _ in range(1000):  # the file's last page has room for some
        journal.write({"step": 2, "K_bits": 0.5})


def test_on_a_full_disk_nothing_good_is_lost(small_disk, start):
    path = small_disk / "run"
    journal = run(path)
    journal.restore(start)
    journal.write({"step": 1, "K_bits": 0.4})
    journal.save(at_step(start, 1), 1.0)
    fill(small_disk)
    stopped = r"could not be written \(no space left on .*\); last good checkpoint: step 1$"
    with pytest.raises(TrainingStopped, match="(?i)metrics.jsonl " + stopped):
        write_until_refused(journal)
    with pytest.raises(TrainingStopped, match="the checkpoint of step 2 " + stopped):
        journal.save(at_step(start, 2), 2.0)
    journal.close()
    with pytest.raises(TrainingStopped, match="(?i)metrics.jsonl " + stopped):
        run(path).restore(start)
    (small_disk / "filler").unlink()
    again = run(path)
    state, _ = again.restore(start)
    assert_equal(state, at_step(start, 1))
    again.write({"step": 2, "K_bits": 0.5})
    again.save(at_step(start, 2), 2.0)
    assert metrics.read(path / "metrics.jsonl") == [
        {"step": 1, "K_bits": 0.4},
        {"step": 2, "K_bits": 0.5},
    ]
    assert_equal(again.checkpoints.restore(start)[0], at_step(start, 2))


def test_a_folder_on_a_full_disk_is_one_line(small_disk):
    fill(small_disk)
    with pytest.raises(ValueError, match=r"^workdir .* cannot be written: no space left on"):
        open_folder(small_disk / "run", {"experiment": "toy"}, resume=False, overwrite=False)
