"""Demonstration 4.2: the posterior transform again and again, where it rests, how fast (7.3 on)."""

import numpy as np

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, square, window
from dpm_jax.course.parts import Chapter, Control, Curve, Demo, Picture, Plot, Reading
from dpm_jax.laboratory import law, markov
from dpm_jax.laboratory.distances import js
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import posterior

ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
TIMES = (0, 1, 2, 3, 5, 10, 20, 50, 100, 1000, 10000)
LAWS, INPUTS = 3, 3
FIRST_INPUT = 200
AXES = ("seed", "alpha", "input", "times")
CURVE = np.linspace(0.05, 0.95, 19)


def chapter() -> Chapter:
    """The iteration, and its second eigenvalue against α."""
    space = line(257)
    return Chapter("convergence", (_iteration(space), _eigenvalues(space)))


def _iteration(space: Space) -> Demo:
    x = space.states[shown(space)]
    laws = [random(space, seed) for seed in range(LAWS)]
    inputs = np.stack([law.random(space, FIRST_INPUT + k) for k in range(INPUTS)])
    matrices = [[posterior(space, q, alpha) for alpha in ALPHAS] for q in laws]
    powers = np.array(
        [[[markov.power(m, count) for count in TIMES] for m in of_seed] for of_seed in matrices]
    )
    found = np.einsum("saczx,ix->saicz", powers, inputs)
    rest = np.array([[markov.stationary(space, q, alpha) for alpha in ALPHAS] for q in laws])
    second = [[markov.second_eigenvalue(m) for m in of_seed] for of_seed in matrices]
    axis = ("x", -SHOWN, SHOWN)
    plots = (
        Plot(
            "iterated",
            axis,
            ("", 0.0, 3.0),
            (
                Curve("data", "q", ("seed",), x, window(space, np.stack(laws))),
                Curve("stationary", "exact", AXES[:2], x, window(space, rest)),
                Curve("iterated", "best", AXES, x, window(space, found)),
            ),
        ),
        Plot(
            "power",
            ("z", *axis[1:]),
            axis,
            (Picture(("seed", "alpha", "times"), square(space, powers, 2)),),
        ),
    )
    readings = (
        Reading("js_from_data", AXES, js(found, np.stack(laws)[:, None, None, None])),
        Reading("js_from_stationary", AXES, js(found, rest[:, :, None, None])),
        Reading("stationary_from_data", AXES[:2], js(rest, np.stack(laws)[:, None])),
        Reading("gap", AXES[:2], 1 - np.array(second)),
    )
    controls = (
        seeds(LAWS),
        chosen("alpha", ALPHAS, 0.7),
        seeds(INPUTS, name="input"),
        Control("times", tuple(map(str, TIMES)), 1),
    )
    return Demo("again", controls, plots, readings)


def _eigenvalues(space: Space) -> Demo:
    found = np.array(
        [
            [
                markov.second_eigenvalue(posterior(space, random(space, seed), float(alpha)))
                for alpha in CURVE
            ]
            for seed in range(LAWS)
        ]
    )
    normal = [markov.second_eigenvalue(posterior(space, space.prior, float(a))) for a in CURVE]
    chord = [np.interp(CURVE, CURVE[[0, -1]], values[[0, -1]]) for values in found]
    plot = Plot(
        "second",
        ("α", 0.0, 1.0),
        ("λ₂", 0.0, 1.0),
        (
            Curve("second", "best", ("seed",), CURVE, found),
            Curve("chord", "plain", ("seed",), CURVE, np.array(chord)),
            Curve("second_normal", "exact", (), CURVE, np.array(normal)),
        ),
    )
    readings = (Reading("off_chord", ("seed",), np.abs(found - chord).max(-1)),)
    return Demo("speed", (seeds(LAWS),), (plot,), readings)
