"""Many transforms in a row, and the way back through their posteriors (chapters 4 to 6).

A stack of laws [T+1, n] holds that of z_t at index t, z_0 = x; rates α_1..α_T stand at t-1.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory.law import law
from dpm_jax.laboratory.space import Space, check_alpha, check_law
from dpm_jax.laboratory.transform import likelihood, log_likelihood, log_posterior

LastStep = Literal["learned", "fixed"]
"""p(x_0 | x_1): the best of its family, or the paper's forward kernel (App. B.2)."""


def rates(start: float, end: float, steps: int) -> Float[np.ndarray, " T"]:
    """α_1..α_T in even steps from ``start`` to ``end``, as the course's controls have them.

    Raises:
        ValueError: unless both lie in (0, 1), and there is at least one step.
    """
    check_alpha(start, "start")
    check_alpha(end, "end")
    if steps < 1:
        raise ValueError(f"steps must be at least 1, got {steps}")
    return np.linspace(start, end, steps)


def ddpm_rates(steps: int = 1000) -> Float[np.ndarray, " T"]:
    """DDPM's α_t, 1 - α_t from 1e-4 to 0.02; with fewer steps, each stands for as many of theirs.

    Raises:
        ValueError: unless ``steps`` divides 1000.
    """
    if steps < 1 or 1000 % steps:
        raise ValueError(f"steps must divide 1000, got {steps}")
    return (1 - np.linspace(1e-4, 0.02, 1000)).reshape(steps, -1).prod(1)


def alpha_bar(alphas: Float[np.ndarray, " T"]) -> Float[np.ndarray, " T"]:
    """ᾱ_t = ∏ α_s (4.8): one transform of rate ᾱ_t stands for the first t.

    Raises:
        ValueError: unless there is a rate, and all lie in (0, 1).
    """
    if len(alphas) == 0:
        raise ValueError("alphas must hold at least one rate, got none")
    for t, alpha in enumerate(alphas, 1):
        check_alpha(float(alpha), f"alpha_{t}")
    return np.cumprod(alphas)


def forward(
    space: Space, q: Float[np.ndarray, " n"], alphas: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "T+1 n"]:
    """The laws of x, z_1, …, z_T (4.1 to 4.4).

    Raises:
        ValueError: if q is no law, or a rate does not suit the space.
    """
    check_law(space, q)
    alpha_bar(alphas)
    laws = [q]
    for alpha in alphas:
        laws.append(likelihood(space, float(alpha)) @ laws[-1])
    return np.stack(laws)


def disturbed(
    space: Space, q: Float[np.ndarray, " n"], other: Float[np.ndarray, " n"], ratio: float
) -> Float[np.ndarray, " n"]:
    """(1 - ratio) q + ratio · other: an end of the chain that is not what it should be.

    Raises:
        ValueError: if either is no law, or ``ratio`` is not in [0, 1].
    """
    check_law(space, q)
    check_law(space, other, "other")
    if not 0 <= ratio <= 1:
        raise ValueError(f"ratio must lie in [0, 1], got {ratio}")
    return law(space, (1 - ratio) * q + ratio * other)


def restored(
    space: Space,
    q: Float[np.ndarray, " n"],
    alphas: Float[np.ndarray, " T"],
    end: Float[np.ndarray, " n"],
) -> Float[np.ndarray, "T+1 n"]:
    """The laws on the way back from ``end`` by the exact posteriors of q's chain (5.1 to 5.4).

    Raises:
        ValueError: if q or ``end`` is no law, or a rate does not suit the space.
    """

    def exact(t: int, log_p: np.ndarray) -> np.ndarray:
        return log_p

    return _back(space, q, alphas, end, exact)


def restored_by_best(
    space: Space,
    q: Float[np.ndarray, " n"],
    alphas: Float[np.ndarray, " T"],
    end: Float[np.ndarray, " n"],
    last_step: LastStep = "learned",
) -> Float[np.ndarray, "T+1 n"]:
    """The same by the best conditional normals, or bits, in place of the posteriors (chapter 6).

    Raises:
        ValueError: if q or ``end`` is no law, or a rate does not suit the space.
    """

    def best(t: int, log_p: np.ndarray) -> np.ndarray:
        return log_reverse(space, t, float(alphas[t - 1]), log_p, last_step)

    return _back(space, q, alphas, end, best)


def log_reverse(
    space: Space, t: int, alpha: float, log_p: Float[np.ndarray, "n n"], last_step: LastStep
) -> Float[np.ndarray, "n n"]:
    """Log p(x_{t-1} | x_t) of the best model, whose exact posterior is ``log_p``; nats."""
    if t == 1 and last_step == "fixed":
        return log_likelihood(space, alpha)
    return space.log_best(np.exp(log_p))


def _back(
    space: Space,
    q: np.ndarray,
    alphas: np.ndarray,
    end: np.ndarray,
    log_step: Callable[[int, np.ndarray], np.ndarray],
) -> np.ndarray:
    check_law(space, end, "end")
    laws, found = forward(space, q, alphas), [end]
    for t in range(len(alphas), 0, -1):
        log_p = log_posterior(space, laws[t - 1], float(alphas[t - 1]))
        found.append(np.exp(log_step(t, log_p)) @ found[-1])
    return np.stack(found[::-1])


def composed(
    space: Space, q: Float[np.ndarray, " n"], alphas: Float[np.ndarray, " T"]
) -> Float[np.ndarray, "n n"]:
    """q(x | z_T) as the product of all the chain's posteriors: that of one transform, ᾱ_T.

    Raises:
        ValueError: if q is no law, or a rate does not suit the space.
    """
    product = np.eye(len(space.prior))
    for before, alpha in zip(forward(space, q, alphas)[:-1], alphas, strict=True):
        product = product @ np.exp(log_posterior(space, before, float(alpha)))
    return product
