"""Multi-layer perceptrons, shared by all t, on an encoding of the input."""

from collections.abc import Callable, Sequence

from flax import linen as nn

from dpm_jax.array_types import Array, Float, ReadOut, Step


def signs(x: Float[Array, " d"]) -> Float[Array, " d"]:
    """Bits 0, 1 as -1, 1: centred inputs train faster."""
    return 2 * x - 1


class MLP(nn.Module):
    """``encode(x)``, SiLU layers of the given widths, then ``readout(h, t)``, a row per component.

    The paper's units are sigmoids; SiLU reached a better bound on both toy problems.
    """

    hidden: Sequence[int]
    channels: int
    readout: nn.Module
    encode: Callable[[Array], Array]

    @nn.compact
    def __call__(self, x: Float[Array, "*event"], t: Step) -> ReadOut:
        h = self.encode(x.reshape(-1))
        for width in self.hidden:
            h = nn.silu(nn.Dense(width)(h))
        return self.readout(h, t).reshape(*x.shape, self.channels)
