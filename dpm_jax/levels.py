"""Last steps that end in a grey level: K is then a bound on the probability of an 8-bit image.

Nothing is dequantised: x_0 is the middle of its level. p(x_0 | x_1) is a normal made discrete, in
one of two ways. ``posterior`` restricts it to the levels, ``binned`` integrates it over the
interval of each. Both are pairs of a mean and a variance on a ``Grid``, as a normal is.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, ndtr

from dpm_jax.array_types import Array, Event, Float, Scalar
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.base import Family
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.process import LastStep, Process, as_any_other, sampled
from dpm_jax.schedule import LEAST_FLOAT

NEGLIGIBLE = 1e-9
"""A level this much less likely than the likeliest one ends the sum over levels."""

ROUNDING = 0.01
"""Of a level's width: further from a level, an example is not on the grid."""

NARROW = 1e-2
"""Standard deviations: below, the density is constant over a level to 1e-5 of its mass."""


class Grid(NamedTuple):
    """Grey levels in the model's units: ``lowest`` + k ``width``, k = 0..``levels``-1.

    ``lowest`` has the shape of an event, or one that broadcasts to it.
    """

    lowest: np.ndarray
    width: float
    levels: int


class OnLevels(NamedTuple):
    """A normal that is made discrete, and the lowest level of every component."""

    mean: Float[Array, "*event"]
    variance: Float[Array, "*#event"]
    lowest: Float[Array, "*#event"]


class LevelFamily(NamedTuple):
    """Normals on a grid as a ``Family``: what multiplies them, and means, are the normals'."""

    log_prob: Callable[[OnLevels, Event], Scalar]
    transport: Callable[[OnLevels, Event], Event]
    product: Callable[[OnLevels, Normal, Scalar], OnLevels]
    tilt: Callable[[OnLevels, Callable[[Event], Scalar]], OnLevels]
    overlap: Callable[[OnLevels, Normal], Event]
    mean: Callable[[OnLevels], Event]


def check(grid: Grid, examples: np.ndarray, where: np.ndarray | bool = True) -> None:
    """Refuse all but grey levels ``where`` the examples are read.

    Raises:
        ValueError: if a value is not on the grid.
    """
    level = (examples - np.asarray(grid.lowest, np.float64)) / grid.width
    on = (np.abs(level - level.round()) < ROUNDING) & (level > -0.5) & (level < grid.levels - 0.5)
    if not on.all(where=where):
        raise ValueError(
            f"examples must be grey levels, whole numbers from 0 to {grid.levels - 1}, got one "
            f"at {level[~on & where].ravel()[0]:.4g}"
        )


def posterior(grid: Grid) -> LastStep:
    """p(x_0 | x_1) ∝ q(x_1 | x_0) over the levels of each component: Bayes, all levels alike.

    N(x_0; x_1/√ᾱ_1, (1-ᾱ_1)/ᾱ_1) on the grid. Nothing is learned, and nothing is lost where the
    noise of x_1 is a small part of a level's width: at 0.15 of it, 0.0035 bits per component.
    """

    def distribution(process: Process, x1: Event) -> OnLevels:
        log_alpha_bar = process.schedule.log_alpha_bar[0]
        mean = jnp.exp(-0.5 * log_alpha_bar) * x1
        return _on(grid, Normal(mean, jnp.broadcast_to(jnp.expm1(-log_alpha_bar), x1.shape)))

    def log_prob(dist: OnLevels, x: Event) -> Scalar:
        share, total = _shares(grid, dist)
        return jnp.sum(share(_level(grid, x, dist.lowest)) - jnp.log(total))

    def transport(dist: OnLevels, noise: Event) -> Event:
        share, total = _shares(grid, dist)
        wanted = ndtr(noise) * total

        def climb(level: Array, carry: tuple[Event, Event]) -> tuple[Event, Event]:
            reached, below = carry
            reached = reached + jnp.exp(share(level))
            return reached, below + (reached < wanted)

        # The level at which the distribution function passes the noise's; one after the other,
        # since all of them at once are 256 numbers for each component.
        zero = jnp.zeros_like(dist.mean)
        _, below = jax.lax.fori_loop(0, grid.levels - 1, climb, (zero, zero))
        return dist.lowest + grid.width * below

    return sampled(distribution, _family(log_prob, transport), partial(check, grid))


def binned(grid: Grid) -> LastStep:
    """DDPM's discretised decoder (Ho et al. 2020, eq. 13): the process's own step at t = 1.

    Its normal is integrated over each level's interval, ±width/2; those of the lowest and the
    highest level are open.
    """

    def distribution(process: Process, x1: Event) -> OnLevels:
        return _on(grid, as_any_other(process, x1))

    def log_prob(dist: OnLevels, x: Event) -> Scalar:
        mean, variance = _in_levels(grid, dist)
        level, std = _level(grid, x, dist.lowest), jnp.sqrt(variance)
        lower, upper = (level - 0.5 - mean) / std, (level + 0.5 - mean) / std
        inside = jnp.where(level > 0, _log_interval(lower, upper), log_ndtr(upper))
        return jnp.sum(jnp.where(level < grid.levels - 1, inside, log_ndtr(-lower)))

    def transport(dist: OnLevels, noise: Event) -> Event:
        mean, variance = _in_levels(grid, dist)
        level = jnp.round(mean + jnp.sqrt(variance) * noise)
        return dist.lowest + grid.width * jnp.clip(level, 0, grid.levels - 1)

    return sampled(distribution, _family(log_prob, transport), partial(check, grid))


LAST_STEPS = {"binned": binned, "levels": posterior}
"""The last steps on a grid by the names that configurations use."""


def _on(grid: Grid, normal: Normal) -> OnLevels:
    lowest = jnp.broadcast_to(jnp.asarray(grid.lowest, normal.mean.dtype), normal.mean.shape)
    return OnLevels(*normal, lowest)


def _family(
    log_prob: Callable[[OnLevels, Event], Scalar],
    transport: Callable[[OnLevels, Event], Event],
) -> Callable[[Process], Family]:
    def product(dist: OnLevels, other: Normal, power: Scalar) -> OnLevels:
        normal = gaussian.product(Normal(dist.mean, dist.variance), other, power)
        return OnLevels(*normal, dist.lowest)

    def tilt(dist: OnLevels, log_r: Callable[[Event], Scalar]) -> OnLevels:
        return OnLevels(*gaussian.tilt(Normal(dist.mean, dist.variance), log_r), dist.lowest)

    def overlap(dist: OnLevels, other: Normal) -> Event:
        return gaussian.overlap(Normal(dist.mean, dist.variance), other)

    def mean(dist: OnLevels) -> Event:
        return dist.mean

    family = LevelFamily(log_prob, transport, product, tilt, overlap, mean)
    return lambda process: family


def _in_levels(grid: Grid, dist: OnLevels) -> tuple[Event, Event]:
    """Mean and variance where level k lies at k."""
    variance = jnp.broadcast_to(dist.variance / grid.width**2, dist.mean.shape)
    return (dist.mean - dist.lowest) / grid.width, variance


def _level(grid: Grid, x: Event, lowest: Event) -> Event:
    return jnp.round((x - lowest) / grid.width)


def _shares(grid: Grid, dist: OnLevels) -> tuple[Callable[[Event | Array], Event], Event]:
    """``share(k)``, log of N(k)/N(nearest level) for the normal of each component; and their sum.

    The sum of exp share(k) over all levels goes from the nearest one outwards. It has no gradient:
    nothing that it depends on is learned.
    """
    mean, variance = jax.lax.stop_gradient(_in_levels(grid, dist))
    nearest = jnp.clip(jnp.round(mean), 0, grid.levels - 1)
    largest = -0.5 * (nearest - mean) ** 2 / variance

    def share(level: Event | Array) -> Event:
        # No nearer to the mean than the nearest level, but for rounding.
        return jnp.minimum(-0.5 * (level - mean) ** 2 / variance - largest, 0.0)

    def inside(level: Event) -> Event:
        return jnp.where((level >= 0) & (level < grid.levels), jnp.exp(share(level)), 0.0)

    def more(carry: tuple[Array, Event, Event]) -> Array:
        away, _, last = carry
        return (away < grid.levels) & (last > NEGLIGIBLE).any()

    def outwards(carry: tuple[Array, Event, Event]) -> tuple[Array, Event, Event]:
        away, total, _ = carry
        two = inside(nearest + away) + inside(nearest - away)
        return away + 1, total + two, two

    start = (jnp.ones((), mean.dtype), jnp.ones_like(mean), jnp.ones_like(mean))
    return share, jax.lax.while_loop(more, outwards, start)[1]


def _log_interval(lower: Event, upper: Event) -> Event:
    """Log of the standard normal's mass between two bounds, exact in both tails."""
    # In the upper tail both masses are near 1: there the interval is turned around.
    lower, upper = jnp.where(lower > 0, -upper, lower), jnp.where(lower > 0, -lower, upper)
    width, middle = upper - lower, 0.5 * (lower + upper)
    # Of a narrow interval the two masses are the same to the last digits, and the density is flat.
    narrow = width < NARROW
    log_upper, log_lower = log_ndtr(upper), log_ndtr(jnp.where(narrow, upper - NARROW, lower))
    wide = log_upper + jnp.log1p(-jnp.exp(log_lower - log_upper))
    flat = -0.5 * (middle**2 + gaussian.LOG_2PI) + jnp.log(jnp.maximum(width, LEAST_FLOAT))
    return jnp.where(narrow, flat, wide)
