"""The pictures of docs/errata.md: what its source found by experiment, drawn from exact numbers.

    python -m dpm_jax.experiments.errata docs

writes ``errata_eigenvalues.png`` and ``errata_stationary.png`` into a folder that there is. The
laws are the 20 random ones of ``dpm_jax.laboratory.claims``.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

from dpm_jax.evaluation.figures import BLUE, GREEN, VERMILION, WIDTH, Drawing, pixels
from dpm_jax.laboratory import claims, law, markov
from dpm_jax.laboratory.distances import js
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import posterior

LINEAR = np.linspace(0.05, 0.95, 19)
SMALL = np.geomspace(0.003, 0.95, 15)
COLOURS = 32  # enough for a few lines
SHOWN = 3  # the law of this seed is drawn


def main(words: list[str]) -> None:
    """Write both pictures into the folder that ``words`` names."""
    if len(words) != 1 or not Path(words[0]).is_dir():
        print("error: name one folder that there is", file=sys.stderr)
        sys.exit(2)
    space = line(claims.POINTS)
    laws = [law.random(space, seed) for seed in claims.SEEDS]
    for name, figure in (
        ("eigenvalues", eigenvalues(space, laws)),
        ("stationary", stationary(space, laws)),
    ):
        path = Path(words[0]) / f"errata_{name}.png"
        Image.fromarray(pixels(figure)).quantize(COLOURS).save(path, optimize=True)
        print(path)


def eigenvalues(space: Space, laws: list[np.ndarray]) -> Drawing:
    """λ₂ against α: the curves, and how far the best straight line of each is off."""
    found = np.array([_second(space, q, LINEAR) for q in laws])
    lines = np.array([np.polynomial.Polynomial.fit(LINEAR, values, 1)(LINEAR) for values in found])
    figure = Drawing(figsize=(WIDTH, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(LINEAR, found.T, color=BLUE, lw=0.8)
    left.plot([], color=BLUE, lw=0.7, label="20 random laws")
    left.plot(LINEAR, np.sqrt(LINEAR), "k--", lw=1.5, label="N(0, 1): √α")
    left.set(xlabel="α", ylabel="λ₂", title="second eigenvalue", xlim=(0, 1), ylim=(0, 1))
    left.legend(frameon=False)
    right.plot(LINEAR, (found - lines).T, color=BLUE, lw=0.8)
    right.axhline(0, color="gray", lw=0.7)
    right.set(xlabel="α", ylabel="λ₂ less its best line", title="were it linear, all would be 0")
    return figure


def stationary(space: Space, laws: list[np.ndarray]) -> Drawing:
    """A law beside what its posterior transform rests at, and the distance of the two."""
    figure = Drawing(figsize=(WIDTH, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    at = np.abs(space.states) <= law.EXTENT + 0.3
    x, q = space.states[at], laws[SHOWN]
    left.fill_between(x, law.density(space, q)[at], color="0.85", label="q")
    for alpha, color in ((0.9, VERMILION), (0.5, GREEN), (0.1, BLUE)):
        rest = law.density(space, markov.stationary(space, q, alpha))
        left.plot(x, rest[at], color=color, lw=1.2, label=f"α = {alpha}")
    left.set(xlabel="x", ylabel="density", title="the law at rest")
    left.legend(frameon=False)
    apart = np.array([[js(markov.stationary(space, q, float(a)), q) for a in SMALL] for q in laws])
    right.loglog(SMALL, apart.T, color=BLUE, lw=0.8)
    right.loglog(SMALL, apart.mean(0), "k--", lw=1.5, label="mean of 20 laws")
    right.set(xlabel="α", ylabel="bits", title="JS of the law at rest from q")
    right.legend(frameon=False)
    return figure


def _second(space: Space, q: np.ndarray, alphas: np.ndarray) -> list[float]:
    return [markov.second_eigenvalue(posterior(space, q, float(a))) for a in alphas]


if __name__ == "__main__":
    main(sys.argv[1:])
