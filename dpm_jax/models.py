"""Ready-made models of real vectors, bits and images, with the networks of App. D.

Anything else is a ``Model`` of your own parts.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax.numpy as jnp
from jax.typing import DTypeLike

from dpm_jax import mixture
from dpm_jax.beliefs import Belief
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.levels import LAST_STEPS, Grid
from dpm_jax.mixture import Components
from dpm_jax.networks.conditioned import Conditioned
from dpm_jax.networks.fourier import fourier_features
from dpm_jax.networks.mlp import MLP, signs
from dpm_jax.networks.multiscale import MultiScale
from dpm_jax.networks.neighbourhood import Neighbourhood
from dpm_jax.networks.rbf import RBF
from dpm_jax.networks.residual import Residual
from dpm_jax.networks.snr import SNRMLP
from dpm_jax.networks.temporal import Bumps, PerStep, as_network
from dpm_jax.networks.unet import UNet
from dpm_jax.process import FIXED, LastStep, Model, log_snr
from dpm_jax.reverse import Form, bridge
from dpm_jax.schedule import ScheduleFamily


def gaussian_mlp(
    event_shape: tuple[int, ...],
    schedule: ScheduleFamily,
    *,
    hidden: Sequence[int] = (64, 64),
    octaves: int = 3,
    form: Form = bridge,
    last_step: LastStep = FIXED,
) -> Model:
    """Real data of mean 0, overall variance 1: Fourier features, a SiLU MLP, per-step read-outs."""
    kernel, encode = gaussian.KERNEL, partial(fourier_features, octaves=octaves)
    readout = PerStep(schedule.steps, kernel.channels * math.prod(event_shape))
    module = MLP(tuple(hidden), kernel.channels, readout, encode)
    network = as_network(module, event_shape)
    return Model(kernel, schedule, network, form, event_shape, last_step)


def gaussian_snr(
    event_shape: tuple[int, ...],
    schedule: ScheduleFamily,
    *,
    hidden: Sequence[int] = (64, 64, 64),
    octaves: int = 3,
    bumps: int = 24,
    form: Form = bridge,
    last_step: LastStep = FIXED,
) -> Model:
    """As ``gaussian_mlp``, but told the log-SNR: its parameters fit a model of any T and schedule.

    Of the log-SNR it sees ``bumps`` functions, one nat apart by default.
    """
    kernel, encode = gaussian.KERNEL, partial(fourier_features, octaves=octaves)
    module = SNRMLP(tuple(hidden), kernel.channels, encode, bumps)
    network = as_network(module, event_shape, log_snr)
    return Model(kernel, schedule, network, form, event_shape, last_step)


def gaussian_rbf(
    event_shape: tuple[int, ...],
    schedule: ScheduleFamily,
    *,
    units: int = 16,
    form: Form = bridge,
    last_step: LastStep = FIXED,
) -> Model:
    """The paper's swiss-roll network: normalised radial basis functions, per-step read-outs."""
    kernel = gaussian.KERNEL
    readout = PerStep(schedule.steps, kernel.channels * math.prod(event_shape))
    network = as_network(RBF(units, kernel.channels, readout), event_shape)
    return Model(kernel, schedule, network, form, event_shape, last_step)


TRUNKS = {"residual": Residual, "unet": UNet}
"""What ``gaussian_convolutional`` may be, by the names that configurations use."""


def gaussian_convolutional(
    event_shape: tuple[int, int, int],
    schedule: ScheduleFamily,
    belief: Belief,
    trunk: Literal["residual", "unet"],
    *,
    convolutions: Sequence[int],
    bumps: int = 24,
    last_step: LastStep = FIXED,
    dtype: DTypeLike = jnp.float32,
) -> Model:
    """Images [height, width, channels], by a network of convolutions that is told the log-SNR.

    Its parameters fit a model of any other height and width, of any T and schedule.

    ``convolutions`` are the features of each residual block ("residual", all at full resolution),
    or of each resolution 2⁰, 2⁻¹, … ("unet").
    """
    widths = tuple(convolutions)
    module = Conditioned(
        belief.channels, belief.seen, widths[0], TRUNKS[trunk](widths), bumps, dtype
    )
    network = as_network(module, event_shape, log_snr)
    return Model(gaussian.KERNEL, schedule, network, belief.form, event_shape, last_step)


def gaussian_multiscale(
    event_shape: tuple[int, int, int],
    schedule: ScheduleFamily,
    *,
    finest: float,
    convolutions: Sequence[int] = (16, 16),
    scales: int = 3,
    dense: Sequence[int] = (512, 512),
    dense_maps: int = 4,
    upper: Sequence[int] = (48, 48),
    bumps: int = 10,
    octaves: int = 9,
    form: Form = bridge,
    channels: int = gaussian.KERNEL.channels,
    last_step: LastStep = FIXED,
    dtype: DTypeLike = jnp.float32,
) -> Model:
    """Images [height, width, channels] of mean 0, overall variance 1: the network of App. D.2.

    ``finest`` is the width of a grey level in the model's units, ``channels`` what ``form`` reads
    of every pixel and colour. With ``dense`` empty, the parameters fit a model of any other height
    and width.
    """
    module = MultiScale(
        schedule.steps,
        channels,
        tuple(convolutions),
        scales,
        tuple(dense),
        dense_maps,
        tuple(upper),
        bumps,
        finest,
        octaves,
        dtype,
    )
    network = as_network(module, event_shape)
    return Model(gaussian.KERNEL, schedule, network, form, event_shape, last_step)


def gaussian_neighbourhood(
    event_shape: tuple[int, int, int],
    schedule: ScheduleFamily,
    *,
    grid: Grid,
    parts: Components,
    side: int = 7,
    dense: Sequence[int] = (512, 512),
    dense_maps: int = 4,
    upper: Sequence[int] = (64, 64),
    bumps: int = 24,
    last_step: LastStep | None = None,
) -> Model:
    """Small images [height, width, channels] of grey levels on ``grid``: a mixture per pixel.

    The belief about x_0 is of ``parts``, and the last step, by default, the posterior over levels.
    """
    size = len(parts.weights)
    look = partial(mixture.shares, grid, parts)
    module = Neighbourhood(size, look, side, tuple(dense), dense_maps, tuple(upper), bumps)
    network = as_network(module, event_shape, log_snr)
    ending = last_step or LAST_STEPS["levels"](grid)
    form = mixture.Bridge(grid, parts)
    return Model(gaussian.KERNEL, schedule, network, form, event_shape, ending)


def binomial_mlp(
    event_shape: tuple[int, ...],
    schedule: ScheduleFamily,
    *,
    activity: float,
    hidden: Sequence[int] = (50, 50, 50),
    bumps: int = 10,
    form: Form = bridge,
    last_step: LastStep = FIXED,
) -> Model:
    """Bits of mean activity p₀: the paper's 50-50-50 MLP with a read-out through bumps in t.

    Raises:
        ValueError: if ``activity`` is not in (0, 1), or the schedule is a learned one.
    """
    kernel = binomial.kernel(activity)
    readout = Bumps(schedule.steps, kernel.channels * math.prod(event_shape), bumps)
    module = MLP(tuple(hidden), kernel.channels, readout, signs)
    network = as_network(module, event_shape)
    return Model(kernel, schedule, network, form, event_shape, last_step)
