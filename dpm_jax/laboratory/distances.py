"""How far two laws are apart, in bits where it is information; along the last axis."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory import columns
from dpm_jax.laboratory.space import Space

BIT = float(np.log(2))
"""In nats."""


class Distances(NamedTuple):
    """Of two laws, or of two stacks of them."""

    tv: Float[np.ndarray, "..."]  # total variation, 0 to 1
    kl: Float[np.ndarray, "..."]  # KL(p ‖ q), bits, inf where q has no mass and p has
    js: Float[np.ndarray, "..."]  # Jensen-Shannon, bits, 0 to 1


def distances(p: Float[np.ndarray, "*#laws n"], q: Float[np.ndarray, "*#laws n"]) -> Distances:
    """All three."""
    return Distances(tv(p, q), kl(p, q), js(p, q))


def tv(
    p: Float[np.ndarray, "*#laws n"], q: Float[np.ndarray, "*#laws n"]
) -> Float[np.ndarray, "..."]:
    """Total variation, ``½ Σ |p - q|``: half of the course's L1 distance."""
    return np.asarray(0.5 * np.abs(p - q).sum(-1))


def kl(
    p: Float[np.ndarray, "*#laws n"], q: Float[np.ndarray, "*#laws n"]
) -> Float[np.ndarray, "..."]:
    """KL(p ‖ q) = Σ p log₂ p/q, bits; inf where q has no mass and p has."""
    held = p > 0
    with np.errstate(divide="ignore"):
        log_ratio = np.log(np.where(held, p, 1.0)) - np.log(np.where(held, q, 1.0))
    # Of nearly equal laws, rounding would leave -1e-16.
    return np.asarray(np.maximum((p * log_ratio).sum(-1), 0.0) / BIT)


def js(
    p: Float[np.ndarray, "*#laws n"], q: Float[np.ndarray, "*#laws n"]
) -> Float[np.ndarray, "..."]:
    """Jensen-Shannon divergence: the mean KL of both from their mean, bits."""
    both = p + q  # its half would be 0 where they are as small as float64 can hold
    return np.asarray(0.25 * (kl(2 * p, both) + kl(2 * q, both)))


def entropy(space: Space, q: Float[np.ndarray, " n"]) -> float:
    """H(q), bits; on the line the differential one, -∫ q log₂ q."""
    return float(columns.entropy(q[:, None])[0] + np.log(space.cell)) / BIT


def mean_kl(
    weights: Float[np.ndarray, " m"],
    p: Float[np.ndarray, "n m"],
    log_q: Float[np.ndarray, "n m"],
) -> float:
    """Σ_z w(z) KL(p(· | z) ‖ q(· | z)), columns by z; q by its log, nats; bits."""
    return float(weights @ columns.mean_log_ratio(p, columns.log(p), log_q)) / BIT


def mean_entropy(
    space: Space, weights: Float[np.ndarray, " m"], p: Float[np.ndarray, "n m"]
) -> float:
    """H(X | Z) = Σ_z w(z) H(p(· | z)), bits; on the line differential."""
    return float(weights @ columns.entropy(p) + np.log(space.cell)) / BIT
