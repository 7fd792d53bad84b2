"""Flags and presets of the heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from dpm_jax.experiments.known_law.config import KnownLawConfig
from dpm_jax.training.config import MOST_BUMPS, require, require_layers


@dataclass(frozen=True, kw_only=True)
class Config(KnownLawConfig):
    """The heartbeat's flags.

    Attributes:
        timesteps: T.
        schedule: "fixed" (1/(T−t+1)), as in the paper, DDPM's "linear" or "cosine", or a text file
            of T rates.
        hidden: widths of the hidden layers.
        bumps: how many bump functions of t the read-out blends (eq. 62).
        reverse: "bridge", a belief about x_0 that the read-out shifts, or "direct", the paper's
            read-out.
        last_step: "fixed" to the forward kernel as in the paper, or "learned".
    """

    SIZES: ClassVar[tuple[str, ...]] = ("batch_size", "times_per_batch", "hidden", "bumps")

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
    reverse: Literal["bridge", "direct"] = "bridge"
    last_step: Literal["fixed", "learned"] = "fixed"

    def __post_init__(self) -> None:
        """Check what only the heartbeat has; the schedule checks its own."""
        super().__post_init__()
        require("bumps", self.bumps, at_least=1, at_most=MOST_BUMPS)
        require_layers("hidden", self.hidden, at_least=1)


PRESETS = {"default": Config()}
