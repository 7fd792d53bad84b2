"""The binomial transform of a few bits: each keeps its value with probability α, or is drawn anew.

The states are all 2^D values of D bits; a law is their probabilities.
"""

import numpy as np
from jaxtyping import Float

MOST_BITS = 10
"""1,024 states: their matrices are as large as a fine grid's."""

LEAST_PROBABILITY = 1e-300
"""Of a best bit: log 0 times 0 would be NaN."""


def states(count: int) -> Float[np.ndarray, "n count"]:
    """All values of ``count`` bits as 0.0 and 1.0, counted upwards, the first bit highest.

    Raises:
        ValueError: unless ``count`` is 1 to ``MOST_BITS``.
    """
    if not 1 <= count <= MOST_BITS:
        raise ValueError(f"bits must be 1 to {MOST_BITS}, got {count}")
    numbers = np.arange(2**count)[:, None]
    return ((numbers >> np.arange(count)[::-1]) & 1).astype(np.float64)


def log_product(
    bits: Float[np.ndarray, "n bits"], one: Float[np.ndarray, "bits *columns"]
) -> Float[np.ndarray, "n *columns"]:
    """Log ∏ B(x_i; p_i) of every state, for each column of p; nats."""
    return _log_product(bits, one, 1 - one)


def _log_product(bits: np.ndarray, one: np.ndarray, zero: np.ndarray) -> np.ndarray:
    log_one = np.log(np.maximum(one, LEAST_PROBABILITY))
    log_zero = np.log(np.maximum(zero, LEAST_PROBABILITY))
    return np.asarray(bits @ log_one + (1 - bits) @ log_zero)


def log_likelihood(
    bits: Float[np.ndarray, "n bits"], alpha: float, activity: float
) -> Float[np.ndarray, "n n"]:
    """Log q(z | x), z in rows: ∏ B(z_i; α x_i + (1-α) p₀); nats."""
    return log_product(bits, alpha * bits.T + (1 - alpha) * activity)


def log_best(
    bits: Float[np.ndarray, "n bits"], p: Float[np.ndarray, "n columns"]
) -> Float[np.ndarray, "n columns"]:
    """Log of the independent bits closest to each column, KL(p ‖ ·): of the same means; nats."""
    # Not 1 - p: near a certain bit it would have no digits.
    return _log_product(bits, bits.T @ p, (1 - bits).T @ p)
