"""The binary heartbeat: 20 bits, a one every fifth bin (paper, §3.1.2, Figure 2, App. D.1.2).

Trains a binomial diffusion of T = 2000 steps with the paper's fixed schedule, and reports the
bound K beside the truth, −log₂ 5 bits per sequence.

Presets: "default".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import harness
import toy_problem

from dpm_jax.training.config import require

if TYPE_CHECKING:
    from dpm_jax.process import Model


@dataclass(frozen=True, kw_only=True)
class Config(toy_problem.ToyConfig):
    """The heartbeat's flags.

    Attributes:
        timesteps: T.
        schedule: "fixed" (1/(T−t+1)), as in the paper, or a text file of T rates.
        hidden: widths of the hidden layers.
        bumps: how many bump functions of t the read-out blends (eq. 62).
        reverse: "perturbed", around the forward kernel, or "direct", the paper's read-out.
        last_step: "fixed" to the forward kernel as in the paper, or "learned".
    """

    workdir: Path = Path("runs/heartbeat")
    steps: int = 18_000
    batch_size: int = 1024
    times_per_batch: int = 128
    train_examples: int = 100_000
    heldout_examples: int = 12_000
    iw_examples: int = 200
    timesteps: int = 2000
    schedule: str = "fixed"
    hidden: tuple[int, ...] = (50, 50, 50)
    bumps: int = 10
    reverse: Literal["perturbed", "direct"] = "perturbed"
    last_step: Literal["fixed", "learned"] = "fixed"

    def __post_init__(self) -> None:
        """Check what only the heartbeat has; the schedule checks its own."""
        super().__post_init__()
        require("bumps", self.bumps, at_least=1)
        for width in self.hidden:
            require("hidden", width, at_least=1)


PRESETS = {"default": Config()}


def build(config: Config) -> harness.Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    import numpy as np

    from dpm_jax.data import heartbeat
    from dpm_jax.evaluation.heartbeat import finish
    from dpm_jax.limits import heartbeat as limits

    model = build_model(config)
    data = heartbeat.load(
        train=config.train_examples, heldout=config.heldout_examples, seed=config.seed
    )
    return toy_problem.experiment(
        config,
        name="heartbeat",
        variant=f", T = {config.timesteps}",
        model=model,
        data=data,
        true_limit_bits=limits.TRUE_LIMIT_BITS,
        # Every heartbeat has the probability 1/5.
        log_q=lambda x: np.full(len(x), limits.TRUE_LIMIT_BITS),
        finish=partial(finish, seed=config.seed),
    )


def build_model(config: Config) -> Model:
    """Kernel, schedule, network and reverse form."""
    from dpm_jax import models, reverse
    from dpm_jax.data import heartbeat

    if config.schedule == "learned":
        raise ValueError("schedule must be fixed or a file: K has no gradient in β for bits")
    return models.binomial_mlp(
        (heartbeat.BITS,),
        harness.schedule_family(config.schedule, config.timesteps),
        activity=heartbeat.ACTIVITY,
        hidden=config.hidden,
        bumps=config.bumps,
        form=None if config.reverse == "perturbed" else reverse.DIRECT_BERNOULLI,
        learned_last_step=config.last_step == "learned",
    )


if __name__ == "__main__":
    harness.main(__doc__, PRESETS, build)
