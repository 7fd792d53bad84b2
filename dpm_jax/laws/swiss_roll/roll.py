"""The swiss roll in 2-D, of known noise and known scale (paper, §3.1.1).

s = 1.5π(1+2u), u ~ U(0, 1);  x = ((s cos s, s sin s) + N(0, noise² I) - mean) / scale.

Mean and scale are those of the law itself, by quadrature, not of a sample: the variance,
averaged over both coordinates, is exactly 1, so eq. 14 holds and the true limit is known.
"""

from typing import NamedTuple

import numpy as np

from dpm_jax.data.dataset import Dataset

NODES = 512  # Gauss-Legendre nodes; the moments are those of smooth functions of u


class Roll(NamedTuple):
    """The law of the scaled roll.

    Attributes:
        noise: standard deviation of the noise, in units before scaling.
        mean: subtracted from both coordinates, units before scaling; shape (2,).
        scale: the constant that divides both.
    """

    noise: float
    mean: np.ndarray
    scale: float

    @property
    def variance(self) -> float:
        """Variance of the noise per coordinate, in scaled units."""
        return (self.noise / self.scale) ** 2

    def curve(self, u: np.ndarray) -> np.ndarray:
        """The noiseless roll at u in (0, 1), scaled; shape (*u.shape, 2)."""
        return (_spiral(u) - self.mean) / self.scale


def law(noise: float) -> Roll:
    """The roll with this noise.

    Raises:
        ValueError: unless ``noise`` is positive and finite.
    """
    if not (noise > 0 and np.isfinite(noise)):
        raise ValueError(
            f"noise must be positive and finite, got {noise}: "
            "without noise the likelihood has no limit"
        )
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    points, weights = _spiral((nodes + 1) / 2), weights / 2
    mean = weights @ points
    variance = weights @ (points - mean) ** 2 + noise**2
    return Roll(noise, mean, float(np.sqrt(variance.mean())))


def sample(roll: Roll, count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` points of the roll, scaled; float32 [count, 2]."""
    u, eps = rng.uniform(size=count), rng.normal(size=(count, 2))
    return (roll.curve(u) + roll.noise / roll.scale * eps).astype(np.float32)


def load(roll: Roll, *, train: int, heldout: int, seed: int) -> Dataset:
    """Independent training and held-out points from one seed."""
    train_rng, heldout_rng = np.random.default_rng(seed).spawn(2)
    return Dataset(sample(roll, train, train_rng), sample(roll, heldout, heldout_rng))


def _spiral(u: np.ndarray) -> np.ndarray:
    s = 1.5 * np.pi * (1 + 2 * u)
    return np.stack([s * np.cos(s), s * np.sin(s)], axis=-1)
