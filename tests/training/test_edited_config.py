"""A config.json that a person has edited: the run is refused in one line, and stays as it was."""

import json
import os

import pytest

from dpm_jax.training.folder import check_folder, read_config

CONFIG = {"experiment": "toy", "steps": 3, "noise": 0.25}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        '"experiment"',
        "{}",
        json.dumps(CONFIG)[:-1],
        '{"experiment": "toy", "steps": 3, "steps": 4}',
        '{"experiment": ' + "[" * 10**5,
        '{"experiment": ' + "[" * 20 + "]" * 20 + "}",
        '{"experiment": "toy", "steps": ' + "9" * 5_000 + "}",
        " " * 2**20 + json.dumps(CONFIG),
    ],
)
def test_what_is_no_configuration_makes_no_runs_folder(tmp_path, content):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ValueError, match=r"is not a run's folder: it has no readable config.json"):
        read_config(tmp_path)
    for mode in ({"resume": True, "overwrite": False}, {"resume": False, "overwrite": True}):
        with pytest.raises(ValueError, match="is not empty and not a run's folder"):
            check_folder(tmp_path, CONFIG, **mode)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_a_config_that_is_no_regular_file_is_not_opened(tmp_path, kind):
    make = {"pipe": os.mkfifo, "device": lambda p: p.symlink_to("/dev/zero"), "folder": os.mkdir}
    make[kind](tmp_path / "config.json")
    with pytest.raises(ValueError, match="has no readable config"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    "value", ["text", None, True, [], {}, 10**400, float("nan"), "\ud800", "a\nb", [[["deep"]]]]
)
def test_another_value_of_any_type_is_named_in_one_line(tmp_path, value):
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"noise": value}))
    with pytest.raises(ValueError, match=r"noise is 0.25, but the run in .* was made with") as said:
        check_folder(tmp_path, CONFIG, resume=True, overwrite=False)
    assert "\n" not in str(said.value)
