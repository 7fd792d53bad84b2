"""Curves of a trained model of images: bits along the log-SNR, and quality against cost."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from dpm_jax.array_types import Float
from dpm_jax.evaluation.figures import BLUE, GREEN, GREY, VERMILION, WIDTH, Drawing, label_axes
from dpm_jax.evaluation.likelihood import estimate

COLOURS = (BLUE, VERMILION, GREEN)


def log_snr(edges: Float[np.ndarray, " edges"], parts: Float[np.ndarray, "n bins"]) -> Drawing:
    """Bits per dimension for each nat of log-SNR, and their sum from the data down to the noise.

    Args:
        edges: of the ranges, falling, nats.
        parts: what each range costs every image, bits per dimension.
    """
    each, width = parts.mean(0), edges[:-1] - edges[1:]
    total = estimate(parts.sum(1))
    figure = Drawing(figsize=(WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    axes.stairs(each / width, edges, fill=True, color=BLUE, alpha=0.7)
    said = f"steps 2..T cost {total.mean:.3f} ± {total.se:.3f} bits per dimension"
    axes.set_title(f"{said}, {len(parts)} held-out images", fontsize=11)
    label_axes(
        axes,
        "log-SNR (nats): from the data to the noise",
        "bits per dimension per nat",
        colour=BLUE,
    )
    axes.invert_xaxis()
    axes.set_ylim(bottom=0)
    running = axes.twinx()
    running.plot(edges, np.append(0.0, each.cumsum()), color=VERMILION)
    running.set_ylim(bottom=0)
    running.set_ylabel("sum from the data, bits per dimension", color=VERMILION)
    running.spines["top"].set_visible(False)
    return figure


def fewer_steps(found: Mapping[str, Any], unit: str) -> Drawing:
    """What a model costs and how good its samples are, by how many steps are taken.

    Args:
        found: "steps", lists of the same length under ``unit`` and, where samples are graded,
            under "sure", each with its standard errors under the same name and "_se"; then
            "of_test_images" has the share of these too.
        unit: of the bound.
    """
    graded = "sure" in found
    figure = Drawing(figsize=(WIDTH, 6.0 if graded else 3.8), layout="constrained")
    rows = np.atleast_1d(figure.subplots(1 + graded, 1, sharex=True))
    steps = found["steps"]
    for axes, name, colour, scale in zip(
        rows, (unit, "sure"), (BLUE, GREEN), (1, 100), strict=False
    ):
        values, errors = (scale * np.array(found[key]) for key in (name, f"{name}_se"))
        axes.errorbar(steps, values, 2 * errors, fmt="o-", color=colour, capsize=3, lw=1.2, ms=5)
    label_axes(rows[0], "", unit.replace("_", " "))
    rows[0].set_title("the same model in fewer steps, ±2 s.e.", fontsize=11)
    if graded:
        label_axes(rows[1], "", "samples that a classifier\nis sure of (%)")
        rows[1].set_ylim(0, 105)
        real = 100 * found["of_test_images"]["sure"]
        rows[1].axhline(real, color=GREY, ls=":", label=f"as many test images: {real:.0f}%")
        rows[1].legend(frameon=False)
    rows[-1].set_xlabel("steps taken")
    rows[-1].set_xscale("log")
    rows[-1].set_xticks(steps, [f"{t:,}" for t in steps])
    rows[-1].minorticks_off()
    return figure


def first_noise(found: Mapping[str, Any]) -> Drawing:
    """How many bits per dimension more a model costs, by the noise that its first state has.

    Args:
        found: "images", "own_grey_levels" and "grey_levels"; and under "bits_per_dimension", by the
            name of the last step, the lists "more_than_own", its parts "steps" and "last_step", and
            their standard errors under the same names and "_se".
    """
    figure = Drawing(figsize=(WIDTH, 6.6), layout="constrained")
    rows = figure.subplots(2, 1, sharex=True)
    noises, own = found["grey_levels"], found["own_grey_levels"]
    steps: list[float] = []
    for (last, of), colour in zip(found["bits_per_dimension"].items(), COLOURS, strict=False):
        curves = [(rows[0], "more_than_own", "-", f"last step {last}")]
        curves += [(rows[1], "last_step", "-", f"$L_0$, last step {last}")]
        if of["steps"] != steps:  # they are the same for all of the same images
            steps = of["steps"]
            curves += [(rows[1], "steps", "--", "all other steps")]
        for axes, key, style, label in curves:
            bars: dict[str, Any] = {"marker": "o", "ms": 4, "lw": 1.2, "capsize": 3}
            error = 2 * np.array(of[f"{key}_se"])
            axes.errorbar(noises, of[key], error, color=colour, ls=style, label=label, **bars)
    for axes in rows:
        axes.axhline(0, color=GREY, lw=0.8)
        axes.axvline(own, color=GREY, ls=":", lw=1)
        axes.legend(frameon=False)
        label_axes(axes, "", "bits per dimension\nmore than at the run's own")
    rows[0].set_yscale("symlog", linthresh=0.01)
    said = f"the first noise of the run is {own:.2g} grey levels"
    rows[0].set_title(f"{said}; {found['images']} held-out images, ±2 s.e.", fontsize=11)
    rows[1].set_xlabel("noise of $x_1$ (grey levels)")
    rows[1].set_xscale("log")
    rows[1].set_xticks(noises, [f"{noise:.2g}" for noise in noises])
    rows[1].minorticks_off()
    return figure
