"""The chains of the tests: bits and a real number, no reverse process of which is exact.

The real number's points, their weight, its data and π are the laboratory's. Its steps are written
as densities: the laboratory normalises them on the grid, which near its ends is another number
than the library's density, and the tests compare all points.
"""

import jax.numpy as jnp
import numpy as np
from chains import BETA, Chain, with_data
from reference import process_of, product_law, schedule64, state_step, states
from scipy import stats

from dpm_jax.kernels import binomial, gaussian
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.laboratory import law
from dpm_jax.laboratory.columns import log
from dpm_jax.laboratory.space import line
from dpm_jax.process import FIXED, LEARNED, LastStep

ACTIVITY = 0.3
LINE = line(46, 7.2)
GRID = LINE.states
# The mean of a step backwards is SLOPE_t x + WAVE sin x.
SLOPE, WAVE, VARIANCE = np.array([0.9, 0.8, 0.7]), 0.3, np.array([0.35, 0.5, 0.6])
TABLE = np.random.default_rng(0).normal(size=(4, 8, 3))  # log-odds by t, state and bit


def bits(count: int, T: int, data: np.ndarray, last_step: LastStep = FIXED) -> Chain:
    """Bits whose reverse process is looked up in TABLE."""
    odds = TABLE[:T, : 2**count, :count]
    kernel = binomial.kernel(ACTIVITY)

    def reverse(xt, t, c):
        state = jnp.sum(xt.astype(int) * 2 ** jnp.arange(count))
        return binomial.Bernoulli(jnp.asarray(odds)[t - 1, state])

    forward = [np.log(state_step(b, ACTIVITY, count)) for b in BETA[:T]]
    turned = [np.log(product_law(1 / (1 + np.exp(-by_state)))).T for by_state in odds]
    if last_step is FIXED:
        turned[0] = forward[0].T
    process = process_of(kernel, schedule64(BETA[:T]), reverse, (count,), last_step)
    prior = np.log(product_law(np.full(count, ACTIVITY)))
    return Chain(process, states(count), 1.0, np.log(data), prior, forward, turned)


def real(T: int, data: np.ndarray, last_step: LastStep = FIXED) -> Chain:
    """A real number whose reverse process is a normal of a wavy mean."""

    def reverse(xt, t, c):
        mean = jnp.asarray(SLOPE)[t - 1] * xt + WAVE * jnp.sin(xt)
        return Normal(mean, jnp.full(xt.shape, jnp.asarray(VARIANCE)[t - 1]))

    x, y = GRID[:, None], GRID
    forward = [stats.norm.logpdf(y, np.sqrt(1 - b) * x, np.sqrt(b)) for b in BETA[:T]]
    turned = [
        stats.norm.logpdf(x, a * y + WAVE * np.sin(y), np.sqrt(v))
        for a, v in zip(SLOPE[:T], VARIANCE[:T], strict=True)
    ]
    if last_step is FIXED:
        turned[0] = forward[0].T
    process = process_of(gaussian.KERNEL, schedule64(BETA[:T]), reverse, (1,), last_step)
    prior = log(law.density(LINE, LINE.prior))
    return Chain(process, GRID[:, None], LINE.cell, np.log(data), prior, forward, turned)


def mixture(share: float, first: float, second: float, std: float = 0.5) -> np.ndarray:
    """The density of two normals of one width, on the grid."""
    means, weights = np.array([first, second]), np.array([share, 1 - share])
    return law.density(LINE, law.mixture(LINE, means, np.array([std, std]), weights))


def some_law(count: int) -> np.ndarray:
    """A law of all states with nothing even about it."""
    weights = np.random.default_rng(count).uniform(0.2, 1, 2**count)
    return weights / weights.sum()


def of_activity(law: np.ndarray) -> np.ndarray:
    """As much of ``law`` as has mean activity p₀, the rest all zeros."""
    mean = (law[:, None] * states(int(np.log2(len(law))))).sum(0).mean()
    share = ACTIVITY / mean
    return share * law + (1 - share) * np.eye(len(law))[0]


CHAINS = {
    "one bit": bits(1, 2, some_law(1)),
    "two bits": bits(2, 4, some_law(2), LEARNED),
    "three bits": bits(3, 3, some_law(3)),
    "a real number": real(3, mixture(0.7, 0.9, -0.4)),
    "a real number, learned": real(2, mixture(0.7, 0.9, -0.4), LEARNED),
}
"""Of several T and of both last steps; data that have not the second moment of π."""

FIXED_LAST = {name: chain for name, chain in CHAINS.items() if chain.process.last_step is FIXED}
"""Those whose last step is the paper's."""

SCALED = {
    "three bits": with_data(CHAINS["three bits"], np.log(of_activity(some_law(3)))),
    # 0.5² + 0.7 · 0.6² + 0.3 m² = 1
    "a real number": with_data(
        CHAINS["a real number"], np.log(mixture(0.7, 0.6, -np.sqrt(0.498 / 0.3)))
    ),
}
"""Data as the paper scales them: mean activity p₀, or second moment 1."""

WIDE = {
    "three bits": np.log(product_law([0.5] * 3)),
    "a real number": stats.norm.logpdf(GRID, 0, 1.25),
}
"""Data that are wider than π."""
