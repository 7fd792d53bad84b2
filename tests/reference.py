"""The same facts written a second time, in float64 NumPy: probabilities added up, nothing derived.

Only the one-step kernels of Table App.1 are stated here. Bits are enumerated; no formula for a
marginal, a posterior, a KL or a bound is repeated from ``dpm_jax``.
"""

import json
from functools import partial, reduce

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.process import FIXED, LastStep, Process
from dpm_jax.schedule import Schedule

# A test's program runs once: compiling it is what it costs, so it is compiled as it stands.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def schedule64(beta) -> Schedule:
    """A schedule in float64, so that equalities can be tested to float64's rounding."""
    beta = np.asarray(beta, np.float64)
    with np.errstate(divide="ignore"), jax.enable_x64(True):
        return Schedule(jnp.asarray(beta), jnp.asarray(np.log(np.cumprod(1 - beta))))


def fixed64(steps: int) -> Schedule:
    """β_t = 1/(T-t+1), which ends at β_T = 1, in float64."""
    return schedule64(1 / np.arange(steps, 0, -1))


def states(bits: int) -> np.ndarray:
    """All 2^bits states; bit i of state s is (s >> i) & 1."""
    return ((np.arange(2**bits)[:, None] >> np.arange(bits)) & 1).astype(np.float64)


def product_law(one) -> np.ndarray:
    """[..., 2^bits] probabilities of all states when bit i is one with probability one[..., i]."""
    one = np.asarray(one, np.float64)[..., None, :]
    return np.prod(np.where(states(one.shape[-1]) > 0.5, one, 1 - one), axis=-1)


def bit_step(beta: float, activity: float) -> np.ndarray:
    """[x_{t-1}, x_t] transition matrix of one bit: B(x_{t-1}(1-β) + p₀β)."""
    one = np.array([0.0, 1.0]) * (1 - beta) + activity * beta
    return np.stack([1 - one, one], axis=-1)


def bit_steps(beta, activity: float) -> np.ndarray:
    """[x_0, x_t] transition matrix of one bit after all the steps of ``beta``."""
    return reduce(np.matmul, [bit_step(b, activity) for b in beta], np.eye(2))


def state_step(beta: float, activity: float, bits: int) -> np.ndarray:
    """[x_{t-1}, x_t] transition matrix of all states of independent bits."""
    return product_law(states(bits) * (1 - beta) + activity * beta)


def bit_mixture(shift, xt, beta, t: int, activity: float) -> np.ndarray:
    """P(x_{t-1}=1 | x_t), per bit, when x_0 has odds p₀/(1-p₀)·e^shift: summed over x_0."""
    shift, xt = np.broadcast_arrays(np.asarray(shift, np.float64), np.asarray(xt).astype(int))
    prior = [np.full_like(shift, 1 - activity), activity * np.exp(shift)]
    before, step = bit_steps(beta[: t - 1], activity), bit_step(beta[t - 1], activity)
    joint = [sum(prior[k] * before[k, j] * step[j, xt] for k in (0, 1)) for j in (0, 1)]
    return joint[1] / (joint[0] + joint[1])


def process_of(kernel, schedule, reverse, event_shape, last_step: LastStep = FIXED) -> Process:
    """A process without parameters, whose p(x_{t-1} | x_t) is ``reverse(xt, t, c)``."""

    def step(params, xt, t, c):
        return reverse(xt, t, c)

    return Process(kernel, schedule, step, event_shape, last_step=last_step)


def standard_errors(draws, expected) -> np.ndarray:
    """How many standard errors the mean over the leading axis is from ``expected``."""
    draws = np.asarray(draws, np.float64)
    error = draws.std(axis=0, ddof=1) / np.sqrt(len(draws))
    return np.abs(draws.mean(axis=0) - expected) / error


def within(said, floor=1e-9):
    """Whether every estimate of ``posterior.summary`` is within 5 standard errors of the truth."""
    estimate, error, exact = (np.array(said[k]) for k in ("estimate", "estimate_se", "exact"))
    evidence = said["log_evidence_bits"] - said["log_evidence_exact_bits"]
    assert json.loads(json.dumps(said)) == said
    return (np.abs(estimate - exact) < 5 * error + floor).all() and abs(evidence) < 5 * said[
        "log_evidence_bits_se"
    ]


def draws_of(draw, seed: int, count: int):
    """``draw(key)`` for ``count`` keys."""
    return jit(jax.vmap(draw))(jax.random.split(jax.random.key(seed), count))
