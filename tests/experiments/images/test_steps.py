"""A model's bits along its steps, and in fewer of them, of one that is untrained."""

import numpy as np
import pytest
from untrained import untrained, untrained_images

from dpm_jax.data import image_files, patches, split
from dpm_jax.evaluation import step_costs
from dpm_jax.evaluation.classifier import Layer
from dpm_jax.evaluation.figures import pixels
from dpm_jax.evaluation.likelihood import estimate, evaluate
from dpm_jax.experiments import saved_run
from dpm_jax.experiments.images import bounds, by_step, fewer, first_noise, measure
from dpm_jax.experiments.images.grade import Grader
from dpm_jax.experiments.images.model import FIRST_NOISE
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.sampling import skip
from dpm_jax.scaling import NATS_PER_BIT

KEYS = measure.keys(0)


@pytest.fixture(scope="module")
def subject(tmp_path_factory):
    place = tmp_path_factory.mktemp("run")
    run = saved_run.load(untrained_images(place))
    images = split.split(image_files.read(place / "mine.npy"))
    return Subject(run.process, patches.prepare(images, None, seed=0, dequantise=False))


def whole(subject):
    K = evaluate(subject.process, subject.heldout, KEYS.bound, progress=False)
    return bounds.density(subject, K)


def test_the_bars_of_the_log_snr_sum_to_what_the_steps_cost(subject):
    found, drawn = by_step.profile(subject, 3, KEYS.steps)
    where = found["log_snr"]
    assert len(where["edges"]) == len(where["bits_per_dimension"]) + 1
    costs = step_costs.step_costs(subject.process, subject.heldout, KEYS.steps)
    total = costs.sum(1).mean() / subject.heldout[0].size
    assert sum(where["bits_per_dimension"]) == pytest.approx(total)
    assert pixels(drawn["log_snr"]).shape[1] == 960


def test_importance_spreads_less_than_uniform_where_costs_differ_and_as_much_where_not():
    cost = np.repeat([[1.0, 8.0]], 20, axis=1)  # two halves of 40 steps, for each of 50 examples
    found = by_step.spread(np.repeat(np.sort(cost), 50, axis=0), draws=4)
    # By hand: p = 0.9 · (1, 8)/180 + 0.1/40.
    p = np.repeat(0.9 * np.array([1.0, 8.0]) / 180 + 0.1 / 40, 20)
    costs, total = np.sort(cost)[0], 180.0
    assert found["uniform_bits"] == pytest.approx(np.sqrt(40 * (costs**2).sum() - total**2))
    assert found["importance_bits"] == pytest.approx(np.sqrt((costs**2 / p).sum() - total**2))
    assert found["stratified_bits"] == pytest.approx(0, abs=1e-4)  # two of each half
    assert found["uniform_bits_se"] == pytest.approx(0, abs=1e-4)
    flat = by_step.spread(np.ones((5, 40)), draws=1)
    assert flat["uniform_bits"] == pytest.approx(0, abs=1e-4)


def test_fewer_steps_are_measured_as_processes_of_these_steps(subject):
    like = whole(subject)
    # Sure of class 0 where an image is dark, of 1 where it is bright.
    dimensions = subject.heldout[0].size
    weight = np.repeat([[-9.0, 9.0]], dimensions, axis=0).astype(np.float32)
    offset = np.array([4.5, -4.5], np.float32) * dimensions
    grader = Grader((Layer(weight, offset),), np.asarray(subject.data.scenes), np.ones(2, bool), 1)
    drawn = measure.sample(subject, 6, KEYS.samples)
    found, figure = fewer.across(
        subject, (3, 2, 3), 4, like, drawn, (KEYS.bound, KEYS.samples), grader
    )
    found = found["fewer_steps"]
    assert found["steps"] == [2, 3, 5]
    for i, steps in enumerate(found["steps"]):
        few = subject._replace(process=skip.fewer(subject.process, steps))
        expected = estimate(bounds.numbers(few, whole(few))["bits_per_dimension"] + np.zeros(2))
        # All steps are summed here, once each; only the noise may differ.
        assert found["bits_per_dimension"][i] == pytest.approx(expected.mean, rel=0.02)
    assert found["more_than_all_bits_per_dimension"][-1] == 0
    assert found["more_than_all_bits_per_dimension_se"][-1] == 0
    gap = found["bits_per_dimension"][0] - found["bits_per_dimension"][-1]
    assert found["more_than_all_bits_per_dimension"][0] == pytest.approx(gap)
    assert len(found["sure"]) == len(found["class_entropy_bits_se"]) == 3
    assert found["of_test_images"]["images"] == len(subject.heldout)
    assert pixels(figure["steps"]).shape[0] == 720
    plain, figure = fewer.across(subject, (2,), 4, like, drawn, (KEYS.bound, KEYS.samples))
    assert "sure" not in plain["fewer_steps"]
    assert pixels(figure["steps"]).shape[0] < 500


@pytest.fixture(scope="module", params=["levels", "fixed"])
def told(request, tmp_path_factory):
    """An untrained network that is told the log-SNR, of whole levels or of dequantised ones."""
    place = tmp_path_factory.mktemp("told")
    levels = np.random.default_rng(0).integers(0, 256, (200, 6, 5, 3), np.uint8)
    np.save(place / "mine.npy", levels)
    flags = "--network unet --belief normal --timesteps 200 --times-per-example 0 "
    flags += f"--data {place / 'mine.npy'} --last-step {request.param}"
    run = saved_run.load(untrained(place / "run", "images", flags))
    images = split.split(image_files.read(place / "mine.npy"))
    whole = request.param == "levels"
    return Subject(run.process, patches.prepare(images, None, seed=0, dequantise=not whole))


def test_what_a_first_noise_costs(told):
    found, figure = first_noise.across(told, (0.3, 3.0), KEYS.bound)
    assert pixels(figure["first_noise"]).shape[1] == 960
    found = found["first_noise"]
    own, bits = found["own_grey_levels"], found["bits_per_dimension"]
    assert own == pytest.approx(FIRST_NOISE["fixed" if told.continuous else "levels"], rel=1e-3)
    assert found["grey_levels"] == [own, 0.3, 3.0]
    assert list(bits) == ["fixed"] * told.continuous + ["levels", "binned"]
    for of in bits.values():
        assert of["steps"][0] == of["last_step"][0] == of["more_than_own_se"][0] == 0
        assert np.add(of["steps"], of["last_step"]) == pytest.approx(of["more_than_own"])
    if told.continuous:  # untrained it is worth L_null on any chain: what one part costs, one gains
        fixed = bits["fixed"]
        assert fixed["last_step"][2] > 3
        assert fixed["more_than_own"] == pytest.approx([0, 0, 0], abs=0.05)
    # Bayes over 256 levels, each as likely, by numpy.
    rng, every = np.random.default_rng(1), np.arange(256)
    level = rng.integers(0, 256, 20_000)[:, None]
    log_p = -((level + 3 * rng.normal(size=level.shape) - every) ** 2) / (2 * 9)
    cost = np.logaddexp.reduce(log_p, axis=1) - np.take_along_axis(log_p, level, 1)[:, 0]
    truth = estimate(cost / NATS_PER_BIT)
    # At the run's own noise, hardly anything.
    assert bits["levels"]["last_step"][2] == pytest.approx(truth.mean, abs=0.2)
    assert not set(bits["levels"]["steps"][1:]) & {0.0}


def test_images_that_were_learned_are_measured_and_no_others(subject):
    one, asked = subject.heldout[0], []

    def batch(train, key, size):
        asked.append((train.shape, size))
        return np.repeat(one[None], size, axis=0)

    dataset = subject.data.dataset._replace(batch=batch)
    given = subject._replace(data=subject.data._replace(dataset=dataset))
    found = bounds.of_learned(given, subject.process.schedule.steps - 1, KEYS.learned)
    found = found["learned_images"]
    assert asked == [(dataset.train.shape, len(subject.heldout))]
    K = evaluate(subject.process, np.repeat(one[None], 400, 0), KEYS.bound, progress=False)
    expected = estimate(bounds.code(subject, bounds.density(subject, K)))
    error = np.hypot(found["bits_per_dimension_se"], expected.se)
    assert 0 < error < 1
    assert abs(found["bits_per_dimension"] - expected.mean) < 5 * error
