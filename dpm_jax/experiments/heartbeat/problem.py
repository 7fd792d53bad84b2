"""The binary heartbeat: 20 bits, a one every fifth bin (paper, §3.1.2, Figure 2, App. D.1.2).

Trains a binomial diffusion of T = 2000 steps with the paper's fixed schedule, and reports the
bound K beside the truth, −log₂ 5 bits per sequence.

Presets: "default".
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from dpm_jax.experiments.base import Experiment, Problem, Units
from dpm_jax.experiments.heartbeat.config import PRESETS, Config
from dpm_jax.experiments.known_law.config import check_memory

if TYPE_CHECKING:
    import numpy as np

    from dpm_jax.experiments.measurement import Measurement
    from dpm_jax.process import Model, Process
    from dpm_jax.schedule import ScheduleFamily


def build(config: Config) -> Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    import numpy as np

    from dpm_jax.experiments.known_law import measure as known_law
    from dpm_jax.experiments.schedules import schedule_family
    from dpm_jax.laws import heartbeat
    from dpm_jax.scaling import PER_EXAMPLE, Scaling

    if config.schedule == "learned":
        raise ValueError(
            "schedule must be fixed, linear, cosine or a file: K has no gradient in β for bits"
        )
    family, inputs = schedule_family(config.schedule, config.timesteps)
    model = build_model(config, {}, family)
    check_memory(config, heartbeat.BITS)
    data = heartbeat.load(
        train=config.train_examples, heldout=config.heldout_examples, seed=config.seed
    )
    known = known_law.Law(
        true_limit_bits=heartbeat.TRUE_LIMIT_BITS,
        # Every heartbeat has the probability 1/5.
        log_q=lambda x: np.full(len(x), heartbeat.TRUE_LIMIT_BITS),
    )

    def measured(process: Process) -> Measurement:
        # It draws: what that imports is not waited for before training.
        from dpm_jax.experiments.heartbeat.measure import measure

        return measure(config, known, data, process)

    return Experiment(
        variant=f", T = {config.timesteps}",
        model=model,
        data=data,
        inputs=inputs,
        units=Units(Scaling(np.zeros(()), 1.0)),
        unit=PER_EXAMPLE,
        facts={},
        measure=measured,
        watch=partial(known_law.watch, data, config.seed),
        summary=known_law.summary,
    )


def build_model(config: Config, facts: Mapping[str, Any], schedule: ScheduleFamily) -> Model:
    """Kernel, schedule, network and reverse form."""
    from dpm_jax import models
    from dpm_jax.laws import heartbeat
    from dpm_jax.process import LAST_STEPS
    from dpm_jax.reverse import FORMS

    return models.binomial_mlp(
        (heartbeat.BITS,),
        schedule,
        activity=heartbeat.ACTIVITY,
        hidden=config.hidden,
        bumps=config.bumps,
        form=FORMS[config.reverse],
        last_step=LAST_STEPS[config.last_step],
    )


def frames(
    states: Mapping[int, np.ndarray], units: Units, facts: Mapping[str, Any]
) -> list[np.ndarray]:
    """Rows of bits, one picture for each t."""
    from dpm_jax.experiments.heartbeat import figures

    return figures.frames(states)


PROBLEM = Problem("heartbeat", __doc__, PRESETS, build, build_model, frames)
