"""What a training run varies. Only the standard library is needed: scripts start fast."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

MOST = 10**9
"""Of anything that is counted: steps, examples and indices are int32 on the device."""
MOST_STEPS = 100_000
"""T at most: the schedule is a constant of every compiled program."""
WIDEST = 2**20
"""Units of a layer: three such sizes multiplied are a size that XLA can still count."""
DEEPEST = 64
"""Layers: they are unrolled, and each takes its time to compile."""
MOST_OCTAVES = 24
"""As many as float32 has bits."""
MOST_BUMPS = 10_000
"""Of the read-out: more than a few dozen say nothing new."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train; validated when made.

    Attributes:
        steps: optimiser steps.
        batch_size: examples per step, a multiple of the number of devices.
        times_per_batch: how many diffusion steps t are drawn per batch, stratified; they
            divide its examples among them. 0 sums over all t = 2..T for every example.
        time_sampling: how these t are drawn: "uniform", or "importance", in proportion to the
            running root-mean-square of their loss.
        objective: "bound", K; or "simple", DDPM's L_simple, where K is still what is reported.
        learning_rate: peak rate, reached after the warm-up, then a cosine to zero.
        warmup_steps: steps of linear warm-up.
        ema_decay: of the averaged weights that evaluation uses.
        seed: of parameters, batches and noise.
        steps_per_dispatch: optimiser steps per call of the compiled program; metrics are
            written, and signals answered, between calls.
        checkpoint_every: optimiser steps between checkpoints, rounded up to whole dispatches.

    Raises:
        ValueError: naming the field, the value and what is allowed.
    """

    SIZES: ClassVar[tuple[str, ...]] = ("batch_size",)
    """The fields that decide how much memory a training step takes."""

    steps: int = 10_000
    batch_size: int = 256
    times_per_batch: int = 0
    time_sampling: Literal["uniform", "importance"] = "uniform"
    objective: Literal["bound", "simple"] = "bound"
    learning_rate: float = 0.01
    warmup_steps: int = 300
    ema_decay: float = 0.999
    seed: int = 0
    steps_per_dispatch: int = 100
    checkpoint_every: int = 2_000

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("steps", "batch_size", "checkpoint_every"):
            require(name, getattr(self, name), at_least=1)
        # Within one dispatch no signal is answered.
        require("steps_per_dispatch", self.steps_per_dispatch, at_least=1, at_most=10_000)
        for name in ("times_per_batch", "warmup_steps"):
            require(name, getattr(self, name), at_least=0)
        if not 0 <= self.seed < 2**32:  # higher bits would be cut off, and two seeds be one
            raise ValueError(f"seed must lie in [0, 2**32), got {self.seed}")
        if self.times_per_batch and self.batch_size % self.times_per_batch:
            raise ValueError(
                f"times_per_batch must divide batch_size, {self.batch_size}, "
                f"got {self.times_per_batch}"
            )
        if self.times_per_batch == 0:
            for name, value in (("time_sampling", "uniform"), ("objective", "bound")):
                if getattr(self, name) != value:
                    raise ValueError(
                        f"{name} must be {value} where times_per_batch is 0, "
                        f"got {getattr(self, name)}: no step is drawn"
                    )
        require("learning_rate", self.learning_rate, at_least=1e-12, at_most=1e6)
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {self.ema_decay}")


Number = int | float


def require(name: str, value: Number, *, at_least: Number, at_most: Number = MOST) -> None:
    """Raise ValueError unless ``at_least`` ≤ ``value`` ≤ ``at_most``; NaN is refused too."""
    if not value >= at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
    if value > at_most:
        raise ValueError(f"{name} must be at most {at_most}, got {value}")


def require_layers(name: str, widths: Sequence[int], *, at_least: int) -> None:
    """Raise ValueError unless there are ``at_least`` layers or more, all of a width that can be."""
    if len(widths) < at_least:
        raise ValueError(f"{name} must have at least one width, got none")
    if len(widths) > DEEPEST:
        raise ValueError(f"{name} must have at most {DEEPEST} widths, got {len(widths)}")
    for width in widths:
        require(name, width, at_least=1, at_most=WIDEST)
