"""Ready-made models of real vectors and of bits, with the networks of the toy problems (App. D.1).

Anything else is a ``Model`` of your own parts.
"""

import math
from collections.abc import Sequence
from functools import partial

from dpm_jax import reverse
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.networks.mlp import MLP, fourier_features, signs
from dpm_jax.networks.rbf import RBF
from dpm_jax.networks.temporal import Bumps, PerStep, as_network
from dpm_jax.process import Model
from dpm_jax.schedule import ScheduleFamily


def gaussian_mlp(
    event_shape: tuple[int, ...],
    schedule: ScheduleFamily,
    *,
    hidden: Sequence[int] = (64, 64),
    octaves: int = 3,
    form: reverse.Reverse = reverse.PERTURBED_NORMAL,
    learned_last_step: bool = False,
) -> Model:
    """Real data of mean 0, overall variance 1: Fourier features, a SiLU MLP, per-step read-outs."""
    readout = PerStep(schedule.steps, form.channels * math.prod(event_shape))
    module = MLP(tuple(hidden), form.channels, readout, partial(fourier_features, octaves=octaves))
    network = as_network(module, event_shape)
    return Model(gaussian.KERNEL, schedule, network, form, event_shape, learned_last_step)


def gaussian_rbf(
    event_shape: tuple[int, ...],
    schedule: ScheduleFamily,
    *,
    units: int = 16,
    form: reverse.Reverse = reverse.PERTURBED_NORMAL,
    learned_last_step: bool = False,
) -> Model:
    """The paper's swiss-roll network: normalised radial basis functions, per-step read-outs."""
    readout = PerStep(schedule.steps, form.channels * math.prod(event_shape))
    network = as_network(RBF(units, form.channels, readout), event_shape)
    return Model(gaussian.KERNEL, schedule, network, form, event_shape, learned_last_step)


def binomial_mlp(
    event_shape: tuple[int, ...],
    schedule: ScheduleFamily,
    *,
    activity: float,
    hidden: Sequence[int] = (50, 50, 50),
    bumps: int = 10,
    form: reverse.Reverse | None = None,
    learned_last_step: bool = False,
) -> Model:
    """Bits of mean activity p₀: the paper's 50-50-50 MLP with a read-out through bumps in t.

    ``form`` is by default the perturbed one for this activity.
    """
    form = reverse.perturbed_bernoulli_reverse(activity) if form is None else form
    readout = Bumps(schedule.steps, form.channels * math.prod(event_shape), bumps)
    module = MLP(tuple(hidden), form.channels, readout, signs)
    network, kernel = as_network(module, event_shape), binomial.kernel(activity)
    return Model(kernel, schedule, network, form, event_shape, learned_last_step)
