"""The swiss roll in two dimensions (paper, §3.1.1, Figure 1, App. D.1.1).

Trains a Gaussian diffusion of T = 40 steps with a learned schedule, and reports the bound K on
held-out points beside the true limit −H of the roll's law, known by quadrature for any noise.

Presets: "default", an MLP on Fourier features; "paper", the paper's 16 radial basis functions;
"sharp", noise 0.02, where the paper's 2.35 bits become a well-posed target; "fine", T = 200 and a
network that is told the log-SNR, trained on drawn t, which is then measured at other T too.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dpm_jax.experiments.base import Experiment, Problem, Units
from dpm_jax.experiments.known_law.config import check_memory
from dpm_jax.experiments.swiss_roll.config import PRESETS, Config

if TYPE_CHECKING:
    import numpy as np

    from dpm_jax.experiments.measurement import Measurement
    from dpm_jax.process import Model, Process
    from dpm_jax.schedule import ScheduleFamily

BETA_1_SHARE = 3e-3  # of the noise's variance: the fixed last step then blurs the roll very little


def build(config: Config) -> Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    from dpm_jax.experiments.known_law import measure as known_law
    from dpm_jax.experiments.schedules import schedule_family
    from dpm_jax.laws.swiss_roll import limits, roll
    from dpm_jax.scaling import NATS_PER_BIT, PER_EXAMPLE, Scaling

    law = roll.law(config.noise)
    beta_1 = BETA_1_SHARE * law.variance if config.beta_1 is None else config.beta_1
    family, inputs = schedule_family(config.schedule, config.timesteps, beta_1, knots=config.knots)
    model = build_model(config, {}, family)
    check_memory(config, 2)
    data = roll.load(
        law, train=config.train_examples, heldout=config.heldout_examples, seed=config.seed
    )
    known = known_law.Law(
        true_limit_bits=limits.negative_entropy(law) / NATS_PER_BIT,
        log_q=lambda x: limits.log_density(law, x) / NATS_PER_BIT,
    )

    def measured(process: Process) -> Measurement:
        # It draws: what that imports is not waited for before training.
        from dpm_jax.experiments.swiss_roll.measure import measure

        return measure(config, known, law, beta_1, data, process)

    return Experiment(
        variant=f", noise {config.noise:g}, T = {config.timesteps}",
        model=model,
        data=data,
        inputs=inputs,
        units=Units(Scaling(law.mean, law.scale)),
        unit=PER_EXAMPLE,
        facts={},
        measure=measured,
        watch=partial(known_law.watch, data, config.seed),
        summary=known_law.summary,
    )


def build_model(config: Config, facts: Mapping[str, Any], schedule: ScheduleFamily) -> Model:
    """Kernel, schedule, network and reverse form."""
    from dpm_jax import models
    from dpm_jax.process import LAST_STEPS
    from dpm_jax.reverse import FORMS

    if config.network == "rbf":
        network = partial(models.gaussian_rbf, units=config.hidden[0])
    elif config.network == "snr":
        network = partial(models.gaussian_snr, hidden=config.hidden, octaves=config.octaves)
    else:
        network = partial(models.gaussian_mlp, hidden=config.hidden, octaves=config.octaves)
    return network(
        (2,), schedule, form=FORMS[config.reverse], last_step=LAST_STEPS[config.last_step]
    )


def frames(
    states: Mapping[int, np.ndarray], units: Units, facts: Mapping[str, Any]
) -> list[np.ndarray]:
    """Clouds of points, one for each t."""
    from dpm_jax.experiments.swiss_roll import figures

    return figures.frames(states)


PROBLEM = Problem("swiss_roll", __doc__, PRESETS, build, build_model, frames)
