"""The paper's network for the swiss roll: normalised radial basis functions (App. D.1.1)."""

import math

import jax.numpy as jnp
from flax import linen as nn
from jax.nn import softmax

from dpm_jax.array_types import Array, Float, ReadOut, Step


class RBF(nn.Module):
    """One hidden layer, h_j = softmax_j(-‖x-c_j‖²/(2w_j²)), shared by all t and outputs.

    ``readout`` maps the hidden layer and t to ``channels`` numbers per component of x.
    """

    units: int
    channels: int
    readout: nn.Module

    @nn.compact
    def __call__(self, x: Float[Array, "*event"], t: Step) -> ReadOut:
        flat = x.reshape(-1)
        centres = self.param("centres", nn.initializers.normal(1.0), (self.units, flat.size))
        log_width = self.param("log_width", nn.initializers.constant(math.log(0.5)), (self.units,))
        distance = jnp.sum((flat[None] - centres) ** 2, axis=-1)
        hidden = softmax(-0.5 * distance * jnp.exp(-2 * log_width))
        return self.readout(hidden, t).reshape(*x.shape, self.channels)
