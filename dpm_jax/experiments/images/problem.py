"""What the image experiments share: the network of App. D.2, and what is measured."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dpm_jax.experiments.base import Experiment, Problem, Units, schedule_family
from dpm_jax.experiments.images.config import ConfigT, ImageConfig

if TYPE_CHECKING:
    import numpy as np

    from dpm_jax.data.dataset import Images
    from dpm_jax.process import Model
    from dpm_jax.schedule import ScheduleFamily

KNOTS = 16  # of the learned schedule: about as many as steps are drawn for a batch
BETA_1_SHARE = 1e-2  # of the dequantisation noise's variance: what the fixed last step blurs


def problem(
    name: str, doc: str, presets: Mapping[str, ConfigT], build: Callable[[Any], Experiment]
) -> Problem:
    """The experiment of this name on images."""
    return Problem(name, doc, presets, build, build_model, frames)


def experiment(
    config: ImageConfig,
    images: Images,
    *,
    flag: str | None = None,
    variant: str = "",
    patch: int | None = None,
) -> Experiment:
    """An experiment on images, or on square patches of them.

    ``flag`` is the one that says where they were read; None where a seed has made them.

    Raises:
        ValueError: on a bad value.
    """
    from dpm_jax.data import patches
    from dpm_jax.data.dataset import digest
    from dpm_jax.experiments.images import measure, summary
    from dpm_jax.scaling import Unit

    data = patches.prepare(images, patch, seed=config.seed, heldout=config.heldout_examples)
    if data.constant_components:
        print(
            f"{data.constant_components} of the images' components never vary: their density has "
            "no limit, K grows as beta_1 shrinks, and there is no Gaussian to compare with",
            file=sys.stderr,
        )
    height, width, channels = data.dataset.heldout.shape[1:]
    facts = {
        "event_shape": [height, width, channels],
        "finest": data.finest,
        "range": list(data.range),
    }
    beta_1 = BETA_1_SHARE * data.finest**2 / 12 if config.beta_1 is None else config.beta_1
    family, inputs = schedule_family(
        config.schedule, config.timesteps, beta_1, spacing=0.0, knots=KNOTS
    )
    if flag is not None:
        inputs[flag] = digest(*images)
    return Experiment(
        variant=variant if data.grain else f"{variant}, real numbers",
        model=build_model(config, facts, family),
        data=data.dataset,
        inputs=inputs,
        units=Units(data.scaling, data.grain),
        unit=Unit("bits per pixel", height * width),
        facts=facts,
        measure=partial(measure.measure, config, data),
        watch=partial(measure.watch, config, data),
        summary=summary.summary,
    )


def build_model(config: ImageConfig, facts: Mapping[str, Any], schedule: ScheduleFamily) -> Model:
    """Kernel, schedule, network and reverse form, for images of the size and grain of ``facts``."""
    import jax.numpy as jnp

    from dpm_jax import models
    from dpm_jax.reverse import FORMS

    _check(facts)
    height, width, channels = facts["event_shape"]
    return models.gaussian_multiscale(
        (height, width, channels),
        schedule,
        finest=facts["finest"],
        convolutions=config.convolutions,
        scales=config.scales,
        dense=config.dense,
        dense_maps=config.dense_maps,
        upper=config.upper,
        bumps=config.bumps,
        octaves=config.octaves,
        form=FORMS[config.reverse],
        dtype=jnp.dtype(config.precision),
    )


def _check(facts: Mapping[str, Any]) -> None:
    """Raise ValueError on facts that no images have: a person may have edited a saved run's."""
    shape, finest, (low, high) = facts["event_shape"], facts["finest"], facts["range"]
    if not all(isinstance(side, int) and side > 0 for side in shape) or shape[2:] not in ([1], [3]):
        raise ValueError(f"event_shape must be height, width and 1 or 3 channels, got {shape}")
    if not (0 < finest < math.inf and -math.inf < low < high < math.inf):
        raise ValueError(f"finest must be positive and range rise, got {finest} and {[low, high]}")


def frames(
    states: Mapping[int, np.ndarray], units: Units, facts: Mapping[str, Any]
) -> list[np.ndarray]:
    """Grids of images, one for each t."""
    from dpm_jax.experiments.images import figures

    grey = partial(figures.brightness, units, facts["range"])
    return figures.frames({t: grey(x) for t, x in states.items()})
