"""What the image experiments share: the network of App. D.2, and what is measured."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dpm_jax.experiments.base import Experiment, Problem, Units
from dpm_jax.experiments.images.config import ConfigT, ImageConfig

if TYPE_CHECKING:
    import numpy as np

    from dpm_jax.data.dataset import Images
    from dpm_jax.experiments.images.grade import Lesson
    from dpm_jax.process import LastStep, Model
    from dpm_jax.scaling import Unit
    from dpm_jax.schedule import ScheduleFamily

KNOTS = 16  # of the learned schedule: about as many as steps are drawn for a batch
FIRST_NOISE = {
    # Standard deviation of x_1's noise in grey levels: what a posterior over levels cannot undo,
    "levels": 0.15,
    "binned": 0.15,
    # and what the fixed last step blurs: a tenth of the dequantisation noise's.
    "fixed": 0.1 / 12**0.5,
}
LEVELS = 256
ON_LEVELS = ("levels", "binned")  # last steps of images that are not dequantised


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
    lesson: Lesson | None = None,
) -> Experiment:
    """An experiment on images, or on square patches of them.

    ``flag`` is the one that says where they were read; None where a seed has made them. Samples are
    graded where there is a ``lesson``: images that have labels.

    Raises:
        ValueError: on a bad value.
    """
    import numpy as np

    from dpm_jax.data import patches
    from dpm_jax.data.dataset import digest
    from dpm_jax.experiments.images import measure, summary
    from dpm_jax.experiments.schedules import schedule_family

    eight_bit = images.train[0].dtype == np.uint8
    last_step = config.last_step or ("levels" if eight_bit else "fixed")
    if last_step in ON_LEVELS and not eight_bit:
        raise ValueError(
            f"last_step must be fixed for images of real numbers, got {last_step}: "
            "they have no grey levels"
        )
    data = patches.prepare(
        images,
        patch,
        seed=config.seed,
        heldout=config.heldout_examples,
        dequantise=last_step not in ON_LEVELS,
    )
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
        "last_step": last_step,
    }
    if last_step in ON_LEVELS:
        facts["lowest"] = ((0.5 - data.scaling.mean) / data.scaling.scale).ravel().tolist()
    beta_1 = _beta_1(FIRST_NOISE[last_step] * data.finest)
    beta_1 = beta_1 if config.beta_1 is None else config.beta_1
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
        unit=_unit(last_step, (height, width, channels)),
        facts=facts,
        measure=partial(measure.measure, config, data, lesson),
        watch=partial(measure.watch, config, data),
        summary=summary.summary,
    )


def build_model(config: ImageConfig, facts: Mapping[str, Any], schedule: ScheduleFamily) -> Model:
    """Kernel, schedule, network and reverse form, for images of the size and grain of ``facts``."""
    import jax.numpy as jnp

    from dpm_jax import models, reverse

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
        form=reverse.named(config.reverse, config.variance),
        last_step=_last_step(facts),
        dtype=jnp.dtype(config.precision),
    )


def _last_step(facts: Mapping[str, Any]) -> LastStep:
    """The last step that the images allow; before there was a choice, it was fixed."""
    import numpy as np

    from dpm_jax import levels
    from dpm_jax.process import LAST_STEPS

    name = facts.get("last_step", "fixed")
    if name not in ON_LEVELS:
        return LAST_STEPS[name]
    grid = levels.Grid(np.array(facts["lowest"], np.float32), facts["finest"], LEVELS)
    return levels.LAST_STEPS[name](grid)


def _beta_1(std: float) -> float:
    """The rate after which x_1/√ᾱ_1 has noise of this standard deviation."""
    return std**2 / (1 + std**2)


def _unit(last_step: str, shape: tuple[int, int, int]) -> Unit:
    """Of progress: bits per dimension of a code where K is of a probability."""
    from dpm_jax.scaling import Unit

    if last_step in ON_LEVELS:
        return Unit("bits per dimension", -math.prod(shape))
    return Unit("bits per pixel", shape[0] * shape[1])


def _check(facts: Mapping[str, Any]) -> None:
    """Raise ValueError on facts that no images have: a person may have edited a saved run's."""
    shape, finest, (low, high) = facts["event_shape"], facts["finest"], facts["range"]
    if not all(isinstance(side, int) and side > 0 for side in shape) or shape[2:] not in ([1], [3]):
        raise ValueError(f"event_shape must be height, width and 1 or 3 channels, got {shape}")
    if not (0 < finest < math.inf and -math.inf < low < high < math.inf):
        raise ValueError(f"finest must be positive and range rise, got {finest} and {[low, high]}")
    last_step, lowest = facts.get("last_step", "fixed"), facts.get("lowest", [0.0])
    if last_step not in FIRST_NOISE:
        raise ValueError(f"last_step must be one of {', '.join(FIRST_NOISE)}, got {last_step!r}")
    if last_step in ON_LEVELS and not (
        len(lowest) == shape[2] and all(-math.inf < level < math.inf for level in lowest)
    ):
        raise ValueError(f"lowest must be a level for each of {shape[2]} channels, got {lowest}")


def frames(
    states: Mapping[int, np.ndarray], units: Units, facts: Mapping[str, Any]
) -> list[np.ndarray]:
    """Grids of images, one for each t."""
    from dpm_jax.experiments.images import figures

    grey = partial(figures.brightness, units, facts["range"])
    return figures.frames({t: grey(x) for t, x in states.items()})
