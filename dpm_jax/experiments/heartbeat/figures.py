"""Figures of the heartbeat: bits in, [sequences, bins]; ones are black."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm_jax.evaluation.figures import (
    BLUE,
    GREEN,
    GREY,
    VERMILION,
    WIDTH,
    Drawing,
    label_axes,
    pixels,
)

SEQUENCES = 40  # rows of a raster


def heartbeat(data: np.ndarray, halfway: np.ndarray, samples: np.ndarray) -> Figure:
    """The paper's Figure 2: the first sequences of the data, of x_{T/2} and x_0 of the model.

    Each argument holds bits, [n, bins]; ones are black.
    """
    figure = Drawing(figsize=(WIDTH, 4.4), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    titles = ("data $x_0$ (black: 1)", "model, $x_{T/2}$", "model, $x_0$")
    for axes, title, bits in zip(panels, titles, (data, halfway, samples), strict=True):
        _raster(axes, title, bits)
    panels[0].set_ylabel("sequence")
    return figure


def phase_posteriors(
    answers: Mapping[str, Mapping[str, Any]], resampled: Mapping[str, Mapping[str, Any]]
) -> Figure:
    """Probabilities of the heartbeat's phases given some bits: samples beside Bayes.

    Args:
        answers: by question, with keys "exact", "estimate", "estimate_se", "unweighted",
            "trajectories" and "effective", as ``posterior.summary`` gives them.
        resampled: the same questions answered by particles.
    """
    figure = Drawing(figsize=(WIDTH, 3.8), layout="constrained")
    panels = figure.subplots(1, len(answers), sharey=True, squeeze=False)[0]
    for axes, (question, answer) in zip(panels, answers.items(), strict=True):
        phase = np.arange(1, len(answer["exact"]) + 1)
        axes.bar(phase, answer["exact"], 0.8, color=GREY, alpha=0.35, label="exact, by Bayes")
        axes.plot(phase, answer["unweighted"], "x", color=VERMILION, label="samples, unweighted")
        smc = resampled[question]
        shown = (
            (answer, -0.15, "o", BLUE, "samples, weighted (±2 s.e.)"),
            (smc, 0.15, "s", GREEN, "smc (±2 s.e.)"),
        )
        for said, aside, marker, colour, label in shown:
            axes.errorbar(
                phase + aside,
                said["estimate"],
                2 * np.array(said["estimate_se"]),
                fmt=marker,
                ms=4,
                capsize=3,
                color=colour,
                label=label,
            )
        worth = (
            f"{answer['trajectories']:,} weighted worth {answer['effective']:,.0f}\n"
            f"{smc['trajectories']:,} of smc worth {smc['effective']:,.0f}"
        )
        axes.set_title(f"{question}\n{worth}", fontsize=11)
        axes.set_xticks(phase)
        label_axes(axes, "phase", "")
    panels[0].set_ylabel("probability given five bits")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=4, frameon=False)
    return figure


def frames(states: Mapping[int, np.ndarray]) -> list[np.ndarray]:
    """The reverse process as frames of an animation, uint8 [height, width, 3], from T to 0.

    Args:
        states: bits of the model's x_t, [n, bins], by t.
    """
    return [_still(t, states[t]) for t in sorted(states, reverse=True)]


def _still(t: int, bits: np.ndarray) -> np.ndarray:
    figure = Drawing(figsize=(WIDTH / 2, 4.4), layout="constrained")
    axes = figure.subplots()
    _raster(axes, f"t = {t}", bits)
    axes.set_ylabel("sequence")
    return pixels(figure)


def _raster(axes: Axes, title: str, bits: np.ndarray) -> None:
    """The first sequences, a row each."""
    shown = bits[:SEQUENCES]
    count, bins = shown.shape
    extent = (0.5, bins + 0.5, count + 0.5, 0.5)  # bins and sequences count from 1
    axes.imshow(
        shown, cmap="binary", vmin=0, vmax=1, extent=extent, aspect="auto", interpolation="none"
    )
    axes.hlines(np.arange(1.5, count), 0.5, bins + 0.5, color="white", lw=1)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("bin")
    axes.set_xticks([1, *range(5, bins + 1, 5)])
