"""Read-outs that depend on t: one per step (App. D.1), or a blend of bumps (eq. 62-63)."""

from collections.abc import Callable
from typing import cast

import jax.numpy as jnp
from flax import linen as nn
from jax.nn import softmax

from dpm_jax.array_types import Array, Float, Step, Time
from dpm_jax.process import Network, index
from dpm_jax.schedule import Coefficients

ZERO = nn.initializers.zeros_init()


def bumps(t: Time, span: int | float, count: int) -> Float[Array, " count"]:
    """g_j(t) = softmax_j(-(t-τ_j)²/(2w²)), centres τ_j evenly spaced in (0, span), w their spacing.

    The span is T where t counts steps.
    """
    spacing = span / count
    centres = spacing * (jnp.arange(count) + 0.5)
    return softmax(-((t - centres) ** 2) / (2 * spacing**2))


class PerStep(nn.Module):
    """A separate linear read-out for every step, starting at zero."""

    steps: int
    features: int

    @nn.compact
    def __call__(self, h: Float[Array, " hidden"], t: Step) -> Float[Array, " features"]:
        kernel = self.param("kernel", ZERO, (self.steps, h.shape[-1], self.features))
        bias = self.param("bias", ZERO, (self.steps, self.features))
        return h @ kernel[t - 1] + bias[t - 1]


class Bumps(nn.Module):
    """z = Σ_j y_j g_j(t) with linear read-outs y_j (eq. 62-63), of a vector or at every pixel.

    The bumps blend the read-outs' weights rather than their values: the same sum, and one
    small product for all the examples that share a t.
    """

    span: int | float
    features: int
    count: int
    initial: nn.initializers.Initializer = ZERO  # of the weights; the forward kernel is at zero

    @nn.compact
    def __call__(
        self, h: Float[Array, "*pixels hidden"], t: Time
    ) -> Float[Array, "*pixels features"]:
        kernel = self.param("kernel", self.initial, (self.count, h.shape[-1], self.features))
        bias = self.param("bias", ZERO, (self.count, self.features))
        g = bumps(t, self.span, self.count)
        blended = jnp.tensordot(g, kernel, axes=1), g @ bias
        weights, offset = (blend.astype(h.dtype) for blend in blended)
        return h @ weights + offset.reshape((1,) * (h.ndim - 1) + (-1,))


def as_network(
    module: nn.Module,
    event_shape: tuple[int, ...],
    clock: Callable[[Step, Coefficients], Time] = index,
) -> Network:
    """A flax module ``module(x, time)`` as the pure functions that the rest of the project sees."""

    def init(key: Array) -> dict:
        return module.init(key, jnp.zeros(event_shape), jnp.asarray(1))["params"]

    def apply(params: dict, x: Float[Array, "*event"], time: Time) -> Array:
        return cast(Array, module.apply({"params": params}, x, time))

    return Network(init, apply, clock)
