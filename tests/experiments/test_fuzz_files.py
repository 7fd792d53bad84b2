"""Whatever the text files and the model file of a run hold: one line or a result, nothing lost."""

import contextlib
import io
import json
import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from hostile import cases, contents, edited, mutated, outcome, texts, words
from hypothesis import given
from hypothesis import strategies as st
from untrained import untrained

import dpm_jax
from dpm_jax.evaluation import table
from dpm_jax.experiments import registry
from dpm_jax.experiments.exits import Refused
from dpm_jax.experiments.schedules import schedule_family
from dpm_jax.process import Model
from dpm_jax.training import lock, metrics, model_file
from dpm_jax.training.checkpoint import SEAL, Checkpoints
from dpm_jax.training.folder import check_folder, read_config
from dpm_jax.training.optimizer import make_optimizer
from dpm_jax.training.state import TrainState, initial_state

pytestmark = pytest.mark.slow
RESULT = {"experiment": "swiss_roll", "variant": ", noise 0.25", "true_limit_bits": -0.946}
RESULT |= {"K_bits": -1.031, "K_bits_se": 0.004, "iw_bound_bits": -0.9, "iw_bound_bits_se": 0.02}
RESULT |= {"K_minus_L_null_bits": 3.06, "K_minus_L_null_bits_se": 0.004, "iw_samples": 64}
RESULT |= {"terms_bits": {"step_kl": 14.2, "prior_kl": 0.5}, "versions": {"python": "3.11"}}
SETTINGS = {"experiment": "swiss_roll", "preset": "default", "steps": 60, "noise": 0.25}
SETTINGS |= {"schedule": "learned", "beta_1": None, "hidden": [16, 16], "last_step": "fixed"}
UNSAVED = registry.problem("images").presets["cpu"].NOT_THE_RUN
LINES = [{"step": 10 * k, "K_bits": -1.5 - 0.1 * k, "learning_rate": 0.01} for k in range(1, 6)]


@cases(300)
@given(texts(SETTINGS), st.sampled_from(["", "resume", "overwrite"]))
def test_a_configuration(tmp_path, content, mode):
    (tmp_path / "config.json").write_bytes(content)
    (tmp_path / "checkpoints" / "10").mkdir(parents=True, exist_ok=True)
    (tmp_path / "checkpoints" / "10" / "state").write_bytes(b"precious")
    before = contents(tmp_path)
    modes = {name: name == mode for name in ("resume", "overwrite")}
    outcome(lambda: check_folder(tmp_path, SETTINGS, **modes))
    outcome(lambda: read_config(tmp_path))
    assert contents(tmp_path) == before


@cases(800)
@given(texts(RESULT))
def test_a_result_in_the_table(tmp_path, content):
    for name, held in (("good", json.dumps(RESULT).encode()), ("other", content)):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "result.json").write_bytes(held)
    before = contents(tmp_path)
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", newline=""), io.StringIO()

    def main():
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            return table.main([str(tmp_path / name) for name in ("good", "other")])

    code = outcome(main)
    out.flush()
    text, markdown = out.buffer.getvalue().decode().split("\n\n")
    assert (code, len(err.getvalue().splitlines())) in ((0, 0), (2, 1))
    shown = 2 if code == 0 else 1
    assert len(text.splitlines()) == 1 + shown
    assert len(markdown.splitlines()) == 2 + shown
    assert f"{RESULT['K_bits']:.3f} ± {RESULT['K_bits_se']:.3f}" in text.splitlines()[1]
    assert contents(tmp_path) == before


@cases(200)
@given(
    st.one_of(mutated([b"0.1\n0.2\n0.3\n", b"1e-3 0.5 1"]), st.binary(), st.text().map(str.encode))
)
def test_a_schedule_file(tmp_path, content):
    (tmp_path / "rates").write_bytes(content)
    outcome(lambda: schedule_family(str(tmp_path / "rates"), 3))
    assert contents(tmp_path) == {"rates": content}


@cases(100)
@given(words)
def test_the_name_of_a_schedule_file(name):
    outcome(lambda: schedule_family(name, 3))


@cases(60)
@given(words.map(os.fsencode) | st.binary())
def test_the_owner_of_a_lock(tmp_path, content):
    held = lock.Lock(tmp_path)
    (tmp_path / lock.NAME).write_bytes(content)
    said = outcome(lambda: lock.check_free(tmp_path))
    held.close()
    assert f"workdir {tmp_path} is in use by " in str(said)
    assert len(str(said)) < 500
    assert contents(tmp_path) == {lock.NAME: content}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, bytes]:
    place = tmp_path_factory.mktemp("models")
    levels = np.random.default_rng(0).integers(0, 256, (20, 6, 5, 3), np.uint8)
    np.save(place / "mine.npy", levels)
    flags = {"images": f"--data {place / 'mine.npy'}"}
    names = ("swiss_roll", "heartbeat", "images")
    runs = {name: untrained(place / name, name, flags.get(name, "")) for name in names}
    return {name: (run / "model.npz").read_bytes() for name, run in runs.items()}


@cases(150)
@given(data=st.data())
def test_the_bytes_of_a_model_file(tmp_path, models, data):
    content = data.draw(mutated(list(models.values())))
    (tmp_path / "model.npz").write_bytes(content)
    outcome(lambda: dpm_jax.load(tmp_path))
    assert contents(tmp_path) == {"model.npz": content}


@cases(400)
@given(data=st.data())
def test_what_a_model_file_says_of_itself(tmp_path, models, data):
    with np.load(io.BytesIO(models[data.draw(st.sampled_from(sorted(models)))])) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "sha256"}
    about = json.loads(arrays.pop("about").tobytes())
    if data.draw(st.booleans()):
        about["settings"] = data.draw(edited(about["settings"], UNSAVED))
    else:
        about = data.draw(edited(about))
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    np.savez(tmp_path / "model.npz", **arrays, sha256=model_file._digest(arrays))
    run = outcome(lambda: dpm_jax.load(tmp_path))
    if isinstance(run, Refused):
        return
    presets = registry.problem(run.problem.name).presets
    assert run.config.preset in presets
    for name in run.config.NOT_THE_RUN:
        assert getattr(run.config, name) == getattr(presets[run.config.preset], name)
    assert all(np.isfinite(number) for number in run.effort)
    assert np.isfinite(run.units.scaling.scale)


@cases(150)
@given(
    st.one_of(
        mutated(["".join(json.dumps(line) + "\n" for line in LINES).encode()]),
        st.lists(edited(LINES[0]), max_size=4).map(
            lambda found: "\n".join(json.dumps(line) for line in found).encode()
        ),
    ),
    st.sampled_from([0, 20, 100]),
)
def test_metrics(tmp_path, content, after):
    (tmp_path / "metrics.jsonl").write_bytes(content)
    (tmp_path / "other").write_bytes(b"precious")
    outcome(lambda: metrics.read(tmp_path / "metrics.jsonl"))
    assert contents(tmp_path) == {"metrics.jsonl": content, "other": b"precious"}
    outcome(lambda: metrics.MetricsWriter(tmp_path / "metrics.jsonl", after=after).close())
    left = contents(tmp_path)
    assert left["other"] == b"precious"
    whole = (json.dumps(line).encode() for line in LINES if line["step"] <= after)
    for line in set(whole) & set(content.split(b"\n")[:-1]):
        assert line in left["metrics.jsonl"].split(b"\n")
    shutil.rmtree(tmp_path / "unreadable_metrics", ignore_errors=True)


@pytest.fixture(scope="module")
def start() -> TrainState:
    problem = registry.problem("heartbeat")
    config = type(problem.presets["default"])(hidden=(2,), bumps=1, timesteps=3)
    model: Model = problem.model(config, {}, schedule_of(3))
    return initial_state(model, make_optimizer(config), jax.random.key(0))


def schedule_of(steps: int):
    return dpm_jax.schedule.fixed(steps)


@pytest.fixture(scope="module")
def saved(start, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "checkpoints"
    journal = Checkpoints(path)
    for step in (1, 2):
        journal.save(start._replace(step=start.step + step), seconds=1.0)
    journal.close()
    return path.parent


@cases(100)
@given(data=st.data(), sealed=st.booleans())
def test_any_file_of_a_checkpoint(tmp_path, saved, start, data, sealed):
    run = tmp_path / "run"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(saved, run)
    newest = run / "checkpoints" / "2"
    file = data.draw(st.sampled_from(sorted(p for p in newest.rglob("*") if p.is_file())))
    content = file.read_bytes()
    if content.startswith(b"{"):
        file.write_bytes(data.draw(texts(json.loads(content))))
        if not sealed:
            (newest / SEAL).unlink()
    else:
        file.write_bytes(data.draw(mutated([content])))
    before = sorted(contents(run).values())

    def restore():
        with contextlib.closing(Checkpoints(run / "checkpoints")) as checkpoints:
            return checkpoints.restore(start)

    restored = outcome(restore)
    if not isinstance(restored, Refused):
        assert int(restored[0].step) in (1, 2)
    # Moved aside perhaps, but every file is still there.
    assert sorted(contents(run).values()) == before
