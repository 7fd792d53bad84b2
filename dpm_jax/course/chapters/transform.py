"""Demonstration 1: one transform, as a scaling and a blur (1.1)."""

import numpy as np

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, window
from dpm_jax.course.parts import Chapter, Curve, Demo, Plot, Reading
from dpm_jax.laboratory import gaussian, transform
from dpm_jax.laboratory.distances import js
from dpm_jax.laboratory.space import line

ALPHAS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.998)
LAWS = 4
AXES = ("seed", "alpha")


def chapter() -> Chapter:
    """One demonstration: four laws, and their widths."""
    space = line(513)
    laws = np.stack([random(space, seed) for seed in range(LAWS)])
    steps = (transform.scaled, transform.blurred, transform.transform)
    scaled, blurred, both = (
        np.array([[step(space, q, alpha) for alpha in ALPHAS] for q in laws]) for step in steps
    )
    x = space.states[shown(space)]
    start = Curve("data", "q", ("seed",), x, window(space, laws))
    plots = tuple(
        Plot(name, ("", -SHOWN, SHOWN), ("", 0.0, 2.0), marks)
        for name, marks in (
            ("data", (start,)),
            ("scaled", (start, Curve("scaled", "best", AXES, x, window(space, scaled)))),
            ("blurred", (start, Curve("blurred", "best", AXES, x, window(space, blurred)))),
            ("transformed", (start, Curve("transformed", "best", AXES, x, window(space, both)))),
        )
    )
    readings = (
        Reading("width_data", ("seed",), _width(space.states, laws)),
        Reading("width_scaled", AXES, _width(space.states, scaled)),
        Reading("width_transformed", AXES, _width(space.states, both)),
        Reading("js_normal", AXES, js(both, space.prior)),
    )
    demo = Demo("one", (seeds(LAWS), chosen("alpha", ALPHAS, 0.7)), plots, readings)
    return Chapter("transform", (demo,))


def _width(x: np.ndarray, laws: np.ndarray) -> np.ndarray:
    variance = gaussian.moments(x, laws.reshape(-1, len(x)).T)[1]
    return np.asarray(np.sqrt(variance).reshape(laws.shape[:-1]))
