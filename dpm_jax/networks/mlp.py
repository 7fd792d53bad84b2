"""Multi-layer perceptrons, shared by all t, with an optional Fourier encoding of the input."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import linen as nn

from dpm_jax.array_types import Array, Float, ReadOut, Step


def fourier_features(x: Float[Array, " d"], octaves: int) -> Float[Array, " features"]:
    """x, sin(2^k π x/2), cos(2^k π x/2) for k = 0..octaves-1: finer detail than x alone shows."""
    angles = 0.5 * jnp.pi * jnp.outer(2.0 ** jnp.arange(octaves), x).reshape(-1)
    return jnp.concatenate([x, jnp.sin(angles), jnp.cos(angles)])


class MLP(nn.Module):
    """Hidden layers of the given widths, then ``readout(hidden, t)``: ``channels`` per component."""

    hidden: Sequence[int]
    channels: int
    readout: nn.Module
    octaves: int = 0
    activation: Callable[[Array], Array] = nn.tanh

    @nn.compact
    def __call__(self, x: Float[Array, "*event"], t: Step) -> ReadOut:
        h = fourier_features(x.reshape(-1), self.octaves)
        for width in self.hidden:
            h = self.activation(nn.Dense(width)(h))
        return self.readout(h, t).reshape(*x.shape, self.channels)
