"""The command ``dpm``: every door of it, and what each says of bad input."""

import re
import signal
import sys
import tomllib
from importlib import import_module

import jax
import numpy as np
import pytest
from PIL import Image
from scripts import ROOT
from untrained import untrained

import dpm_jax
from dpm_jax.experiments import commands, exits, registry


@pytest.fixture(scope="module")
def beat(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("runs") / "beat", "heartbeat")


@pytest.fixture
def dpm(monkeypatch, capsys):
    """Runs ``dpm`` in this process; returns its exit code and what it says."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    handlers = {number: signal.getsignal(number) for number in exits.SIGNALS}

    def command(*words) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dpm", *map(str, words)])
        try:
            commands.main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capsys.readouterr()

    yield command
    for number, handler in handlers.items():
        signal.signal(number, handler)


def test_the_console_command_is_this_one():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, function = project["scripts"]["dpm"].split(":")
    assert getattr(import_module(module), function) is commands.main


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_every_command(dpm, words):
    code, out, err = dpm(*words)
    assert (code, err) == (0, "")
    for name in (*registry.HOMES, "evaluate", "sample", "table", "parzen", "course"):
        assert name.replace("_", "-") in out


@pytest.mark.parametrize("name", registry.HOMES)
def test_every_experiment_is_a_command_and_a_script(dpm, name):
    code, out, err = dpm(name.replace("_", "-"), "--help")
    assert (code, err) == (0, "")
    assert f"usage: dpm {name.replace('_', '-')}" in out
    assert "--workdir" in out
    script = (ROOT / "experiments" / f"{name}.py").read_text()
    assert f"from dpm_jax.experiments.{registry.HOMES[name]} import PROBLEM" in script


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["brew"], "there is no command brew; see dpm --help"),
        (["swiss-roll", "--steps", "0"], "steps must be at least 1, got 0"),
        (["evaluate", "nowhere"], "nowhere does not exist: has its training ended?"),
        (["sample", "nowhere", "--out", "x.npz"], "nowhere does not exist: has its training"),
        (["sample", "nowhere"], "--out"),
        (["sample", "nowhere", "--out", "x.jpg"], "out must end in .npz, .png or .gif, got x.jpg"),
        (
            ["sample", "nowhere", "--out", "x.npz", "--count", "0"],
            "count must be at least 1, got 0",
        ),
        (["sample", "nowhere", "--out", "no/x.npz"], "out must be a new file in a folder that"),
        (
            ["sample", "nowhere", "--out", "x.npz", "--seed", "-1"],
            "seed must be at least 0, got -1",
        ),
        (["table", "nowhere"], "nowhere/result.json cannot be read"),
        (["course"], "--out"),
        (["course", "--out", "no/pages"], "out must be an empty folder, or new in one that there"),
        (["course", "--out", "pages", "--brew"], "--brew"),
    ],
)
def test_bad_input_is_one_line(dpm, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    code, out, err = dpm(*words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["evaluate", "sample", "table", "parzen", "course"])
def test_every_command_answers_help(dpm, command):
    code, out, err = dpm(command, "--help")
    assert (code, err) == (0, "")
    assert re.search(rf"usage: dpm {command} (RUN|--data-dir|\[-h\] --out)", out)


def test_samples_are_those_of_the_run_in_data_units(dpm, beat, tmp_path):
    out_file = tmp_path / "x.npz"
    code, out, _ = dpm("sample", beat, "--out", out_file, "--count", 20, "--seed", 4)
    assert (code, out) == (0, f"20 samples of {beat} are in {out_file}\n")
    with np.load(out_file, allow_pickle=False) as archive:
        samples = archive["samples"]
    np.testing.assert_array_equal(samples, dpm_jax.load(beat).draw(20, jax.random.key(4)))
    code, _, err = dpm("sample", beat, "--out", out_file)
    assert code == 2
    assert "out must be a new file" in err


@pytest.mark.slow
def test_a_picture_and_time_reversed(dpm, beat, tmp_path):
    assert dpm("sample", beat, "--out", tmp_path / "x.png", "--count", 20)[0] == 0
    assert dpm("sample", beat, "--out", tmp_path / "x.gif", "--count", 20)[0] == 0
    with Image.open(tmp_path / "x.png") as still, Image.open(tmp_path / "x.gif") as moving:
        assert moving.n_frames == 6  # t = 5..0
        assert still.size == moving.size
        first, last = (_frame(moving, i) for i in (0, 5))
        assert (first != last).any()
        # It ends where the picture is.
        assert np.abs(last - np.asarray(still.convert("RGB")).astype(int)).mean() < 2


def _frame(moving, index):
    moving.seek(index)
    return np.asarray(moving.convert("RGB")).astype(int)


@pytest.mark.slow
def test_a_run_is_evaluated_beside_itself_by_the_command_of_its_experiment(dpm, beat, tmp_path):
    code, out, _ = dpm("evaluate", beat, "--samples", 30)
    assert code == 0
    assert "binary heartbeat, T = 5" in out
    folder = beat / "evaluation" / "1"
    assert {p.name for p in folder.iterdir()} == {
        *("config.json", "result.json", "samples.npz", "figures", "run.lock"),
    }
    with np.load(folder / "samples.npz") as archive:
        assert archive["samples"].shape == (30, 20)
    code, out, _ = dpm("table", folder)
    assert code == 0
    assert "binary heartbeat, T = 5" in out
    code, _, err = dpm("evaluate", beat, "--steps", 5)
    assert code == 2
    assert "with --evaluate only flags of evaluation can change" in err
