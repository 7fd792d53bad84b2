"""The multi-scale convolutional network for images (App. D.2)."""

from collections.abc import Sequence

import jax.numpy as jnp
from flax import linen as nn
from jax.typing import DTypeLike

from dpm_jax.array_types import Array, Float, Step
from dpm_jax.networks.convolution import Features, Image, convolve
from dpm_jax.networks.fourier import waves
from dpm_jax.networks.temporal import Bumps

LECUN = nn.initializers.lecun_normal(batch_axis=0)  # each bump's weights on their own


def pool(x: Image) -> Float[Array, "half_height half_width channels"]:
    """Means of 2×2 blocks; an odd side repeats its last row or column first."""
    height, width, channels = x.shape
    even = jnp.pad(x, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    blocks = even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, channels)
    return blocks.mean((1, 3))


def upsample(x: Image, height: int, width: int) -> Float[Array, "rows columns channels"]:
    """Every pixel as a 2×2 block, cropped to ``height`` × ``width``: the inverse of ``pool``."""
    return jnp.repeat(jnp.repeat(x, 2, axis=0), 2, axis=1)[:height, :width]


class MultiScaleConvolution(nn.Module):
    """Σ_s upsample(3×3 convolution(pool(x))) over scales 2⁰, 2¹, … of any image."""

    features: int
    scales: int

    @nn.compact
    def __call__(self, x: Image) -> Features:
        pyramid = [x]
        for _ in range(self.scales - 1):
            pyramid.append(pool(pyramid[-1]))
        # One initial variance for the sum, whatever the number of scales.
        initial = nn.initializers.variance_scaling(2.0 / self.scales, "fan_in", "normal")
        shape = (3, 3, x.shape[-1], self.features)
        kernels = [self.param(f"scale_{i}", initial, shape) for i in range(self.scales)]
        kernels = [kernel.astype(x.dtype) for kernel in kernels]
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        total = convolve(pyramid[-1], kernels[-1])
        for level, kernel in zip(pyramid[-2::-1], kernels[-2::-1], strict=True):
            total = convolve(level, kernel) + upsample(total, *level.shape[:2])
        return total + bias.astype(x.dtype)[None, None]


def softplus(x: Features) -> Features:
    """Log(1 + e^x) of finite numbers: jax's own, which minds the others too, takes longer."""
    # min(x, -x), not -|x|: at 0 its slope is 0, as max's is 1/2, and the whole's 1/2.
    return jnp.maximum(x, 0) + jnp.log1p(jnp.exp(jnp.minimum(x, -x)))


class MultiScale(nn.Module):
    """Convolutions over several scales, a dense path beside them, and layers per pixel on top.

    Lower half: multi-scale convolutions with softplus units; for images of one fixed size, in
    parallel, tanh layers over the whole image, spread to ``dense_maps`` numbers per pixel.
    Upper half: SiLU layers per pixel on both paths and on the pixel's own ``waves``, and the
    read-out; their weights depend on t through bumps (eq. 62-63).

    Without the dense path, parameters and network fit images of any size.

    Attributes:
        steps: T.
        channels: read-out channels per pixel and colour.
        convolutions: features of each multi-scale layer.
        scales: resolutions 2⁰, 2⁻¹, … of a multi-scale layer.
        dense: widths of the dense path; empty for none.
        dense_maps: what the dense path gives every pixel.
        upper: widths of the layers per pixel.
        bumps: bump functions of t.
        finest: shortest wavelength of ``waves``: a grey level, for 8-bit images.
        octaves: how many wavelengths.
        dtype: of activations; waves and read-out are float32 whatever it is.
    """

    steps: int
    channels: int
    convolutions: Sequence[int]
    scales: int
    dense: Sequence[int]
    dense_maps: int
    upper: Sequence[int]
    bumps: int
    finest: float
    octaves: int
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Image, t: Step) -> Float[Array, "height width channels readouts"]:
        height, width, colours = x.shape
        h = x.astype(self.dtype)
        for features in self.convolutions:
            h = softplus(MultiScaleConvolution(features, self.scales)(h))
        own = waves(x, finest=self.finest, octaves=self.octaves).astype(self.dtype)
        paths = [h, x.astype(self.dtype), own]
        if self.dense:
            whole = x.reshape(-1)
            for units in self.dense:
                whole = nn.tanh(nn.Dense(units, dtype=self.dtype)(whole))
            maps = nn.Dense(height * width * self.dense_maps, dtype=self.dtype)(whole)
            paths.append(maps.reshape(height, width, self.dense_maps))
        h = jnp.concatenate(paths, axis=-1)
        for units in self.upper:
            h = nn.silu(Bumps(self.steps, units, self.bumps, LECUN)(h, t))
        readout = Bumps(self.steps, self.channels * colours, self.bumps)
        z = readout(h.astype(jnp.float32), t)
        return z.reshape(height, width, colours, self.channels)
