"""A network for small images of one size: the neighbourhood of each pixel, and the whole image.

On a CPU, convolutions over many channels are the slow path. Here each pixel sees a square of
*single* numbers around it, which is a copy, and all layers are matrix products.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from dpm_jax.array_types import Array, Event, Float, Scalar, Time
from dpm_jax.networks.multiscale import LECUN
from dpm_jax.networks.snr import HIGHEST, LOWEST, SPAN
from dpm_jax.networks.temporal import ZERO, Bumps, bumps
from dpm_jax.wiener import squares

Look = Callable[[Event, Scalar], tuple[Float[Array, "*event m"], Event]]
"""``look(xt, log_alpha_bar)``: features of each pixel by itself, and E[x_0 | x_t] by itself."""


class Neighbourhood(nn.Module):
    """Logarithms of mixture weights for each pixel, told the log-SNR λ.

    One path reads the whole image: SiLU layers, scaled and shifted by λ, that end in
    ``maps`` numbers for each pixel. The other reads the square of E[x_0 | x_t, pixel by pixel]
    around each pixel. SiLU layers per pixel join them; their weights are blends of bumps in λ,
    as eq. 62-63 blend in t. At the start the read-out is 0.

    Attributes:
        components: read-outs per pixel and channel.
        look: what x_t says of each pixel by itself.
        side: of the square, odd.
        dense: widths of the layers over the whole image.
        maps: numbers that they give each pixel.
        upper: widths of the layers per pixel.
        count: bumps.
    """

    components: int
    look: Look
    side: int
    dense: Sequence[int]
    maps: int
    upper: Sequence[int]
    count: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "height width channels"], log_snr: Time
    ) -> Float[Array, "height width channels components"]:
        height, width, channels = x.shape
        place = jnp.clip(log_snr, LOWEST, HIGHEST) - LOWEST
        g = bumps(place, SPAN, self.count)
        log_alpha_bar = -jax.nn.softplus(-log_snr)
        share, alone = self.look(x, log_alpha_bar)
        whole = jnp.concatenate([x, alone]).reshape(-1)
        for i, units in enumerate(self.dense):
            shape = (self.count, units)
            scale = self.param(f"scale_{i}", nn.initializers.ones_init(), shape)
            shift = self.param(f"shift_{i}", ZERO, shape)
            whole = nn.silu((g @ scale) * nn.Dense(units)(whole) + g @ shift)
        maps = nn.Dense(height * width * self.maps)(whole).reshape(height, width, self.maps)
        own = share.reshape(height, width, -1)
        h = jnp.concatenate([x, own, maps, squares(alone, self.side)], -1)
        for units in self.upper:
            h = nn.silu(Bumps(SPAN, units, self.count, LECUN)(h, place))
        z = Bumps(SPAN, channels * self.components, self.count)(h, place)
        return z.reshape(height, width, channels, self.components)
