"""Laws to look at: any array, mixtures of normals, random ones; independent bits, heartbeats."""

import math

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory import binomial, gaussian
from dpm_jax.laboratory.space import Space, check_values

EXTENT = 1.5
"""Random laws live within ±1.5."""

KNOTS = 61
"""Of a random law: independent heights, evenly spaced over its extent."""


def law(space: Space, values: Float[np.ndarray, " m"]) -> Float[np.ndarray, " n"]:
    """The law in proportion to ``values``, one for each state.

    Raises:
        ValueError: if a value is negative or not finite, all are 0, there is not one for each
            state, or noise would carry some of the mass off the grid.
    """
    check_values(space, values, "q")
    largest = values.max()
    if largest == 0:
        raise ValueError("q must have a value above 0, got all 0")
    q = values / largest
    q = q / q.sum()
    space.check(q)
    return np.asarray(q)


def mixture(
    line: Space,
    means: Float[np.ndarray, " k"],
    stds: Float[np.ndarray, " k"],
    weights: Float[np.ndarray, " k"],
) -> Float[np.ndarray, " n"]:
    """The mixture of normals on the line.

    Raises:
        ValueError: if the grid is too coarse for a component, a component lies off it, or the
            weights are in proportion to no law.
    """
    for std in stds:
        gaussian.check_resolved(line.states, "stds", float(std), float(std))
    if not (np.isfinite(weights).all() and weights.min() >= 0 and weights.max() > 0):
        raise ValueError(f"weights must be finite, none negative and not all 0, got {weights}")
    reach = float(line.states[-1])
    for mean in means:
        if not abs(mean) < reach:
            raise ValueError(f"means must lie within the grid, ±{reach:g}, got {mean}")
    z = (line.states[:, None] - means) / stds
    return law(line, np.exp(-0.5 * z**2) @ (weights / stds))


def normal(line: Space, mean: float = 0.0, std: float = 1.0) -> Float[np.ndarray, " n"]:
    """N(mean, std²) on the line; refused as a mixture of one."""
    return mixture(line, np.array([mean]), np.array([std]), np.ones(1))


def random(
    line: Space, seed: int, smoothness: float = 0.1, gaps: int = 0
) -> Float[np.ndarray, " n"]:
    """A random law within ±``EXTENT``: the same of a seed on every grid.

    Heights at ``KNOTS`` points, smoothed by a normal of standard deviation ``smoothness``; then
    ``gaps`` intervals of random place and width hold nothing.

    Raises:
        ValueError: if ``smoothness`` is not positive, or ``gaps`` is not 0 to 5.
    """
    if not 0 < smoothness < math.inf:
        raise ValueError(f"smoothness must be positive and finite, got {smoothness}")
    if not 0 <= gaps <= 5:
        raise ValueError(f"gaps must be 0 to 5, got {gaps}")
    heights_rng, gaps_rng = np.random.default_rng(seed).spawn(2)
    x, knots = line.states, np.linspace(-EXTENT, EXTENT, KNOTS)
    # Squared exponentials: a few knots stand out, as in data.
    heights = heights_rng.exponential(size=KNOTS) ** 2
    near = np.exp(-0.5 * ((x[:, None] - knots) / smoothness) ** 2)
    values = np.where(np.abs(x) <= EXTENT, near @ heights, 0.0)
    width = EXTENT / (gaps + 1)  # of a gap at most: half of what holds the law is left
    for place in range(gaps):
        cell = 2 * EXTENT / gaps
        left = -EXTENT + cell * place
        length = width * gaps_rng.uniform(0.3, 1.0)
        start = left + (cell - length) * gaps_rng.uniform()
        values = np.where((x > start) & (x < start + length), 0.0, values)
    return law(line, values)


def product(bits: Space, ones: Float[np.ndarray, " D"]) -> Float[np.ndarray, " n"]:
    """Independent bits that are one with these probabilities.

    Raises:
        ValueError: unless there is one in [0, 1] for each bit.
    """
    count = bits.states.shape[1]
    # Written so that NaN is refused too.
    if ones.shape != (count,) or not ((ones >= 0) & (ones <= 1)).all():
        raise ValueError(f"ones must be {count} probabilities, got {ones}")
    return law(bits, np.exp(binomial.log_product(bits.states, ones)))


def heartbeat(bits: Space, period: int) -> Float[np.ndarray, " n"]:
    """A one at every ``period``-th bit, all phases equally likely: the paper's law, made small.

    Raises:
        ValueError: unless ``period`` is 1 to the number of bits.
    """
    count = bits.states.shape[1]
    if not 1 <= period <= count:
        raise ValueError(f"period must be 1 to {count}, got {period}")
    phase, place = np.ogrid[:period, :count]
    beats = (place % period == phase).astype(np.float64)
    return law(bits, (bits.states[:, None] == beats).all(-1).sum(-1).astype(np.float64))


def density(space: Space, q: Float[np.ndarray, "*laws n"]) -> Float[np.ndarray, "*laws n"]:
    """Mass over the spacing; for bits, the probabilities themselves."""
    return q / space.cell
