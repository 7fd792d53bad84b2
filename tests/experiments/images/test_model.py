"""What a person may have edited of a saved run's facts, before a model is made of them."""

from dataclasses import replace

import numpy as np
import pytest

from dpm_jax import schedule
from dpm_jax.data.dataset import Images
from dpm_jax.experiments import registry
from dpm_jax.experiments.images import problem
from dpm_jax.experiments.images.model import build_model

FACTS = {
    "event_shape": [8, 8, 3],
    "finest": 0.02,
    "range": [0.0, 255.0],
    "last_step": "levels",
    "lowest": [-1.0, -1.0, -1.0],
    "autocovariance": (np.eye(3) * np.ones((5, 5, 1, 1))).tolist(),
}


def build(facts):
    config = registry.problem("images").presets["cpu"]
    assert config.believed == "wiener"
    return build_model(config, facts, schedule.fixed(4))


@pytest.mark.parametrize(
    ("name", "flags", "believed"),
    [
        ("mnist", {}, "mixture"),
        ("mnist", {"network": "residual"}, "mixture"),
        ("mnist", {"network": "residual", "belief": "wiener"}, "wiener"),
        ("mnist", {"last_step": "fixed"}, "wiener"),
        ("mnist", {"reverse": "epsilon"}, "normal"),
        ("mnist", {"network": "multiscale"}, "normal"),
        ("mnist", {"network": "neighbourhood"}, "mixture"),
        ("cifar10", {}, "wiener"),
        ("cifar10", {"reverse": "v"}, "normal"),
    ],
)
def test_what_is_believed_of_a_pixel_if_nothing_is_said(name, flags, believed):
    assert replace(registry.problem(name).presets["cpu"], **flags).believed == believed


def test_second_moments_make_a_model():
    assert build(FACTS).event_shape == (8, 8, 3)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        1.0,
        np.ones((4, 4, 3, 3)).tolist(),
        [[1.0]],
        [[[[1.0]]]],
        (np.full((5, 5, 3, 3), np.nan)).tolist(),
        [[1, [2]]],
    ],
)
def test_second_moments_that_no_run_writes_are_refused(value):
    with pytest.raises(ValueError, match="autocovariance must be finite"):
        build(FACTS | {"autocovariance": value})


@pytest.mark.parametrize(
    "value",
    [None, "text", 1.0, [1] * 255, [-1] + [1] * 255, [0] * 256, [float("nan")] * 256, [[1]] * 256],
)
def test_counts_of_levels_that_no_run_writes_are_refused(value):
    with pytest.raises(ValueError, match="level_counts must be 256 numbers from 0, not all 0"):
        build(FACTS | {"level_counts": value})


def test_a_model_knows_which_levels_the_training_images_use():
    rng = np.random.default_rng(0)
    images = Images(*(rng.choice([3, 40, 255], (n, 8, 8, 1)).astype(np.uint8) for n in (20, 4)))
    config = registry.problem("images").presets["cpu"]
    facts = problem.experiment(config, images).facts
    assert np.nonzero(facts["level_counts"])[0].tolist() == [3, 40, 255]
    assert facts["level_counts"][40] == (images.train == 40).sum()
    real = Images(*(part.astype(np.float32) for part in images))
    assert "level_counts" not in problem.experiment(config, real).facts
