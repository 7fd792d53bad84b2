"""A network's normals beside the best ones and the exact posteriors, as it learns."""

from importlib.resources import files
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dpm_jax.course.chapters.common import SHOWN, chosen, random, shown, window
from dpm_jax.course.parts import Chapter, Control, Curve, Demo, Plot, Reading
from dpm_jax.laboratory import chain, losses
from dpm_jax.laboratory.account import account
from dpm_jax.laboratory.distances import js
from dpm_jax.laboratory.gaussian import log_normal, moments
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import posterior

SEED, STEPS = 1, 6
RATES = chain.rates(0.97, 0.4, STEPS)
STAGES = (0, 100, 1_000, 3_000)
"""Optimiser steps after which the network is read."""


class Trained(NamedTuple):
    """The chain of the network's normals, at each stage."""

    mean: Float[np.ndarray, "stages T n"]
    std: Float[np.ndarray, "stages T n"]
    steps: Float[np.ndarray, "stages T"]  # E KL from the exact posterior, bits
    laws: Float[np.ndarray, "stages T+1 n"]  # from N(0, 1) down to x


def data() -> tuple[Space, Float[np.ndarray, " n"]]:
    """The grid, and the law that is learned."""
    space = line(257)
    return space, random(space, SEED)


def trained() -> Trained:
    """The stored normals (``python -m dpm_jax.experiments.one_number`` wrote them), summed up."""
    space, q = data()
    with (files("dpm_jax.course") / "learned.npz").open("rb") as file, np.load(file) as stored:
        mean, variance = (stored[name].astype(np.float64) for name in ("mean", "variance"))
    steps, laws = np.zeros(mean.shape[:2]), []
    for stage in range(len(STAGES)):
        found = [space.prior]
        for t in range(STEPS, 0, -1):
            log_p = log_normal(space.states, mean[stage, t - 1], variance[stage, t - 1])
            steps[stage, t - 1] = losses.loss(space, q, RATES, t, log_p)
            found.append(np.exp(log_p) @ found[-1])
        laws.append(found[::-1])
    return Trained(mean, np.sqrt(variance), steps, np.array(laws))


def chapter() -> Chapter:
    """One demonstration: a step's mean and width, its cost, and the law that comes out."""
    (space, q), found = data(), trained()
    x, at = space.states[shown(space)], shown(space)
    exact, terms = chain.forward(space, q, RATES), account(space, q, RATES)
    best = chain.restored_by_best(space, q, RATES, space.prior)
    true = np.array(
        [
            moments(space.states, posterior(space, before, float(alpha)))
            for before, alpha in zip(exact[:-1], RATES, strict=True)
        ]
    )  # [T, mean or variance, n]
    t = np.arange(1.0, STEPS + 1)
    axes, axis = ("stage", "t"), ("zₜ", -SHOWN, SHOWN)
    plots = (
        Plot(
            "step_mean",
            axis,
            ("", -SHOWN, SHOWN),
            (
                Curve("posterior_mean", "q", ("t",), x, true[:, 0, at]),
                Curve("network", "best", axes, x, found.mean[..., at]),
            ),
        ),
        Plot(
            "step_std",
            axis,
            ("", 0.0, 1.0),
            (
                Curve("posterior_std", "q", ("t",), x, np.sqrt(true[:, 1, at])),
                Curve("network", "best", axes, x, found.std[..., at]),
            ),
        ),
        Plot(
            "drawn",
            ("zₜ₋₁", -SHOWN, SHOWN),
            ("", 0.0, 1.8),
            (
                Curve("chain_before", "q", ("t",), x, window(space, exact[:-1])),
                Curve("from_best", "exact", ("t",), x, window(space, best[:-1])),
                Curve("network", "best", axes, x, window(space, found.laws[:, :-1])),
            ),
        ),
        Plot(
            "learned_costs",
            ("t", 0.5, STEPS + 0.5),
            ("", 0.0, 0.5),
            (
                Curve("by_best", "exact", (), t - 0.2, terms.steps, "bars"),
                Curve("network", "best", ("stage",), t + 0.2, found.steps, "bars"),
            ),
        ),
    )
    readings = (
        Reading("limit", (), np.array(-terms.data)),
        Reading("K_exact", (), np.array(terms.K_exact)),
        Reading("K", (), np.array(terms.K)),
        Reading("K_network", ("stage",), terms.K_exact - found.steps.sum(1)),
        Reading("step_cost", ("t",), terms.steps),
        Reading("step_network", axes, found.steps),
        Reading("js_from_best", ("t",), js(best[:-1], exact[:-1])),
        Reading("js_network", axes, js(found.laws[:, :-1], exact[:-1])),
    )
    controls = (
        Control("stage", tuple(f"{stage:,}" for stage in STAGES), len(STAGES) - 1),
        chosen("t", range(1, STEPS + 1), 1),
    )
    return Chapter("learned", (Demo("beside", controls, plots, readings),))
