"""What survives on disk: damaged checkpoints, cut lines, a full disk."""

import contextlib
import errno
import logging
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
    with pytest.raises(
        ValueError, match=rf"^{path}: its checkpoints are of another model: {named}$"
    ):
        run(path).restore(other)
    assert {k: v for k, v in tree(path).items() if k in before} == before
    assert not (path / "unreadable_checkpoints").exists()
    assert said_by_us(caplog) == []


def test_a_damaged_checkpoint_before_another_models_is_set_aside_as_ever(saved, start, tmp_path):
    path = shutil.copytree(saved, tmp_path / "run")
    DAMAGE["half"](path / "checkpoints/2/state/_METADATA")
    other = initial_state(wider(toys.reals()), make_optimizer(toys.config()), jax.random.key(0))
    with pytest.raises(ValueError, match="its checkpoints are of another model"):
        run(path).restore(other)
    assert (path / "unreadable_checkpoints/2").is_dir()
    assert_equal(Checkpoints(path / "checkpoints").restore(start)[0], at_step(start, 1))


def test_without_our_seal_orbax_decides(saved, start, tmp_path):
    """A run that was killed between orbax's commit and our seal has a whole checkpoint."""
    path = shutil.copytree(saved, tmp_path / "run") / "checkpoints"
    (path / "2" / checkpoint.SEAL).unlink()
    assert_equal(Checkpoints(path).restore(start)[0], at_step(start, 2))
    DAMAGE["half"](path / "2/state/_METADATA")
    assert_equal(Checkpoints(path).restore(start)[0], at_step(start, 1))


def test_when_every_checkpoint_is_damaged_the_run_starts_anew(saved, start, tmp_path, caplog):
    path = shutil.copytree(saved, tmp_path / "run")
    for step in ("1", "2"):
        DAMAGE["empty"](path / "checkpoints" / step / "state/_METADATA")
    (path / "unreadable_checkpoints/2").mkdir(parents=True)  # of an earlier accident
    state, seconds = run(path).restore(start)
    assert_equal(state, start)
    assert seconds == 0
    assert len(said_by_us(caplog)) == 3
    assert said_by_us(caplog)[-1] == "no checkpoint is left; starting at step 0"
    assert metrics.read(path / "metrics.jsonl") == []
    assert sorted(p.name for p in (path / "unreadable_checkpoints").iterdir()) == ["1", "2", "2.2"]


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
