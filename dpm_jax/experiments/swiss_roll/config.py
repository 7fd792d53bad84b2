"""Flags and presets of the swiss roll."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from dpm_jax.experiments.base import require_beta_1
from dpm_jax.experiments.known_law.config import KnownLawConfig
from dpm_jax.training.config import MOST_OCTAVES, require, require_layers

KNOTS = 16  # as for images


@dataclass(frozen=True, kw_only=True)
class Config(KnownLawConfig):
    """The roll's flags.

    Attributes:
        noise: standard deviation around the roll, in units before scaling.
        timesteps: T.
        schedule: "learned", "fixed" (1/(T−t+1)), DDPM's "linear" or "cosine", or a text file of T
            rates, one per line.
        beta_1: rate of the first step, which is not learned; by default 3/1000 of the scaled
            noise's variance.
        network: "mlp" on Fourier features, with a read-out for each t; "snr", the same but told
            the log-SNR, for any T; or "rbf", the paper's.
        hidden: widths of the hidden layers; for "rbf", the number of units.
        octaves: frequencies of the Fourier features, for "mlp" and "snr".
        reverse: "bridge", a belief about x_0 that the read-out shifts; "direct", the paper's
            read-out of its swiss roll; or "paper", that of its images, eq. 64-65.
        last_step: "fixed" to the forward kernel as in the paper, or "learned".
    """

    SIZES: ClassVar[tuple[str, ...]] = ("batch_size", "timesteps", "hidden")

    workdir: Path = Path("runs/swiss_roll")
    steps: int = 12_000
    noise: float = 0.25
    timesteps: int = 40
    schedule: str = "learned"
    beta_1: float | None = None
    network: Literal["mlp", "snr", "rbf"] = "mlp"
    hidden: tuple[int, ...] = (64, 64, 64)
    octaves: int = 3
    reverse: Literal["bridge", "direct", "paper"] = "bridge"
    last_step: Literal["fixed", "learned"] = "fixed"

    def __post_init__(self) -> None:
        """Check what only the roll has; its law and schedule check their own."""
        super().__post_init__()
        # The law is known by quadrature: below, its nodes are too many; above, it is no roll.
        require("noise", self.noise, at_least=1e-3, at_most=1e3)
        require("octaves", self.octaves, at_least=0, at_most=MOST_OCTAVES)
        require_beta_1(self.beta_1)
        require_layers("hidden", self.hidden, at_least=1)
        if self.network == "rbf" and len(self.hidden) != 1:
            raise ValueError(f"hidden must be one number of rbf units, got {self.hidden}")

    @property
    def knots(self) -> int | None:
        """Parameters of a learned schedule: few where t is drawn, and no batch holds every t."""
        return KNOTS if self.times_per_batch else None


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
    "fine": replace(
        DEFAULT,
        preset="fine",
        timesteps=200,
        beta_1=1.35e-6,  # 1/1000 of the scaled noise's variance: a blur of 0.0007 bits
        network="snr",
        batch_size=2048,
        times_per_batch=64,
        time_sampling="importance",
        steps=20_000,
        iw_examples=2_000,
    ),
}
