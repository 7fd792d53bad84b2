"""Posteriors from weighted trajectories: estimates, their errors, and the worth of the draws.

Weights w_i, divided by their sum, give E f(x_0) under p(x_0) r(x_0) / Z as Σ w_i f(x_i). The
standard error is the delta method's, √Σ w_i² (f(x_i) - mean)²; both are right for many
trajectories, and ``effective``, 1/Σ w_i², says how many independent draws these are worth.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from dpm_jax.array_types import PRNGKey
from dpm_jax.process import Process
from dpm_jax.sampling.draw import multiplied
from dpm_jax.sampling.perturb import Perturbation
from dpm_jax.scaling import NATS_PER_BIT


class Posterior(NamedTuple):
    """Weighted draws from p(x_0) r(x_0) / Z."""

    x: np.ndarray  # [n, *event]
    log_weight: np.ndarray  # [n], nats

    @property
    def weight(self) -> np.ndarray:
        """Normalised weights, float64 [n]."""
        weight = np.exp(self.log_weight.astype(np.float64) - self.log_weight.max())
        return np.asarray(weight / weight.sum())

    @property
    def effective(self) -> float:
        """The effective sample size: n where all weights are the same, 1 where one rules."""
        return float(1 / (self.weight**2).sum())

    @property
    def log_evidence(self) -> tuple[float, float]:
        """Log Z, nats, and its standard error."""
        n, top = len(self.log_weight), float(self.log_weight.max())
        weight = np.exp(self.log_weight.astype(np.float64) - top)
        error = weight.std() / weight.mean() / np.sqrt(max(n - 1, 1))
        return float(top + np.log(weight.mean())), float(error)

    def mean(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard error of values [n, k] of the draws; [k] each."""
        weight = self.weight
        mean = weight @ values
        return mean, np.sqrt(weight**2 @ (values - mean) ** 2)


def draw(
    process: Process,
    perturb: Callable[[Process], Perturbation],
    count: int,
    key: PRNGKey,
    *,
    chunk: int = 500,
    progress: bool = False,
) -> Posterior:
    """``count`` perturbed trajectories, with their weights.

    Raises:
        ValueError: if no trajectory has a positive weight.
    """
    found = multiplied(
        process,
        lambda process, given: perturb(process),
        np.zeros((count, 0), np.float32),
        key,
        chunk=chunk,
        label="posterior",
        progress=progress,
    )
    if not found.log_weight.max() > -np.inf:
        raise ValueError(
            "no trajectory reached a positive weight: "
            "draw more of them, or check that what is known can occur at all"
        )
    return Posterior(np.asarray(found.end), np.asarray(found.log_weight))


def summary(
    posterior: Posterior, values: np.ndarray, exact: np.ndarray, log_evidence: float | None = None
) -> dict[str, Any]:
    """For ``result.json``: means of values [n, k] beside the exact ones [k]; evidence in bits."""
    mean, error = posterior.mean(values)
    unweighted = values.mean(0)
    said: dict[str, Any] = {
        "exact": np.asarray(exact).tolist(),
        "estimate": mean.tolist(),
        "estimate_se": error.tolist(),
        "unweighted": unweighted.tolist(),
        "trajectories": len(posterior.x),
        "effective": posterior.effective,
    }
    if log_evidence is None:
        return said
    found, found_error = posterior.log_evidence
    return said | {
        "log_evidence_exact_bits": log_evidence / NATS_PER_BIT,
        "log_evidence_bits": found / NATS_PER_BIT,
        "log_evidence_bits_se": found_error / NATS_PER_BIT,
    }
