"""A plot as SVG: its axes, and the marks of one frame, as script.js draws the others."""

from html import escape
from itertools import pairwise

import numpy as np
from jaxtyping import Float

from dpm_jax.course.parts import Curve, Plot

WIDTH, HEIGHT = 320, 220
LEFT, TOP, INNER_WIDTH, INNER_HEIGHT = 42, 8, 268, 172
TICKS = 4  # at least so many intervals of an axis
STEPS = (1.0, 2.0, 5.0)


def across(plot: Plot, x: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Pixels from the left."""
    _, lo, hi = plot.x
    return LEFT + INNER_WIDTH * (x - lo) / (hi - lo)


def down(plot: Plot, y: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Pixels from the top."""
    _, lo, hi = plot.y
    return TOP + INNER_HEIGHT * (hi - y) / (hi - lo)


def path(plot: Plot, curve: Curve, y: Float[np.ndarray, " n"]) -> str:
    """The attribute d of one frame of a curve."""
    columns, rows = across(plot, curve.x), down(plot, y)
    if curve.kind == "line":
        return "M" + "L".join(f"{a:.2f} {b:.2f}" for a, b in zip(columns, rows, strict=True))
    base = float(down(plot, np.zeros(1))[0])
    return "".join(f"M{a:.2f} {base:.2f}V{b:.2f}" for a, b in zip(columns, rows, strict=True))


def ticks(lo: float, hi: float) -> list[float]:
    """Round numbers between two ends."""
    rough = (hi - lo) / TICKS
    power = 10.0 ** np.floor(np.log10(rough))
    step = max(s * power for s in STEPS if s * power <= rough)
    first, last = np.ceil(lo / step - 1e-9), np.floor(hi / step + 1e-9)
    return [float(k * step) + 0.0 for k in np.arange(first, last + 1)]  # + 0.0: no -0


def axes(plot: Plot) -> str:
    """Ticks, numbers and labels."""
    found = [
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{INNER_WIDTH}" height="{INNER_HEIGHT}"/>'
    ]
    bottom = TOP + INNER_HEIGHT
    (x_label, *x_range), (y_label, *y_range) = plot.x, plot.y
    for value in ticks(*x_range):
        a = float(across(plot, np.array([value]))[0])
        found.append(f'<path class="tick" d="M{a:.1f} {bottom}v4"/>')
        found.append(f'<text x="{a:.1f}" y="{bottom + 16}" text-anchor="middle">{value:g}</text>')
    for value in ticks(*y_range):
        b = float(down(plot, np.array([value]))[0])
        found.append(f'<path class="tick" d="M{LEFT} {b:.1f}h-4"/>')
        found.append(f'<text x="{LEFT - 6}" y="{b + 4:.1f}" text-anchor="end">{value:g}</text>')
    middle = LEFT + INNER_WIDTH / 2
    found.append(
        f'<text x="{middle}" y="{HEIGHT - 6}" text-anchor="middle">{escape(x_label)}</text>'
    )
    rotated = f'transform="rotate(-90 10 {TOP + INNER_HEIGHT / 2})"'
    found.append(
        f'<text x="10" y="{TOP + INNER_HEIGHT / 2}" text-anchor="middle" {rotated}>'
        f"{escape(y_label)}</text>"
    )
    return "".join(found)


def bar_width(plot: Plot, x: Float[np.ndarray, " n"]) -> float:
    """Pixels of a bar: all bars of one place fill four fifths of it."""
    beside = sum(isinstance(mark, Curve) and mark.kind == "bars" for mark in plot.marks)
    columns = across(plot, x)
    return 0.8 * float(min(b - a for a, b in pairwise(columns))) / beside
