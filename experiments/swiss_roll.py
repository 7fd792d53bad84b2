"""The swiss roll in two dimensions (paper, §3.1.1, Figure 1, App. D.1.1).

Trains a Gaussian diffusion of T = 40 steps with a learned schedule, and reports the bound K on
held-out points beside the true limit −H of the roll's law, known by quadrature for any noise.

Presets: "default", an MLP on Fourier features; "paper", the paper's 16 radial basis functions;
"sharp", noise 0.02, where the paper's 2.35 bits become a well-posed target.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import harness
import toy_problem

from dpm_jax.training.config import require

if TYPE_CHECKING:
    from dpm_jax.process import Model

BETA_1_SHARE = 3e-3  # of the noise's variance: the fixed last step then blurs the roll very little


@dataclass(frozen=True, kw_only=True)
class Config(toy_problem.ToyConfig):
    """The roll's flags.

    Attributes:
        noise: standard deviation around the roll, in units before scaling.
        timesteps: T.
        schedule: "learned", "fixed" (1/(T−t+1)), or a text file of T rates, one per line.
        beta_1: rate of the first step, which is not learned; by default 3/1000 of the scaled
            noise's variance.
        network: "mlp" on Fourier features, or "rbf", the paper's.
        hidden: widths of the hidden layers; for "rbf", the number of units.
        octaves: frequencies of the Fourier features, for "mlp".
        reverse: "perturbed", around the forward kernel, or "direct", the paper's read-out.
        last_step: "fixed" to the forward kernel as in the paper, or "learned".
    """

    workdir: Path = Path("runs/swiss_roll")
    steps: int = 12_000
    noise: float = 0.25
    timesteps: int = 40
    schedule: str = "learned"
    beta_1: float | None = None
    network: Literal["mlp", "rbf"] = "mlp"
    hidden: tuple[int, ...] = (64, 64, 64)
    octaves: int = 3
    reverse: Literal["perturbed", "direct"] = "perturbed"
    last_step: Literal["fixed", "learned"] = "fixed"

    def __post_init__(self) -> None:
        """Check what only the roll has; its law and schedule check their own."""
        super().__post_init__()
        require("octaves", self.octaves, at_least=0)
        for width in self.hidden:
            require("hidden", width, at_least=1)
        if self.network == "rbf" and len(self.hidden) != 1:
            raise ValueError(f"hidden must be one number of rbf units, got {self.hidden}")


DEFAULT = Config()
PRESETS = {
    "default": DEFAULT,
    "paper": replace(DEFAULT, preset="paper", network="rbf", hidden=(16,), learning_rate=0.03),
    "sharp": replace(
        DEFAULT,
        preset="sharp",
        noise=0.02,
        timesteps=100,
        octaves=4,
        batch_size=128,
        steps=8_000,
        heldout_examples=200_000,
    ),
}


def build(config: Config) -> harness.Experiment:
    """The experiment that ``config`` describes; raises ValueError on a bad value."""
    from dpm_jax.data import swiss_roll
    from dpm_jax.evaluation.swiss_roll import finish
    from dpm_jax.limits import swiss_roll as limits
    from dpm_jax.scaling import NATS_PER_BIT

    roll = swiss_roll.law(config.noise)
    beta_1 = BETA_1_SHARE * roll.variance if config.beta_1 is None else config.beta_1
    model = build_model(config, beta_1)
    data = swiss_roll.load(
        roll, train=config.train_examples, heldout=config.heldout_examples, seed=config.seed
    )
    return toy_problem.experiment(
        config,
        name="swiss_roll",
        variant=f", noise {config.noise:g}, T = {config.timesteps}",
        model=model,
        data=data,
        true_limit_bits=limits.negative_entropy(roll) / NATS_PER_BIT,
        log_q=lambda x: limits.log_density(roll, x) / NATS_PER_BIT,
        finish=partial(finish, roll=roll, beta_1=beta_1, seed=config.seed),
    )


def build_model(config: Config, beta_1: float) -> Model:
    """Kernel, schedule, network and reverse form."""
    from dpm_jax import models, reverse

    family = harness.schedule_family(config.schedule, config.timesteps, beta_1)
    networks = {
        "rbf": partial(models.gaussian_rbf, units=config.hidden[0]),
        "mlp": partial(models.gaussian_mlp, hidden=config.hidden, octaves=config.octaves),
    }
    forms = {"perturbed": reverse.PERTURBED_NORMAL, "direct": reverse.DIRECT_NORMAL}
    return networks[config.network](
        (2,),
        family,
        form=forms[config.reverse],
        learned_last_step=config.last_step == "learned",
    )


if __name__ == "__main__":
    harness.main(__doc__, PRESETS, build)
