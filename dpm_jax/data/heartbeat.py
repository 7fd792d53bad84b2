"""The binary heartbeat: 20 bits, a one every 5th bin, 5 equally likely phases (§3.1.2)."""

import numpy as np

from dpm_jax.data.dataset import Dataset

BITS = 20
PERIOD = 5
ACTIVITY = 1 / PERIOD
"""Mean of a bit, and the p₀ of the matching binomial kernel."""


def sequences() -> np.ndarray:
    """The five heartbeats, phase k at row k; float32 [5, 20] of 0.0 and 1.0."""
    phase, bin_ = np.ogrid[:PERIOD, :BITS]
    return (bin_ % PERIOD == phase).astype(np.float32)


def sample(count: int, rng: np.random.Generator) -> np.ndarray:
    """``count`` heartbeats of random phase; float32 [count, 20]."""
    return sequences()[rng.integers(PERIOD, size=count)]


def load(*, train: int, heldout: int, seed: int) -> Dataset:
    """Independent training and held-out sequences from one seed."""
    train_rng, heldout_rng = np.random.default_rng(seed).spawn(2)
    return Dataset(sample(train, train_rng), sample(heldout, heldout_rng))
