"""Where the bits go: K of the best normal chain, term by term, as its schedule moves."""

import numpy as np
from jaxtyping import Float

from dpm_jax.course.chapters.common import chosen, random, seeds
from dpm_jax.course.parts import Chapter, Curve, Demo, Plot, Reading
from dpm_jax.laboratory import chain
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.space import Space, line

RATES = (0.3, 0.7, 0.9, 0.97)
LAWS, STEPS = 2, 8
AXES = ("seed", "start", "end")


def chapter() -> Chapter:
    """One demonstration: a bar for each step, and eq. 24's bounds."""
    space = line(385)
    laws = [random(space, seed) for seed in range(LAWS)]
    return Chapter("cost", (terms(space, laws, most=0.5, entropies=(-1.2, 2.0)),))


def terms(
    space: Space,
    laws: list[Float[np.ndarray, " n"]],
    *,
    most: float,
    entropies: tuple[float, float],
) -> Demo:
    """K of the best chains term by term, in plots of these heights."""
    sizes = (len(laws), len(RATES), len(RATES))
    found = [
        account(space, laws[seed], chain.rates(RATES[start], RATES[end], STEPS))
        for seed, start, end in np.ndindex(sizes)
    ]

    def numbers(values: list) -> np.ndarray:
        return np.array(values).reshape(*sizes, *np.shape(values[0]))

    t = np.arange(1.0, STEPS + 1)
    axis = ("t", 0.5, STEPS + 0.5)
    plots = (
        Plot(
            "step_costs",
            axis,
            ("", 0.0, most),
            (Curve("step_cost", "best", AXES, t, numbers([a.steps for a in found]), "bars"),),
        ),
        Plot(
            "entropies",
            axis,
            ("", *entropies),
            (
                Curve("upper", "plain", AXES, t[1:], numbers([a.upper for a in found])),
                Curve("reverse", "q", AXES, t[1:], numbers([a.reverse[1:] for a in found])),
                Curve("lower", "other", AXES, t[1:], numbers([a.lower for a in found])),
            ),
        ),
    )
    readings = (
        Reading("limit", AXES, numbers([-a.data for a in found])),
        Reading("end_cost", AXES, numbers([a.end for a in found])),
        Reading("cost", AXES, numbers([a.steps.sum() for a in found])),
        Reading("K", AXES, numbers([a.K for a in found])),
    )
    controls = (seeds(len(laws)), chosen("start", RATES, 0.7), chosen("end", RATES, 0.7))
    return Demo("bits", controls, plots, readings)
