"""One transform, forwards and back: likelihood and posterior (chapters 1 to 3 of the course)."""

import math

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory import gaussian
from dpm_jax.laboratory.columns import log, normalised
from dpm_jax.laboratory.space import Space, check_alpha, check_law


def likelihood(space: Space, alpha: float) -> Float[np.ndarray, "n n"]:
    """q(z | x), z in rows (2.1)."""
    return np.exp(log_likelihood(space, alpha))


def log_likelihood(space: Space, alpha: float) -> Float[np.ndarray, "n n"]:
    """Its log, nats: finite where q(z | x) itself underflows.

    Raises:
        ValueError: unless α lies in (0, 1), and the grid is fine enough for it.
    """
    check_alpha(alpha)
    return space.log_likelihood(alpha)


def transform(space: Space, q: Float[np.ndarray, " n"], alpha: float) -> Float[np.ndarray, " n"]:
    """q(z) = Σ_x q(z | x) q(x) (1.1).

    Raises:
        ValueError: if q is no law, or α does not suit the space.
    """
    check_law(space, q)
    return likelihood(space, alpha) @ q


def posterior(space: Space, q: Float[np.ndarray, " n"], alpha: float) -> Float[np.ndarray, "n n"]:
    """q(x | z), x in rows, for every z (3.1), also where q(z) underflows."""
    return np.exp(log_posterior(space, q, alpha))


def log_posterior(
    space: Space, q: Float[np.ndarray, " n"], alpha: float
) -> Float[np.ndarray, "n n"]:
    """Its log, nats; -inf where q(x) is 0.

    Raises:
        ValueError: if q is no law, or α does not suit the space.
    """
    check_law(space, q)
    return normalised(log(q)[:, None] + log_likelihood(space, alpha).T)


def posterior_at(
    line: Space, q: Float[np.ndarray, " n"], alpha: float, z: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """q(x | z) at any fixed z, and GaussFun, N(x; z/√α, (1-α)/α), as densities (3.4).

    Raises:
        ValueError: if q is no law, α is not in (0, 1), or z is not finite.
    """
    check_law(line, q)
    check_alpha(alpha)
    if not math.isfinite(z):
        raise ValueError(f"z must be finite, got {z}")
    variance = (1 - alpha) / alpha
    exponent = -((line.states - z / math.sqrt(alpha)) ** 2) / (2 * variance)
    found = np.exp(normalised(log(q) + exponent)) / line.cell
    return found, np.exp(exponent) / math.sqrt(2 * math.pi * variance)


def scaled(line: Space, q: Float[np.ndarray, " n"], alpha: float) -> Float[np.ndarray, " n"]:
    """The law of √α X: narrower by √α, and higher.

    Each point's mass is shared by the two points on either side of where it goes: mass and mean
    are exact, the variance is too large by at most a quarter of the spacing's square.

    Raises:
        ValueError: if q is no law, or α is not in (0, 1).
    """
    check_law(line, q)
    check_alpha(alpha)
    place = (math.sqrt(alpha) * line.states - line.states[0]) / line.cell
    below = np.minimum(place.astype(int), len(place) - 2)
    share = place - below
    found = np.zeros_like(q)
    np.add.at(found, below, (1 - share) * q)
    np.add.at(found, below + 1, share * q)
    return found


def blurred(line: Space, q: Float[np.ndarray, " n"], alpha: float) -> Float[np.ndarray, " n"]:
    """The law of X + √(1-α) ε: a convolution with N(0, 1-α).

    Raises:
        ValueError: if q is no law, or α does not suit the grid.
    """
    check_law(line, q)
    check_alpha(alpha)
    x, count = line.states, len(line.states)
    gaussian.check_resolved(x, "alpha", alpha, math.sqrt(1 - alpha))
    steps = line.cell * np.arange(1 - count, count)
    kernel = np.exp(normalised(-(steps**2) / (2 * (1 - alpha))))
    found = np.convolve(q, kernel)[count - 1 : 2 * count - 1]
    return np.asarray(found / found.sum())  # up to 1e-11 of it was carried off the grid
