"""What a page is made of: controls, and arrays with one frame for each of their settings."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float


class Control(NamedTuple):
    """A slider over a few settings; its label is the text ``control.<name>``."""

    name: str
    values: tuple[str, ...]  # as they are shown, and as they stand in the link
    start: int = 0  # the setting at first


class Curve(NamedTuple):
    """A line, or bars, that changes with the controls named in ``axes``, in their order."""

    label: str  # the text ``curve.<label>`` is in the legend
    style: str  # a class of style.css
    axes: tuple[str, ...]
    x: Float[np.ndarray, " n"]
    y: Float[np.ndarray, "*axes n"]
    kind: Literal["line", "bars"] = "line"


class Picture(NamedTuple):
    """A matrix as shades, each frame from 0, white, to its own largest value; rows upwards."""

    axes: tuple[str, ...]
    values: Float[np.ndarray, "*axes rows columns"]


class Plot(NamedTuple):
    """A frame with axes; its caption is the text ``plot.<name>``."""

    name: str
    x: tuple[str, float, float]  # label, and the range
    y: tuple[str, float, float]
    marks: tuple[Curve | Picture, ...]


class Reading(NamedTuple):
    """A number beside the pictures; its label is the text ``reading.<name>``."""

    name: str
    axes: tuple[str, ...]
    values: Float[np.ndarray, "*axes"]


class Demo(NamedTuple):
    """Pictures and numbers that share their controls.

    The texts ``<chapter>.<name>.title``, ``.ask`` and ``.answer`` go with it.
    """

    name: str
    controls: tuple[Control, ...]
    plots: tuple[Plot, ...]
    readings: tuple[Reading, ...]


class Chapter(NamedTuple):
    """A page, <name>.html; ``<name>.title`` and ``<name>.text`` stand at its top."""

    name: str
    demos: tuple[Demo, ...]


def start_frame(demo: Demo, axes: tuple[str, ...]) -> tuple[int, ...]:
    """The index of the frame that is shown at first."""
    at = {control.name: control.start for control in demo.controls}
    return tuple(at[name] for name in axes)


def check(demo: Demo) -> None:
    """Refuse a demonstration whose arrays have not one frame for each setting.

    Raises:
        ValueError: naming the array.
    """
    sizes = {control.name: len(control.values) for control in demo.controls}
    arrays = [(r.name, r.axes, r.values.shape) for r in demo.readings]
    for plot in demo.plots:
        for mark in plot.marks:
            shape = mark.y.shape[:-1] if isinstance(mark, Curve) else mark.values.shape[:-2]
            arrays.append((plot.name, mark.axes, shape))
    for name, axes, shape in arrays:
        if shape != (wanted := tuple(sizes[axis] for axis in axes)):
            raise ValueError(f"{demo.name}: {name} must have {wanted} frames, got {shape}")
