"""The Gaussian transform on a grid (eq. 1.1 of the course): z = √α x + √(1-α) ε.

A law is the masses of n evenly spaced points, so that every integral is a sum; for smooth laws
the sum's error falls faster than any power of the spacing. Columns of the likelihood are
normalised on the grid: no mass is lost at its ends, and a law from which noise could carry mass
beyond them is refused.
"""

import math

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory.columns import normalised

LEAST_WIDTH = 1.25
"""Spacings in a standard deviation: a sum over a normal is then exact to 2e^(-2π² 1.25²), 8e-14."""

MOST_OFF = 1e-10
"""Bound on the mass that noise may carry off the grid; the mass itself is below a tenth of it."""


def points(count: int, reach: float) -> Float[np.ndarray, " n"]:
    """``count`` evenly spaced points from -reach to reach.

    Raises:
        ValueError: unless count ≥ 3 and reach is positive and finite.
    """
    if count < 3:
        raise ValueError(f"count must be at least 3, got {count}")
    if not 0 < reach < math.inf:
        raise ValueError(f"reach must be positive and finite, got {reach}")
    return np.linspace(-reach, reach, count)


def spacing(x: Float[np.ndarray, " n"]) -> float:
    """The distance of two neighbours."""
    return float(x[-1] - x[0]) / (len(x) - 1)


def check_resolved(x: Float[np.ndarray, " n"], what: str, value: float, std: float) -> None:
    """Refuse a normal of this standard deviation where the grid is too coarse for it.

    Raises:
        ValueError: unless ``std`` is at least ``LEAST_WIDTH`` spacings.
    """
    if std < LEAST_WIDTH * spacing(x):
        raise ValueError(
            f"{what} must leave a width that the grid resolves, got {value}: it needs a spacing "
            f"of at most {std / LEAST_WIDTH:.3g}, and the grid's is {spacing(x):.3g}"
        )


def check_on_grid(x: Float[np.ndarray, " n"], q: Float[np.ndarray, " n"]) -> None:
    """Refuse a law from which the noise of some α could carry mass off the grid.

    √α x + √(1-α) ε lies beyond R with a probability of at most exp(-(R²-x²)/2), whatever α is.

    Raises:
        ValueError: if the mean of that is above ``MOST_OFF``.
    """
    reach = float(x[-1])
    off = float(q @ np.exp(0.5 * (x**2 - reach**2)))
    if off > MOST_OFF:
        raise ValueError(
            f"q must lie within the grid, got one of which noise could carry {off:.1e} beyond "
            f"±{reach:g}, more than {MOST_OFF:g}: take a grid of more reach"
        )


def log_likelihood(x: Float[np.ndarray, " n"], alpha: float) -> Float[np.ndarray, "n n"]:
    """Log q(z | x), z in rows: N(z; √α x, 1-α), normalised on the grid (2.1); nats.

    Raises:
        ValueError: if the grid is too coarse for α; it says what spacing is needed.
    """
    check_resolved(x, "alpha", alpha, math.sqrt(1 - alpha))
    return normalised(-((x[:, None] - math.sqrt(alpha) * x) ** 2) / (2 * (1 - alpha)))


def moments(
    x: Float[np.ndarray, " n"], p: Float[np.ndarray, "n columns"]
) -> tuple[Float[np.ndarray, " columns"], Float[np.ndarray, " columns"]]:
    """Mean and variance of each column."""
    mean = x @ p
    return mean, ((x[:, None] - mean) ** 2 * p).sum(0)


def log_normal(
    x: Float[np.ndarray, " n"], mean: Float[np.ndarray, " m"], variance: Float[np.ndarray, " m"]
) -> Float[np.ndarray, "n m"]:
    """Log of the normals of these means and variances, a column each, normalised on the grid; nats.

    Narrower than an eighth of the spacing, one is a point.
    """
    variance = np.maximum(variance, (spacing(x) / 8) ** 2)
    return normalised(-((x[:, None] - mean) ** 2) / (2 * variance))


def log_best(
    x: Float[np.ndarray, " n"], p: Float[np.ndarray, "n columns"]
) -> Float[np.ndarray, "n columns"]:
    """Log of the normal closest to each column, KL(p ‖ ·): it has the same mean and variance."""
    return log_normal(x, *moments(x, p))
