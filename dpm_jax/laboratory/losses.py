"""Two forms of a step's loss, whose difference no model changes (6.8 to 6.20, App. A).

The course fits p(z_{t-1} | z_t) to q(z_{t-1} | z_t); the paper and DDPM fit it to
q(z_{t-1} | z_t, x). Each is written here as its own sum: that they differ by a constant is for
the numbers to show.
"""

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory.chain import alpha_bar, forward
from dpm_jax.laboratory.columns import log, normalised
from dpm_jax.laboratory.distances import kl, mean_kl
from dpm_jax.laboratory.space import Space
from dpm_jax.laboratory.transform import log_likelihood, log_posterior


def cross_entropy(
    joint: Float[np.ndarray, "n m"], log_p: Float[np.ndarray, "n m"], cell: float
) -> float:
    """-Σ q(z_{t-1}, z_t) log₂ p(z_{t-1} | z_t) (6.2), bits; z_{t-1} in rows."""
    held = joint > 0
    return -float((joint[held] * log_p[held]).sum() / np.log(2)) + float(np.log2(cell))


def loss(
    space: Space,
    q: Float[np.ndarray, " n"],
    alphas: Float[np.ndarray, " T"],
    t: int,
    log_p: Float[np.ndarray, "n n"],
) -> float:
    """Σ q(z_t) KL(q(z_{t-1} | z_t) ‖ p(z_{t-1} | z_t)) (6.3), bits.

    ``log_p`` is any model of step t, z_{t-1} in rows, nats.

    Raises:
        ValueError: if q is no law, a rate does not suit the space, or t is not 1..T.
    """
    _check_step(t, 1, len(alphas))
    laws = forward(space, q, alphas)
    exact = np.exp(log_posterior(space, laws[t - 1], float(alphas[t - 1])))
    return mean_kl(laws[t], exact, log_p)


def loss_given_data(
    space: Space,
    q: Float[np.ndarray, " n"],
    alphas: Float[np.ndarray, " T"],
    t: int,
    log_p: Float[np.ndarray, "n n"],
) -> float:
    """Σ q(x, z_t) KL(q(z_{t-1} | z_t, x) ‖ p(z_{t-1} | z_t)) (6.14), bits: a sum over n³ triples.

    Raises:
        ValueError: if q is no law, a rate does not suit the space, or t is not 2..T.
    """
    _check_step(t, 2, len(alphas))
    bars = alpha_bar(alphas)
    log_step = log_likelihood(space, float(alphas[t - 1]))
    log_before = log_likelihood(space, float(bars[t - 2]))
    after = np.exp(log_likelihood(space, float(bars[t - 1])))
    total = 0.0
    for x in np.flatnonzero(q):
        given = np.exp(normalised(log_before[:, x : x + 1] + log_step.T))
        total += q[x] * mean_kl(after[:, x], given, log_p)
    return float(total)


def kl_given_other(
    weights: Float[np.ndarray, " m"], given: Float[np.ndarray, "n m"], p: Float[np.ndarray, " n"]
) -> tuple[float, float]:
    """KL(q(z) ‖ p(z)), and Σ q(x) KL(q(z | x) ‖ p(z)), which is no less (6.20, A.6); bits."""
    log_p = np.repeat(log(p)[:, None], len(weights), 1)
    return float(kl(given @ weights, p)), mean_kl(weights, given, log_p)


def _check_step(t: int, first: int, last: int) -> None:
    if not first <= t <= last:
        raise ValueError(f"t must be {first} to {last}, got {t}")
