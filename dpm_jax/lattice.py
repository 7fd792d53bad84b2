"""Beliefs about x_0 that know that it is a grey level: a normal restricted to the grid.

Where a belief is as narrow as a grey level, a normal spends bits on telling where within the
level x_0 lies, of which nothing is to be known: it lies in the middle. And where an image uses some
of its levels only, as one of a palette does, a normal spends bits on the others.
"""

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Event, ReadOut, Scalar
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.base import Distribution, Kernel
from dpm_jax.kernels.gaussian import LEAST_VARIANCE, Normal
from dpm_jax.levels import Grid
from dpm_jax.reverse import Base, Guess, under_prior
from dpm_jax.schedule import Coefficients

STDS = 4
"""Standard deviations of the widest normal that is restricted, out to which levels are summed."""

UNUSED = 1e-3
"""Of an evenly used level: as often as this one counts that was never met, and is not ruled out."""


class Neighbours(NamedTuple):
    """Out to how many levels from the nearest a normal is summed, and how often each is used.

    ``weights`` [reach + levels + reach] are relative to the levels around, so that a normal wider
    than ``reach``/``STDS`` levels needs no restriction. Beyond the levels they are zeros.
    """

    reach: int
    weights: np.ndarray


def alike(levels: int) -> Neighbours:
    """All levels used alike: they show by 3e-5 in a normal as wide as 3/4 of one."""
    return _neighbours(np.ones(levels), 3)


def as_used(counts: np.ndarray) -> Neighbours:
    """Levels weighted by how often each was met, beside the mean of those around it."""
    levels, reach = np.arange(len(counts)), 16
    share = counts / counts.sum() + UNUSED / len(counts)
    around = np.exp(-0.5 * ((levels[:, None] - levels) * STDS / reach) ** 2)
    return _neighbours(share / (around / around.sum(0) @ share), reach)


def _neighbours(weights: np.ndarray, reach: int) -> Neighbours:
    return Neighbours(reach, np.pad(weights, reach))


class Restricted(NamedTuple):
    """Moments of a normal density restricted to the levels of a grid, of each component.

    ``log_mass`` is the logarithm of width · Σ_k weight_k N(level k): 0 where the normal is wide.
    """

    log_mass: Event
    mean: Event
    variance: Event


def restrict(grid: Grid, normal: Normal, neighbours: Neighbours) -> Restricted:
    """weight_k N(level k; m, V): Σ over the nearest level and ``reach`` on either side of it.

    Wider than ``reach``/``STDS`` levels it is the normal itself.
    """
    width = jnp.asarray(grid.width, normal.mean.dtype)
    lowest = jnp.broadcast_to(jnp.asarray(grid.lowest, width.dtype), normal.mean.shape)
    level = (normal.mean - lowest) / width
    exact = jnp.broadcast_to(normal.variance, level.shape) / width**2
    narrow = exact < (neighbours.reach / STDS) ** 2
    variance = jnp.where(narrow, exact, 1.0)
    nearest = jnp.clip(jnp.round(level), 0, grid.levels - 1)
    # The levels end: beyond them, ``away`` may be any number.
    away = level - nearest
    log_total, first, second = _moments(away, 1 / variance, nearest, neighbours)
    log_mass = log_total - away**2 / (2 * variance) - 0.5 * jnp.log(2 * jnp.pi * variance)
    least = LEAST_VARIANCE / width**2
    return Restricted(
        jnp.where(narrow, log_mass, 0.0),
        jnp.where(narrow, lowest + width * (nearest + first), normal.mean),
        jnp.where(narrow, width**2 * jnp.maximum(second, least), normal.variance),
    )


class _Central(NamedTuple):
    """Log of the sum of weights, mean, and central moments, of how many levels off."""

    log_total: Event
    mean: Event
    second: Event
    third: Event
    fourth: Event


def _central(away: Event, precision: Event, nearest: Event, neighbours: Neighbours) -> _Central:
    """Where j levels off weigh w_j exp(precision (j away - j²/2)), each found from the last."""
    weights = jnp.asarray(neighbours.weights, away.dtype)
    middle = nearest.astype(int) + neighbours.reach
    fall = jnp.exp(-precision)

    def further(j: Array, carry: tuple[tuple[Event, ...], ...]) -> tuple[tuple[Event, ...], ...]:
        sums, (above, up), (below, down) = carry
        above, below = above * up, below * down
        here, there = weights[middle + j] * above, weights[middle - j] * below
        even, odd = here + there, here - there
        more = (even, j * odd, j**2 * even, j**3 * odd, j**4 * even)
        sums = tuple(total + each for total, each in zip(sums, more, strict=True))
        return sums, (above, up * fall), (below, down * fall)

    one, zero = jnp.ones_like(away), jnp.zeros_like(away)
    up = jnp.exp(precision * jnp.minimum(away - 0.5, 0.0))
    down = jnp.exp(precision * jnp.minimum(-away - 0.5, 0.0))
    start = (weights[middle], *(zero,) * 4), (one, up), (one, down)
    sums, *_ = jax.lax.fori_loop(1, neighbours.reach + 1, further, start)
    total, m1, m2, m3, m4 = sums[0], *(each / sums[0] for each in sums[1:])
    second = m2 - m1**2
    third = m3 - 3 * m1 * m2 + 2 * m1**3
    fourth = m4 - 4 * m1 * m3 + 6 * m1**2 * m2 - 3 * m1**4
    return _Central(jnp.log(total), m1, second, third, fourth)


Moments = tuple[Event, Event, Event]


@partial(jax.custom_jvp, nondiff_argnums=(3,))
def _moments(away: Event, precision: Event, nearest: Event, neighbours: Neighbours) -> Moments:
    """Log of the sum of weights, mean and variance: for their slopes nothing is kept."""
    return _central(away, precision, nearest, neighbours)[:3]


@_moments.defjvp
def _slopes(neighbours: Neighbours, primals: Moments, tangents: Moments) -> tuple[Moments, Moments]:
    """An exponential family's: by its natural parameters, each moment's slope is the next one."""
    away, precision, nearest = primals
    log_total, mean, second, third, fourth = _central(away, precision, nearest, neighbours)
    linear = tangents[0] * precision + away * tangents[1]  # of j
    square = -0.5 * tangents[1]  # of j² = (j - mean)² + 2 mean (j - mean) + mean²
    slopes = (
        linear * mean + square * (second + mean**2),
        linear * second + square * (third + 2 * mean * second),
        linear * third + square * (fourth - second**2 + 2 * mean * third),
    )
    return (log_total, mean, second), slopes


class OnGrid(NamedTuple):
    """A normal, and what its restriction to the grid makes of it."""

    normal: Normal
    restricted: Restricted


@dataclass(frozen=True, eq=False)
class Bridge:
    """``reverse.bridge`` with its belief restricted to the grid, shifted from another ``base``."""

    grid: Grid
    neighbours: Neighbours
    base: Base = under_prior

    def __call__(
        self, kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients
    ) -> Distribution:
        """p(x_{t-1} | x_t)."""
        _, mean, variance = self._believed(kernel, readout, xt, c).restricted
        return kernel.bridge(Normal(mean, variance), xt, c.beta, c.log_alpha_bar_prev)

    def guess(self, kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients) -> Guess:
        """The belief on the grid, of which a normal of its mean and variance would say too much."""
        return Guess(self, self._believed(kernel, readout, xt, c))

    def _believed(self, kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients) -> OnGrid:
        normal = kernel.shift(self.base(kernel, xt, c), readout)
        return OnGrid(normal, restrict(self.grid, normal, self.neighbours))

    def log_prob(self, dist: OnGrid, x: Event) -> Scalar:
        """Log of the mass at the levels of x."""
        nearest = jnp.round((x - jnp.asarray(self.grid.lowest, x.dtype)) / self.grid.width)
        nearest = jnp.clip(nearest, 0, self.grid.levels - 1).astype(int)
        weights = jnp.asarray(self.neighbours.weights, x.dtype)[nearest + self.neighbours.reach]
        log_weight = jnp.log(weights * self.grid.width)
        return gaussian.log_prob(dist.normal, x) + jnp.sum(log_weight - dist.restricted.log_mass)

    def overlap(self, dist: OnGrid, other: Normal) -> Event:
        """Log ∫ dist · other for a normal of the same mean and variance."""
        _, mean, variance = dist.restricted
        return gaussian.overlap(Normal(mean, variance), other)

    def mean(self, dist: OnGrid) -> Event:
        """E x_0."""
        return dist.restricted.mean
