"""Flags of problems whose exact likelihood is known: the swiss roll and the heartbeat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dpm_jax.experiments.base import RunConfig
from dpm_jax.training.config import require


@dataclass(frozen=True, kw_only=True)
class KnownLawConfig(RunConfig):
    """Flags of the known laws.

    Attributes:
        train_examples: examples drawn for training.
        heldout_examples: examples drawn for evaluation.
        iw_examples: how many of the held-out examples get the importance-weighted bound.
        iw_samples: paths N per example of that bound.
    """

    EVALUATION: ClassVar[tuple[str, ...]] = (
        *RunConfig.EVALUATION,
        "heldout_examples",
        "iw_examples",
        "iw_samples",
    )

    train_examples: int = 1_000_000
    heldout_examples: int = 400_000
    iw_examples: int = 10_000
    iw_samples: int = 64

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        for name in ("heldout_examples", "iw_examples"):
            require(name, getattr(self, name), at_least=2)  # a standard error needs two
        for name in ("train_examples", "iw_samples"):
            require(name, getattr(self, name), at_least=1)
        if self.iw_examples > self.heldout_examples:
            raise ValueError(
                f"iw_examples must be at most heldout_examples, {self.heldout_examples}, "
                f"got {self.iw_examples}"
            )


def check_memory(config: KnownLawConfig, dimensions: int) -> None:
    """Raise ValueError unless there is room for the examples of so many dimensions."""
    from dpm_jax import memory

    each = 8 * dimensions + 128  # bytes: drawn in float64, and what is measured of it
    names = ("train_examples", "heldout_examples")
    memory.require({name: each * getattr(config, name) for name in names})
