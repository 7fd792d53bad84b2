"""Beliefs about x_0 that know that it is a grey level: a normal restricted to the grid.

Where a belief is as narrow as a grey level, a normal spends bits on telling where within the
level x_0 lies, of which nothing is to be known: it lies in the middle.
"""

from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp

from dpm_jax.array_types import Event, ReadOut, Scalar
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.base import Distribution, Kernel
from dpm_jax.kernels.gaussian import LEAST_VARIANCE, Normal
from dpm_jax.levels import Grid
from dpm_jax.reverse import Base, Guess, under_prior
from dpm_jax.schedule import Coefficients

WIDE = 0.5
"""Variance in squared level widths from which the levels no longer show: by 2 exp(-2π² · 0.5)."""


class Restricted(NamedTuple):
    """Moments of a normal density restricted to the levels of a grid, of each component.

    ``log_mass`` is the logarithm of width · Σ_k N(level k): 0 where the normal is wide.
    """

    log_mass: Event
    mean: Event
    variance: Event


def restrict(grid: Grid, normal: Normal) -> Restricted:
    """N(x; m, V) on the levels: Σ over the nearest level and three on either side of it.

    Above ``WIDE`` it is the normal itself, to 1e-4.
    """
    width = jnp.asarray(grid.width, normal.mean.dtype)
    lowest = jnp.broadcast_to(jnp.asarray(grid.lowest, width.dtype), normal.mean.shape)
    level = (normal.mean - lowest) / width
    exact = jnp.broadcast_to(normal.variance, level.shape) / width**2
    narrow = exact < WIDE
    variance = jnp.where(narrow, exact, 1.0)
    nearest = jnp.clip(jnp.round(level), 0, grid.levels - 1)
    away = level - nearest
    # Relative to the nearest level, j levels off weigh exp((2 j away - j²)/2V): all from these two.
    # The levels end at 0 and at the highest: beyond, ``away`` may be any number.
    up = jnp.exp(jnp.minimum(2 * away - 1, 0.0) / (2 * variance))
    down = jnp.exp(jnp.minimum(-2 * away - 1, 0.0) / (2 * variance))
    above, below = grid.levels - 1 - nearest, nearest
    one = jnp.where(above >= 1, up, 0.0), jnp.where(below >= 1, down, 0.0)
    two = jnp.where(above >= 2, up**3 * down, 0.0), jnp.where(below >= 2, down**3 * up, 0.0)
    three = jnp.where(above >= 3, up**6 * down**3, 0.0), jnp.where(below >= 3, down**6 * up**3, 0.0)
    total = 1 + sum(one) + sum(two) + sum(three)
    first = ((one[0] - one[1]) + 2 * (two[0] - two[1]) + 3 * (three[0] - three[1])) / total
    second = (sum(one) + 4 * sum(two) + 9 * sum(three)) / total
    log_mass = jnp.log(total) - away**2 / (2 * variance) - 0.5 * jnp.log(2 * jnp.pi * variance)
    mean = lowest + width * (nearest + first)
    least = LEAST_VARIANCE / width**2
    spread = width**2 * jnp.maximum(second - first**2, least)
    return Restricted(
        jnp.where(narrow, log_mass, 0.0),
        jnp.where(narrow, mean, normal.mean),
        jnp.where(narrow, spread, normal.variance),
    )


class OnGrid(NamedTuple):
    """A normal, and what its restriction to the grid makes of it."""

    normal: Normal
    restricted: Restricted


@dataclass(frozen=True, eq=False)
class Bridge:
    """``reverse.bridge`` with its belief restricted to the grid, shifted from another ``base``."""

    grid: Grid
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
        return OnGrid(normal, restrict(self.grid, normal))

    def log_prob(self, dist: OnGrid, x: Event) -> Scalar:
        """Log of the mass at the levels of x."""
        log_mass = dist.restricted.log_mass - jnp.log(self.grid.width)
        return gaussian.log_prob(dist.normal, x) - jnp.sum(log_mass)

    def overlap(self, dist: OnGrid, other: Normal) -> Event:
        """Log ∫ dist · other for a normal of the same mean and variance."""
        _, mean, variance = dist.restricted
        return gaussian.overlap(Normal(mean, variance), other)

    def mean(self, dist: OnGrid) -> Event:
        """E x_0."""
        return dist.restricted.mean
