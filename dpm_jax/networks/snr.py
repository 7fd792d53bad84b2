"""A multi-layer perceptron that is told the log-SNR: the same at any T and in any schedule."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
from flax import linen as nn

from dpm_jax.array_types import Array, Float, ReadOut, Time
from dpm_jax.networks.temporal import ZERO, Bumps, bumps

LOWEST, HIGHEST = -8.0, 16.0
"""Log-SNR, nats, beyond which all is as it is there: x_t is noise below, and the data above."""

SPAN = HIGHEST - LOWEST


class SNRMLP(nn.Module):
    """SiLU layers on ``encode(x)``, each scaled and shifted by the log-SNR λ, and so its read-out.

    h ← silu(s(λ) ⊙ (W h + b) + c(λ)). Both s and c, and the read-out's weights, are blends of
    ``count`` bumps in λ, as eq. 62-63 blend in t: examples that share λ share one product. At
    the start s is 1, c and the read-out 0. Finite, with its gradients, at any λ, -∞ too.
    """

    hidden: Sequence[int]
    channels: int
    encode: Callable[[Array], Array]
    count: int

    @nn.compact
    def __call__(self, x: Float[Array, "*event"], log_snr: Time) -> ReadOut:
        place = jnp.clip(log_snr, LOWEST, HIGHEST) - LOWEST
        g, h = bumps(place, SPAN, self.count), self.encode(x.reshape(-1))
        for i, width in enumerate(self.hidden):
            shape = (self.count, width)
            scale = self.param(f"scale_{i}", nn.initializers.ones_init(), shape)
            shift = self.param(f"shift_{i}", ZERO, shape)
            h = nn.silu((g @ scale) * nn.Dense(width)(h) + g @ shift)
        readout = Bumps(SPAN, self.channels * x.size, self.count)
        return readout(h, place).reshape(*x.shape, self.channels)
