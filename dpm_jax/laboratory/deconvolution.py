"""Turning the noise back by division (chapter 8), and what it makes of the smallest error.

The transform multiplies the characteristic function at frequency ω by exp(-(1-α)ω²/2).
Deconvolution divides by that, and multiplies every error by the inverse: it is a fixed map,
and knows nothing of q. Frequencies are in radians per unit of z.
"""

import math

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory.space import Space, check_alpha
from dpm_jax.laboratory.transform import likelihood


def amplification(frequency: Float[np.ndarray, " k"], alpha: float) -> Float[np.ndarray, " k"]:
    """exp((1-α)ω²/2): what deconvolution multiplies by at frequency ω; inf where that is too large.

    Raises:
        ValueError: if α is not in (0, 1).
    """
    check_alpha(alpha)
    with np.errstate(over="ignore"):
        return np.asarray(np.exp(0.5 * (1 - alpha) * frequency**2))


def frequencies(line: Space) -> Float[np.ndarray, " k"]:
    """Those that the grid tells apart, from 0 to π over the spacing."""
    return 2 * np.pi * np.fft.rfftfreq(len(line.states), line.cell)


def deconvolved(
    line: Space, q_z: Float[np.ndarray, " n"], alpha: float, cutoff: float
) -> Float[np.ndarray, " n"]:
    """The law of √α X from that of Z, from the frequencies up to ``cutoff``.

    Its sum is that of ``q_z``; where errors have grown, it is negative in places.

    Raises:
        ValueError: if α is not in (0, 1), or the cutoff is not positive, or lets errors grow
            beyond what float64 holds.
    """
    check_alpha(alpha)
    most = math.sqrt(1400 / (1 - alpha))
    if not 0 < cutoff <= most:
        raise ValueError(f"cutoff must lie in (0, {most:.4g}] for alpha {alpha}, got {cutoff}")
    omega = frequencies(line)
    kept = omega <= cutoff
    gain = np.where(kept, amplification(np.where(kept, omega, 0.0), alpha), 0.0)
    return np.fft.irfft(np.fft.rfft(q_z) * gain, len(q_z))


def stretched(line: Space, q: Float[np.ndarray, " n"], alpha: float) -> Float[np.ndarray, " n"]:
    """The law of X from that of √α X: the first transform turned back, in straight lines.

    Off the grid there is nothing; it may be negative where ``q`` is.

    Raises:
        ValueError: if α is not in (0, 1).
    """
    check_alpha(alpha)
    root = math.sqrt(alpha)
    return np.asarray(np.interp(root * line.states, line.states, q)) * root


def undone(space: Space, q_z: Float[np.ndarray, " n"], alpha: float) -> Float[np.ndarray, " n"]:
    """The law of bits X from that of Z, by the inverse of the forward matrix.

    What n bits say together is multiplied by α^-n: no cutoff, and no q, is asked. Where ``q_z`` is
    wrong, it can be negative. On the line the matrix has no inverse that float64 could hold.

    Raises:
        ValueError: if α does not suit the space.
    """
    return np.linalg.solve(likelihood(space, alpha), q_z)
