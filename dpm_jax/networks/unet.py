"""A small U-Net: residual blocks at ever lower resolution and back, attention at the lowest."""

from collections.abc import Sequence

from flax import linen as nn

from dpm_jax.networks.conditioned import Attention, Blend, Block
from dpm_jax.networks.convolution import Features, Image
from dpm_jax.networks.multiscale import pool, upsample


class UNet(nn.Module):
    """A residual block at each resolution 2⁰, 2⁻¹, … on the way down, and one on the way up.

    On the way up, what comes from below is brought to the features of the way down and added to
    them. Where most of the features are at low resolution, it is far cheaper than ``Residual``.
    """

    convolutions: Sequence[int]

    @nn.compact
    def __call__(self, h: Image, g: Blend) -> Features:
        *upper, lowest = self.convolutions
        passed = []
        for features in upper:
            h = Block(features)(h, g)
            passed.append(h)
            h = pool(h)
        h = Block(lowest)(h, g)
        h = Block(lowest)(Attention()(h), g)
        for features, across in zip(upper[::-1], passed[::-1], strict=True):
            below = nn.Dense(features, dtype=h.dtype)(h)
            h = Block(features)(across + upsample(below, *across.shape[:2]), g)
        return h
