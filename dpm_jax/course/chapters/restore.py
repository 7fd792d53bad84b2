"""Demonstration 3.2: back from N(0, 1), or any other end, by exact posteriors (5.1 to 5.4)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, window
from dpm_jax.course.parts import Chapter, Curve, Demo, Plot, Reading
from dpm_jax.laboratory import chain, law
from dpm_jax.laboratory.distances import js
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import posterior

RATES = (0.25, 0.7, 0.95)
STEPS = (1, 3, 5, 7)
RATIOS = (0.0, 0.25, 0.5, 0.75, 1.0)
LAWS, NOISES = 3, 3
FIRST_NOISE = 100  # seed of the first law that disturbs an end
CHAIN = ("seed", "start", "end", "steps")
DISTURBED = (*CHAIN, "ratio", "noise", "t")


class Ways(NamedTuple):
    """Laws at every t ≤ T; beyond the last step, those of the last step."""

    exact: Float[np.ndarray, "times n"]
    normal: Float[np.ndarray, "times n"]  # from N(0, 1)
    disturbed: Float[np.ndarray, "ratios noises times n"]


def ways(space: Space, seed: int, rates: Float[np.ndarray, " T"], times: int) -> Ways:
    """The chain, and the ways back from all ends."""
    laws = chain.forward(space, random(space, seed), rates)
    noises = [law.random(space, FIRST_NOISE + k) for k in range(NOISES)]
    ends = [chain.disturbed(space, laws[-1], noise, ratio) for ratio in RATIOS for noise in noises]
    found = [np.stack([space.prior, *ends])]
    for before, alpha in zip(laws[-2::-1], rates[::-1], strict=True):
        found.append(found[-1] @ posterior(space, before, float(alpha)).T)
    back = np.stack(found[::-1], 1)
    at = np.minimum(np.arange(times), len(rates))
    disturbed = back[1:, at].reshape(len(RATIOS), NOISES, times, -1)
    return Ways(laws[at], back[0, at], disturbed)


def chapter() -> Chapter:
    """One demonstration: three ways back."""
    space, times = line(257), max(STEPS) + 1
    sizes = (LAWS, len(RATES), len(RATES), len(STEPS))
    found = [
        ways(space, seed, chain.rates(RATES[start], RATES[end], STEPS[count]), times)
        for seed, start, end, count in np.ndindex(sizes)
    ]
    exact, normal, disturbed = (
        np.stack(laws).reshape(*sizes, *laws[0].shape) for laws in zip(*found, strict=True)
    )
    x = space.states[shown(space)]
    plots = (
        Plot(
            "restored",
            ("zₜ", -SHOWN, SHOWN),
            ("", 0.0, 1.8),
            (
                Curve("chain", "q", (*CHAIN, "t"), x, window(space, exact)),
                Curve("from_normal", "exact", (*CHAIN, "t"), x, window(space, normal)),
                Curve("from_disturbed", "other", DISTURBED, x, window(space, disturbed)),
            ),
        ),
    )
    apart = js(disturbed, exact[..., None, None, :, :])
    readings = (
        Reading("js_from_normal", (*CHAIN, "t"), js(normal, exact)),
        Reading("js_from_disturbed", DISTURBED, apart),
        Reading("js_end", DISTURBED[:-1], apart[..., -1]),
        Reading("js_data", DISTURBED[:-1], apart[..., 0]),
    )
    controls = (
        seeds(LAWS),
        chosen("start", RATES, 0.7),
        chosen("end", RATES, 0.7),
        chosen("steps", STEPS, 7),
        chosen("ratio", RATIOS, 0.5),
        seeds(NOISES, name="noise"),
        chosen("t", range(times), 0),
    )
    return Chapter("restore", (Demo("back", controls, plots, readings),))
