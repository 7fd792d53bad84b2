"""A residual network at full resolution, with one attention in the middle."""

from collections.abc import Sequence

from flax import linen as nn

from dpm_jax.networks.conditioned import Attention, Blend, Block
from dpm_jax.networks.convolution import Features, Image


class Residual(nn.Module):
    """Residual blocks, one after the other; half of them before the attention.

    Nothing is lost by pooling, so that it can tell what every single grey level is.
    """

    convolutions: Sequence[int]

    @nn.compact
    def __call__(self, h: Image, g: Blend) -> Features:
        middle = len(self.convolutions) // 2
        for i, features in enumerate(self.convolutions):
            if i == middle:
                h = Attention()(h)
            h = Block(features)(h, g)
        return h
