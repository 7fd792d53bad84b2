"""A whole run: one trace, and the same bits however often it was cut."""

import os
import signal
import threading
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from dpm_jax import bound
from dpm_jax.data.dataset import examples
from dpm_jax.errors import Interrupted, TrainingStopped
from dpm_jax.process import bind
from dpm_jax.training import metrics, step
from dpm_jax.training.folder import open_folder
from dpm_jax.training.interrupts import interrupts
from dpm_jax.training.journal import Journal
from dpm_jax.training.loop import Heldout, fit
from dpm_jax.training.objective import loss

MODELS = {"reals": (toys.reals(), toys.real_data()), "bits": (toys.bits(), toys.bit_data())}


class Told(Journal):
    """A journal that calls ``tell(step)`` before it writes the record of that step."""

    tell = staticmethod(lambda step: None)

    def write(self, record):
        self.tell(record["step"])
        super().write(record)


def journal(path, tell=lambda step: None) -> Journal:
    told = Told(open_folder(path, {"experiment": "toy"}, resume=path.exists(), overwrite=False))
    told.tell = tell
    return told


def train(path, config, model="reals", tell=lambda step: None):
    opened = journal(path, tell)
    try:
        return fit(*MODELS[model], config, journal=opened, progress=False)
    finally:
        opened.close()


def interrupt_after(step, number=signal.SIGINT):
    """What the run is doing when the signal comes it finishes, and one dispatch more."""
    return lambda s: os.kill(os.getpid(), number) if s == step else None


def test_a_run_is_one_trace_whatever_its_dispatches(monkeypatch, tmp_path):
    traced = []

    def counted(*args):
        traced.append(len(traced))
        return loss(*args)

    monkeypatch.setattr(step, "loss", counted)
    config = toys.config(steps=10, steps_per_dispatch=4, checkpoint_every=4)
    train(tmp_path / "run", config)  # dispatches of 4, 4 and 2
    assert traced == [0]


def left_behind(path):
    """Every number of the newest checkpoint, the steps that were saved, and the metrics."""
    kept = sorted(int(entry.name) for entry in (path / "checkpoints").iterdir())
    return toys.checkpoint(path, kept[-1]), kept, (path / "metrics.jsonl").read_bytes()


def assert_same(path, other):
    (state, saved, record), (state_, saved_, record_) = left_behind(path), left_behind(other)
    assert (saved[-1], record) == (saved_[-1], record_)
    assert jax.tree.structure(state) == jax.tree.structure(state_)
    jax.tree.map(np.testing.assert_array_equal, state, state_)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Unbroken runs, one for each model."""
    paths = {name: tmp_path_factory.mktemp("straight") / name for name in MODELS}
    for name, path in paths.items():
        train(path, toys.config(), name)
    return paths


@pytest.mark.parametrize("cut", [20, 30])
@pytest.mark.parametrize("model", MODELS)
def test_two_dispatches_then_resumed_equal_four_straight(straight, tmp_path, model, cut):
    path, seldom = tmp_path / "run", toys.config(checkpoint_every=1000)
    with pytest.raises(Interrupted, match=f"^SIGINT: stopped after step {cut}, which is saved$"):
        train(path, seldom, model, interrupt_after(cut - 10))
    assert left_behind(path)[1] == [cut]
    fitted = train(path, seldom, model)
    assert fitted.steps == 40
    assert_same(path, straight[model])


def test_records_that_no_checkpoint_covers_are_written_again(straight, tmp_path):
    def fail(step):
        if step == 40:
            raise ZeroDivisionError

    config = toys.config(checkpoint_every=20)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path / "run", config, tell=fail)
    with (tmp_path / "run/metrics.jsonl").open("a") as file:
        file.write('{"step": 40, "K_bits"')  # as kill -9 may leave it
    assert [r["step"] for r in metrics.read(tmp_path / "run/metrics.jsonl")] == [10, 20, 30]
    assert left_behind(tmp_path / "run")[1] == [20]
    train(tmp_path / "run", config)
    assert left_behind(tmp_path / "run")[2] == left_behind(straight["reals"])[2]


def test_a_finished_run_that_is_resumed_does_not_train(straight):
    before = left_behind(straight["reals"])

    def never(step):
        raise AssertionError("trained again")

    fitted = train(straight["reals"], toys.config(), tell=never)
    assert (fitted.steps, fitted.first_step_seconds) == (40, 0)
    jax.tree.map(np.testing.assert_array_equal, fitted.params, before[0]["ema"])


def test_a_run_without_a_journal_has_the_same_bits(straight):
    fitted = fit(*MODELS["reals"], toys.config(), progress=False)
    jax.tree.map(
        np.testing.assert_array_equal, fitted.params, left_behind(straight["reals"])[0]["ema"]
    )


@pytest.mark.parametrize("model", MODELS)
def test_K_rises_and_every_term_is_recorded(straight, model):
    records = metrics.read(straight[model] / "metrics.jsonl")
    assert [r["step"] for r in records] == [10, 20, 30, 40]
    assert records[-1]["K_bits"] > records[0]["K_bits"] + 0.1
    expected = {"K_bits", "K_eq14_bits", "step_kl_bits", "prior_kl_bits", "last_step_bits", "loss"}
    expected |= {"gradient_norm", "beta_min", "beta_max", "beta_mean", "alpha_bar_T"}
    assert all(expected <= r.keys() and np.isfinite(list(r.values())).all() for r in records)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_whole_run_is_one_trace(tmp_path, resumed):
    """65 steps in dispatches of 20: the last is shorter."""
    traced = []
    model, data = MODELS["reals"]

    def apply(params, x, t):
        traced.append(t)
        return model.network.apply(params, x, t)

    counted = replace(model, network=model.network._replace(apply=apply))
    config = toys.config(steps=65, steps_per_dispatch=20)
    at = {}
    if resumed:
        with pytest.raises(Interrupted):
            fit(
                counted,
                data,
                config,
                journal=journal(tmp_path / "run", interrupt_after(20)),
                progress=False,
            )
        traced.clear()
    told = journal(tmp_path / "run", lambda step: at.setdefault(step, len(traced)))
    fit(counted, data, config, journal=told, progress=False)
    assert list(at) == [20, 40, 60, 65][2 * resumed :]
    first, *later = at.values()
    assert first > 0
    assert set(later) == {first}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_in_the_last_dispatch_still_stops_the_run(straight, tmp_path, number):
    with pytest.raises(Interrupted, match=f"{number.name}: stopped after step 40"):
        train(tmp_path / "run", toys.config(), tell=interrupt_after(30, number))
    assert_same(tmp_path / "run", straight["reals"])


@pytest.fixture
def usual_interrupt():
    """A shell's background jobs start with SIGINT ignored, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_the_second_signal_acts_as_usual_and_handlers_come_back(usual_interrupt):
    with interrupts() as flag:
        assert not flag
        signal.raise_signal(signal.SIGINT)
        assert flag.name == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is usual_interrupt


def test_training_works_off_the_main_thread():
    fitted = []
    run = lambda: fitted.append(fit(*MODELS["reals"], toys.config(), progress=False))  # noqa: E731
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert fitted[0].steps == 40


@pytest.mark.parametrize(("cut", "good"), [(0, "none"), (20, "step 20")])
def test_a_loss_that_is_not_finite_names_its_step_and_is_not_saved(tmp_path, cut, good):
    path, model = tmp_path / "run", toys.reals()
    lost = model.network._replace(apply=lambda *args: np.nan * model.network.apply(*args))
    if cut:
        with pytest.raises(Interrupted):
            train(path, toys.config(), tell=interrupt_after(cut - 10))
    message = f"not finite at step {cut + 1}; last good checkpoint: {good}; try a smaller"
    with pytest.raises(TrainingStopped, match=message):
        fit(
            replace(model, network=lost),
            toys.real_data(),
            toys.config(),
            journal=journal(path),
            progress=False,
        )
    assert [r["step"] for r in metrics.read(path / "metrics.jsonl")] == [10, 20][: cut // 10]
    if cut:
        state, kept, _ = left_behind(path)
        assert kept == [10, 20]
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


@pytest.mark.parametrize(
    ("model", "bad", "message"),
    [
        ("reals", np.nan, "examples must be finite"),
        ("bits", 0.5, r"examples must be bits, 0 or 1, got 0\.5"),
    ],
)
def test_examples_that_the_kernel_cannot_diffuse_are_refused_before_training(
    tmp_path, model, bad, message
):
    trained, data = MODELS[model]
    data = data.copy()
    data[-1, -1] = bad
    opened = journal(tmp_path / "run")
    with pytest.raises(ValueError, match=f"^{message}"):
        fit(trained, data, toys.config(), journal=opened, progress=False)
    opened.close()
    assert not (tmp_path / "run/metrics.jsonl").exists()
    assert list((tmp_path / "run/checkpoints").iterdir()) == []


def test_what_a_batch_draws_is_checked_too():
    def batch(data, key, size):
        return examples(data, key, size) + 0.5

    with pytest.raises(ValueError, match="examples must be bits"):
        fit(*MODELS["bits"], toys.config(), batch=batch, progress=False)


def test_a_fitted_process_is_that_of_the_averaged_parameters_and_can_be_traced(straight):
    fitted = train(straight["reals"], toys.config())
    model, data = MODELS["reals"]
    again = bind(model, fitted.params)
    jax.tree.map(np.testing.assert_array_equal, fitted.process, again)
    # Steps t that are traced index its schedule and its read-outs.
    x0, noise = jnp.asarray(data[:5]), jnp.zeros((toys.STEPS, 5, 2))
    found = bound.all_steps_of_batch(fitted.process, x0, noise).K
    np.testing.assert_allclose(found, bound.all_steps_of_batch(again, x0, noise).K, rtol=1e-6)


def test_heldout_measurements_go_into_the_records(tmp_path):
    seen = []

    def measure(process):
        seen.append(process)
        return {"heldout_K_bits": 1.5}

    opened, (model, data) = journal(tmp_path / "run"), MODELS["reals"]
    heldout = Heldout(every=20, measure=measure)
    fitted = fit(model, data, toys.config(), journal=opened, heldout=heldout, progress=False)
    opened.close()
    records = metrics.read(tmp_path / "run/metrics.jsonl")
    assert [r["step"] for r in records if "heldout_K_bits" in r] == [20, 40]
    jax.tree.map(np.testing.assert_array_equal, seen[-1].params, fitted.process.params)


def test_examples_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"examples must have shape \[n, 2\], got \[n, 3\]"):
        fit(toys.reals(), toys.bit_data(), toys.config(), progress=False)
