"""Beliefs about x_0 that are mixtures: a few frequent grey levels, and normals over the range.

A network that reads out what a pixel is likely to be, its own value apart, need not learn how
x_t is to be read at every noise level: Bayes' rule does that, exactly. The read-out is the
logarithms of the components' weights; the components are fixed, from a histogram of the data.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import logsumexp

from dpm_jax.array_types import Array, Event, Float, ReadOut, Scalar
from dpm_jax.kernels.base import Distribution, Kernel
from dpm_jax.kernels.gaussian import LEAST_VARIANCE, Normal
from dpm_jax.lattice import alike, restrict
from dpm_jax.levels import Grid
from dpm_jax.reverse import Guess
from dpm_jax.schedule import Coefficients

FREQUENT = 0.004
"""Share of all pixels from which a grey level is a component of its own."""

NOTHING = 1e-12
"""Added to each normal: where none is left, any will do, and the gradient is finite."""

NOWHERE = -50.0
"""Log of the mass of a level that is none of the mixture's: a look ahead rules nothing out."""

LEAST_LOG_MASS = -15.0
"""Of normals on the grid: less is left only of what lies many standard deviations beyond it."""


class Components(NamedTuple):
    """What the mixtures are of, in grey levels; saved with a model, so plain numbers.

    Attributes:
        atoms: levels of their own.
        means: of the normals.
        stds: of the normals.
        weights: of atoms and normals, in this order, over all pixels: positive.
    """

    atoms: tuple[float, ...]
    means: tuple[float, ...]
    stds: tuple[float, ...]
    weights: tuple[float, ...]


def components(counts: np.ndarray, size: int, atoms: int) -> Components:
    """``size`` components for a histogram of levels, ``atoms`` of them at most for single levels.

    The normals lie at evenly spaced quantiles of the other levels, half a spacing wide where the
    levels are evenly used.
    """
    share = counts / counts.sum()
    order = np.argsort(-share, kind="stable")[:atoms]
    own = order[share[order] > FREQUENT]
    rest = share.copy()
    rest[own] = 0.0
    rest += 1e-6 / len(share)  # some normal must reach every level
    number = size - len(own)
    below = np.cumsum(rest) / rest.sum()
    means = np.searchsorted(below, (np.arange(number) + 0.5) / number)
    return Components(
        tuple(map(float, own)),
        tuple(map(float, means)),
        (len(share) / (2 * number),) * number,
        (*map(float, share[own]), *(float(rest.sum()) / number,) * number),
    )


class _Joint(NamedTuple):
    """log w_m + log N(x_t; …) of all components [*event, m], and of x_0 the mean in each."""

    log_weight: Array
    mean: Array
    variance: Array  # [1, …, m]: of the normals; nothing of an atom is left open


def _beside(xt: Event, values: tuple[float, ...]) -> Array:
    """Values [m] as the last axis of what has an event's axes too."""
    return jnp.asarray(values, xt.dtype).reshape((1,) * xt.ndim + (-1,))


def _joint(
    grid: Grid, parts: Components, log_weights: Array, xt: Event, log_alpha_bar: Scalar
) -> _Joint:
    number = len(parts.atoms)
    levels = _beside(xt, (*parts.atoms, *parts.means))
    # Levels are counted from the lowest of each channel.
    lowest = jnp.asarray(grid.lowest, xt.dtype)
    lowest = lowest.reshape((1,) * (xt.ndim - lowest.ndim) + (*lowest.shape, 1))
    mean = lowest + grid.width * levels
    variance = _beside(xt, (*(0.0,) * number, *parts.stds)) ** 2 * grid.width**2
    alpha_bar, noise = jnp.exp(log_alpha_bar), -jnp.expm1(log_alpha_bar)
    total = alpha_bar * variance + noise
    away = xt[..., None] - jnp.sqrt(alpha_bar) * mean
    log_weight = log_weights - away**2 * (0.5 / total) - 0.5 * jnp.log(total)
    posterior = mean + away * (jnp.sqrt(alpha_bar) * variance / total)
    return _Joint(log_weight, posterior, variance * noise / total)


def shares(
    grid: Grid, parts: Components, xt: Event, log_alpha_bar: Scalar
) -> tuple[Float[Array, "*event m"], Event]:
    """What x_t says by itself: probability of every component, and E[x_0 | x_t], pixel by pixel."""
    log_weights = jnp.log(_beside(xt, parts.weights))
    joint = _joint(grid, parts, log_weights, xt, log_alpha_bar)
    weight = jnp.exp(joint.log_weight - joint.log_weight.max(-1, keepdims=True))
    share = weight * (1 / weight.sum(-1, keepdims=True))
    return share, (share * joint.mean).sum(-1)


class _Belief(NamedTuple):
    """A belief's parts: atoms, and the one normal that stands for all normals, on the grid."""

    joint: _Joint
    highest: Event  # of the joint's log weights
    atoms: Array  # weights over exp(highest) [*event, atoms]
    total: Event  # of the normals, likewise
    normal: Normal


def _belief(
    grid: Grid, parts: Components, readout: ReadOut, xt: Event, log_alpha_bar: Scalar
) -> _Belief:
    number = len(parts.atoms)
    log_weights = jnp.log(_beside(xt, parts.weights)) + readout
    joint = _joint(grid, parts, log_weights, xt, log_alpha_bar)
    highest = jax.lax.stop_gradient(joint.log_weight.max(-1))
    weight = jnp.exp(joint.log_weight - highest[..., None])
    normals = weight[..., number:] + NOTHING
    own, total = joint.mean[..., number:], normals.sum(-1)
    middle = (normals * own).sum(-1) / total
    across = joint.variance[..., number:] + (own - middle[..., None]) ** 2
    spread = (normals * across).sum(-1) / total
    widest = Normal(middle, jnp.maximum(spread, LEAST_VARIANCE))
    log_mass, middle, spread = restrict(grid, widest, alike(grid.levels))
    total = total * jnp.exp(jnp.maximum(log_mass, LEAST_LOG_MASS))
    return _Belief(joint, highest, weight[..., :number], total, Normal(middle, spread))


def belief(
    grid: Grid, parts: Components, readout: ReadOut, xt: Event, log_alpha_bar: Scalar
) -> Normal:
    """Mean and variance of x_0 given x_t, for weights that exp(readout) multiplies.

    The normals are many levels wide: so what remains of them at a noise of about a level is one
    normal around x_t/√ᾱ_t, and this one is restricted to the grid.
    """
    joint, _, atoms, total, (middle, spread) = _belief(grid, parts, readout, xt, log_alpha_bar)
    levels = joint.mean[..., : len(parts.atoms)]
    share = 1 / (atoms.sum(-1) + total)
    x0 = ((atoms * levels).sum(-1) + total * middle) * share
    across = (atoms * (levels - x0[..., None]) ** 2).sum(-1) + total * (middle - x0) ** 2
    return Normal(x0, jnp.maximum((across + total * spread) * share, LEAST_VARIANCE))


class Mixed(NamedTuple):
    """Mixtures over the levels of a grid.

    Attributes:
        log_weight: of atoms and normals [*event, m], which add up to 1 over the levels.
        mean: of x_0 in each [*event, m].
        variance: of x_0 in each, 0 of atoms [*event, m].
        whole: E x_0 [*event].
    """

    log_weight: Array
    mean: Array
    variance: Array
    whole: Event


@dataclass(frozen=True, eq=False)
class Bridge:
    """∫ belief(x_0) q(x_{t-1} | x_t, x_0) dx_0 for a normal of the mixture's mean and variance."""

    grid: Grid
    parts: Components

    def __call__(
        self, kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients
    ) -> Distribution:
        """p(x_{t-1} | x_t)."""
        normal = belief(self.grid, self.parts, readout, xt, c.log_alpha_bar)
        return kernel.bridge(normal, xt, c.beta, c.log_alpha_bar_prev)

    def guess(self, kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients) -> Guess:
        """The mixture itself: of two levels between which it wavers, no normal is a likeness."""
        known = _belief(self.grid, self.parts, readout, xt, c.log_alpha_bar)
        joint, highest, atoms, total, (middle, _) = known
        whole = atoms.sum(-1) + total
        number = len(self.parts.atoms)
        mean = (atoms * joint.mean[..., :number]).sum(-1) + total * middle
        log_weight = joint.log_weight - (highest + jnp.log(whole))[..., None]
        variance = jnp.broadcast_to(joint.variance, log_weight.shape)
        return Guess(self, Mixed(log_weight, joint.mean, variance, mean / whole))

    def log_prob(self, dist: Mixed, x: Event) -> Scalar:
        """Log of the mass at the levels of x, of none less than ``NOWHERE``."""
        number, width = len(self.parts.atoms), self.grid.width
        away = x[..., None] - dist.mean
        atoms = jnp.where(jnp.abs(away[..., :number]) < width / 2, 0.0, 2 * NOWHERE)
        spread = jnp.maximum(dist.variance[..., number:], LEAST_VARIANCE)
        normals = -0.5 * (jnp.log(2 * jnp.pi * spread) + away[..., number:] ** 2 / spread)
        each = dist.log_weight + jnp.concatenate([atoms, normals + math.log(width)], -1)
        return jnp.sum(jnp.maximum(logsumexp(each, axis=-1), NOWHERE))

    def overlap(self, dist: Mixed, other: Normal) -> Event:
        """Log ∫ dist · other: part by part."""
        width = jnp.broadcast_to(other.variance, other.mean.shape)
        spread = dist.variance + width[..., None]
        away = (dist.mean - other.mean[..., None]) ** 2 / spread
        return logsumexp(dist.log_weight - 0.5 * (jnp.log(2 * jnp.pi * spread) + away), axis=-1)

    def mean(self, dist: Mixed) -> Event:
        """E x_0."""
        return dist.whole


def check(parts: Components, levels: int) -> None:
    """Refuse components that are none.

    Raises:
        ValueError: naming what is wrong.
    """
    inside = all(0 <= level < levels for level in (*parts.atoms, *parts.means))
    sizes = len(parts.means) == len(parts.stds) > 0 and len(parts.weights) == len(
        parts.atoms
    ) + len(parts.means)
    positive = all(0 < value < math.inf for value in (*parts.stds, *parts.weights))
    if not (inside and sizes and positive):
        raise ValueError(
            "components must be levels and normals between 0 and "
            f"{levels - 1} with positive widths and weights, got {parts}"
        )
