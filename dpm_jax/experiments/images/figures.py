"""Figures of images: brightness in [0, 1], [height, width, channels], grey or colour.

Every pixel of an image is a square of whole pixels of the figure, in its exact colour of 8 bits.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dpm_jax import scaling
from dpm_jax.evaluation.figures import DPI, WIDTH, Drawing, pixels
from dpm_jax.experiments.base import Units

ACROSS = WIDTH * DPI  # pixels of a figure's width, about
CELL = 128.0  # pixels of a small image's width, about and at most
GAP = 3  # pixels between the images of a grid
AIR = 36  # pixels between panels
MARGIN = 8  # pixels around all
NARROWEST = 120  # pixels of a panel: room for "t = 10000", so that all frames are of one size
TITLE, LABEL = 11, 10  # points


def brightness(units: Units, span: Sequence[float], x: np.ndarray) -> np.ndarray:
    """The model's x [n, height, width, channels] in [0, 1]; ``span``: black, white, data units.

    A dequantised grey level is shown as the level, half its width below.
    """
    low, high = span
    levels = scaling.invert(units.scaling, x) - units.grain / 2
    return np.clip((levels - low) / (high - low), 0, 1)


def samples(data: np.ndarray, drawn: np.ndarray) -> Figure:
    """Held-out images beside samples of the model, [n, height, width, channels] each."""
    across = _across(max(len(data), len(drawn)))
    scale = _scale(min((ACROSS - AIR) / 2 / across, CELL), data.shape[2])
    titles = (f"held-out data ({len(data)})", f"samples of the model ({len(drawn)})")
    grids = (grid(_enlarge(images, scale), across) for images in (data, drawn))
    return _titled(dict(zip(titles, grids, strict=True)))


def states(by_time: Mapping[int, np.ndarray]) -> Figure:
    """The same samples at several t, a row of images [n, height, width, channels] each."""
    return rows({f"t = {t}": images for t, images in by_time.items()})


def rows(named: Mapping[str, np.ndarray], notes: Mapping[str, str] | None = None) -> Figure:
    """Rows of images [n, height, width, channels], one below the other, labelled at the left.

    Args:
        named: the images of each row, by its label.
        notes: a second line for the labels of the same name.
    """
    labels = [f"{name}\n{notes[name]}" if notes and name in notes else name for name in named]
    extents = [_extent(label, LABEL) for label in labels]
    left = 3 * MARGIN + max(width for width, _ in extents)
    count, _, wide, _ = next(iter(named.values())).shape
    scale = _scale(min((ACROSS - left) / count, CELL), wide)
    strips = [grid(_enlarge(images, scale), count) for images in named.values()]
    height, width = strips[0].shape[:2]
    step = MARGIN + max(height, *(tall for _, tall in extents))
    figure = _canvas(left + width + MARGIN, len(strips) * step + MARGIN)
    for i, (label, strip) in enumerate(zip(labels, strips, strict=True)):
        axes = _place(figure, strip, left, MARGIN + i * step + (step - MARGIN - height) // 2)
        axes.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=LABEL)
    return figure


def panels(named: Mapping[str, np.ndarray]) -> Figure:
    """A few large images [height, width, channels] with titles, four of them in a square."""
    across = _across(len(named))
    wide = next(iter(named.values())).shape[1]
    scale = _scale((ACROSS - AIR * (across - 1)) / across, wide)
    return _titled({name: _enlarge(image[None], scale)[0] for name, image in named.items()})


def frames(states: Mapping[int, np.ndarray]) -> list[np.ndarray]:
    """The reverse process as frames of an animation, uint8 [height, width, 3], from T to 0.

    ``states`` are the same samples [n, height, width, channels], by t.
    """
    count, _, width, _ = next(iter(states.values())).shape
    across = _across(count)
    scale = _scale(ACROSS / 2 / across, width)
    return [
        pixels(_titled({f"t = {t}": grid(_enlarge(states[t], scale), across)}))
        for t in sorted(states, reverse=True)
    ]


def grid(images: np.ndarray, across: int) -> np.ndarray:
    """Images [n, height, width, channels] as one, row by row, white between them."""
    count, height, width, channels = images.shape
    down = -(-count // across)
    cells = np.ones((down * across, height + GAP, width + GAP, channels), np.float32)
    cells[:count, :height, :width] = images
    cells = cells.reshape(down, across, height + GAP, width + GAP, channels)
    joined = cells.swapaxes(1, 2).reshape(down * (height + GAP), across * (width + GAP), channels)
    return joined[:-GAP, :-GAP]


def _across(count: int) -> int:
    """Columns of a grid that is full, or as nearly as a grid about square can be."""
    square = math.ceil(math.sqrt(count))
    return min(range(square, square + square // 2 + 1), key=lambda across: -count % across)


def _scale(room: float, width: int) -> int:
    """The whole factor that brings ``width`` nearest to ``room``, as a ratio."""
    exact = room / width
    below = max(1, int(exact))
    return below + (exact**2 > below * (below + 1))


def _enlarge(images: np.ndarray, scale: int) -> np.ndarray:
    return images.repeat(scale, axis=1).repeat(scale, axis=2)


def _titled(named: Mapping[str, np.ndarray]) -> Figure:
    """Images [height, width, channels] in a grid of panels, each below its title."""
    across = _across(len(named))
    extents = [_extent(title, TITLE) for title in named]
    widths = [image.shape[1] for image in named.values()]
    width = max(NARROWEST, *widths, *(wide for wide, _ in extents))
    head = 2 * MARGIN + max(height for _, height in extents)
    step = head + max(image.shape[0] for image in named.values()) + MARGIN
    down = -(-len(named) // across)
    figure = _canvas(across * (width + AIR) - AIR + 2 * MARGIN, down * step)
    for i, (title, image) in enumerate(named.items()):
        row, column = divmod(i, across)
        left = MARGIN + column * (width + AIR) + (width - image.shape[1]) // 2
        _place(figure, image, left, row * step + head).set_title(title, fontsize=TITLE)
    return figure


def _canvas(width: int, height: int) -> Drawing:
    """An empty figure of so many pixels."""
    # matplotlib cuts fractions, and in floating point 123/120 of an inch is less than 123 pixels
    return Drawing(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI)


def _place(figure: Figure, image: np.ndarray, left: int, top: int) -> Axes:
    """Show an image pixel for pixel, ``left`` and ``top`` pixels from the figure's edges."""
    height, width = image.shape[:2]
    across, down = (int(size) for size in figure.bbox.size)
    box = (left / across, 1 - (top + height) / down, width / across, height / down)
    axes = figure.add_axes(box)
    levels = np.rint(255 * image.clip(0, 1)).astype(np.uint8)  # matplotlib would cut, not round
    axes.imshow(np.broadcast_to(levels, (height, width, 3)), aspect="auto", interpolation="none")
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_visible(False)
    return axes


def _extent(text: str, points: int) -> tuple[int, int]:
    """Width and height of a text in pixels."""
    box = Drawing(dpi=DPI).text(0, 0, text, fontsize=points).get_window_extent()
    return math.ceil(box.width), math.ceil(box.height)
