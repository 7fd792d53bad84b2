"""Demonstration 4.1: a posterior transform brings any two laws closer (7.2)."""

import numpy as np

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, square, window
from dpm_jax.course.parts import Chapter, Curve, Demo, Picture, Plot, Reading
from dpm_jax.laboratory import law, markov
from dpm_jax.laboratory.space import line
from dpm_jax.laboratory.transform import posterior, transform

ALPHAS = (0.1, 0.3, 0.5, 0.7, 0.9, 0.98)
LAWS, PAIRS = 4, 4
FIRST_INPUT = 200  # seed of the first input
AXES = ("seed", "alpha", "pair")


def chapter() -> Chapter:
    """One demonstration: two inputs, two outputs, and their distances."""
    space = line(257)
    x = space.states[shown(space)]
    laws = [random(space, seed) for seed in range(LAWS)]
    inputs = np.stack([law.random(space, FIRST_INPUT + k) for k in range(2 * PAIRS)])
    matrices = np.array([[posterior(space, q, alpha) for alpha in ALPHAS] for q in laws])
    pairs = inputs.reshape(PAIRS, 2, -1)
    apart = np.array(
        [
            [[markov.contraction(matrix, *pair) for pair in pairs] for matrix in of_seed]
            for of_seed in matrices
        ]
    )  # [seed, alpha, pair, before or after, distance]
    outputs = np.einsum("saxz,pkz->sapkx", matrices, pairs)
    noisy = np.array([[transform(space, q, alpha) for alpha in ALPHAS] for q in laws])
    axis, height = ("x", -SHOWN, SHOWN), ("", 0.0, 1.8)
    plots = (
        Plot(
            "data_and_noisy",
            axis,
            height,
            (
                Curve("data", "q", ("seed",), x, window(space, np.stack(laws))),
                Curve("transformed", "best", AXES[:2], x, window(space, noisy)),
            ),
        ),
        Plot("posterior", ("z", *axis[1:]), axis, (Picture(AXES[:2], square(space, matrices, 2)),)),
        Plot(
            "inputs",
            ("z", *axis[1:]),
            height,
            (
                Curve("input_a", "q", ("pair",), x, window(space, pairs[:, 0])),
                Curve("input_b", "best", ("pair",), x, window(space, pairs[:, 1])),
            ),
        ),
        Plot(
            "outputs",
            axis,
            ("", 0.0, 3.5),
            (
                Curve("input_a", "q", AXES, x, window(space, outputs[..., 0, :])),
                Curve("input_b", "best", AXES, x, window(space, outputs[..., 1, :])),
            ),
        ),
    )
    readings = tuple(
        Reading(f"{distance}_{when}", AXES, apart[..., i, j])
        for j, distance in enumerate(("tv", "kl", "js"))
        for i, when in enumerate(("in", "out"))
    )
    controls = (seeds(LAWS), chosen("alpha", ALPHAS, 0.7), seeds(PAIRS, name="pair"))
    return Chapter("contraction", (Demo("closer", controls, plots, readings),))
