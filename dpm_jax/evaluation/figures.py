"""Figures of any problem, and how every figure is saved: arrays in, a matplotlib ``Figure`` out.

Nothing here touches pyplot or global state: figures need no display, and show themselves as
the last expression of a notebook cell. All entropies and bounds are in bits. Figures of one
problem are in its folder of ``experiments``.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from dpm_jax.scaling import PER_EXAMPLE, Unit
from dpm_jax.schedule import log_snr

WIDTH = 8.0  # inches; 960 pixels at DPI
DPI = 120
COLOURS = 256  # of a palette
SHORTEST = 0.02  # seconds; browsers slow down frames that are shorter
HOLD = 2.0  # seconds that an animation's last frame stays longer

BLUE, VERMILION, GREEN, PURPLE, GREY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#6E6E6E"
LINES = ((BLUE, "-"), (VERMILION, "--"), (GREEN, "-."), (PURPLE, ":"), (GREY, "-"))


class Drawing(Figure):
    """A figure that a notebook shows without pyplot."""

    def _repr_png_(self) -> bytes:
        return _png(pixels(self))


def save(figure: Figure, path: Path) -> None:
    """Write a small PNG, in true colour, whose bytes depend on the figure alone: no date.

    Raises:
        ValueError: if ``path`` does not end in .png.
    """
    save_pixels(pixels(figure), path)


def save_pixels(picture: np.ndarray, path: Path) -> None:
    """Write a picture, uint8 [height, width, 3], as such a PNG.

    Raises:
        ValueError: if ``path`` does not end in .png.
    """
    if path.suffix != ".png":
        raise ValueError(f"path must end in .png, got {path}")
    path.write_bytes(_png(picture))


def save_gif(frames: Sequence[np.ndarray], path: Path, *, seconds: float) -> None:
    """Write an animation that starts again for ever; its bytes depend on the frames alone.

    Args:
        frames: uint8 [height, width, 3] each, as ``pixels`` gives them. A frame of more than
            256 colours is shown in the 256 that fit it best.
        path: of the .gif.
        seconds: from the first frame to the end of the last, which stays ``HOLD`` longer.

    Raises:
        ValueError: if ``path`` does not end in .gif, there are fewer than two frames, they
            differ in shape, or ``seconds`` is too short for so many.
    """
    if path.suffix != ".gif":
        raise ValueError(f"path must end in .gif, got {path}")
    if len(frames) < 2:
        raise ValueError(f"frames must be at least 2, got {len(frames)}")
    shapes = sorted({frame.shape for frame in frames})
    if len(shapes) > 1:
        raise ValueError(f"frames must have one shape, got {shapes}")
    if seconds < SHORTEST * len(frames):
        least = f"{SHORTEST * len(frames):g} for {len(frames)} frames"
        raise ValueError(f"seconds must be at least {least}, got {seconds:g}")
    first, *rest = (_image(frame).quantize(COLOURS) for frame in frames)
    each = 1000 * seconds / len(frames)  # milliseconds
    times = [*[round(each)] * len(rest), round(each + 1000 * HOLD)]
    first.save(path, "GIF", save_all=True, append_images=rest, duration=times, loop=0)


def pixels(figure: Figure) -> np.ndarray:
    """A figure as it is saved: uint8 [height, width, 3]."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # laid out once: a second pass moves panels by a hair
    drawn = BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    return np.asarray(Image.open(drawn).convert("RGB"))


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
        with np.errstate(divide="ignore"):  # log ᾱ_T = -inf where β_T = 1, and that is right
            ratio = log_snr(np.cumsum(np.log1p(-beta.astype(np.float64))))
        finite = np.isfinite(ratio)
        text = f"{label}: {notes[label]}" if notes and label in notes else label
        rates.plot(share, beta, line, color=colour, label=text)
        ratios.plot(share[finite], ratio[finite], line, color=colour)
    rates.set_yscale("log")
    label_axes(rates, "t / T", r"rate $\beta_t$")
    label_axes(ratios, "t / T", r"log-SNR $\log\,[\bar\alpha_t / (1 - \bar\alpha_t)]$ (nats)")
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
    label_axes(entropies, "", f"{kind}\n(bits per example)")
    label_axes(zoom, "t", "same, minus the\nupper bound (bits)")
    gap = float((upper - lower).max()) or 1.0
    zoom.set_ylim(-1.25 * gap, 0.25 * gap)  # set by the band, not by the noise of the model's line
    entropies.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)
    figure.align_ylabels([costs, entropies, zoom])
    return figure


def training(
    records: Sequence[Mapping[str, float | int]],
    *,
    limit: float | None = None,
    unit: Unit = PER_EXAMPLE,
) -> Figure:
    """K and the gradient's norm over training, from the records of ``metrics.jsonl``.

    The first tenth of the records does not stretch the axes: training may start far off.

    Args:
        records: with keys "step", "K_bits" and "gradient_norm"; some may have
            "heldout_K_bits" too.
        limit: what no model exceeds, bits per example.
        unit: in which K is quoted.

    Raises:
        ValueError: if there are no records.
    """
    if not records:
        raise ValueError("records must not be empty: the run has written no metrics yet")
    names = ("step", "K_bits", "gradient_norm")
    step, K, norm = (np.array([record[name] for record in records]) for name in names)
    heldout = np.array([record.get("heldout_K_bits", np.nan) for record in records])
    measured = np.isfinite(heldout)
    figure = Drawing(figsize=(WIDTH, 5.2), layout="constrained")
    bounds, norms = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    bounds.plot(step, K / unit.per_example, color=BLUE, lw=1, label="K of the batch")
    start = len(step) // 10
    shown = np.append(K[start:], heldout[start:][measured[start:]])
    if measured.any():
        dots = (step[measured], heldout[measured] / unit.per_example)
        bounds.plot(*dots, "o", ms=5, color=GREEN, label="K of held-out examples")
    if limit is not None:
        bounds.axhline(limit / unit.per_example, color=VERMILION, ls="--", label="true limit")
        shown = np.append(shown, limit)
    shown = shown / unit.per_example
    margin = 0.08 * (np.ptp(shown) or 1.0)
    bounds.set_ylim(shown.min() - margin, shown.max() + margin)
    label_axes(bounds, "", f"K ({unit.name})")
    bounds.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    norms.plot(step, norm, color=GREY, lw=1)
    norms.set_ylim(0, 1.08 * norm[start:].max())
    label_axes(norms, "training step", "gradient norm")
    return figure


def label_axes(axes: Axes, x: str, y: str, *, colour: str = "black") -> None:
    """Name both axes, open the frame at the top and right, and draw a grid."""
    axes.set_xlabel(x)
    axes.set_ylabel(y, color=colour)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)


def _png(picture: np.ndarray) -> bytes:
    packed = BytesIO()
    _image(picture).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def _image(drawn: np.ndarray) -> Image.Image:
    """Pixels [height, width, 3] with a palette where they have few colours; never changed."""
    packed = drawn.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
    colours, index = np.unique(packed, return_inverse=True)
    if len(colours) > COLOURS:
        return Image.fromarray(drawn)
    image = Image.fromarray(index.reshape(packed.shape).astype(np.uint8))
    palette = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)
    image.putpalette(palette.astype(np.uint8).tobytes())
    return image


def _costs(axes: Axes, t: np.ndarray, step_kl: np.ndarray) -> None:
    """A bar per step, and their running sum on an axis of its own."""
    axes.stairs(step_kl, np.append(t - 0.5, t[-1] + 0.5), fill=True, color=BLUE)
    axes.set_title(f"steps t = 2..{t[-1]} cost {step_kl.sum():.3f} bits per example", fontsize=11)
    label_axes(axes, "", "KL of the step (bits)", colour=BLUE)
    running = axes.twinx()
    running.plot(t, step_kl.cumsum(), color=VERMILION)
    running.set_ylim(bottom=0)
    running.set_ylabel("KL of steps 2..t (bits)", color=VERMILION)
    running.spines["top"].set_visible(False)
