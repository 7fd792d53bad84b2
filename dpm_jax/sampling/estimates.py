"""Posteriors from weighted draws: estimates, their errors, and the worth of the draws.

Weights w_i, divided by their sum, give E f(x_0) under p(x_0) r(x_0) / Z as Σ w_i f(x_i), and their
mean estimates Z. Draws of one run share forebears; runs share nothing. So standard errors are
those between runs (delta method), and ``effective``, 1/Σ w_i², says how many draws the weights
leave.
"""

from typing import Any, NamedTuple

import numpy as np

from dpm_jax.scaling import NATS_PER_BIT


class Posterior(NamedTuple):
    """Weighted draws from p(x_0) r(x_0) / Z.

    Attributes:
        x: [n, *event], in the process's units.
        log_weight: [n], nats.
        runs: how many runs of equal size the draws are of, one after the other; 0: all their own.
        ess: effective size at t = 0..T, summed over runs [T+1]; None where it is not followed.
        method: which made them.
        evidence: log Z and its standard error, where the weights do not tell; NaN where nothing
            does.
    """

    x: np.ndarray
    log_weight: np.ndarray
    runs: int = 0
    ess: np.ndarray | None = None
    method: str = "weights"
    evidence: tuple[float, float] | None = None

    @property
    def exact(self) -> bool:
        """Whether averages tend to the process's own posterior: else it is an approximation."""
        return self.method != "replace"

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
        """Log Z, nats, and its standard error between runs."""
        if self.evidence is not None:
            return self.evidence
        runs, top = self.runs or len(self.log_weight), float(self.log_weight.max())
        each = np.exp(self.log_weight.astype(np.float64) - top).reshape(runs, -1).mean(1)
        error = each.std() / each.mean() / np.sqrt(max(runs - 1, 1))
        if self.runs == 1:
            error = np.nan  # one run says nothing of others
        return float(top + np.log(each.mean())), float(error)

    def mean(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard error of values [n, k] of the draws; [k] each."""
        weight = self.weight
        mean = weight @ values
        runs = self.runs or len(weight)
        each = (weight[:, None] * (values - mean)).reshape(runs, -1, values.shape[1]).sum(1)
        few = 1.0 if self.runs == 0 else runs / (runs - 1) if runs > 1 else np.nan
        return mean, np.sqrt(few * (each**2).sum(0))


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
