"""Figures of the swiss roll: points in, [n, 2], in the model's scaled units."""

from collections.abc import Mapping, Sequence

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

Grid = tuple[np.ndarray, np.ndarray]
"""Positions and vectors of a field, both [rows, columns, 2]."""

LIMIT = 3.0  # panels show [-LIMIT, LIMIT]², standard deviations of the data
ARROW = 3.0  # length of a panel's longest arrow, in spacings of its grid


def swiss_roll(
    forward: Mapping[int, np.ndarray],
    reverse: Mapping[int, np.ndarray],
    drift: Mapping[int, Grid],
) -> Figure:
    """The paper's Figure 1: states of both processes, and the drift that the model learned.

    Args:
        forward: x_t of q, [n, 2], by t.
        reverse: x_t of the model, [n, 2], by the same t.
        drift: f_μ(x, t) - x on a grid, at most as many t; t = 1 is not learned, and a short
            diffusion has fewer.

    Raises:
        ValueError: if the rows do not match.
    """
    if list(forward) != list(reverse) or len(drift) > len(forward):
        raise ValueError(
            "forward and reverse must have the same t, and drift no more, "
            f"got {list(forward)}, {list(reverse)}, {list(drift)}"
        )
    figure = Drawing(figsize=(WIDTH, 8.8), layout="constrained")
    rows = figure.subplots(3, len(forward), sharex=True, sharey=True, squeeze=False)
    for states, row, colour in ((forward, rows[0], BLUE), (reverse, rows[1], VERMILION)):
        for (t, x), axes in zip(states.items(), row, strict=True):
            _cloud(axes, t, x, colour)
    for axes in rows[2, len(drift) :]:
        axes.set_visible(False)
    for (t, field), axes in zip(drift.items(), rows[2], strict=False):
        longest = _arrows(axes, *field)
        axes.set_title(f"t = {t}, longest arrow {longest:.2g}", fontsize=11)
    labels = ("forward $q(x_t)$", "reverse $p(x_t)$", r"drift $f_\mu(x_t, t) - x_t$")
    for axes, label in zip(rows[:, 0], labels, strict=True):
        axes.set_ylabel(label, fontsize=12)
    for axes in rows.flat:
        _frame(axes)
    figure.supxlabel("positions and arrow lengths: scaled data, variance 1", fontsize=10)
    return figure


def conditional(
    samples: np.ndarray,
    weight: np.ndarray,
    grid: np.ndarray,
    density: np.ndarray,
    *,
    known: float,
    smc: tuple[np.ndarray, np.ndarray],
    bins: int = 120,
) -> Figure:
    """The roll's second coordinate given its first: weighted samples beside the exact law.

    Args:
        samples: of the second coordinate [n].
        weight: of the samples, summing to 1 [n].
        grid: where ``density`` is given [G].
        density: exact, integrating to 1 [G].
        known: the first coordinate.
        smc: draws of particles, and their weights [m] each.
        bins: of the histogram over the grid's range.
    """
    figure = Drawing(figsize=(WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(grid[0], grid[-1], bins + 1)
    heights = np.histogram(samples, edges, weights=weight)[0] / np.diff(edges)
    plain = np.histogram(samples, edges)[0] / len(samples) / np.diff(edges)
    resampled = np.histogram(smc[0], edges, weights=smc[1])[0] / np.diff(edges)
    axes.stairs(heights, edges, fill=True, color=BLUE, alpha=0.5, label="samples, weighted")
    axes.stairs(plain, edges, color=VERMILION, lw=1, label="samples, unweighted")
    axes.stairs(resampled, edges, color=GREEN, lw=1.4, label="smc")
    axes.plot(grid, density, color="black", lw=1, label="exact, by quadrature")
    axes.set_title(
        f"{len(samples):,} weighted samples worth {1 / (weight**2).sum():,.0f}, "
        f"{len(smc[0]):,} of smc worth {1 / (smc[1] ** 2).sum():,.0f}",
        fontsize=11,
    )
    label_axes(axes, "second coordinate $x_2$", f"density given $x_1$ = {known:g}")
    figure.legend(loc="outside upper center", ncols=4, frameon=False)
    return figure


def timesteps(
    steps: Sequence[int],
    gap: np.ndarray,
    se: np.ndarray,
    ceiling: np.ndarray,
    *,
    limit: float,
    trained: int,
) -> Figure:
    """K of one network at many T, beside what each T allows and what none can pass.

    Args:
        steps: T of each of the others.
        gap: limit - K, bits [n].
        se: its standard error [n].
        ceiling: the highest K of the schedule, bits [n].
        limit: L*, bits.
        trained: T at which the network learned.
    """
    figure = Drawing(figsize=(WIDTH, 6.8), layout="constrained")
    bounds, gaps = figure.subplots(2, 1, sharex=True)
    bounds.axhline(limit, color="black", lw=1, label="limit $L^*$ of the law")
    for axes, best, found in ((bounds, ceiling, limit - gap), (gaps, limit - ceiling, gap)):
        axes.plot(steps, best, "s--", color=VERMILION, mfc="none", label="ceiling of the schedule")
        bars = {"yerr": 2 * se, "capsize": 3, "lw": 1.2, "ms": 5}
        axes.errorbar(steps, found, fmt="o-", color=BLUE, label="K of the network, ±2 s.e.", **bars)
        axes.axvline(trained, color=GREY, ls=":", label=f"trained at T = {trained}")
    gaps.set(xscale="log", yscale="log")
    gaps.set_xticks(steps, [str(t) for t in steps])
    gaps.minorticks_off()
    gaps.yaxis.set_major_formatter("{x:g}")
    label_axes(bounds, "", "K (bits per example)")
    label_axes(gaps, "steps T of the diffusion", "short of $L^*$ (bits)")
    handles, labels = bounds.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, frameon=False)
    return figure


def frames(states: Mapping[int, np.ndarray]) -> list[np.ndarray]:
    """The reverse process as frames of an animation, uint8 [height, width, 3], from T to 0.

    Args:
        states: x_t of the model, [n, 2], by t.
    """
    return [_still(t, states[t]) for t in sorted(states, reverse=True)]


def _still(t: int, x: np.ndarray) -> np.ndarray:
    figure = Drawing(figsize=(WIDTH / 2, WIDTH / 2 + 0.3), layout="constrained")
    axes = figure.subplots()
    _cloud(axes, t, x, VERMILION, size=3.5)
    _frame(axes)
    return pixels(figure)


def _cloud(axes: Axes, t: int, x: np.ndarray, colour: str, *, size: float = 2.5) -> None:
    """Points; ``size`` of their dots, in points of type."""
    axes.plot(x[:, 0], x[:, 1], ".", color=colour, markersize=size, alpha=0.5, mew=0)
    axes.set_title(f"t = {t}", fontsize=11)


def _frame(axes: Axes) -> None:
    axes.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2), aspect="equal")
    axes.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT))


def _arrows(axes: Axes, positions: np.ndarray, vectors: np.ndarray) -> float:
    """Draw a field; the longest arrow spans ``ARROW`` spacings, and its true length returns."""
    longest = float(np.hypot(vectors[..., 0], vectors[..., 1]).max())
    spacing = np.ptp(positions[..., 0]) / (positions.shape[1] - 1)
    scale = (longest or 1.0) / (ARROW * spacing)
    components = np.moveaxis(np.concatenate([positions, vectors], axis=-1), -1, 0)
    axes.quiver(*components, angles="xy", scale_units="xy", scale=scale, color=GREEN, width=0.006)
    return longest
