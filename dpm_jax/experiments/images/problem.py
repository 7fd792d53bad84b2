"""What the image experiments share: the network of App. D.2, and what is measured."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dpm_jax.experiments.base import Experiment, Problem, Units
from dpm_jax.experiments.images.config import ConfigT, ImageConfig
from dpm_jax.experiments.images.model import FIRST_NOISE, LEVELS, ON_LEVELS, build_model

if TYPE_CHECKING:
    import numpy as np

    from dpm_jax.data.dataset import Images
    from dpm_jax.data.patches import ImageData
    from dpm_jax.experiments.images.grade import Lesson
    from dpm_jax.scaling import Unit

FIELDS = 2_000  # training images whose second moments are taken
KNOTS = 16  # of the learned schedule: about as many as steps are drawn for a batch


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
    if config.first_noises and not eight_bit:
        raise ValueError(
            "first_noises must be left out for images of real numbers: they have no grey levels"
        )
    if config.first_noises and config.network == "multiscale":
        raise ValueError(
            "first_noises must be left out where network is multiscale: "
            "it is told t and not the log-SNR"
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
    facts |= _believed(config, data, last_step)
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


def _believed(config: ImageConfig, data: ImageData, last_step: str) -> dict[str, Any]:
    """What beliefs about a pixel start from, of the training images."""
    import numpy as np

    from dpm_jax import mixture, scaling, wiener

    facts: dict[str, Any] = {}
    if last_step in ON_LEVELS:
        counts = np.bincount(data.dataset.train.ravel(), minlength=LEVELS)
        facts["level_counts"] = counts.tolist()
        if config.believed == "mixture":
            parts = mixture.components(counts, config.components, config.components // 2)
            return {"components": {name: list(values) for name, values in parts._asdict().items()}}
    elif config.believed == "mixture":
        raise ValueError(
            "belief must be normal or wiener for images of real numbers, got mixture "
            f"(network {config.network}): they have no grey levels"
        )
    if config.believed == "wiener":
        shortest = min(data.dataset.heldout.shape[1:3])
        side = min(config.side, shortest - 1 + shortest % 2)  # odd
        pixels = data.pixels(FIELDS, seed=config.seed).astype(np.float64) + 0.5 * data.grain
        fields = scaling.standardise(data.scaling, pixels).astype(np.float64)
        facts["autocovariance"] = wiener.autocovariance(fields, side).tolist()
    return facts


def _beta_1(std: float) -> float:
    """The rate after which x_1/√ᾱ_1 has noise of this standard deviation."""
    return std**2 / (1 + std**2)


def _unit(last_step: str, shape: tuple[int, int, int]) -> Unit:
    """Of progress: bits per dimension of a code where K is of a probability."""
    from dpm_jax.scaling import Unit

    if last_step in ON_LEVELS:
        return Unit("bits per dimension", -math.prod(shape))
    return Unit("bits per pixel", shape[0] * shape[1])


def frames(
    states: Mapping[int, np.ndarray], units: Units, facts: Mapping[str, Any]
) -> list[np.ndarray]:
    """Grids of images, one for each t."""
    from dpm_jax.experiments.images import figures

    grey = partial(figures.brightness, units, facts["range"])
    return figures.frames({t: grey(x) for t, x in states.items()})
