"""Figures: arrays in, a matplotlib ``Figure`` out; the only module that imports matplotlib.

Nothing here touches pyplot or global state: figures need no display, and show themselves as
the last expression of a notebook cell. All entropies and bounds are in bits.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

Grid = tuple[np.ndarray, np.ndarray]
"""Positions and vectors of a field, both [rows, columns, 2]."""

WIDTH = 8.0  # inches; 960 pixels at DPI
DPI = 120
COLOURS = 128  # of a PNG's palette
LIMIT = 3.0  # the roll's panels show [-LIMIT, LIMIT]², standard deviations of the data
SEQUENCES = 40  # rows of a raster
ARROW = 3.0  # length of a panel's longest arrow, in spacings of its grid

BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6E6E6E"
LINES = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (PURPLE, ":"), (GREY, "-"))


class Drawing(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        return _png(self)


def save(figure: Figure, path: Path) -> None:
    """Write a small PNG whose bytes depend on the figure alone: no date, no version.

    Raises:
        ValueError: if ``path`` does not end in .png.
    """
    if path.suffix != ".png":
        raise ValueError(f"path must end in .png, got {path}")
    path.write_bytes(_png(figure))


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
            axes.plot(x[:, 0], x[:, 1], ".", color=colour, markersize=2.5, alpha=0.5, mew=0)
            axes.set_title(f"t = {t}", fontsize=11)
    for axes in rows[2, len(drift) :]:
        axes.set_visible(False)
    for (t, field), axes in zip(drift.items(), rows[2], strict=False):
        longest = _arrows(axes, *field)
        axes.set_title(f"t = {t}, longest arrow {longest:.2g}", fontsize=11)
    labels = ("forward $q(x_t)$", "reverse $p(x_t)$", r"drift $f_\mu(x_t, t) - x_t$")
    for axes, label in zip(rows[:, 0], labels, strict=True):
        axes.set_ylabel(label, fontsize=12)
    for axes in rows.flat:
        axes.set(xticks=(-2, 0, 2), yticks=(-2, 0, 2), aspect="equal")
        axes.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT))
    figure.supxlabel("positions and arrow lengths: scaled data, variance 1", fontsize=10)
    return figure


def heartbeat(data: np.ndarray, halfway: np.ndarray, samples: np.ndarray) -> Figure:
    """The paper's Figure 2: the first sequences of the data, of x_{T/2} and x_0 of the model.

    Each argument holds bits, [n, bins]; ones are black.
    """
    figure = Drawing(figsize=(WIDTH, 4.4), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True)
    titles = ("data $x_0$ (black: 1)", "model, $x_{T/2}$", "model, $x_0$")
    for axes, title, bits in zip(panels, titles, (data, halfway, samples), strict=True):
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
    panels[0].set_ylabel("sequence")
    return figure


def schedules(named: Mapping[str, np.ndarray], notes: Mapping[str, str] | None = None) -> Figure:
    """Rates β_t and log-SNR λ_t = log ᾱ_t/(1-ᾱ_t) of several schedules, against t/T.

    Args:
        named: β_1..β_T by label; T may differ. Where β_T = 1, λ_T = -∞ is left out.
        notes: added to the labels of the same name.
    """
    figure = Drawing(figsize=(WIDTH, 4.2), layout="constrained")
    rates, ratios = figure.subplots(1, 2)
    for i, (label, beta) in enumerate(named.items()):
        colour, line = LINES[i % len(LINES)]
        share = np.arange(1, len(beta) + 1) / len(beta)
        log_snr = _log_snr(beta)
        finite = np.isfinite(log_snr)
        text = f"{label}: {notes[label]}" if notes and label in notes else label
        rates.plot(share, beta, line, color=colour, label=text)
        ratios.plot(share[finite], log_snr[finite], line, color=colour)
    rates.set_yscale("log")
    _label(rates, "t / T", r"rate $\beta_t$")
    _label(ratios, "t / T", r"log-SNR $\log\,[\bar\alpha_t / (1 - \bar\alpha_t)]$ (nats)")
    figure.legend(loc="outside upper center", ncols=1 if notes else len(named), frameon=False)
    return figure


def where_the_bits_go(
    step_kl: np.ndarray,
    lower: np.ndarray,
    upper: np.ndarray,
    model: np.ndarray,
    *,
    continuous: bool,
) -> Figure:
    """What every reverse step costs, and its entropy between the bounds of eq. 24.

    Args:
        step_kl: mean KL of steps t = 2..T, bits [T-1].
        lower: left side of eq. 24, bits [T-1].
        upper: right side of eq. 24, bits [T-1].
        model: entropy of p(x_{t-1} | x_t), bits [T-1].
        continuous: whether entropies are differential, and may be negative; else log scale.
    """
    t = np.arange(2, len(step_kl) + 2)
    figure = Drawing(figsize=(WIDTH, 8.4), layout="constrained")
    costs, entropies, zoom = figure.subplots(3, 1, sharex=True)
    _costs(costs, t, step_kl)
    for axes, origin in ((entropies, 0.0), (zoom, upper)):
        band = (lower - origin, upper - origin)
        axes.fill_between(t, *band, color=GREY, alpha=0.35, lw=0, label="bounds of eq. 24")
        axes.plot(t, model - origin, color=BLUE, lw=1.2, label="model $p(x_{t-1} | x_t)$")
    if not continuous:  # then never negative, and largest by far at t = T
        entropies.set_yscale("log")
        entropies.set_ylim(bottom=0.05 * upper.min())
    kind = "differential entropy" if continuous else "entropy"
    _label(entropies, "", f"{kind}\n(bits per example)")
    _label(zoom, "t", "same, minus the\nupper bound (bits)")
    gap = float((upper - lower).max()) or 1.0
    zoom.set_ylim(-1.25 * gap, 0.25 * gap)  # set by the band, not by the noise of the model's line
    entropies.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    figure.align_ylabels([costs, entropies, zoom])
    return figure


def training(records: Sequence[Mapping[str, float | int]], *, limit: float | None = None) -> Figure:
    """K and the gradient's norm over training, from the records of ``metrics.jsonl``.

    The first tenth of the records does not stretch the axes: training may start far off.

    Args:
        records: with keys "step", "K_bits" and "gradient_norm".
        limit: what no model exceeds, bits.

    Raises:
        ValueError: if there are no records.
    """
    if not records:
        raise ValueError("records must not be empty: the run has written no metrics yet")
    names = ("step", "K_bits", "gradient_norm")
    step, K, norm = (np.array([record[name] for record in records]) for name in names)
    figure = Drawing(figsize=(WIDTH, 5.2), layout="constrained")
    bounds, norms = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    bounds.plot(step, K, color=BLUE, lw=1, label="K of the batch")
    start = len(step) // 10
    shown = K[start:]
    if limit is not None:
        bounds.axhline(limit, color=VERMILION, ls="--", label="true limit")
        shown = np.append(shown, limit)
    margin = 0.08 * (np.ptp(shown) or 1.0)
    bounds.set_ylim(shown.min() - margin, shown.max() + margin)
    _label(bounds, "", "K (bits per example)")
    bounds.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    norms.plot(step, norm, color=GREY, lw=1)
    norms.set_ylim(0, 1.08 * norm[start:].max())
    _label(norms, "training step", "gradient norm")
    return figure


def phase_posteriors(answers: Mapping[str, Mapping[str, Any]]) -> Figure:
    """Probabilities of the heartbeat's phases given some bits: weighted samples beside Bayes.

    Args:
        answers: by question, with keys "exact", "estimate", "estimate_se", "unweighted",
            "trajectories" and "effective", as ``posterior.summary`` gives them.
    """
    figure = Drawing(figsize=(WIDTH, 3.6), layout="constrained")
    panels = figure.subplots(1, len(answers), sharey=True, squeeze=False)[0]
    for axes, (question, answer) in zip(panels, answers.items(), strict=True):
        phase = np.arange(1, len(answer["exact"]) + 1)
        axes.bar(phase, answer["exact"], 0.8, color=GREY, alpha=0.35, label="exact, by Bayes")
        axes.plot(phase, answer["unweighted"], "x", color=VERMILION, label="samples, unweighted")
        axes.errorbar(
            phase,
            answer["estimate"],
            2 * np.array(answer["estimate_se"]),
            fmt="o",
            ms=4,
            capsize=3,
            color=BLUE,
            label="samples, weighted (±2 s.e.)",
        )
        worth = f"{answer['trajectories']:,} samples worth {answer['effective']:,.0f}"
        axes.set_title(f"{question}\n{worth}", fontsize=11)
        axes.set_xticks(phase)
        _label(axes, "phase", "")
    panels[0].set_ylabel("probability given five bits")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3, frameon=False)
    return figure


def conditional(
    samples: np.ndarray,
    weight: np.ndarray,
    grid: np.ndarray,
    density: np.ndarray,
    *,
    known: float,
    bins: int = 120,
) -> Figure:
    """The roll's second coordinate given its first: weighted samples beside the exact law.

    Args:
        samples: of the second coordinate [n].
        weight: of the samples, summing to 1 [n].
        grid: where ``density`` is given [G].
        density: exact, integrating to 1 [G].
        known: the first coordinate.
        bins: of the histogram over the grid's range.
    """
    figure = Drawing(figsize=(WIDTH, 3.8), layout="constrained")
    axes = figure.subplots()
    edges = np.linspace(grid[0], grid[-1], bins + 1)
    heights = np.histogram(samples, edges, weights=weight)[0] / np.diff(edges)
    plain = np.histogram(samples, edges)[0] / len(samples) / np.diff(edges)
    axes.stairs(heights, edges, fill=True, color=BLUE, alpha=0.5, label="samples, weighted")
    axes.stairs(plain, edges, color=VERMILION, lw=1, label="samples, unweighted")
    axes.plot(grid, density, color="black", lw=1, label="exact, by quadrature")
    axes.set_title(f"{len(samples):,} samples worth {1 / (weight**2).sum():,.0f}", fontsize=11)
    _label(axes, "second coordinate $x_2$", f"density given $x_1$ = {known:g}")
    figure.legend(loc="outside upper center", ncols=3, frameon=False)
    return figure


def _png(figure: Figure) -> bytes:
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: a second pass moves panels by a hair
    drawn, packed = BytesIO(), BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    # A palette makes clouds of points a third as large, and leaves the metadata behind.
    Image.open(drawn).convert("RGB").quantize(COLOURS, kmeans=1).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def _costs(axes: Axes, t: np.ndarray, step_kl: np.ndarray) -> None:
    """A bar per step, and their running sum on an axis of its own."""
    axes.stairs(step_kl, np.append(t - 0.5, t[-1] + 0.5), fill=True, color=BLUE)
    axes.set_title(f"steps t = 2..{t[-1]} cost {step_kl.sum():.3f} bits per example", fontsize=11)
    _label(axes, "", "KL of the step (bits)", colour=BLUE)
    running = axes.twinx()
    running.plot(t, step_kl.cumsum(), color=VERMILION)
    running.set_ylim(bottom=0)
    running.set_ylabel("KL of steps 2..t (bits)", color=VERMILION)
    running.spines["top"].set_visible(False)


def _arrows(axes: Axes, positions: np.ndarray, vectors: np.ndarray) -> float:
    """Draw a field; the longest arrow spans ``ARROW`` spacings, and its true length returns."""
    longest = float(np.hypot(vectors[..., 0], vectors[..., 1]).max())
    spacing = np.ptp(positions[..., 0]) / (positions.shape[1] - 1)
    scale = (longest or 1.0) / (ARROW * spacing)
    components = np.moveaxis(np.concatenate([positions, vectors], axis=-1), -1, 0)
    axes.quiver(*components, angles="xy", scale_units="xy", scale=scale, color=GREEN, width=0.006)
    return longest


def _log_snr(beta: np.ndarray) -> np.ndarray:
    """λ_1..λ_T; -inf where β_T = 1."""
    with np.errstate(divide="ignore"):  # log 0 = -inf is right
        log_alpha_bar = np.cumsum(np.log1p(-beta.astype(np.float64)))
    # log(1-ᾱ), exact where ᾱ is close to 1
    return np.asarray(log_alpha_bar - np.log(-np.expm1(log_alpha_bar)))


def _label(axes: Axes, x: str, y: str, *, colour: str = "black") -> None:
    axes.set_xlabel(x)
    axes.set_ylabel(y, color=colour)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
