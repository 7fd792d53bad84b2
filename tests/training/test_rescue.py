"""A folder that goes away under its run: noticed, what there is saved elsewhere, and said."""

import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
import toys

from dpm_jax import files
from dpm_jax.errors import TrainingStopped
from dpm_jax.training import metrics
from dpm_jax.training.folder import open_folder
from dpm_jax.training.journal import Journal
from dpm_jax.training.loop import fit
from dpm_jax.training.rescue import write_or_rescue

CONFIG = {"experiment": "toy"}
PLAIN = {"resume": False, "overwrite": False}


class Told(Journal):
    """A journal that calls ``tell(step)`` once the record of that step is written."""

    tell = staticmethod(lambda step: None)

    def write(self, record):
        super().write(record)
        self.tell(record["step"])


def train(path: Path, tell=lambda step: None, **changes) -> None:
    journal = Told(open_folder(path, CONFIG, resume=path.exists(), overwrite=False))
    journal.tell = tell
    config = toys.config(checkpoint_every=10, **changes)
    try:
        fit(toys.reals(), toys.real_data(), config, journal=journal, progress=False)
    finally:
        journal.close()


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    path = tmp_path_factory.mktemp("straight") / "run"
    train(path)
    return path


def replace_by_nothing(path):
    shutil.rmtree(path)
    path.mkdir()


def replace_by_a_copy(path):
    path.rename(path.with_name("moved"))
    shutil.copytree(path.with_name("moved"), path)


def replace_by_another_run(path):
    shutil.rmtree(path)
    open_folder(path, CONFIG, **PLAIN).close()


def replace_by_a_file(path):
    shutil.rmtree(path)
    path.write_text("mine")


def remove_all_inside(path):
    for entry in path.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def change_the_config(path):
    (path / "config.json").write_bytes(b"\xff")


def make_the_config_a_pipe(path: Path) -> None:
    (path / "config.json").unlink()
    os.mkfifo(path / "config.json")


WAYS = {
    "deleted": shutil.rmtree,
    "renamed": lambda path: path.rename(path.with_name("moved")),
    "replaced by nothing": replace_by_nothing,
    "replaced by a copy": replace_by_a_copy,
    "replaced by another run": replace_by_another_run,
    "replaced by a file": replace_by_a_file,
    "emptied": remove_all_inside,
    "without its config": lambda path: (path / "config.json").unlink(),
    "with another config": change_the_config,
    "with a pipe for its config": make_the_config_a_pipe,
    "without its lock": lambda path: (path / "run.lock").unlink(),
}


def tree(path: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.mark.parametrize("way", WAYS)
def test_a_run_whose_folder_is_gone_is_saved_beside_it_and_goes_on_from_there(
    straight, tmp_path, way
):
    path, left = tmp_path / "run", []

    def lose(step):
        if step == 20:
            WAYS[way](path)
            left.append((path.exists(), tree(path)))

    rescued = tmp_path / "run.rescued"
    said = (
        f"^workdir {path} was deleted, renamed or replaced while its run went on; step 20 is "
        f"saved: go on with --resume --workdir {rescued}$"
    )
    with pytest.raises(TrainingStopped, match=said):
        train(path, lose)
    assert [(path.exists(), tree(path))] == left
    assert json.loads((rescued / "config.json").read_text()) == CONFIG
    assert [r["step"] for r in metrics.read(rescued / "metrics.jsonl")] == [10, 20]
    assert [p.name for p in (rescued / "checkpoints").iterdir()] == ["20"]
    train(rescued)
    jax.tree.map(
        np.testing.assert_array_equal, *(toys.checkpoint(p, 40) for p in (rescued, straight))
    )
    assert (rescued / "metrics.jsonl").read_bytes() == (straight / "metrics.jsonl").read_bytes()


def test_a_folder_that_goes_while_a_checkpoint_is_written_is_noticed_as_well(tmp_path, monkeypatch):
    journal = Journal(open_folder(tmp_path / "run", CONFIG, **PLAIN))
    save = journal.checkpoints.save

    def lose(state, seconds):
        shutil.rmtree(tmp_path / "run")
        save(state, seconds)  # which makes the folder again

    monkeypatch.setattr(journal.checkpoints, "save", lose)
    with pytest.raises(TrainingStopped, match=f"--workdir {tmp_path}/run.rescued$"):
        fit(
            *(toys.reals(), toys.real_data(), toys.config(steps=10)),
            journal=journal,
            progress=False,
        )
    journal.close()


def write(folder) -> int:
    return folder.result.write_text("{}")


def test_what_fails_because_the_folder_is_gone_is_saved(tmp_path):
    folder = open_folder(tmp_path / "run", CONFIG, **PLAIN)

    def lose(folder):
        shutil.rmtree(folder.path)
        write(folder)

    with pytest.raises(TrainingStopped, match=f"; in {tmp_path}/run.rescued$"):
        write_or_rescue(folder, lose, write, "in {}")


def test_names_that_are_taken_are_numbered_and_what_lies_there_stays(tmp_path):
    for name in ("run.rescued", "run.rescued.2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "thesis.tex").write_text("mine")
    folder = open_folder(tmp_path / "run", CONFIG, **PLAIN)
    assert write_or_rescue(folder, write, write, "{}") == 2
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(TrainingStopped, match=rf"; it is in {tmp_path}/run\.rescued\.3$"):
        write_or_rescue(folder, write, write, "it is in {}")
    assert (tmp_path / "run.rescued.3/result.json").read_text() == "{}"
    # And it may be used at once.
    open_folder(tmp_path / "run.rescued.3", CONFIG, resume=True, overwrite=False)
    assert not (tmp_path / "run").exists()


def test_a_folder_that_was_deleted_is_not_made_again_to_hold_what_was_below_it(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    folder = open_folder(Path("runs/my toy"), CONFIG, **PLAIN)
    shutil.rmtree("runs")
    with pytest.raises(TrainingStopped, match=f"; in '{tmp_path}/my toy.rescued'$"):
        write_or_rescue(folder, write, write, "in {}")
    assert [p.name for p in tmp_path.iterdir()] == ["my toy.rescued"]


def test_where_nothing_can_be_saved_that_is_said(tmp_path):
    folder = open_folder(tmp_path / "run", CONFIG, **PLAIN)
    shutil.rmtree(tmp_path / "run")

    def full(another):
        raise OSError(28, "No space left on device")

    said = r"went on, and what it still held could not be saved \(no space left on the disk\)$"
    with pytest.raises(TrainingStopped, match=said):
        write_or_rescue(folder, write, full, "{}")


def test_what_goes_wrong_in_a_folder_that_is_there_is_raised_as_it_is(tmp_path):
    folder = open_folder(tmp_path / "run", CONFIG, **PLAIN)

    def full(folder):
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        write_or_rescue(folder, full, write, "{}")
    assert [p.name for p in tmp_path.iterdir()] == ["run"]


def test_a_folder_that_is_moved_and_linked_back_is_still_the_same(tmp_path):
    folder = open_folder(tmp_path / "run", CONFIG, **PLAIN)
    (tmp_path / "run").rename(tmp_path / "larger disk")
    os.symlink(tmp_path / "larger disk", tmp_path / "run")
    assert write_or_rescue(folder, write, write, "{}") == 2
    assert (tmp_path / "larger disk/result.json").read_text() == "{}"


def test_a_disk_that_fails_for_a_moment_is_no_folder_that_is_gone(tmp_path, monkeypatch):
    folder = open_folder(tmp_path / "run", CONFIG, **PLAIN)

    def refuse(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "regular_size", refuse)
    assert write_or_rescue(folder, write, write, "{}") == 2
    assert [p.name for p in tmp_path.iterdir()] == ["run"]
