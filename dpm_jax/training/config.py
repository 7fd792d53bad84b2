"""What a training run varies. Only the standard library is needed: scripts start fast."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How to train; validated when made.

    Attributes:
        steps: optimiser steps.
        batch_size: examples per step, a multiple of the number of devices.
        times_per_batch: how many diffusion steps t are drawn per batch, stratified; they
            divide its examples among them. 0 sums over all t = 2..T for every example.
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

    steps: int = 10_000
    batch_size: int = 256
    times_per_batch: int = 0
    learning_rate: float = 0.01
    warmup_steps: int = 300
    ema_decay: float = 0.999
    seed: int = 0
    steps_per_dispatch: int = 100
    checkpoint_every: int = 2_000

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("steps", "batch_size", "steps_per_dispatch", "checkpoint_every"):
            require(name, getattr(self, name), at_least=1)
        for name in ("times_per_batch", "warmup_steps"):
            require(name, getattr(self, name), at_least=0)
        if not 0 <= self.seed < 2**32:  # higher bits would be cut off, and two seeds be one
            raise ValueError(f"seed must lie in [0, 2**32), got {self.seed}")
        if self.times_per_batch and self.batch_size % self.times_per_batch:
            raise ValueError(
                f"times_per_batch must divide batch_size, {self.batch_size}, "
                f"got {self.times_per_batch}"
            )
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {self.ema_decay}")


def require(name: str, value: int, *, at_least: int) -> None:
    """Raise ValueError unless ``value`` ≥ ``at_least``."""
    if value < at_least:
        raise ValueError(f"{name} must be at least {at_least}, got {value}")
