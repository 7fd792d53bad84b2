"""K against the number of steps, with fixed, learned and best schedules."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from dpm_jax.course.chapters.common import chosen, random, seeds
from dpm_jax.course.parts import Chapter, Curve, Demo, Plot, Reading
from dpm_jax.laboratory.distances import entropy, kl, mean_kl
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import log_posterior, transform
from dpm_jax.laws.cheapest_path import cheapest_path

LAWS = 2
STEPS = (1, 2, 3, 4, 6, 8, 12, 16)
LEVELS = np.concatenate([[1.0], 1 / (1 + np.exp(-np.linspace(5.0, -5.0, 26)))])
"""ᾱ that a schedule may have after a step: evenly spaced log-SNR below the data."""
SHARES = np.linspace(0, 1, 33)
"""Of the way through a schedule, where it is drawn."""


class Costs(NamedTuple):
    """What a chain through ``LEVELS`` costs, bits."""

    steps: Float[np.ndarray, "levels levels"]  # from the row's level to the column's
    end: Float[np.ndarray, " levels"]
    limit: float  # -H of the data

    def K(self, path: Int[np.ndarray, " times"]) -> float:
        """Of the best normals for this schedule."""
        return self.limit - float(self.steps[path[:-1], path[1:]].sum() + self.end[path[-1]])


def costs(space: Space, q: Float[np.ndarray, " n"]) -> Costs:
    """Every step between two levels, and every end."""
    laws = [q, *(transform(space, q, float(bar)) for bar in LEVELS[1:])]
    steps = np.full([len(LEVELS)] * 2, np.inf)
    for i, j in zip(*np.triu_indices(len(LEVELS), 1), strict=True):
        log_p = log_posterior(space, laws[i], float(LEVELS[j] / LEVELS[i]))
        p = np.exp(log_p)
        steps[i, j] = mean_kl(laws[j], p, space.log_best(p))
    end = np.array([float(kl(law, space.prior)) for law in laws])
    return Costs(steps, end, -entropy(space, q))


def fixed(count: int) -> Int[np.ndarray, " times"]:
    """The paper's rates 1 - 1/(T-t+1), ᾱ_t = 1 - t/T, at the nearest levels that fall."""
    wanted = 1 - np.arange(count + 1) / count
    path = [0]
    for k in range(1, count + 1):
        nearest = int(np.abs(LEVELS - wanted[k]).argmin())
        path.append(min(max(nearest, path[-1] + 1), len(LEVELS) - 1 - (count - k)))
    return np.array(path)


def learned(found: Costs, start: Int[np.ndarray, " times"]) -> Int[np.ndarray, " times"]:
    """A schedule moved level by level for as long as K grows, as descent would."""
    path = start.copy()
    while True:
        moves = [
            moved
            for k in range(1, len(path))
            for by in (-1, 1)
            if (moved := _moved(path, k, by)) is not None
        ]
        best = max(moves, key=found.K, default=path)
        if found.K(best) <= found.K(path):
            return path
        path = best


def _moved(path: np.ndarray, k: int, by: int) -> np.ndarray | None:
    moved = path.copy()
    moved[k] += by
    falls = (np.diff(moved) > 0).all() and moved[-1] < len(LEVELS)
    return moved if falls else None


def chapter() -> Chapter:
    """One demonstration: K of three schedules, and the schedules."""
    space = line(385)
    laws = [random(space, seed) for seed in range(LAWS)]
    return Chapter("steps", (three(space, laws, (-1.8, -0.9)),))


def three(space: Space, laws: list[Float[np.ndarray, " n"]], ends: tuple[float, float]) -> Demo:
    """K of the three schedules, between these ends, and the schedules."""
    names, styles = ("fixed", "learned", "best"), ("other", "exact", "q")
    found = [costs(space, q) for q in laws]
    K = np.zeros((len(names), len(laws), len(STEPS)))
    schedules = np.zeros((*K.shape, len(SHARES)))
    for seed, count in np.ndindex(K.shape[1:]):
        start = fixed(STEPS[count])
        best, _ = cheapest_path(found[seed].steps, found[seed].end, STEPS[count])
        for i, path in enumerate((start, learned(found[seed], start), best)):
            K[i, seed, count] = found[seed].K(path)
            schedules[i, seed, count] = np.interp(
                SHARES, np.linspace(0, 1, len(path)), LEVELS[path]
            )
    limits = np.array([of_seed.limit for of_seed in found])
    counts, axes = np.array(STEPS, float), ("seed", "steps")
    limit = np.repeat(limits[:, None], len(STEPS), 1)
    plots = (
        Plot(
            "K_against_T",
            ("T", 0.0, max(STEPS) + 1.0),
            ("K", *ends),
            (
                *(
                    Curve(name, style, ("seed",), counts, values)
                    for name, style, values in zip(names, styles, K, strict=True)
                ),
                Curve("limit", "plain", ("seed",), counts, limit),
            ),
        ),
        Plot(
            "schedules",
            ("t/T", 0.0, 1.0),
            ("ᾱ", 0.0, 1.0),
            tuple(
                Curve(name, style, axes, SHARES, values)
                for name, style, values in zip(names, styles, schedules, strict=True)
            ),
        ),
    )
    readings = (
        *(Reading(f"K_{name}", axes, values) for name, values in zip(names, K, strict=True)),
        Reading("limit", ("seed",), limits),
    )
    controls = (seeds(len(laws)), chosen("steps", STEPS, 4))
    return Demo("three", controls, plots, readings)
