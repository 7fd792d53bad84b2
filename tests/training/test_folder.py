"""The door of a run's folder: who may enter, and that nobody's files are lost."""

import json
import os
import shutil
from pathlib import Path

import pytest

from dpm_jax.training import clearing
from dpm_jax.training.folder import check_folder, open_folder

CONFIG = {"experiment": "toy", "steps": 40, "hidden": [8, 8]}
PLAIN = {"resume": False, "overwrite": False}
RESUME = {"resume": True, "overwrite": False}
OVERWRITE = {"resume": False, "overwrite": True}


def tree(path):
    """Every file below, with its bytes."""
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


@pytest.fixture
def used(tmp_path):
    path = tmp_path / "run"
    run = open_folder(path, CONFIG, **PLAIN)
    run.metrics.write_text('{"step": 10}\\n')
    (run.checkpoints / "10").mkdir(parents=True)
    (run.checkpoints / "10" / "data").write_text("x")
    (path / "notes.txt").write_text("mine")
    return path


def test_a_new_folder_is_made_with_its_parents(tmp_path):
    run = open_folder(tmp_path / "a/b/run", CONFIG, **PLAIN)
    assert json.loads(run.config.read_text()) == CONFIG
    assert run.figures.is_dir()


def test_checking_touches_nothing(tmp_path, used):
    for mode in (PLAIN, RESUME, OVERWRITE):
        check_folder(tmp_path / "new", CONFIG, **mode)
    check_folder(used, CONFIG, **OVERWRITE)
    assert not (tmp_path / "new").exists()
    assert (used / "checkpoints/10/data").exists()


@pytest.mark.parametrize("mode", [PLAIN, RESUME, OVERWRITE])
def test_resume_and_overwrite_take_a_new_folder_too(tmp_path, mode):
    assert open_folder(tmp_path / "run", CONFIG, **mode).config.exists()


def test_a_used_folder_needs_a_flag_and_the_message_says_which(used):
    before = tree(used)
    message = "already holds a run; use --resume to go on, --overwrite to start anew, or another"
    with pytest.raises(ValueError, match=message):
        open_folder(used, CONFIG, **PLAIN)
    assert tree(used) == before


def test_resume_keeps_everything(used):
    before = tree(used)
    open_folder(used, CONFIG, **RESUME)
    assert tree(used) == before


def test_overwrite_removes_the_run_and_leaves_a_persons_files(used):
    open_folder(used, CONFIG | {"steps": 50}, **OVERWRITE)
    assert {p.name for p in used.iterdir()} == {"config.json", "figures", "notes.txt", "run.lock"}
    assert json.loads((used / "config.json").read_text())["steps"] == 50


@pytest.mark.parametrize(
    ("name", "value", "saved"),
    [("steps", 50, 40), ("hidden", [8], [8, 8]), ("octaves", 3, None), ("experiment", "b", "toy")],
)
def test_another_configuration_cannot_resume_and_both_values_are_named(used, name, value, saved):
    before = tree(used)
    message = rf"^{name} is {value!r}, but the run in .* was made with {saved!r}; resume with the"
    for refuse in (check_folder, open_folder):
        with pytest.raises(ValueError, match=message.replace("[", r"\[")):
            refuse(used, CONFIG | {name: value}, **RESUME)
    assert tree(used) == before


@pytest.mark.parametrize("mode", [PLAIN, RESUME, OVERWRITE])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("thesis.tex", "mine"),
        ("config.json", "{}"),
        ("config.json", '{"model": 1}'),
        ("config.json", "[1]"),
        ("config.json", "half of"),
        ("checkpoints/model.pt", "mine"),
        ("figures/holiday.png", "mine"),
    ],
)
def test_a_foreign_folder_is_never_touched(tmp_path, name, text, mode):
    path = tmp_path / "foreign"
    (path / name).parent.mkdir(parents=True)
    (path / name).write_text(text)
    before = tree(path)
    with pytest.raises(ValueError, match="is not empty and not a run's folder; give another"):
        open_folder(path, CONFIG, **mode)
    assert tree(path) == before


def test_a_crash_before_the_first_config_leaves_a_folder_that_can_be_used(tmp_path):
    (tmp_path / "config.tmp").write_text('{"exper')
    assert json.loads(open_folder(tmp_path, CONFIG, **PLAIN).config.read_text()) == CONFIG


def test_a_crash_while_clearing_leaves_a_folder_that_can_be_overwritten(used, monkeypatch):
    def crash(path):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(clearing.shutil, "rmtree", crash)
        with pytest.raises(KeyboardInterrupt):
            open_folder(used, CONFIG, **OVERWRITE)
    open_folder(used, CONFIG, **OVERWRITE)
    assert not (used / "checkpoints").exists()


LINK, FILE, DIRECTORY = "link", "file", "folder"


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("figures", LINK, "is not a plain folder"),
        ("checkpoints", LINK, "is not a plain folder"),
        ("checkpoints", FILE, "is not a plain folder"),
        ("result.json", DIRECTORY, "is not a plain file"),
        ("model.npz", LINK, "is not a plain file"),
        ("samples.npz", "pipe", "is not a plain file"),
        ("tensorboard", "link to nothing", "is not a plain folder"),
    ],
)
def test_what_cannot_be_cleared_is_named_before_anything_is_removed(
    used, tmp_path, name, kind, said
):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    entry = used / name
    if entry.is_dir():
        shutil.rmtree(entry)
    if kind == FILE:
        entry.write_text("mine")
    elif kind == DIRECTORY:
        entry.mkdir()
    elif kind == "pipe":
        os.mkfifo(entry)
    else:
        entry.symlink_to(tmp_path / ("mine" if kind == LINK else "nothing"))
    before = tree(used), sorted(used.iterdir()), tree(tmp_path / "mine")
    message = f"^{entry} {said}, so --overwrite does not clear it; move it away, or use another"
    for refuse in (check_folder, open_folder):
        with pytest.raises(ValueError, match=message):
            refuse(used, CONFIG, **OVERWRITE)
    assert (tree(used), sorted(used.iterdir()), tree(tmp_path / "mine")) == before


def test_a_link_inside_what_is_cleared_is_not_followed(used, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    (used / "figures" / "link").symlink_to(tmp_path / "mine")
    open_folder(used, CONFIG, **OVERWRITE)
    assert not (used / "figures" / "link").is_symlink()
    assert (tmp_path / "mine" / "thesis.tex").exists()


@pytest.mark.parametrize("place", [".", "checkpoints", "checkpoints/10"])
def test_a_folder_in_which_nothing_may_be_removed_is_named_and_nothing_is(used, monkeypatch, place):
    forbidden = used / place
    monkeypatch.setattr(clearing.os, "access", lambda path, mode: path != forbidden)
    before = tree(used)
    message = f"^workdir {used} cannot be cleared: {forbidden} may not be written; use another"
    with pytest.raises(ValueError, match=message):
        open_folder(used, CONFIG, **OVERWRITE)
    assert tree(used) == before


def test_a_path_of_bytes_that_are_no_text_is_refused_at_the_door(tmp_path, monkeypatch):
    odd = tmp_path / os.fsdecode(b"ru\xff")
    with pytest.raises(ValueError, match=r"^workdir must be a path in UTF-8, got '.*ru\\udcff'$"):
        open_folder(odd, CONFIG, **PLAIN)
    assert not odd.exists()
    odd.mkdir()
    monkeypatch.chdir(odd)
    with pytest.raises(ValueError, match=r"^workdir must be a path in UTF-8, got '.*udcff/run'$"):
        open_folder(Path("run"), CONFIG, **PLAIN)
    open_folder(tmp_path / "rün 🌀", CONFIG, **PLAIN)


def test_a_path_below_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"workdir .*file/run cannot be .*: Not a directory$"):
        open_folder(tmp_path / "file" / "run", CONFIG, **PLAIN)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match=r"workdir .* cannot be written: Permission denied$"):
        open_folder(tmp_path / "run", CONFIG, **PLAIN)
