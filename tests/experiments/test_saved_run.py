"""A trained run read from its folder: the same process, in one line, and nothing is touched."""

import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from untrained import untrained, untrained_images

import dpm_jax
from dpm_jax.evaluation.likelihood import evaluate
from dpm_jax.experiments import registry
from dpm_jax.laws import heartbeat
from dpm_jax.laws.swiss_roll import roll
from dpm_jax.process import LEARNED, bind, init

KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("runs")
    return {
        "swiss_roll": untrained(place / "roll", "swiss_roll", "--last-step learned"),
        "told the log-SNR": untrained(place / "snr", "swiss_roll", "--network snr"),
        "heartbeat": untrained(place / "beat", "heartbeat"),
        "images": untrained_images(place),
        "residual, bfloat16": of_images(place, "residual", "--precision bfloat16"),
        "unet, mixture": of_images(place, "unet", "--belief mixture --components 4"),
    }


def of_images(place: Path, network: str, flags: str) -> Path:
    """Of the same images as ``untrained_images``, by another network."""
    flags = f"--data {place / 'mine.npy'} --network {network} --convolutions 2 3 {flags}"
    return untrained(place / network, "images", flags)


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


EXPERIMENTS = {
    "swiss_roll": "swiss_roll",
    "told the log-SNR": "swiss_roll",
    "heartbeat": "heartbeat",
    "images": "images",
    "residual, bfloat16": "images",
    "unet, mixture": "images",
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_what_is_loaded_is_what_was_trained_and_nothing_is_touched(runs, name):
    before = snapshot(runs[name])
    run = dpm_jax.load(runs[name])
    assert snapshot(runs[name]) == before
    assert (run.effort.steps, run.effort.train_seconds) == (7, 1.5)
    assert run.problem.name == EXPERIMENTS[name]
    model = registry.problem(EXPERIMENTS[name]).build(run.config).model
    expected = bind(model, init(model, jax.random.key(1)))
    jax.tree.map(np.testing.assert_array_equal, run.process.params, expected.params)
    # The schedule's numbers are the trained ones, computed only once.
    np.testing.assert_allclose(run.process.schedule.beta, expected.schedule.beta, rtol=1e-6)
    assert run.process.event_shape == model.event_shape
    x = run.from_data(np.zeros((3, *model.event_shape), np.float32))
    K = [evaluate(p, x, KEY, progress=False).K for p in (run.process, expected)]
    np.testing.assert_allclose(*K, rtol=1e-4)


def test_the_form_and_the_last_step_are_those_of_the_run(runs):
    assert dpm_jax.load(runs["swiss_roll"]).process.last_step is LEARNED


def test_draws_are_in_data_units(runs):
    bits = dpm_jax.load(runs["heartbeat"]).draw(50, KEY)
    assert bits.shape == (50, heartbeat.BITS)
    assert set(np.unique(bits)) == {0.0, 1.0}
    pictures = dpm_jax.load(runs["images"]).draw(8, KEY)
    assert (pictures.shape, pictures.dtype) == ((8, 6, 5, 3), np.uint8)
    assert 80 < pictures.mean() < 170  # an untrained model draws the prior, of mean 127
    assert pictures.std() > 40
    law = roll.law(0.25)
    points = dpm_jax.load(runs["swiss_roll"]).draw(2_000, KEY)
    np.testing.assert_allclose(points.mean(0), law.mean, atol=5 * law.scale / 2_000**0.5)
    np.testing.assert_allclose(points.std(), law.scale, rtol=0.1)


def test_data_go_into_the_models_units_and_back(runs):
    run = dpm_jax.load(runs["images"])
    levels = np.random.default_rng(1).integers(0, 256, (4, 6, 5, 3), np.uint8)
    x = run.from_data(levels)
    assert x.dtype == np.float32
    assert abs(x.mean()) < 0.2
    np.testing.assert_array_equal(run.to_data(x), levels)


def test_a_model_file_alone_is_enough(runs, tmp_path):
    file = shutil.copy(runs["heartbeat"] / "model.npz", tmp_path / "a_gift.npz")
    run = dpm_jax.load(file)
    np.testing.assert_array_equal(run.draw(5, KEY), dpm_jax.load(runs["heartbeat"]).draw(5, KEY))


def test_a_schedule_file_is_not_needed_again(tmp_path):
    rates = tmp_path / "rates.txt"
    np.savetxt(rates, [0.1, 0.2, 0.3, 0.5])
    run = untrained(tmp_path / "run", "swiss_roll", f"--schedule {rates}")
    rates.unlink()
    np.testing.assert_allclose(dpm_jax.load(run).process.schedule.beta, [0.1, 0.2, 0.3, 0.5])


def test_what_is_no_trained_run_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"model.npz does not exist: has its training ended\?"):
        dpm_jax.load(tmp_path)
    with pytest.raises(ValueError, match=r"nowhere does not exist"):
        dpm_jax.load(tmp_path / "nowhere")
    (tmp_path / "model.npz").write_bytes(b"not an archive")
    with pytest.raises(ValueError, match="is damaged or no model file"):
        dpm_jax.load(tmp_path)


def edited(source: Path, target: Path, edit) -> Path:
    """A model file whose description is another, correctly sealed."""
    from dpm_jax.training import model_file

    with np.load(source) as archive:
        arrays = dict(archive)
    about = json.loads(arrays["about"].tobytes())
    edit(about)
    del arrays["sha256"]
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(target, **arrays, sha256=model_file._digest(arrays))
    return target


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda about: about["settings"].update(hidden=[5]), "its parameters are not those of"),
        (lambda about: about["settings"].update(experiment="alchemy"), "experiment must be one of"),
        (lambda about: about["settings"].update(noise="loud"), "--noise"),
        (lambda about: about.pop("units"), "'units'"),
        (lambda about: about.update(format=2), "has format 2, but this version of dpm_jax reads 1"),
    ],
)
def test_a_model_of_another_kind_is_one_line(runs, tmp_path, edit, said):
    file = edited(runs["swiss_roll"] / "model.npz", tmp_path / "model.npz", edit)
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        dpm_jax.load(file)
    assert "\n" not in str(refused.value)


def test_another_experiments_run_is_not_evaluated(refuse, runs):
    said = refuse(f"--evaluate {runs['heartbeat']}", "swiss_roll")
    assert said == (f"{runs['heartbeat']} is not a swiss_roll run: its experiment is heartbeat")


@pytest.mark.parametrize("workdir", ["{run}", "{run}/../roll", "{run}/..", "{link}"])
def test_nothing_clears_the_run_that_it_evaluates(refuse, runs, tmp_path, workdir):
    run, before = runs["swiss_roll"], snapshot(runs["swiss_roll"])
    (tmp_path / "link").symlink_to(run)
    place = Path(workdir.format(run=run, link=tmp_path / "link"))
    said = refuse(f"--evaluate {run} --overwrite", "swiss_roll", workdir=place)
    assert f"holds the run to evaluate, {run}; give another --workdir" in said
    assert snapshot(run) == before


def test_only_flags_of_evaluation_can_change(refuse, runs):
    said = refuse(f"--evaluate {runs['swiss_roll']} --noise 0.3", workdir=None)
    assert said.startswith("noise is 0.3, but the run in")
    assert said.endswith("with --evaluate only flags of evaluation can change")
    assert not (runs["swiss_roll"] / "evaluation").exists()
