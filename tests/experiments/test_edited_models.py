"""A model file whose description a person has edited and sealed again: one line, or no harm."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from untrained import untrained, untrained_images

import dpm_jax
from dpm_jax.training import model_file


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    return {
        "swiss_roll": untrained(place / "roll", "swiss_roll"),
        "images": untrained_images(place),
    }


def edited(run: Path, target: Path, edit: Callable[[dict, dict], None]) -> Path:
    """The run's model file with other arrays or another description, correctly sealed."""
    with np.load(run / "model.npz") as archive:
        arrays = {name: archive[name] for name in archive.files if name != "sha256"}
    about = json.loads(arrays.pop("about").tobytes())
    edit(about, arrays)
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(target, **arrays, sha256=model_file._digest(arrays))
    return target


def refusal(file: Path) -> str:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # each test reads the message
        dpm_jax.load(file)
    message = str(refused.value)
    assert message.startswith(f"{file} ")
    assert "\n" not in message
    return message


NESTED = json.loads("[" * 10 + "]" * 10)
DEEP = json.loads("[" * 20 + "]" * 20)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("noise", "text", "--noise"),
        ("noise", "0.25", "--noise cannot be '0.25'"),
        ("noise", float("nan"), "noise must be at least 0.001, got nan"),
        ("noise", 10**400, "noise must be at most 1000.0, got inf"),
        ("noise", NESTED, "--noise must be numbers"),
        ("network", "transformer", "--network"),
        ("reverse", "backwards", "--reverse"),
        ("last_step", "../../etc", "--last-step"),
        ("preset", "../../etc", "preset must be one of default, paper, sharp, fine, got ../../etc"),
        ("preset", ["paper"], "does not hold a model"),
        ("steps", None, "--steps"),
        ("steps", [60], "--steps"),
        ("steps", True, "--steps"),
        ("steps", "60", "--steps cannot be '60'"),
        ("steps", {"a": 1}, "--steps"),
        ("schedule", {"a": 1}, "--schedule cannot be {'a': 1}"),
        ("schedule", None, "--schedule cannot be None"),
        ("hidden", 4, "--hidden cannot be 4"),
        ("hidden", ["4"], "--hidden must be numbers, got ['4']"),
        ("hidden", ["4", "--samples=7"], "--hidden must be numbers, got ['4', '--samples=7']"),
        ("hidden", ["--help"], "--hidden must be numbers, got ['--help']"),
        ("hidden", [4, -4], "hidden"),
        ("hidden", [10**400], "does not hold a model"),
        ("timesteps", 5, "its schedule is not of 5 steps"),
        ("experiment", ["swiss_roll"], "does not hold a model"),
        ("experiment", "../../etc", "experiment must be one of"),
    ],
)
def test_a_setting_that_no_flag_gives_is_refused(runs, tmp_path, name, value, said):
    def edit(about, arrays):
        about["settings"][name] = value

    assert said in refusal(edited(runs["swiss_roll"], tmp_path / "a.npz", edit))


def test_a_setting_that_was_not_saved_is_its_presets(runs, tmp_path):
    def edit(about, arrays):
        about["settings"]["preset"] = "sharp"
        del about["settings"]["noise"]

    assert dpm_jax.load(edited(runs["swiss_roll"], tmp_path / "a.npz", edit)).config.noise == 0.02


def test_a_model_says_neither_where_to_write_nor_what_to_throw_away(runs, tmp_path):
    given = {"overwrite": True, "resume": True, "workdir": "/", "evaluate": "/", "data_dir": "/"}
    for run in runs.values():
        file = edited(run, tmp_path / "a.npz", lambda about, _: about["settings"].update(given))
        assert dpm_jax.load(file).config == dpm_jax.load(run).config


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("settings", []),
        ("settings", "text"),
        ("facts", None),
        ("facts", {"event_shape": [6, 5, 3]}),
        ("facts event_shape", "abc"),
        ("facts event_shape", [6, 5]),
        ("facts event_shape", [6, 5, 2]),
        ("facts event_shape", [0, 5, 3]),
        ("facts event_shape", [6.0, 5, 3]),
        ("facts finest", "fine"),
        ("facts finest", 0),
        ("facts finest", float("nan")),
        ("facts finest", 10**400),
        ("facts range", [1]),
        ("facts range", [1, 0]),
        ("facts range", [float("nan"), 1]),
        ("facts range", ["a", "b"]),
        ("units", [1, 2, 3]),
        ("units mean", [[[1, 2]]]),
        ("units mean", [1, [2]]),
        ("units mean", "text"),
        ("units mean", [[[0, 0, float("inf")]]]),
        ("units mean", [[[[1.0]]]]),
        ("units mean", 10**400),
        ("units scale", 0),
        ("units scale", -1.0),
        ("units scale", "1"),
        ("units scale", None),
        ("units scale", 10**400),
        ("units grain", 0.5),
        ("units grain", [1]),
        ("effort", {}),
        ("effort", [1, 2, 3, 4]),
        ("effort steps", "many"),
        ("effort steps", 10**400),
        ("effort train_seconds", float("nan")),
        ("effort train_seconds", None),
        ("effort other", 1),
        ("note", DEEP),
    ],
)
def test_what_no_run_writes_is_refused(runs, tmp_path, path, value):
    def edit(about, arrays):
        *outer, last = path.split(" ")
        (about[outer[0]] if outer else about)[last] = value

    refusal(edited(runs["images"], tmp_path / "a.npz", edit))


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("schedule/beta", lambda a: a[:-1], "its schedule is not of 4 steps, float32"),
        ("schedule/beta", lambda a: a.astype(np.float64), "its schedule is not of 4 steps"),
        ("schedule/beta", lambda a: a * np.nan, "its schedule has rates outside 0 to 1"),
        ("schedule/beta", lambda a: a + 1, "its schedule has rates outside 0 to 1"),
        ("schedule/log_alpha_bar", lambda a: -a, "its schedule has rates outside 0 to 1"),
        ("schedule/log_alpha_bar", lambda a: a.astype(str), "its schedule is not of 4 steps"),
        ("network/first", lambda a: a, "its parameters are not those of its network"),
        ("network/" + "a/" * 20, lambda a: a, "is damaged or no model file (ValueError)"),
        ("elsewhere/a", lambda a: a, "is damaged or no model file (ValueError)"),
        ("network", lambda a: a, "is damaged or no model file (ValueError)"),
    ],
)
def test_arrays_that_no_run_writes_are_refused(runs, tmp_path, name, change, said):
    def edit(about, arrays):
        arrays[name] = change(arrays.get(name, np.zeros(3, np.float32)))

    assert said in refusal(edited(runs["swiss_roll"], tmp_path / "a.npz", edit))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: np.full_like(a, np.nan), "its parameters are not finite"),
        (lambda a: a.astype(np.float64), "its parameters are not those of its network"),
        (lambda a: a.astype(str), "its parameters are not those of its network"),
    ],
)
def test_parameters_are_finite_numbers_of_their_type(runs, tmp_path, change, said):
    def edit(about, arrays):
        name = next(name for name in arrays if name.startswith("network/"))
        arrays[name] = change(arrays[name])

    assert said in refusal(edited(runs["swiss_roll"], tmp_path / "a.npz", edit))


def test_one_parameter_inside_another_is_refused(runs, tmp_path):
    def edit(about, arrays):
        arrays["network/a"] = arrays["network/a/b"] = np.zeros(3, np.float32)

    assert "is damaged" in refusal(edited(runs["swiss_roll"], tmp_path / "a.npz", edit))


def test_a_compressed_file_is_another_s_and_is_not_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "a.npz", about=np.zeros(2**24, np.uint8))
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_, **__: pytest.fail("unpacked"))
    assert "is damaged or no model file (ValueError)" in refusal(tmp_path / "a.npz")


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    (tmp_path / "run" / "model.npz").mkdir(parents=True)
    for name in ("pipe", "device"):
        assert "is damaged or no model file (OSError)" in refusal(tmp_path / name)
    with pytest.raises(ValueError, match="is damaged or no model file"):
        dpm_jax.load(tmp_path / "run")


def test_a_user_who_is_not_there_has_no_model(refuse):
    said = "must start in a home folder that there is, got ~nobody_of_this_name/run"
    with pytest.raises(ValueError, match=f"^run {said}$"):
        dpm_jax.load("~nobody_of_this_name/run")
    assert f"evaluate {said}" in refuse("--evaluate ~nobody_of_this_name/run", workdir=None)
