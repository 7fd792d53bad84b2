"""What the swiss roll and the heartbeat share: laws whose exact likelihood is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import harness

from dpm_jax.training.config import require

if TYPE_CHECKING:
    import numpy as np

    from dpm_jax.data.dataset import Dataset
    from dpm_jax.evaluation.toy_problem import Outcome
    from dpm_jax.process import Model


@dataclass(frozen=True, kw_only=True)
class ToyConfig(harness.RunConfig):
    """Flags of the toy problems.

    Attributes:
        train_examples: examples drawn for training.
        heldout_examples: examples drawn for evaluation.
        iw_examples: how many of the held-out examples get the importance-weighted bound.
        iw_samples: paths N per example of that bound.
    """

    EVALUATION: ClassVar[tuple[str, ...]] = (
        "samples",
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


def experiment(
    config: ToyConfig,
    *,
    name: str,
    variant: str,
    model: Model,
    data: Dataset,
    true_limit_bits: float,
    log_q: Callable[[np.ndarray], np.ndarray],
    finish: Callable[[Outcome, Path], dict[str, Any]],
) -> harness.Experiment:
    """An experiment on a known law.

    Args:
        config: what to measure.
        name: as in the paper's table.
        variant: what to add to the row's title.
        model: the model to train.
        data: its examples.
        true_limit_bits: the mean of log q(x_0) under the law itself: no K can exceed it.
        log_q: exact log q(x_0) of examples [n, *event], bits [n].
        finish: draws the figures into the folder and returns more keys for ``result.json``.
    """
    from dpm_jax.evaluation import toy_problem

    measure = partial(
        toy_problem.measure,
        model,
        data,
        true_limit_bits=true_limit_bits,
        log_q=log_q,
        finish=finish,
        seed=config.seed,
        iw_examples=config.iw_examples,
        iw_samples=config.iw_samples,
        samples=config.samples,
    )
    return harness.Experiment(name, variant, model, data, measure, toy_problem.summary)
