"""Figures of images: brightness in [0, 1], [height, width, channels], grey or colour."""

import math
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from dpm_jax.evaluation.figures import WIDTH, Drawing

GAP = 2  # pixels between the images of a grid


def samples(data: np.ndarray, drawn: np.ndarray) -> Figure:
    """Held-out images beside samples of the model, [n, height, width, channels] each."""
    figure = Drawing(figsize=(WIDTH, 4.3), layout="constrained")
    for axes, title, images in zip(
        figure.subplots(1, 2), ("held-out data", "samples of the model"), (data, drawn), strict=True
    ):
        across = math.ceil(math.sqrt(len(images)))
        _show(axes, grid(images, across))
        axes.set_title(title, fontsize=11)
    return figure


def states(by_time: Mapping[int, np.ndarray]) -> Figure:
    """The same samples at several t, a row of images [n, height, width, channels] each."""
    return rows({f"t = {t}": images for t, images in by_time.items()})


def rows(named: Mapping[str, np.ndarray], notes: Mapping[str, str] | None = None) -> Figure:
    """Rows of images [n, height, width, channels], one below the other, labelled at the left.

    Args:
        named: the images of each row, by its label.
        notes: a second line for the labels of the same name.
    """
    strips = {name: grid(images, len(images)) for name, images in named.items()}
    height, width = next(iter(strips.values())).shape[:2]
    label = 1.3  # inches
    tall = len(strips) * (WIDTH - label) * height / width + 0.1
    room = ConstrainedLayoutEngine(w_pad=0.08)  # inches, for the longest label
    figure = Drawing(figsize=(WIDTH, tall), layout=room)
    all_axes = figure.subplots(len(strips), 1, squeeze=False)[:, 0]
    for axes, (name, strip) in zip(all_axes, strips.items(), strict=True):
        _show(axes, strip)
        text = name
        if notes and name in notes:
            text += f"\n{notes[name]}"
        axes.set_ylabel(text, rotation=0, ha="right", va="center", fontsize=10)
    return figure


def panels(named: Mapping[str, np.ndarray]) -> Figure:
    """A few large images [height, width, channels] side by side."""
    figure = Drawing(layout="constrained")
    height, width = next(iter(named.values())).shape[:2]
    figure.set_size_inches(WIDTH, WIDTH / len(named) * height / width + 0.35)
    all_axes = figure.subplots(1, len(named), squeeze=False)[0]
    for axes, (name, image) in zip(all_axes, named.items(), strict=True):
        _show(axes, image)
        axes.set_title(name, fontsize=11)
    return figure


def grid(images: np.ndarray, across: int) -> np.ndarray:
    """Images [n, height, width, channels] as one, row by row, white between them."""
    count, height, width, channels = images.shape
    down = -(-count // across)
    cells = np.ones((down * across, height + GAP, width + GAP, channels), np.float32)
    cells[:count, :height, :width] = images
    cells = cells.reshape(down, across, height + GAP, width + GAP, channels)
    joined = cells.swapaxes(1, 2).reshape(down * (height + GAP), across * (width + GAP), channels)
    return joined[:-GAP, :-GAP]


def _show(axes: Axes, image: np.ndarray) -> None:
    shown = image.repeat(3, axis=-1) if image.shape[-1] == 1 else image
    axes.imshow(shown, vmin=0, vmax=1, interpolation="nearest")
    axes.set(xticks=(), yticks=())
    axes.spines[:].set_visible(False)
