"""Demonstration 2: likelihood and posterior, and the posterior of one z as a product (2.1, 3.4)."""

import numpy as np

from dpm_jax.course.chapters.common import SHOWN, chosen, random, seeds, shown, square, window
from dpm_jax.course.parts import Chapter, Curve, Demo, Picture, Plot, Reading
from dpm_jax.laboratory import gaussian
from dpm_jax.laboratory.distances import mean_kl
from dpm_jax.laboratory.space import Space, line
from dpm_jax.laboratory.transform import likelihood, posterior, posterior_at

ALPHAS = (0.001, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.99, 0.999)
PLACES = tuple(np.linspace(-2, 2, 17))
LAWS = 4
AXES = ("seed", "alpha")
EVERY = 3  # points of the grid between two of a picture


def chapter() -> Chapter:
    """One demonstration: two matrices, and a column of the second."""
    space = line(641)  # as fine as α = 0.999 needs
    laws = [random(space, seed) for seed in range(LAWS)]
    x = space.states[shown(space)]
    likelihoods = np.stack([square(space, likelihood(space, a), EVERY) for a in ALPHAS])
    posteriors = [[square(space, posterior(space, q, a), EVERY) for a in ALPHAS] for q in laws]
    found = np.array(
        [[[posterior_at(space, q, a, z) for z in PLACES] for a in ALPHAS] for q in laws]
    )
    product, gauss = found[..., 0, :], found[0, :, :, 1, :]
    matrix = ("", -SHOWN, SHOWN)
    plots = (
        Plot(
            "likelihood",
            ("x", *matrix[1:]),
            ("z", *matrix[1:]),
            (Picture(("alpha",), likelihoods),),
        ),
        Plot(
            "posterior",
            ("z", *matrix[1:]),
            ("x", *matrix[1:]),
            (Picture(AXES, np.array(posteriors)),),
        ),
        Plot(
            "product",
            ("x", *matrix[1:]),
            ("", 0.0, 1.05),
            (
                Curve("data", "q", ("seed",), x, _to_one(window(space, np.stack(laws)))),
                Curve("gauss", "exact", ("alpha", "z"), x, _to_one(gauss[..., shown(space)])),
                Curve("posterior", "best", (*AXES, "z"), x, _to_one(product[..., shown(space)])),
            ),
        ),
    )
    masses = product * space.cell
    mean, variance = gaussian.moments(space.states, masses.reshape(-1, len(space.states)).T)
    shape = masses.shape[:-1]
    readings = (
        Reading("mean", (*AXES, "z"), mean.reshape(shape)),
        Reading("width", (*AXES, "z"), np.sqrt(np.maximum(variance, 0)).reshape(shape)),
        Reading("from_normal", (*AXES, "z"), _from_normal(space, masses)),
    )
    controls = (seeds(LAWS), chosen("alpha", ALPHAS, 0.7), chosen("z", PLACES, 0.5))
    return Chapter("posterior", (Demo("two", controls, plots, readings),))


def _to_one(curves: np.ndarray) -> np.ndarray:
    """Each scaled to a largest value of 1: shapes are compared; 0 where all that is shown is."""
    largest = curves.max(-1, keepdims=True)
    return np.asarray(curves / np.where(largest > 0, largest, 1.0))


def _from_normal(space: Space, masses: np.ndarray) -> np.ndarray:
    columns = masses.reshape(-1, masses.shape[-1]).T
    one = np.ones(1)
    apart = [mean_kl(one, p[:, None], space.log_best(p[:, None])) for p in columns.T]
    return np.array(apart).reshape(masses.shape[:-1])
