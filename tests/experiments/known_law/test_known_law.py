"""From a trained model to ``result.json`` and the lines that a script prints."""

import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest
import toys

from dpm_jax.data.dataset import Dataset
from dpm_jax.evaluation import report
from dpm_jax.experiments.known_law import measure
from dpm_jax.experiments.known_law.config import KnownLawConfig
from dpm_jax.experiments.known_law.measure import Law
from dpm_jax.process import bind, init

# What the scripts add themselves: experiment, variant, seed, batch_size, preset.
KEYS = {
    "train_examples",
    "heldout_examples",
    "K_bits",
    "K_bits_se",
    "K_nats",
    "K_nats_se",
    "K_eq14_bits",
    "L_null_bits",
    "K_minus_L_null_bits",
    "iw_bound_bits",
    "iw_bound_bits_se",
    "iw_samples",
    "true_limit_bits",
    "heldout_log_q_bits",
    "device",
    "device_count",
    "versions",
    "git_revision",
}


def log_q(x):
    """Of N(0.8, 0.6²) per component, bits."""
    nats = -0.5 * ((x - 0.8) / 0.6) ** 2 - np.log(0.6 * np.sqrt(2 * np.pi))
    return nats.sum(-1) / np.log(2)


LAW = Law(true_limit_bits=1.0, log_q=log_q)
DATA = Dataset(toys.real_data(100), toys.real_data(200))
EFFORT = {"steps": 7, "train_seconds": 1.5, "parameters": 36}


def measured(seed=0):
    model = toys.reals()
    config = KnownLawConfig(
        workdir=Path("unused"),
        seed=seed,
        heldout_examples=200,
        iw_examples=20,
        iw_samples=4,
        samples=30,
    )
    process = bind(model, init(model, jax.random.key(0)))
    return process, measure.measure(config, LAW, DATA, process, progress=False)


@pytest.fixture(scope="module")
def outcome():
    return measured()[1]


@pytest.fixture(scope="module")
def result(outcome):
    assert outcome.found.failed == {}
    return outcome.found.numbers | EFFORT | report.machine()


def test_every_number_that_a_result_owes_is_there(result):
    assert result.keys() >= KEYS
    assert json.loads(json.dumps(result)) == result
    assert (result["train_examples"], result["heldout_examples"]) == (100, 200)
    assert (result["iw_examples"], result["iw_samples"]) == (20, 4)


def test_the_numbers_are_those_of_the_examples(result, outcome):
    K, null = outcome.likelihood.K, outcome.likelihood.null
    assert result["K_bits"] == pytest.approx(K.mean())
    assert result["K_bits_se"] == pytest.approx(K.std(ddof=1) / np.sqrt(200))
    assert result["K_nats"] == pytest.approx(K.mean() * np.log(2))
    assert result["K_minus_L_null_bits"] == pytest.approx((K - null).mean())
    assert result["L_null_bits"] == pytest.approx(null.mean())
    x = DATA.heldout
    by_hand = -0.5 * (x**2).sum(-1) - np.log(2 * np.pi)  # two standard normals
    np.testing.assert_allclose(null, by_hand / np.log(2), rtol=1e-5)
    assert result["heldout_log_q_bits"] == pytest.approx(log_q(x).mean())
    assert result["log_q_minus_K_bits"] == pytest.approx((log_q(x) - K).mean(), rel=1e-4)
    assert result["true_limit_minus_K_bits"] == pytest.approx(1.0 - K.mean())
    assert result["iw_heldout_log_q_bits"] == pytest.approx(log_q(x[:20]).mean())


def test_samples_are_kept_at_three_times_and_the_last_is_the_prior(outcome):
    assert {t: x.shape for t, x in outcome.samples.items()} == dict.fromkeys((0, 2, 4), (30, 2))
    # An untrained model is the forward process: its samples stay those of the prior.
    assert np.abs(outcome.samples[0].mean()) < 5 / np.sqrt(60)


def test_evaluation_repeats_with_its_seed_and_changes_with_another(outcome):
    again, other = measured(0)[1], measured(1)[1]
    np.testing.assert_array_equal(again.likelihood.K, outcome.likelihood.K)
    assert not np.array_equal(other.likelihood.K, outcome.likelihood.K)


def test_every_measurement_has_random_numbers_of_its_own():
    of_two_seeds = [*measure.keys(3), *measure.keys(4)]
    drawn = np.stack([jax.random.key_data(key) for key in of_two_seeds])
    assert len(np.unique(drawn, axis=0)) == 2 * len(measure.Keys._fields)


def test_what_is_watched_in_training_is_held_out_K(outcome):
    few = Dataset(DATA.train, DATA.heldout[: measure.WATCHED])
    seen = measure.watch(few, 0, measured()[0])
    assert seen == pytest.approx(outcome.likelihood.K.mean(), abs=1e-4)


def test_the_summary_says_both_gaps_and_the_papers_numbers(result):
    found = result | {"experiment": "swiss_roll", "variant": ", noise 0.25"}
    lines = measure.summary(found)
    assert max(map(len, lines)) < 80
    said = "\n".join(lines)
    for number in ("K_bits", "heldout_log_q_bits", "log_q_minus_K_bits", "iw_bound_bits"):
        assert f"{result[number]:.4f}" in said
    assert f"{result['true_limit_minus_K_bits']:.4f}" in said
    assert re.search(r"swiss roll, noise 0.25\n", said)
    assert re.search(r"K \(paper\) +2\.35\n +K − L_null \(paper\) +6\.45$", said)


def test_the_machine_is_described_and_the_revision_is_this_repositorys():
    machine = report.machine()
    assert machine["device_count"] == jax.device_count()
    assert machine["versions"]["jax"] == jax.__version__
    assert machine["git_revision"] is None or re.fullmatch("[0-9a-f]{40}", machine["git_revision"])


def test_outside_a_repository_there_is_no_revision(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert report.machine()["git_revision"] is None
