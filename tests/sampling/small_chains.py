"""Chains whose p(x_0) is known: random ones of a few bits, by sums over states, and of normals."""

import jax.numpy as jnp
import numpy as np
from reference import process_of, product_law, states

from dpm_jax import schedule
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.process import LEARNED, Process

ACTIVITY, STEPS = 0.3, 4
STATES = states(3)


def table(bits: int) -> np.ndarray:
    """Added to the log-odds of x_{t-1}'s bits given the state x_t: a random reverse process."""
    return np.random.default_rng(0).normal(size=(STEPS, 2**bits, bits))


def random_bits(bits: int = 3) -> Process:
    """A few bits, four steps, all of them learned."""
    place, added = jnp.asarray(2 ** np.arange(bits)), jnp.asarray(table(bits), jnp.float32)
    kernel, family = binomial.kernel(ACTIVITY), schedule.fixed(STEPS)

    def reverse(xt, t, c):
        return Bernoulli(kernel.step(xt, c.beta).logits + added[t - 1, xt.astype(int) @ place])

    return process_of(kernel, family.apply({}), reverse, (bits,), LEARNED)


def law_of_bits(bits: int = 3) -> list[np.ndarray]:
    """[x_T] and then [x_t, x_{t-1}] for t = T..1: the factors of p, over all states."""
    factors = [product_law(np.full(bits, ACTIVITY))]
    for t in range(STEPS, 0, -1):
        beta = 1 / (STEPS - t + 1)
        one = states(bits) * (1 - beta) + ACTIVITY * beta
        odds = one / (1 - one) * np.exp(table(bits)[t - 1])
        factors.append(product_law(odds / (1 + odds)))
    return factors


def linear_gaussian(steps=6, variance=((1.3, 0.7), (0.7, 0.7))):
    """A process whose p(x_0) is normal: its mean [D] and covariance, followed step by step.

    Its steps have the moments of q(x_{t-1} | x_t) of correlated data, but independent noise.
    """
    variance = np.array(variance)
    size = len(variance)
    beta, mean = np.linspace(0.1, 0.7, steps), np.linspace(0.3, -0.2, size)
    before = np.concatenate([[1.0], np.cumprod(1 - beta)])
    slopes, offsets, noises = [], [], []
    p_mean, p_cov = np.zeros(size), np.eye(size)
    for t in range(steps, 0, -1):
        cov = before[t - 1] * variance + (1 - before[t - 1]) * np.eye(size)
        gain = np.sqrt(1 - beta[t - 1]) * cov
        slope = gain @ np.linalg.inv((1 - beta[t - 1]) * cov + beta[t - 1] * np.eye(size))
        offset = np.sqrt(before[t - 1]) * mean - slope @ (np.sqrt(before[t]) * mean)
        noise = np.diag(cov - slope @ gain)
        p_mean, p_cov = slope @ p_mean + offset, slope @ p_cov @ slope.T + np.diag(noise)
        slopes, offsets, noises = [slope, *slopes], [offset, *offsets], [noise, *noises]
    A, b, v = (jnp.asarray(np.stack(a), jnp.float32) for a in (slopes, offsets, noises))

    def reverse(xt, t, c):
        return Normal(A[t - 1] @ xt + b[t - 1], v[t - 1])

    rates = schedule.given(beta).apply({})
    return process_of(gaussian.KERNEL, rates, reverse, (size,), LEARNED), p_mean, p_cov


def entangled(x):
    """A log r of three bits that is no sum over them."""
    return 1.2 * x[0] * x[1] - 0.8 * (x[0] - x[2]) ** 2
