"""Demonstration 3.3: the best normal in the place of each posterior, and what that costs (6.1)."""

import numpy as np

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, square, window
from dpm_jax.course.parts import Chapter, Curve, Demo, Picture, Plot, Reading
from dpm_jax.laboratory import chain
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.distances import js
from dpm_jax.laboratory.space import line
from dpm_jax.laboratory.transform import log_posterior

RATES = (0.5, 0.8, 0.95)
STEPS = (1, 3, 5, 7)
LAWS = 3
CHAIN = ("seed", "start", "end", "steps")
AXES = (*CHAIN, "t")


def chapter() -> Chapter:
    """One demonstration: posterior and normal side by side, and the law that comes out."""
    space, times = line(257), range(max(STEPS) + 1)
    sizes = (LAWS, len(RATES), len(RATES), len(STEPS))
    x = space.states[shown(space)]
    laws = np.zeros((2, *sizes, len(times), len(space.states)))
    matrices = np.zeros((2, *sizes, len(times), len(x), len(x)))
    costs, totals = np.zeros((*sizes, len(times))), np.zeros((3, *sizes))
    for place in np.ndindex(sizes):
        seed, start, end, count = place
        q, rates = random(space, seed), chain.rates(RATES[start], RATES[end], STEPS[count])
        exact = chain.forward(space, q, rates)
        best = chain.restored_by_best(space, q, rates, space.prior)
        bits = account(space, q, rates)
        totals[(slice(None), *place)] = bits.K_exact, bits.K, bits.steps.sum()
        for t in times:  # at 0 the first step, beyond the last step the last
            step = min(max(t, 1), len(rates))
            laws[(slice(None), *place, t)] = exact[min(t, step)], best[min(t, step)]
            costs[(*place, t)] = bits.steps[step - 1]
            if t == step:
                log_p = log_posterior(space, exact[t - 1], float(rates[t - 1]))
                both = np.exp(np.stack([log_p, space.log_best(np.exp(log_p))]))
                matrices[(slice(None), *place, t)] = square(space, both, 1)
            else:
                matrices[(slice(None), *place, t)] = matrices[(slice(None), *place, t - 1)]
        matrices[(slice(None), *place, 0)] = matrices[(slice(None), *place, 1)]
    axis = ("zₜ", -SHOWN, SHOWN), ("zₜ₋₁", -SHOWN, SHOWN)
    plots = (
        Plot("step_posterior", *axis, (Picture(AXES, matrices[0]),)),
        Plot("step_normal", *axis, (Picture(AXES, matrices[1]),)),
        Plot(
            "restored",
            axis[0],
            ("", 0.0, 1.8),
            (
                Curve("chain", "q", AXES, x, window(space, laws[0])),
                Curve("from_best", "best", AXES, x, window(space, laws[1])),
            ),
        ),
    )
    readings = (
        Reading("step_cost", AXES, costs),
        Reading("js_from_best", AXES, js(laws[1], laws[0])),
        Reading("K_exact", CHAIN, totals[0]),
        Reading("cost", CHAIN, totals[2]),
        Reading("K", CHAIN, totals[1]),
    )
    controls = (
        seeds(LAWS),
        chosen("start", RATES, 0.8),
        chosen("end", RATES, 0.8),
        chosen("steps", STEPS, 7),
        chosen("t", times, 1),
    )
    return Chapter("gaussian", (Demo("fit", controls, plots, readings),))
