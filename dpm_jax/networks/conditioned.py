"""Networks of convolutions for images of any size, told the log-SNR: what they share.

A trunk takes features of every pixel to features of every pixel. Around it are what is seen of
x_t and the read-out; inside it, residual blocks that the log-SNR scales and shifts, and attention.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from dpm_jax.array_types import Array, Float, Scalar, Time
from dpm_jax.networks.convolution import Features, Image, convolve
from dpm_jax.networks.snr import HIGHEST, LOWEST, SPAN
from dpm_jax.networks.temporal import ZERO, Bumps, bumps

Seen = Callable[[Image, Scalar], Features]
"""``seen(xt, log_alpha_bar)``: features of each pixel by itself."""

Blend = Float[Array, " bumps"]
"""The bumps at a log-SNR: shares that add up to 1."""

HE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


def normalised(h: Features) -> Features:
    """Every pixel's features over their root-mean-square, which is taken in float32."""
    square = (h.astype(jnp.float32) ** 2).mean(-1, keepdims=True)
    return h * jax.lax.rsqrt(square + 1e-6).astype(h.dtype)


class Convolution(nn.Module):
    """3×3, zeros beyond the border; parameters in float32, the sum in the input's precision."""

    features: int
    initial: nn.initializers.Initializer = HE

    @nn.compact
    def __call__(self, h: Image) -> Features:
        kernel = self.param("kernel", self.initial, (3, 3, h.shape[-1], self.features))
        bias = self.param("bias", ZERO, (self.features,))
        return convolve(h, kernel.astype(h.dtype)) + bias.astype(h.dtype)[None, None]


class Block(nn.Module):
    """h + C₂ silu(s(λ) ⊙ n(C₁ silu(n(h))) + c(λ)), n normalised, C convolutions; C₂ starts at 0.

    Both s and c are blends of bumps in λ: examples that share λ share them.
    """

    features: int

    @nn.compact
    def __call__(self, h: Image, g: Blend) -> Features:
        inner = normalised(Convolution(self.features)(nn.silu(normalised(h))))
        shape = (len(g), self.features)
        scale = g @ self.param("scale", nn.initializers.ones_init(), shape)
        shift = g @ self.param("shift", ZERO, shape)
        scale, shift = (each.astype(h.dtype)[None, None] for each in (scale, shift))
        change = Convolution(self.features, ZERO)(nn.silu(scale * inner + shift))
        if h.shape[-1] != self.features:
            h = nn.Dense(self.features, dtype=h.dtype)(h)
        return h + change


class Attention(nn.Module):
    """h + softmax(q kᵀ/√n) v over all pixels, one head: every pixel sees the image. Starts at 0."""

    @nn.compact
    def __call__(self, h: Features) -> Features:
        size = h.shape[-1]
        pixels = normalised(h).reshape(-1, size)
        queries, keys, values = (
            nn.Dense(size, use_bias=False, dtype=h.dtype, name=name)(pixels)[:, None]
            for name in ("queries", "keys", "values")
        )
        looked = jax.nn.dot_product_attention(queries, keys, values)[:, 0]
        change = nn.Dense(size, kernel_init=ZERO, dtype=h.dtype, name="out")(looked)
        return h + change.reshape(h.shape)


class Conditioned(nn.Module):
    """What is ``seen`` of x_t, a convolution, ``trunk(h, g)``, and a read-out that starts at 0.

    The read-out's weights are blends of bumps in the log-SNR λ, as eq. 62-63 blend in t.

    Attributes:
        channels: read-outs per pixel and colour.
        seen: what x_t says of each pixel by itself.
        features: of the first convolution.
        trunk: its parameters fit images of any size.
        count: bumps.
        dtype: of activations; what is seen and the read-out are float32 whatever it is.
    """

    channels: int
    seen: Seen
    features: int
    trunk: nn.Module
    count: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Image, log_snr: Time) -> Float[Array, "height width channels readouts"]:
        place = jnp.clip(log_snr, LOWEST, HIGHEST) - LOWEST
        own = self.seen(x, -nn.softplus(-log_snr)).astype(self.dtype)
        h = self.trunk(Convolution(self.features)(own), bumps(place, SPAN, self.count))
        last = nn.silu(normalised(h)).astype(jnp.float32)
        z = Bumps(SPAN, self.channels * x.shape[-1], self.count)(last, place)
        return z.reshape(*x.shape, self.channels)
