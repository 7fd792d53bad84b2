"""The model of an image experiment: from flags, and what is known of the images, to its parts."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dpm_jax.experiments.images.config import ImageConfig

if TYPE_CHECKING:
    from dpm_jax.beliefs import Belief
    from dpm_jax.lattice import Neighbours
    from dpm_jax.levels import Grid
    from dpm_jax.mixture import Components
    from dpm_jax.process import LastStep, Model
    from dpm_jax.schedule import ScheduleFamily
    from dpm_jax.wiener import Surroundings

FIRST_NOISE = {
    # Standard deviation of x_1's noise in grey levels: what a posterior over levels cannot undo,
    "levels": 0.15,
    "binned": 0.15,
    # and what the fixed last step blurs: a tenth of the dequantisation noise's.
    "fixed": 0.1 / 12**0.5,
}
LEVELS = 256
ON_LEVELS = ("levels", "binned")  # last steps of images that are not dequantised


def build_model(config: ImageConfig, facts: Mapping[str, Any], schedule: ScheduleFamily) -> Model:
    """Kernel, schedule, network and reverse form, for images of the size and grain of ``facts``."""
    _check(facts)
    return NETWORKS[config.network](config, facts, schedule)


def _multiscale(config: ImageConfig, facts: Mapping[str, Any], schedule: ScheduleFamily) -> Model:
    import jax.numpy as jnp

    from dpm_jax import models

    height, width, channels = facts["event_shape"]
    belief = _belief(config, facts)
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
        form=belief.form,
        channels=belief.channels,
        last_step=_last_step(facts),
        dtype=jnp.dtype(config.precision),
    )


def _neighbourhood(
    config: ImageConfig, facts: Mapping[str, Any], schedule: ScheduleFamily
) -> Model:
    from dpm_jax import models

    height, width, channels = facts["event_shape"]
    return models.gaussian_neighbourhood(
        (height, width, channels),
        schedule,
        grid=_grid(facts),
        parts=_components(facts),
        side=config.side,
        dense=config.dense,
        dense_maps=config.dense_maps,
        upper=config.upper,
        bumps=config.bumps,
        last_step=_last_step(facts),
    )


def _convolutional(
    config: ImageConfig, facts: Mapping[str, Any], schedule: ScheduleFamily
) -> Model:
    import jax.numpy as jnp

    from dpm_jax import models

    height, width, channels = facts["event_shape"]
    return models.gaussian_convolutional(
        (height, width, channels),
        schedule,
        _belief(config, facts),
        config.network,  # type: ignore[arg-type]  # one of the two
        convolutions=config.convolutions,
        bumps=config.bumps,
        last_step=_last_step(facts),
        dtype=jnp.dtype(config.precision),
    )


NETWORKS = {
    "multiscale": _multiscale,
    "neighbourhood": _neighbourhood,
    "residual": _convolutional,
    "unet": _convolutional,
}


def _belief(config: ImageConfig, facts: Mapping[str, Any]) -> Belief:
    from dpm_jax import beliefs, lattice, reverse

    if config.believed == "mixture":
        return beliefs.mixed(_grid(facts), _components(facts))
    shift = reverse.shifted
    if _on_levels(facts):
        shift = partial(lattice.Bridge, _grid(facts), _neighbours(facts))
    if config.believed == "wiener":
        return beliefs.from_second_moments(_surroundings(facts), shift)
    form = reverse.named(config.reverse, config.variance)
    if config.reverse == "bridge":
        form = shift(reverse.under_prior)
    return beliefs.normal(facts["finest"], octaves=config.octaves, form=form)


def _neighbours(facts: Mapping[str, Any]) -> Neighbours:
    """How often each grey level is used, as it was saved: a person may have edited it.

    Before it was counted, all were taken to be used alike.
    """
    import numpy as np

    from dpm_jax import lattice

    if "level_counts" not in facts:
        return lattice.alike(LEVELS)
    try:
        counts = np.array(facts["level_counts"], np.float64)
    except (TypeError, ValueError):
        counts = np.full(1, np.nan)
    if not (counts.shape == (LEVELS,) and (counts >= 0).all() and 0 < counts.sum() < math.inf):
        raise ValueError(
            f"level_counts must be {LEVELS} numbers from 0, not all 0, got {facts['level_counts']}"
        )
    return lattice.as_used(counts)


def _surroundings(facts: Mapping[str, Any]) -> Surroundings:
    """Squares of the images by their components, from what was saved; a person may have edited."""
    import numpy as np

    from dpm_jax import wiener

    channels = facts["event_shape"][-1]
    try:
        found = np.array(facts["autocovariance"], np.float64)
    except (KeyError, TypeError, ValueError):
        found = np.full(1, np.nan)
    shifts = found.shape[0] if found.ndim else 0
    whole = found.shape == (shifts, shifts, channels, channels) and shifts % 2
    if not (whole and np.isfinite(found).all()):
        raise ValueError(
            "autocovariance must be finite and of an odd number of shifts, "
            f"[shifts, shifts, {channels}, {channels}], got one of shape {found.shape}"
        )
    return wiener.surroundings(found)


def _components(facts: Mapping[str, Any]) -> Components:
    """The mixture's parts, as they were saved; a person may have edited them."""
    from dpm_jax import mixture

    try:
        named = {name: tuple(map(float, values)) for name, values in facts["components"].items()}
        parts = mixture.Components(**named)
    except (AttributeError, KeyError, TypeError, ValueError):
        fields = ", ".join(mixture.Components._fields)
        raise ValueError(f"components must be lists of numbers: {fields}") from None
    if not _on_levels(facts):
        raise ValueError(f"last_step must be levels or binned, got {facts.get('last_step')!r}")
    mixture.check(parts, LEVELS)
    return parts


def _on_levels(facts: Mapping[str, Any]) -> bool:
    """Before there was a choice, the last step was fixed."""
    return facts.get("last_step", "fixed") in ON_LEVELS


def _grid(facts: Mapping[str, Any]) -> Grid:
    import numpy as np

    from dpm_jax.levels import Grid

    return Grid(np.array(facts["lowest"], np.float32), facts["finest"], LEVELS)


def _last_step(facts: Mapping[str, Any]) -> LastStep:
    """The last step that the images allow."""
    from dpm_jax import levels
    from dpm_jax.process import LAST_STEPS

    if not _on_levels(facts):
        return LAST_STEPS[facts.get("last_step", "fixed")]
    return levels.LAST_STEPS[facts["last_step"]](_grid(facts))


def _check(facts: Mapping[str, Any]) -> None:
    """Raise ValueError on facts that no images have: a person may have edited a saved run's."""
    shape, finest, (low, high) = facts["event_shape"], facts["finest"], facts["range"]
    if not all(isinstance(side, int) and side > 0 for side in shape) or shape[2:] not in ([1], [3]):
        raise ValueError(f"event_shape must be height, width and 1 or 3 channels, got {shape}")
    most = sys.float_info.max  # a whole number of any size is less than infinity
    if not (0 < finest <= most and -most <= low < high <= most):
        raise ValueError(f"finest must be positive and range rise, got {finest} and {[low, high]}")
    last_step, lowest = facts.get("last_step", "fixed"), facts.get("lowest", [0.0])
    if last_step not in FIRST_NOISE:
        raise ValueError(f"last_step must be one of {', '.join(FIRST_NOISE)}, got {last_step!r}")
    if last_step in ON_LEVELS and not (
        len(lowest) == shape[2] and all(-math.inf < level < math.inf for level in lowest)
    ):
        raise ValueError(f"lowest must be a level for each of {shape[2]} channels, got {lowest}")
