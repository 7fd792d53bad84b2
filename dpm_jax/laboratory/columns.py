"""Matrices whose columns are laws: what a state (the column) says of another (the row)."""

import numpy as np
from jaxtyping import Float

LEAST_LOG = -1e5
"""In place of log 0 where it meets a weight of 0: of 0 log 0 there is left 0."""


def log(q: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Log q, nats; -inf where q is 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(q))


def normalised(log_p: Float[np.ndarray, "n *columns"]) -> Float[np.ndarray, "n *columns"]:
    """Log p less the log of each column's sum, which may be far below what exp can hold."""
    log_p = log_p - log_p.max(0)
    return np.asarray(log_p - np.log(np.exp(log_p).sum(0)))


def mean_log_ratio(
    weights: Float[np.ndarray, "n columns"],
    log_p: Float[np.ndarray, "n columns"],
    log_q: Float[np.ndarray, "n columns"],
) -> Float[np.ndarray, " columns"]:
    """Σ w (log p - log q) of each column, nats; where a weight is 0, its term is."""
    ratio = np.maximum(log_p, LEAST_LOG) - np.maximum(log_q, LEAST_LOG)
    return np.asarray((weights * ratio).sum(0))


def entropy(p: Float[np.ndarray, "n columns"]) -> Float[np.ndarray, " columns"]:
    """-Σ p log p of each column, nats."""
    return -np.asarray((p * np.log(np.where(p > 0, p, 1.0))).sum(0))
