"""Bad input: one line that says what is wrong, exit code 2, and nothing touched."""

import json
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dpm_jax import schedule
from dpm_jax.experiments import command_line, exits, identity, registry
from dpm_jax.experiments.base import SCHEDULES
from dpm_jax.experiments.schedules import schedule_family
from dpm_jax.experiments.swiss_roll.config import KNOTS
from dpm_jax.experiments.swiss_roll.problem import PROBLEM
from dpm_jax.laws.swiss_roll import roll

SCRIPTS = ["swiss_roll", "heartbeat"]
FEW = "--train-examples 50 --heldout-examples 50 --iw-examples 10"


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--timesteps 1", "timesteps must be at least 2, got 1"),
        ("--batch-size 0", "batch_size must be at least 1, got 0"),
        ("--steps 0", "steps must be at least 1, got 0"),
        ("--steps many", "--steps: invalid literal for int() with base 10: 'many'; see --help"),
        ("--learning-rate nan", "learning_rate must be at least 1e-12, got nan"),
        ("--learning-rate -1", "learning_rate must be at least 1e-12, got -1.0"),
        ("--seed -1", "seed must lie in [0, 2**32), got -1"),
        ("--iw-examples 21 --heldout-examples 20", "iw_examples must be at most heldout_examples"),
        ("--heldout-examples 1", "heldout_examples must be at least 2, got 1"),
        ("--samples 0", "samples must be at least 1, got 0"),
        ("--hidden 0", "hidden must be at least 1, got 0"),
        ("--frobnicate 3", "Unrecognized options: --frobnicate, 3; see --help"),
        ("--last-step maybe", "Expected one of ('fixed', 'learned'); see --help"),
        ("--preset nonsense", "preset must be one of default"),
        (
            "--schedule nowhere.txt",
            "schedule must be learned, fixed, linear, cosine or a readable file, got now",
        ),
        ("--resume --overwrite", "resume and overwrite exclude each other; give one of them"),
        (f"--train-examples {10**9}", "GiB for train_examples"),
        ("--hidden", "hidden must have at least one width, got none"),
        (f"--hidden {10**6} {10**6}", "GiB for training (batch_size, "),
    ],
)
def test_a_bad_value_is_one_line_and_no_folder_is_made(refuse, tmp_path, name, flags, said):
    assert said in refuse(flags, name)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--beta-1 0", "beta_1 must be at least 1e-12, got 0.0"),
        ("--beta-1 1.5", "beta_1 must be at most 0.999, got 1.5"),
        ("--beta-1 nan", "beta_1 must be at least 1e-12, got nan"),
        ("--noise -1", "noise must be at least 0.001, got -1.0"),
        ("--noise nan", "noise must be at least 0.001, got nan"),
        ("--noise inf", "noise must be at most 1000.0, got inf"),
        ("--noise 0", "noise must be at least 0.001, got 0.0"),
        ("--octaves -1", "octaves must be at least 0, got -1"),
        ("--network rbf --hidden 8 8", "hidden must be one number of rbf units, got (8, 8)"),
    ],
)
def test_a_bad_value_for_the_roll(refuse, tmp_path, flags, said):
    assert said in refuse(flags)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--bumps 0", "bumps must be at least 1, got 0"),
        (
            "--schedule learned",
            "schedule must be fixed, linear, cosine or a file: K has no gradient in β for bits",
        ),
        ("--times-per-batch 3 --batch-size 16", "times_per_batch must divide batch_size, 16, got"),
    ],
)
def test_a_bad_value_for_the_heartbeat(refuse, tmp_path, flags, said):
    assert said in refuse(flags, "heartbeat")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", SCRIPTS)
@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ("0.1 1.5 0.3", "beta must lie in (0, 1), got beta_2 = 1.5"),
        ("0 0.2 0.3", "beta must lie in (0, 1), got beta_1 = 0.0"),
        ("0.1 nan 0.3", "beta must lie in (0, 1), got beta_2 = nan"),
        ("0.1 0.2", "timesteps is 3, but schedule file {file} has 2 rates"),
        ("0.1 0.2 much", "schedule file {file} must hold numbers, one per line"),
        ("", "timesteps is 3, but schedule file {file} has 0 rates"),
    ],
)
def test_a_bad_schedule_file(refuse, tmp_path, name, rates, said):
    file = tmp_path / "rates.txt"
    file.write_text("\n".join(rates.split()))
    message = refuse(f"--timesteps 3 --schedule {file}", name)
    assert said.format(file=file) in message
    assert not (tmp_path / "run").exists()


def test_the_names_of_schedules_are_those_that_there_are():
    assert ("learned", *schedule.NAMED) == SCHEDULES
    for name in SCHEDULES:
        family, inputs = schedule_family(name, 7, 0.1)
        assert (family.steps, family.learned, inputs) == (7, name == "learned", {})


def test_a_good_schedule_file_is_taken(tmp_path):
    file = tmp_path / "rates.txt"
    np.savetxt(file, [0.1, 0.2, 0.3])
    family, _ = schedule_family(str(file), 3)
    np.testing.assert_allclose(family.apply(family.init()).beta, [0.1, 0.2, 0.3])


def parsed(words: list[str]):
    """The configuration of a command line."""
    start = command_line.start(words)
    default = command_line.preset(PROBLEM.presets, start.preset, lambda: False)
    return command_line.parse("", default, words)


def used_folder(path: Path, flags: str = "") -> Path:
    """What a run with these flags leaves before its first step."""
    settings = identity.settings(PROBLEM, parsed(flags.split()))
    path.mkdir()
    (path / "config.json").write_text(json.dumps(settings))
    return path


def test_a_used_folder_is_refused_before_anything_is_built(refuse, tmp_path):
    used_folder(tmp_path / "run")
    assert "already holds a run; use --resume" in refuse("", PROBLEM._replace(build=None))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--steps 50", "steps is 50, but the run in {path} was made with 60;"),
        ("--steps 60 --noise 0.3", "noise is 0.3, but the run in {path} was made with 0.25;"),
        ("--steps 60 --hidden 8", "hidden is [8], but the run in {path} was made with [16, 16];"),
        ("--steps 60 --preset paper", "learning_rate is 0.03, but the run in {path} was made with"),
    ],
)
def test_resuming_with_another_configuration_names_the_field_and_both_values(
    refuse, tmp_path, flags, said
):
    path = used_folder(tmp_path / "run", "--steps 60 --hidden 16 16")
    before = (path / "config.json").read_text()
    flags += "" if "hidden" in flags or "preset" in flags else " --hidden 16 16"
    assert said.format(path=path) in refuse(flags + " --resume")
    assert (path / "config.json").read_text() == before
    assert [p.name for p in path.iterdir()] == ["config.json"]


def test_another_experiments_folder_cannot_be_resumed(refuse, tmp_path):
    used_folder(tmp_path / "run")
    said = refuse(f"{FEW} --timesteps 3 --resume", "heartbeat")
    assert "but the run in" in said


@pytest.mark.parametrize("flags", ["", "--resume", "--overwrite"])
def test_a_foreign_folder_is_never_touched(refuse, tmp_path, flags):
    path = tmp_path / "thesis"
    path.mkdir()
    (path / "thesis.tex").write_text("mine")
    assert "is not empty and not a run's folder" in refuse(flags, workdir=path)
    assert [(p.name, p.read_text()) for p in path.iterdir()] == [("thesis.tex", "mine")]


@pytest.mark.parametrize("flags", ["", "--resume", "--overwrite"])
def test_a_folder_below_a_file_is_refused(refuse, tmp_path, flags):
    (tmp_path / "file").write_text("")
    assert "Not a directory" in refuse(flags, workdir=tmp_path / "file" / "run")


def test_tensorboard_without_its_package_spares_the_run_that_would_be_overwritten(
    refuse, tmp_path, monkeypatch
):
    path = used_folder(tmp_path / "run")
    (path / "metrics.jsonl").write_text("{}\n")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert "pip install 'dpm_jax[tensorboard]'" in refuse("--overwrite --tensorboard")
    assert (path / "metrics.jsonl").read_text() == "{}\n"


def test_a_preset_is_a_starting_point_that_flags_change():
    for words in (["--preset", "paper"], ["--preset=paper"]):
        config = parsed([*words, "--steps", "7"])
        assert (config.network, config.hidden, config.steps) == ("rbf", (16,), 7)


def test_the_fine_preset_is_a_long_diffusion_of_drawn_steps():
    """And its schedule has fewer parameters than steps: no batch holds every t."""
    config = parsed(["--preset", "fine"])
    assert (config.timesteps, config.network, config.time_sampling) == (200, "snr", "importance")
    few = replace(config, train_examples=9, heldout_examples=9, iw_examples=2)
    family = PROBLEM.build(few).model.schedule
    assert family.init()["gaps"].shape == (KNOTS,)
    beta_1 = family.apply(family.init()).beta[0]
    np.testing.assert_allclose(beta_1, 1e-3 * roll.law(0.25).variance, rtol=5e-3)


@pytest.mark.parametrize(
    "words", [["--noise", "0.05", "--hidden", "8", "4"], ["--noise=0.05", "--hidden", "8", "4"]]
)
def test_flags_reach_the_config(words):
    config = parsed(words)
    assert (config.noise, config.hidden) == (0.05, (8, 4))


def test_the_resume_command_is_the_command_with_resume(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["experiments/x.py", "--workdir", "my runs", "--overwrite"])
    words = sys.argv[1:]
    assert exits.go_on(words, None) == "python experiments/x.py --workdir 'my runs' --resume"
    assert exits.go_on(words, "dpm mnist") == "dpm mnist --workdir 'my runs' --resume"
    # An evaluation leaves nothing to go on from: it is made again.
    again = ["--evaluate", "a run", "--samples", "5"]
    assert exits.go_on(again, "dpm mnist") == "dpm mnist --evaluate 'a run' --samples 5"
    # In a folder of its own it has begun already.
    again = ["--evaluate", "a run", "--workdir=other"]
    command = "dpm mnist --evaluate 'a run' --workdir=other --overwrite"
    assert exits.go_on(again, "dpm mnist") == command
    assert exits.go_on([*again, "--overwrite"], "dpm mnist") == command


@pytest.mark.parametrize("name", SCRIPTS)
def test_help_answers_at_once(request, name):
    script = request.getfixturevalue(name)
    command = [sys.executable, script.command(Path("x"))[1], "--help"]
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        done = subprocess.run(command, env=script.environment, capture_output=True, text=True)
        seconds.append(time.perf_counter() - begin)
    assert (done.returncode, done.stderr) == (0, "")
    for flag in ("--steps", "--batch-size", "--seed", "--workdir", "--resume", "--overwrite"):
        assert flag in done.stdout
    assert min(seconds) < 1


def test_a_bad_flag_and_a_bad_value_in_a_process_of_their_own(swiss_roll, tmp_path):
    run = tmp_path / "run"
    assert swiss_roll(run, "--frobnicate") == (
        2,
        "",
        "error: Unrecognized options: --frobnicate; see --help",
    )
    assert swiss_roll(run, timesteps=1) == (2, "", "error: timesteps must be at least 2, got 1")
    assert not run.exists()


def test_a_batch_that_does_not_divide_among_the_devices(swiss_roll, tmp_path):
    swiss_roll.environment["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"
    try:
        code, out, err = swiss_roll(tmp_path / "run", batch_size=12)
    finally:
        del swiss_roll.environment["XLA_FLAGS"]
    assert (code, out) == (2, "")
    assert err == "error: batch_size must be a multiple of the number of devices, 8, got 12"
    assert not (tmp_path / "run").exists()


def test_the_accelerator_is_asked_for_only_where_it_decides():
    asked = []

    def accelerator():
        asked.append(1)
        return True

    images = registry.problem("mnist").presets
    assert command_line.preset(images, None, accelerator).preset == "residual"
    assert command_line.preset(images, None, lambda: False).preset == "cpu"
    assert command_line.preset(images, "cpu", accelerator).preset == "cpu"
    assert command_line.preset(PROBLEM.presets, None, accelerator).preset == "default"
    assert asked == [1]


@pytest.mark.parametrize("name", registry.HOMES)
def test_a_saved_configuration_is_read_as_flags_are(name):
    problem = registry.problem(name)
    assert problem.name == name
    for preset in problem.presets.values():
        saved = identity.settings(problem, preset)
        default = next(iter(problem.presets.values()))
        again = command_line.from_json(default, saved)
        assert identity.settings(problem, again) == saved
        assert {type(v) for v in vars(again).values()} <= {
            type(v) for v in vars(preset).values()
        } | {type(None)}


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        ({"noise": "text"}, "--noise"),
        ({"network": "transformer"}, "--network"),
        ({"last_step": "../../etc"}, "--last-step"),
        ({"hidden": ["8", [[]]]}, "--hidden"),
        ({"steps": None}, "--steps"),
        ({"steps": 0}, "steps must be at least 1, got 0"),
    ],
)
def test_a_saved_configuration_is_checked_as_flags_are(edit, said):
    saved = identity.settings(PROBLEM, PROBLEM.presets["default"]) | edit
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        command_line.from_json(PROBLEM.presets["default"], saved)
    assert "\n" not in str(refused.value)


def test_an_error_without_a_text_is_named():
    with pytest.raises(exits.Refused, match=r"^MemoryError$"), exits.refusing():
        raise MemoryError
