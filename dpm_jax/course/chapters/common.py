"""What several chapters share: the laws that a seed stands for, and the part of a grid shown."""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float

from dpm_jax.course.parts import Control
from dpm_jax.laboratory import law
from dpm_jax.laboratory.space import Space

SHOWN = 3.0
"""Pages show the line from -3 to 3; the grid goes on to ±8."""

GAPS = (0, 0, 1, 2)
"""Of the law of each seed, so that the last ones have parts without mass."""


def seeds(count: int, start: int = 0, name: str = "seed") -> Control:
    """The slider of the first seeds."""
    return Control(name, tuple(map(str, range(count))), start)


def random(space: Space, seed: int) -> Float[np.ndarray, " n"]:
    """The law of a seed, with its gaps."""
    return law.random(space, seed, gaps=GAPS[seed])


def chosen(name: str, values: Iterable[int | float], start: int | float) -> Control:
    """A slider over numbers."""
    texts = tuple(f"{value:g}" for value in values)
    return Control(name, texts, texts.index(f"{start:g}"))


def shown(space: Space) -> Bool[np.ndarray, " n"]:
    """Which points of the line are drawn."""
    return np.abs(space.states) <= SHOWN


def window(space: Space, laws: Float[np.ndarray, "*axes n"]) -> Float[np.ndarray, "*axes m"]:
    """Densities at the points that are drawn."""
    return law.density(space, laws[..., shown(space)])


def square(
    space: Space, matrix: Float[np.ndarray, "*axes n n"], every: int
) -> Float[np.ndarray, "*axes m m"]:
    """The drawn part of a matrix, every so many points."""
    at = np.flatnonzero(shown(space))[::every]
    return matrix[..., at[:, None], at]
