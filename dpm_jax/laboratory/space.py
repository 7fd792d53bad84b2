"""Where laws live: a grid of the line, or all values of a few bits.

Both are finitely many states with a forward kernel that is reversible for its prior; nothing
else in this room knows which of the two it looks at. Laws are masses [n] that sum to 1, matrices
[n, n] have a law in each column, and information is in bits.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory import binomial, gaussian
from dpm_jax.laboratory.columns import normalised


class Space(NamedTuple):
    """States, and what noise does to them.

    Attributes:
        states: the points [n], or the bits [n, D].
        prior: π [n], where noise leads: N(0, 1), or independent bits of activity p₀.
        cell: what a state stands for: the spacing, so that mass/cell is a density; 1 for bits.
        log_likelihood: ``log_likelihood(alpha)`` is log q(z | x), z in rows, nats.
        log_best: ``log_best(matrix)`` is log of what a reverse step can be that is closest to
            each column: a normal, or independent bits; nats.
        check: ``check(q)`` refuses a law that noise carries out of the space.
    """

    states: Float[np.ndarray, "n *event"]
    prior: Float[np.ndarray, " n"]
    cell: float
    log_likelihood: Callable[[float], np.ndarray]
    log_best: Callable[[np.ndarray], np.ndarray]
    check: Callable[[np.ndarray], None]


def line(count: int = 1025, reach: float = 8.0) -> Space:
    """``count`` evenly spaced points from -reach to reach, and the Gaussian kernel.

    Raises:
        ValueError: unless count ≥ 3 and reach is positive and finite.
    """
    x = gaussian.points(count, reach)
    return Space(
        states=x,
        prior=np.exp(normalised(-0.5 * x**2)),
        cell=gaussian.spacing(x),
        log_likelihood=partial(gaussian.log_likelihood, x),
        log_best=partial(gaussian.log_best, x),
        check=partial(gaussian.check_on_grid, x),
    )


def bits(count: int = 1, activity: float = 0.5) -> Space:
    """All values of ``count`` bits, and the binomial kernel of activity p₀.

    Raises:
        ValueError: unless count is 1 to 10, and activity in (0, 1).
    """
    states = binomial.states(count)
    if not 0 < activity < 1:
        raise ValueError(f"activity must lie in (0, 1), got {activity}")
    return Space(
        states=states,
        prior=np.exp(binomial.log_product(states, np.full(count, activity))),
        cell=1.0,
        log_likelihood=partial(binomial.log_likelihood, states, activity=activity),
        log_best=partial(binomial.log_best, states),
        check=lambda q: None,
    )


def check_alpha(alpha: float, name: str = "alpha") -> None:
    """Refuse what is no share of the signal.

    Raises:
        ValueError: unless α lies in (0, 1).
    """
    if not 0 < alpha < 1:
        raise ValueError(f"{name} must lie in (0, 1), got {alpha}")


def check_law(space: Space, q: Float[np.ndarray, " m"], name: str = "q") -> None:
    """Refuse what is no law of this space.

    Raises:
        ValueError: if it has not one mass for each state, a mass is negative or not finite, they
            do not sum to 1, or noise would carry some of it out of the space.
    """
    check_values(space, q, name)
    if abs(q.sum() - 1) > 1e-9:
        raise ValueError(f"{name} must sum to 1, got {q.sum():.12g}: law.law makes it so")
    space.check(q)


def check_values(space: Space, values: Float[np.ndarray, " m"], name: str) -> None:
    """Refuse what is in proportion to no law.

    Raises:
        ValueError: if there is not one value for each state, or one is negative or not finite.
    """
    if values.shape != space.prior.shape:
        raise ValueError(
            f"{name} must have a value for each of {len(space.prior)} states, got {len(values)}"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got {values[~np.isfinite(values)][0]}")
    if values.min() < 0:
        raise ValueError(f"{name} must not be negative, got {values.min():.3g}")
