"""Rate and distortion of held-out images: what every x_t costs, and what it shows of the image."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm_jax.array_types import PRNGKey
from dpm_jax.data.patches import evenly
from dpm_jax.evaluation.figures import BLUE, VERMILION, WIDTH, Drawing, label_axes
from dpm_jax.evaluation.rate_distortion import rate_distortion
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.experiments.measurement import Found

RATED = 256  # images


def measured(subject: Subject, key: PRNGKey, chunk: int) -> Found:
    """At several t: bits per dimension, and the error of x̂_0 in the data's units."""
    images = subject.heldout[evenly(len(subject.heldout), RATED)]
    found = rate_distortion(subject.process, images, key, chunk=chunk)
    dimensions, scale = math.prod(images.shape[1:]), subject.data.scaling.scale
    values = {
        "rate_bits_per_dimension": found.rate / dimensions,
        "rate_bits_per_dimension_se": found.rate_se / dimensions,
        "rmse": found.rmse * scale,
        "rmse_se": found.rmse_se * scale,
    }
    unit = "grey levels" if subject.data.grain else "the data's units"
    drawn = figure(found.t, *values.values(), unit=unit)
    numbers = {
        "images": len(images),
        "rmse_unit": unit,
        "t": found.t.tolist(),
        **{name: value.tolist() for name, value in values.items()},
    }
    return {"rate_distortion": numbers}, {"rate_distortion": drawn}


def figure(
    t: np.ndarray,
    rate: np.ndarray,
    rate_se: np.ndarray,
    rmse: np.ndarray,
    rmse_se: np.ndarray,
    *,
    unit: str,
) -> Figure:
    """Distortion against rate, and both against t, with their standard errors; all [k].

    Args:
        t: the steps.
        rate: bits per dimension that have been spent when x_t is there.
        rate_se: its standard error.
        rmse: the error of x̂_0(x_t), in ``unit``.
        rmse_se: its standard error.
        unit: what the error is measured in.
    """
    drawing = Drawing(figsize=(WIDTH, 4.2), layout="constrained")
    curve, errors = drawing.subplots(1, 2)
    bars: dict[str, Any] = {"marker": "o", "ms": 3, "lw": 1.2}
    curve.errorbar(rate, rmse, xerr=rate_se, yerr=rmse_se, color=BLUE, **bars)
    for i, side in ((0, "right"), (-1, "left")):
        label, point = f"t = {t[i]}", (float(rate[i]), float(rmse[i]))
        curve.annotate(label, point, (4, 4), textcoords="offset points", ha=side)
    label_axes(curve, "rate (bits per dimension)", f"RMSE of $\\hat x_0$ ({unit})")
    errors.errorbar(t, rmse, yerr=rmse_se, color=BLUE, **bars)
    label_axes(errors, "t", f"RMSE of $\\hat x_0$ ({unit})", colour=BLUE)
    rates: Axes = errors.twinx()
    rates.errorbar(t, rate, yerr=rate_se, color=VERMILION, **bars)
    rates.set_ylabel("rate (bits per dimension)", color=VERMILION)
    rates.spines["top"].set_visible(False)
    for axes in (curve, errors, rates):
        axes.set_ylim(bottom=0)
    return drawing
