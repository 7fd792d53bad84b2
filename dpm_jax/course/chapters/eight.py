"""What the pages of bits share: three bits, their laws, and pictures of their eight states."""

import numpy as np
from jaxtyping import Float

from dpm_jax.course.parts import Control, Curve, Picture, Plot
from dpm_jax.laboratory import law
from dpm_jax.laboratory.space import Space, bits

BITS, LAWS = 3, 4
NUMBERS = np.arange(2.0**BITS)
NAMES = tuple(f"{state:0{BITS}b}" for state in range(2**BITS))
"""As a slider over states shows them."""
FILLED = 0.8  # of the distance between two states


def random(space: Space, seed: int) -> Float[np.ndarray, " n"]:
    """The law of a seed; the last is the heartbeat of period 3."""
    if seed == LAWS - 1:
        return law.heartbeat(space, BITS)
    return law.law(space, np.random.default_rng(seed).exponential(size=2**BITS) ** 2)


def laws() -> tuple[Space, Float[np.ndarray, "laws n"]]:
    """Three bits of activity 0.5, and the laws of all seeds."""
    space = bits(BITS)
    return space, np.stack([random(space, seed) for seed in range(LAWS)])


def state(start: int = 0) -> Control:
    """The slider over the states."""
    return Control("state", NAMES, start)


def bars(name: str, *curves: tuple[str, str, tuple[str, ...], np.ndarray]) -> Plot:
    """Probabilities, beside each other; a curve is its label, style, axes and values."""
    width = FILLED / len(curves)
    marks = tuple(
        Curve(label, style, axes, NUMBERS + width * (i - (len(curves) - 1) / 2), y, "bars")
        for i, (label, style, axes, y) in enumerate(curves)
    )
    return Plot(name, ("", -0.5, len(NUMBERS) - 0.5), ("", 0.0, 1.0), marks)


def matrix(name: str, x: str, y: str, axes: tuple[str, ...], values: np.ndarray) -> Plot:
    """A matrix of states by states."""
    ends = (-0.5, len(NUMBERS) - 0.5)
    return Plot(name, (x, *ends), (y, *ends), (Picture(axes, values),))
