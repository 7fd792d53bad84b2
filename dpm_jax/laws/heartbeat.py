"""The binary heartbeat: 20 bits, a one every 5th bin, 5 equally likely phases (§3.1.2).

Its law, the answers that Bayes gives, and the best reverse process. Given the phase, bits are
independent; given x_t alone the phase is not known, so the best factorised step is the mixture

    p(x_i^{t-1} = 1 | x_t) = Σ_k P(phase k | x_t) q(x_i^{t-1} = 1 | x_i^t, bit i of phase k).
"""

import itertools
import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Event, Float, Scalar, Step
from dpm_jax.data.dataset import Dataset
from dpm_jax.kernels import binomial
from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.process import FIXED, LastStep, Process
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.schedule import Coefficients, Schedule

BITS = 20
PERIOD = 5
ACTIVITY = 1 / PERIOD
"""Mean of a bit, and the p₀ of the matching binomial kernel."""
TRUE_LIMIT_BITS = -math.log2(PERIOD)
"""-H of the data, -2.32193 bits: five equally likely sequences."""


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


def last_step_limit(beta_1: float) -> float:
    """-H_q(X_1), bits: no K exceeds it with the fixed last step T_π(x_0 | x_1; β_1).

    K ≤ E log p(x_1) + E log π(x_0)/π(x_1), and the second term is 0: both have activity p₀.
    For small β_1 this is -log₂5 - H_q(X_1 | X_0): x_1 leaves nothing unknown of the phase.
    log p(x_0) itself, and so the importance-weighted bound, may be higher.

    Raises:
        ValueError: if ``beta_1`` is not in (0, 1].
    """
    if not 0 < beta_1 <= 1:
        raise ValueError(f"beta_1 must lie in (0, 1], got {beta_1}")
    per_phase = BITS // PERIOD
    p0 = ACTIVITY
    # x_1 tells of the phase only by the number of ones in each of the five classes of bits.
    ones = np.array(list(itertools.product(range(per_phase + 1), repeat=PERIOD)))
    count = np.vectorize(math.comb)(per_phase, ones).prod(-1)  # how many x_1 share the numbers

    def log_prob(p: float, ones: np.ndarray) -> np.ndarray:
        return np.asarray(ones * math.log(p) + (per_phase - ones) * math.log1p(-p))

    beat = log_prob(1 - beta_1 * (1 - p0), ones)
    rest = log_prob(beta_1 * p0, ones)
    log_q = np.logaddexp.reduce(beat - rest, axis=-1) + rest.sum(-1) - math.log(5)
    return float(count * np.exp(log_q) @ log_q) / NATS_PER_BIT


def phases_given_bits(
    value: np.ndarray, mask: np.ndarray, *, flipped: float = 0.0
) -> tuple[np.ndarray, float]:
    """P(phase k | the bits under ``mask`` are ``value``) [5], and the log evidence in nats.

    Bayes over five equally likely phases. Each known bit was seen through a channel that
    flips it with probability ``flipped``; the evidence is of what was seen.

    Raises:
        ValueError: if ``flipped`` is not in [0, 1], or if no phase has these bits.
    """
    if not 0 <= flipped <= 1:
        raise ValueError(f"flipped must lie in [0, 1], got {flipped}")
    agrees = sequences() == np.asarray(value)
    each = np.where(agrees, 1 - flipped, flipped)
    joint = np.where(mask, each, 1.0).prod(-1) / PERIOD
    if joint.sum() == 0:
        raise ValueError("value has known bits that no heartbeat has: leave some out of mask")
    return joint / joint.sum(), math.log(joint.sum())


def phase_posterior(xt: Float[Array, " 20"], log_alpha_bar: Scalar) -> Float[Array, " 5"]:
    """Log P(phase k | x_t), nats."""
    q = partial(binomial.marginal, activity=ACTIVITY)
    likelihood = jax.vmap(lambda x0: binomial.log_prob(q(x0, log_alpha_bar), xt))
    return jax.nn.log_softmax(likelihood(jnp.asarray(sequences())))


def exact_reverse(params: Any, xt: Event, t: Step, c: Coefficients) -> Bernoulli:
    """The exact p(x_i^{t-1} = 1 | x_t) of every bit; at t = 1 too, where q is a delta."""
    phases = phase_posterior(xt, c.log_alpha_bar)
    bits = jnp.asarray(sequences())
    log_one = jax.nn.logsumexp(jnp.where(bits > 0.5, phases[:, None], -jnp.inf), axis=0)
    log_zero = jax.nn.logsumexp(jnp.where(bits > 0.5, -jnp.inf, phases[:, None]), axis=0)
    belief = Bernoulli(log_one - log_zero)
    return binomial.kernel(ACTIVITY).bridge(belief, xt, c.beta, c.log_alpha_bar_prev)


def exact_process(schedule: Schedule, *, last_step: LastStep = FIXED) -> Process:
    """The process of the highest K among all whose steps are independent bits."""
    kernel = binomial.kernel(ACTIVITY)
    return Process(kernel, schedule, exact_reverse, (BITS,), last_step=last_step)
