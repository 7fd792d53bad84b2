"""What networks of images are shown of a pixel, and what they say of it: beliefs about its x_0."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from dpm_jax import mixture, wiener
from dpm_jax.array_types import Event, Scalar
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.base import Distribution, Kernel
from dpm_jax.levels import Grid
from dpm_jax.mixture import Components
from dpm_jax.networks.conditioned import Seen
from dpm_jax.networks.convolution import Features
from dpm_jax.networks.fourier import waves
from dpm_jax.reverse import Base, Form, bridge, shifted
from dpm_jax.schedule import Coefficients
from dpm_jax.wiener import Surroundings


class Belief(NamedTuple):
    """What a network of images is shown of a pixel, and what it says of it.

    Attributes:
        form: what its read-out means.
        channels: read-outs per pixel and colour.
        seen: ``seen(xt, log_alpha_bar)``, features of each pixel.
    """

    form: Form
    channels: int
    seen: Seen


def normal(finest: float, *, octaves: int = 9, form: Form = bridge) -> Belief:
    """A mean and a variance; a pixel is seen with its waves, ``finest`` the shortest of them."""

    def seen(x: Event, log_alpha_bar: Scalar) -> Features:
        return jnp.concatenate([x, waves(x, finest=finest, octaves=octaves)], -1)

    return Belief(form, gaussian.KERNEL.channels, seen)


def mixed(grid: Grid, parts: Components) -> Belief:
    """Weights of a mixture over grey levels; a pixel is seen as what x_t says of it by itself."""

    def seen(x: Event, log_alpha_bar: Scalar) -> Features:
        share, alone = mixture.shares(grid, parts, x, log_alpha_bar)
        return jnp.concatenate([x, alone, share.reshape(*x.shape[:2], -1)], -1)

    return Belief(mixture.Bridge(grid, parts), len(parts.weights), seen)


def from_second_moments(around: Surroundings, shift: Callable[[Base], Form] = shifted) -> Belief:
    """A mean and a variance, shifted from what second moments tell of a pixel (``dpm_jax.wiener``).

    A pixel is seen as x_t, its x̂_0 by second moments, and what that leaves of x_t as a multiple of
    the noise. ``shift(base)`` is the form: ``reverse.shifted``, or ``lattice.Bridge`` of a grid.
    """

    def base(kernel: Kernel, xt: Event, c: Coefficients) -> Distribution:
        return wiener.belief(around, xt, c.log_alpha_bar)

    def seen(x: Event, log_alpha_bar: Scalar) -> Features:
        mean = wiener.belief(around, x, log_alpha_bar).mean
        noise = jnp.sqrt(-jnp.expm1(log_alpha_bar))
        return jnp.concatenate([x, mean, (x - jnp.exp(0.5 * log_alpha_bar) * mean) / noise], -1)

    return Belief(shift(base), gaussian.KERNEL.channels, seen)
