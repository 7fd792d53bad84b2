"""A command and its folder: held from its opening to the end, and missed when it is gone."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from untrained import FLAGS, untrained

import dpm_jax
from dpm_jax.errors import Interrupted
from dpm_jax.experiments import registry, run
from dpm_jax.experiments.base import Problem
from dpm_jax.experiments.measurement import Measurement
from dpm_jax.process import bind, init
from dpm_jax.training import loop
from dpm_jax.training.folder import open_folder
from dpm_jax.training.lock import check_free
from dpm_jax.training.loop import Fitted

pytestmark = pytest.mark.usefixtures("refuse")  # which puts back how signals are answered


def heartbeat(measured=lambda: None, built=lambda: None) -> Problem:
    """The heartbeat without its measurement; calls what it is given."""
    problem = registry.problem("heartbeat")

    def measure(process):
        measured()
        return Measurement({"K_bits": -2.5}, samples=np.zeros((2, 20), np.float32))

    def build(config):
        experiment = problem.build(config)
        built()
        return experiment._replace(measure=measure, summary=lambda result: ["done"])

    return problem._replace(build=build)


@pytest.fixture
def at_once(monkeypatch):
    """Training that is over at once, but for what it is told to do first."""

    def untrain(does=lambda: None):
        def fit(model, *_, journal, **__):
            params = jax.device_get(init(model, jax.random.key(1)))
            does()
            return Fitted(jax.device_get(bind(model, params)), params, 40, 1.0, 1.0)

        monkeypatch.setattr(loop, "fit", fit)

    untrain()
    return untrain


GONE = "workdir {} was deleted, renamed or replaced while its run went on; {}"


def test_what_is_measured_when_the_folder_is_gone_is_saved_with_its_model(
    refuse, at_once, tmp_path
):
    path, rescued = tmp_path / "run", tmp_path / "run.rescued"
    said = refuse(FLAGS["heartbeat"], heartbeat(measured=lambda: shutil.rmtree(path)))
    assert said == GONE.format(path, f"all that it measured is in {rescued}")
    assert {p.name for p in rescued.iterdir()} == {
        *("config.json", "model.npz", "samples.npz", "result.json", "figures", "run.lock")
    }
    assert json.loads((rescued / "result.json").read_text())["K_bits"] == -2.5
    assert dpm_jax.load(rescued).effort.steps == 40
    assert not path.exists()
    check_free(rescued)


def test_a_trained_model_whose_folder_is_gone_can_be_measured_by_the_command_that_is_named(
    refuse, at_once, tmp_path
):
    path, rescued = tmp_path / "run", tmp_path / "run.rescued"
    at_once(lambda: path.rename(tmp_path / "moved"))
    said = refuse(FLAGS["heartbeat"], heartbeat())
    advice = f"--evaluate {rescued}"
    assert said == GONE.format(path, f"its trained model is saved: measure it by {advice}")
    run.main(heartbeat(), advice.split())
    assert (rescued / "evaluation/1/result.json").exists()


def test_an_evaluation_whose_folder_is_gone_is_saved_where_it_can_be(refuse, tmp_path):
    path = untrained(tmp_path / "run", "heartbeat")
    problem = heartbeat(measured=lambda: shutil.rmtree(path / "evaluation"))
    said = refuse(f"--evaluate {path}", problem, workdir=None)
    assert said == GONE.format(
        path / "evaluation/1", f"all that it measured is in {path / '1.rescued'}"
    )
    assert (path / "1.rescued/result.json").exists()


def held(path: Path):
    return open_folder(path, {"experiment": "heartbeat"}, resume=True, overwrite=False)


@pytest.mark.parametrize("flags", ["", "--resume", "--overwrite"])
def test_a_folder_that_another_holds_is_refused_before_anything_is_built(refuse, tmp_path, flags):
    folder = held(tmp_path / "run")
    problem = heartbeat()._replace(build=None)
    assert "is in use by" in refuse(f"{FLAGS['heartbeat']} {flags}", problem)
    folder.close()


def test_a_folder_that_another_takes_while_the_data_are_read_is_refused(refuse, tmp_path):
    opened = []
    problem = heartbeat(built=lambda: opened.append(held(tmp_path / "run")))
    assert "is in use by" in refuse(f"{FLAGS['heartbeat']} --overwrite", problem)
    opened[0].close()


def test_a_run_that_is_over_lets_go_of_its_folder_in_the_same_process(at_once, tmp_path):
    words = [*FLAGS["heartbeat"].split(), "--workdir", str(tmp_path / "run")]
    for flags in ([], ["--overwrite"], ["--resume"]):
        run.main(heartbeat(), [*words, *flags])
        check_free(tmp_path / "run")


def test_a_run_that_fails_lets_go_of_its_folder(refuse, at_once, tmp_path):
    def fail():
        raise OSError(28, "No space left on device")

    said = refuse(FLAGS["heartbeat"], heartbeat(measured=fail))
    assert said.startswith("[Errno 28] No space left on device; put it right and go on with: ")
    assert said.endswith(f"--workdir {tmp_path}/run --resume")
    check_free(tmp_path / "run")


def test_evaluations_that_start_at_once_take_numbers_of_their_own(at_once, tmp_path):
    path = untrained(tmp_path / "run", "heartbeat")
    evaluate = ["--evaluate", str(path)]
    # The second is over before the first has read its data.
    first = heartbeat(built=lambda: run.main(heartbeat(), evaluate))
    run.main(first, evaluate)
    assert sorted(p.name for p in (path / "evaluation").iterdir()) == ["1", "2"]
    assert all((p / "result.json").exists() for p in (path / "evaluation").iterdir())


def test_a_run_that_another_process_holds_can_be_evaluated(at_once, tmp_path):
    path = untrained(tmp_path / "run", "heartbeat")
    config = json.loads((path / "config.json").read_text())
    folder = open_folder(path, config, resume=True, overwrite=False)
    run.main(heartbeat(), ["--evaluate", str(path)])
    assert dpm_jax.load(path).effort.steps == 7
    folder.close()


def stopped(problem: Problem, words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as stop:
        run.main(problem, words, prog="dpm heartbeat")
    assert stop.value.code == 130
    return capsys.readouterr().err.splitlines()[-1].strip()


def interrupt():
    raise Interrupted("SIGINT: stopped")


def test_the_command_to_go_on_with_is_one_that_is_not_refused(at_once, tmp_path, capsys):
    path = untrained(tmp_path / "run", "heartbeat")
    # Before anything is cleared there is another run in it, which must not be resumed.
    words = [*FLAGS["heartbeat"].split(), f"--workdir={path}", "--seed=3", "--overwrite"]
    command = stopped(heartbeat(built=interrupt), words, capsys)
    assert command.split() == ["dpm", "heartbeat", *words]
    command = stopped(heartbeat(measured=interrupt), words, capsys)
    assert command.split() == ["dpm", "heartbeat", *words[:-1], "--resume"]
    run.main(heartbeat(), command.split()[2:])
    # A folder that was named for an evaluation is used once it has begun.
    words = ["--evaluate", str(path), "--workdir", str(tmp_path / "other")]
    command = stopped(heartbeat(measured=interrupt), words, capsys)
    run.main(heartbeat(), command.split()[2:])
    assert (tmp_path / "other/result.json").exists()
