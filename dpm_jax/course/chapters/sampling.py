"""Figure 7.1: a Markov chain whose steps are posterior transforms, walked by many walkers."""

import numpy as np

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, window
from dpm_jax.course.parts import Chapter, Control, Curve, Demo, Plot, Reading
from dpm_jax.laboratory import chain, markov
from dpm_jax.laboratory.distances import tv
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import posterior

ALPHAS = (0.1, 0.5, 0.9, 0.98)
TIMES = (0, 1, 2, 3, 5, 10, 20, 50)
LAWS, WALKERS, PARTS = 3, 5_000, 3
GROUP = 4  # grid points under one bar
AXES = ("seed", "alpha", "times")


def chapter() -> Chapter:
    """One demonstration: walkers from one place, counted."""
    space = line(257)
    bars, walked, split = _walks(space)
    laws = np.stack([random(space, seed) for seed in range(LAWS)])
    rest = np.array([[markov.stationary(space, q, alpha) for alpha in ALPHAS] for q in laws])
    rng = np.random.default_rng(1)
    independent = np.stack([counted(space, markov.draw(q, WALKERS, rng)) for q in laws])
    x = space.states[shown(space)]
    plot = Plot(
        "walkers",
        ("x", -SHOWN, SHOWN),
        ("", 0.0, 3.0),
        (
            Curve("walkers", "plain", AXES, bars, walked / (GROUP * space.cell), "bars"),
            Curve("data", "q", ("seed",), x, window(space, laws)),
            Curve("stationary", "exact", AXES[:2], x, window(space, rest)),
        ),
    )
    grouped = np.stack([grouped_masses(space, q) for q in laws])
    readings = (
        Reading("tv_walkers", AXES, tv(walked, grouped[:, None, None])),
        Reading("tv_independent", ("seed",), tv(independent, grouped)),
        Reading("split", AXES[:2], split),
    )
    controls = (
        seeds(LAWS),
        chosen("alpha", ALPHAS, 0.5),
        Control("times", tuple(map(str, TIMES)), 1),
    )
    return Chapter("sampling", (Demo("walk", controls, (plot,), readings),))


def grouped_masses(space: Space, q: np.ndarray) -> np.ndarray:
    """The mass under each bar: of ``GROUP`` drawn points each; the last point has none."""
    drawn = q[shown(space)][:-1]
    return np.asarray(drawn.reshape(-1, GROUP).sum(-1))


def counted(space: Space, places: np.ndarray) -> np.ndarray:
    """The share of walkers under each bar."""
    return grouped_masses(space, np.bincount(places, minlength=len(space.states)) / len(places))


def _walks(space: Space) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middles of the bars, shares of walkers, and how far split steps are from whole ones."""
    x = space.states[shown(space)][:-1]
    walked = np.zeros((LAWS, len(ALPHAS), len(TIMES), len(x) // GROUP))
    split = np.zeros((LAWS, len(ALPHAS)))
    start = np.full(WALKERS, int(np.argmin(np.abs(space.states - 0.5))))
    for seed, a in np.ndindex(LAWS, len(ALPHAS)):
        q, rng = random(space, seed), np.random.default_rng(0)
        whole = posterior(space, q, ALPHAS[a])
        parts = chain.composed(space, q, np.full(PARTS, ALPHAS[a] ** (1 / PARTS)))
        split[seed, a] = tv(parts.T, whole.T).max()
        places = markov.walk(whole, start, max(TIMES), rng)
        walked[seed, a] = [counted(space, places[time]) for time in TIMES]
    return x.reshape(-1, GROUP).mean(-1), walked, split
