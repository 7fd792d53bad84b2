"""Whole runs of the scripts: cut, killed, starved of disk, and still the same bits."""

import json
import math
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
import toys
from scripts import Script

from dpm_jax.training import metrics

pytestmark = pytest.mark.slow

FLAGS = {"steps": 300, "checkpoint_every": 20}  # fifteen checkpoints, twenty-nine dispatches
NOT_NUMBERS = ("train_seconds", "first_step_seconds", "git_revision")


def result_of(run: Path) -> dict:
    result = json.loads((run / "result.json").read_text())
    return {name: value for name, value in result.items() if name not in NOT_NUMBERS}


def assert_same(run: Path, other: Path, step: int = FLAGS["steps"]) -> None:
    """Parameters, averages, optimiser, metrics and results, bit for bit."""
    jax.tree.map(np.testing.assert_array_equal, *(toys.checkpoint(r, step) for r in (run, other)))
    assert (run / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    assert result_of(run) == result_of(other)


def wait_for(process: subprocess.Popen, run: Path, step: int) -> None:
    """Until the record of ``step`` is written."""
    while process.poll() is None:
        records = metrics.read(run / "metrics.jsonl")
        if records and records[-1]["step"] >= step:
            return
        time.sleep(0.002)
    pytest.fail(f"ended before step {step}: {process.communicate()[1][-500:]}")


@pytest.fixture(scope="module")
def straight(swiss_roll: Script, tmp_path_factory) -> Path:
    """The unbroken run."""
    run = tmp_path_factory.mktemp("straight") / "run"
    code, out, err = swiss_roll(run, **FLAGS)
    assert (code, err) == (0, "")
    assert "swiss roll, noise 0.25, T = 6" in out
    return run


def test_a_run_leaves_its_record_its_result_and_its_figures(straight):
    names = {p.name for p in straight.iterdir()}
    assert names == {
        *("config.json", "metrics.jsonl", "checkpoints", "result.json", "figures"),
        *("model.npz", "samples.npz", "run.lock"),
    }
    assert [r["step"] for r in metrics.read(straight / "metrics.jsonl")] == [*range(10, 301, 10)]
    assert any((straight / "figures").glob("*.png"))
    config = json.loads((straight / "config.json").read_text())
    assert (config["experiment"], config["steps"], config["noise"]) == ("swiss_roll", 300, 0.25)


OWED = """experiment train_examples heldout_examples K_bits K_bits_se K_eq14_bits L_null_bits
K_minus_L_null_bits iw_bound_bits iw_bound_bits_se iw_samples true_limit_bits heldout_log_q_bits
steps train_seconds seed parameters device versions K_nats"""


def assert_owes_nothing(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    assert result.keys() >= set(OWED.split())
    numbers = [v for v in result.values() if isinstance(v, float)]
    assert all(math.isfinite(v) for v in numbers)
    assert result["K_bits"] < result["true_limit_bits"]


def test_the_rolls_result_has_every_key(straight):
    assert_owes_nothing(straight)


def test_the_heartbeats_result_has_every_key(heartbeat, tmp_path):
    code, out, err = heartbeat(tmp_path / "run")
    assert (code, err) == (0, "")
    assert "-2.414" in out
    assert_owes_nothing(tmp_path / "run")


def test_killed_three_times_and_resumed_it_is_the_unbroken_run(swiss_roll, straight, tmp_path):
    run, rng = tmp_path / "run", np.random.default_rng(2015)
    for kill in range(3):
        records = metrics.read(run / "metrics.jsonl")
        process = swiss_roll.start(swiss_roll.command(run, "--resume", **FLAGS))
        done = records[-1]["step"] if records else 0
        wait_for(process, run, done + 10 * rng.integers(3, 9))
        time.sleep(rng.uniform(0, 0.15))  # while writing, while saving, or between
        process.kill()
        code, _, err = swiss_roll.finish(process)
        assert code == -signal.SIGKILL
        where = "from step" if kill else "at step 0, with no checkpoint"
        assert err.startswith(f"{run}: going on {where}")
    code, _, err = swiss_roll(run, "--resume", **FLAGS)
    assert code == 0
    assert "going on from step" in err
    assert_same(run, straight)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_printed_command_goes_on(swiss_roll, straight, tmp_path, number):
    run = tmp_path / "run"
    command = swiss_roll.command(run, "--overwrite --tensorboard", **FLAGS)
    process = swiss_roll.start(command)
    wait_for(process, run, 70)
    process.send_signal(number)
    code, out, err = swiss_roll.finish(process)
    assert (code, out) == (130, "")
    said, go_on = err.splitlines()
    step = int(said.removeprefix(f"{number.name}: stopped after step ").split(",")[0])
    assert said == f"{number.name}: stopped after step {step}, which is saved. Go on with:"
    assert (run / "checkpoints" / str(step)).is_dir()
    python, *words = shlex.split(go_on)
    assert python == "python"
    assert words == [w for w in command[1:] if w != "--overwrite"] + ["--resume"]
    code, _, err = swiss_roll.finish(swiss_roll.start([sys.executable, *words]))
    assert (code, err) == (0, f"{run}: going on from step {step}, to step 300")
    assert_same(run, straight)
    events = [p.read_bytes() for p in (run / "tensorboard").iterdir()]
    assert len(events) == 3  # of both trainings, and the pictures
    assert sum(b"swiss_roll" in e for e in events) == 1
    assert sum(b"K_bits" in e for e in events) == 2


def test_a_finished_run_is_only_evaluated_again_and_a_signal_then_loses_nothing(
    swiss_roll, straight, tmp_path
):
    run = shutil.copytree(straight, tmp_path / "run")
    (run / "result.json").unlink()
    process = swiss_roll.start(swiss_roll.command(run, "--resume", **FLAGS))
    while "100%" not in process.stderr.read(200):  # training's bar: evaluation comes next
        assert process.poll() is None
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    code, out, err = swiss_roll.finish(process)
    assert (code, out) == (130, "")
    said, go_on = err.splitlines()[-2:]
    assert said.endswith("interrupted. Go on with:")
    assert go_on.endswith("--resume")
    assert "Traceback" not in err
    code, _, err = swiss_roll(run, "--resume", **FLAGS)
    assert (code, err) == (0, f"{run}: going on from step 300, to step 300")
    assert_same(run, straight)


def test_a_truncated_checkpoint_is_said_and_the_one_before_is_used(swiss_roll, straight, tmp_path):
    run = shutil.copytree(straight, tmp_path / "run")
    file = next((run / "checkpoints/300/state/d").iterdir())
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    code, _, err = swiss_roll(run, "--resume", **FLAGS)
    assert code == 0
    said = err.splitlines()[1]
    assert said == (
        f"the checkpoint of step 300 cannot be read (state/d/{file.name} is damaged); "
        f"moved to {run}/unreadable_checkpoints/300, going on from step 280"
    )
    assert_same(run, straight)


def test_a_loss_that_is_not_finite_is_one_line(swiss_roll, tmp_path):
    """The first step has the rate 0, the second ruins the parameters, a later one meets them."""
    run = tmp_path / "run"
    flags = {"learning_rate": 1e6, "warmup_steps": 1, "steps_per_dispatch": 1}
    code, out, err = swiss_roll(run, **flags, checkpoint_every=1)
    assert (code, out) == (2, "")
    last = max(int(p.name) for p in (run / "checkpoints").iterdir())
    assert 2 <= last < 10
    assert err == (
        f"error: loss, gradient or parameters are not finite at step {last + 1}; "
        f"last good checkpoint: step {last}; try a smaller learning_rate"
    )
    leaves = jax.tree.leaves(toys.checkpoint(run, last))
    assert all(np.isfinite(leaf).all() for leaf in leaves)


@pytest.fixture
def small_disk(tmp_path):
    """A disk with room for a few checkpoints; ``grow()`` makes more."""
    path = tmp_path / "disk"
    path.mkdir()

    def mount(options: str) -> int:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
        return subprocess.run(command, capture_output=True).returncode

    if not shutil.which("mount") or mount("size=300k"):
        pytest.skip("needs the right to mount a small disk")
    yield path, lambda: mount("remount,size=9m")
    subprocess.run(["umount", str(path)], check=True)


def test_a_full_disk_is_one_line_and_with_room_the_run_goes_on(swiss_roll, straight, small_disk):
    disk, grow = small_disk
    run = disk / "run"
    code, out, err = swiss_roll(run, **FLAGS)
    assert (code, out) == (2, "")
    assert err.count("\n") == 0
    assert err.startswith("error: ")
    assert "no space left" in err.lower()
    *_, good = err.split("last good checkpoint: step ")
    assert (run / "checkpoints" / good).is_dir()
    grow()
    code, _, err = swiss_roll(run, "--resume", **FLAGS)
    assert (code, err) == (0, f"{run}: going on from step {good}, to step 300")
    assert_same(run, straight)


TRAIN = """
import sys
from dpm_jax.experiments import command_line, registry
from dpm_jax.training.folder import open_folder
from dpm_jax.training.journal import Journal
from dpm_jax.training.loop import fit

problem = registry.problem(sys.argv[1])
config = command_line.parse("", problem.presets["default"], sys.argv[2:])
experiment = problem.build(config)
folder = open_folder(config.workdir, {"experiment": problem.name}, resume=True, overwrite=False)
fit(experiment.model, experiment.data.train, config, journal=Journal(folder), progress=False)
"""


@pytest.mark.parametrize("name", ["swiss_roll", "heartbeat"])
def test_one_device_and_eight_learn_the_same(request, tmp_path, name):
    script = request.getfixturevalue(name)
    flags = {"steps": 20, "steps_per_dispatch": 1, "checkpoint_every": 20, "timesteps": 40}

    def train(run, devices):
        words = script.command(run, **flags, batch_size=64)[2:]
        command = [sys.executable, "-c", TRAIN, name, *words]
        count = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
        done = subprocess.run(command, env=script.environment | count, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()
        return toys.checkpoint(run, 20), metrics.read(run / "metrics.jsonl")

    state, records = train(tmp_path / "one", 1)
    state_8, records_8 = train(tmp_path / "eight", 8)
    for one, eight in zip(records, records_8, strict=True):
        assert one["loss"] == pytest.approx(eight["loss"], rel=1e-5)
        assert one == pytest.approx(eight, rel=1e-4, abs=1e-5)
    for key in ("params", "ema"):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), state[key], state_8[key]
        )
    # A checkpoint of eight devices can be read by one.
    jax.tree.map(np.testing.assert_array_equal, train(tmp_path / "eight", 1)[0], state_8)
