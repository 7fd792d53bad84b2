"""Demonstration 3.1: step after step to N(0, 1), and one step that stands for many (4.1 to 4.8)."""

import numpy as np

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, square, window
from dpm_jax.course.parts import Chapter, Curve, Demo, Picture, Plot, Reading
from dpm_jax.laboratory import chain
from dpm_jax.laboratory.distances import js, tv
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import posterior, transform

RATES = (0.25, 0.5, 0.7, 0.9, 0.98)
STEPS = (1, 2, 3, 5, 7)
LAWS = 4
AXES = ("seed", "start", "end", "steps", "t")
SMALL = 0.95  # of the steps that one stands for
MANY = 20
EVERY = 2


def chapter() -> Chapter:
    """The chain, and one step for many."""
    space = line(257)
    return Chapter("forward", (_chain(space), _one_for_many(space)))


def _chain(space: Space) -> Demo:
    times = range(max(STEPS) + 1)
    shape = (LAWS, len(RATES), len(RATES), len(STEPS), len(times))
    laws = np.zeros((*shape, len(space.states)))
    x = space.states[shown(space)]
    matrices = np.zeros((*shape, *[len(x[::EVERY])] * 2))
    for place in np.ndindex(shape[:-1]):
        seed, start, end, count = place
        rates = chain.rates(RATES[start], RATES[end], STEPS[count])
        stack = chain.forward(space, random(space, seed), rates)
        found = [
            square(space, posterior(space, q, float(a)), EVERY)
            for q, a in zip(stack[:-1], rates, strict=True)
        ]
        for t in times:  # beyond the last step, the last step
            laws[(*place, t)] = stack[min(t, len(rates))]
            matrices[(*place, t)] = found[min(max(t, 1), len(rates)) - 1]
    normal = Curve("normal", "exact", (), x, window(space, space.prior))
    law = Curve("chain", "q", AXES, x, window(space, laws))
    plots = (
        Plot("chain", ("zₜ", -SHOWN, SHOWN), ("", 0.0, 1.5), (law, normal)),
        Plot(
            "step_posterior",
            ("zₜ", -SHOWN, SHOWN),
            ("zₜ₋₁", -SHOWN, SHOWN),
            (Picture(AXES, matrices),),
        ),
    )
    readings = (
        Reading("js_normal", AXES, js(laws, space.prior)),
        Reading("alpha_bar", AXES[1:], _bars(times)),
    )
    controls = (
        seeds(LAWS),
        chosen("start", RATES, 0.9),
        chosen("end", RATES, 0.5),
        chosen("steps", STEPS, 7),
        chosen("t", times, 3),
    )
    return Demo("chain", controls, plots, readings)


def _bars(times: range) -> np.ndarray:
    found = np.ones((len(RATES), len(RATES), len(STEPS), len(times)))
    for start, end, count in np.ndindex(found.shape[:-1]):
        bars = chain.alpha_bar(chain.rates(RATES[start], RATES[end], STEPS[count]))
        found[start, end, count, 1:] = bars[np.minimum(times[1:], len(bars)) - 1]
    return found


def _one_for_many(space: Space) -> Demo:
    x, axes = space.states[shown(space)], ("seed", "many")
    laws = np.stack([random(space, seed) for seed in range(LAWS)])
    many = np.stack([chain.forward(space, q, np.full(MANY, SMALL))[1:] for q in laws])
    counts = range(1, MANY + 1)
    one = np.array([[transform(space, q, SMALL**count) for count in counts] for q in laws])
    plot = Plot(
        "one_for_many",
        ("z", -SHOWN, SHOWN),
        ("", 0.0, 1.5),
        (
            Curve("many", "q", axes, x, window(space, many)),
            Curve("one", "best", axes, x, window(space, one)),
        ),
    )
    readings = (
        Reading("alpha_one", ("many",), np.array([SMALL**count for count in counts])),
        Reading("tv_many", axes, tv(many, one)),
    )
    return Demo("many", (seeds(LAWS), chosen("many", counts, 3)), (plot,), readings)
