"""A posterior given a noisy sight of x: by multiplication, and by entering the chain."""

import numpy as np
from jaxtyping import Float, Int

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, window
from dpm_jax.course.parts import Chapter, Curve, Demo, Plot, Reading
from dpm_jax.laboratory import chain, gaussian, law
from dpm_jax.laboratory.distances import tv
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import posterior, posterior_at

LAWS, STEPS = 4, 8
RATES = chain.rates(0.95, 0.5, STEPS)
PLACES = tuple(np.linspace(-1.5, 1.5, 13))
"""What is seen, as a state z of the chain: points of the grid."""
AXES = ("seed", "t", "z")


def chapter() -> Chapter:
    """One demonstration: three ways to one posterior."""
    space, bars = line(257), chain.alpha_bar(RATES)
    laws = [random(space, seed) for seed in range(LAWS)]
    sights = np.array(
        [[posterior_at(space, laws[0], float(bar), z)[1] for z in PLACES] for bar in bars]
    )
    multiplied = np.array([[[law.law(space, q * r) for r in of] for of in sights] for q in laws])
    at = np.array([int(np.argmin(np.abs(space.states - z))) for z in PLACES])
    entered = np.array([entering(space, q, at) for q in laws])
    walked = np.array([product_of_steps(space, q, sights) for q in laws])
    x, axis = space.states[shown(space)], ("x", -SHOWN, SHOWN)
    sight = sights[..., shown(space)]
    plots = (
        Plot(
            "sight",
            axis,
            ("", 0.0, 2.0),
            (
                Curve("data", "q", ("seed",), x, window(space, np.stack(laws))),
                Curve("sight", "exact", AXES[1:], x, sight),
            ),
        ),
        Plot(
            "three_ways",
            axis,
            ("", 0.0, 3.0),
            (
                Curve("multiplied", "q", AXES, x, window(space, multiplied)),
                Curve("entered", "exact", AXES, x, window(space, entered)),
                Curve("walked", "best", AXES, x, window(space, walked)),
            ),
        ),
    )
    mean, variance = gaussian.moments(space.states, multiplied.reshape(-1, len(space.states)).T)
    sizes = multiplied.shape[:-1]
    readings = (
        Reading("sigma", ("t",), np.sqrt((1 - bars) / bars)),
        Reading("seen", AXES[1:], np.array(PLACES) / np.sqrt(bars)[:, None]),
        Reading("posterior_mean", AXES, mean.reshape(sizes)),
        Reading("posterior_width", AXES, np.sqrt(variance).reshape(sizes)),
        Reading("tv_entered", AXES, tv(entered, multiplied)),
        Reading("tv_walked", AXES, tv(walked, multiplied)),
    )
    controls = (
        seeds(LAWS),
        chosen("t", range(1, STEPS + 1), 3),
        chosen("z", PLACES, 0.5),
    )
    return Chapter("product", (Demo("see", controls, plots, readings),))


def entering(
    space: Space, q: Float[np.ndarray, " n"], at: Int[np.ndarray, " places"]
) -> Float[np.ndarray, "t places n"]:
    """From the states ``at`` of step t down to x by the chain's posteriors, for every t."""
    return np.stack([chain.composed(space, q, RATES[:t])[:, at].T for t in range(1, STEPS + 1)])


def product_of_steps(
    space: Space, q: Float[np.ndarray, " n"], sights: Float[np.ndarray, "*sights n"]
) -> Float[np.ndarray, "*sights n"]:
    """Every step's posterior multiplied by the sight and scaled, from π times the sight."""
    laws, flat = chain.forward(space, q, RATES), sights.reshape(-1, len(q))
    found = flat * space.prior / (flat @ space.prior)[:, None]
    for before, alpha in zip(laws[-2::-1], RATES[::-1], strict=True):
        step = posterior(space, before, float(alpha))
        scale = flat @ step  # of the product, for each z
        weights = np.divide(found, scale, out=np.zeros_like(found), where=scale > 0)
        found = flat * (weights @ step.T)
    return (found / found.sum(-1, keepdims=True)).reshape(sights.shape)
