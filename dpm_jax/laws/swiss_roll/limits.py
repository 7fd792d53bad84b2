"""What no model of the swiss roll can beat: the law's own density, and the best K.

Three limits, each below the one before:

1. L* = -H, the mean log density of the law itself: ``negative_entropy``.
2. With the paper's fixed last step a model is a density of x_1, so K ≤ -H_q(X_1):
   ``last_step_limit``.
3. With T diagonal normal steps K is best where p has the posterior's mean and variance,
   and then (SNR = ᾱ/(1-ᾱ), d the coordinate)

       KL_t = ½ Σ_d E log(1 + (SNR_{t-1} - SNR_t) Var_d(x_0 | x_t)):

   ``ceiling`` for one schedule, ``best_schedule`` for the best of all. ``exact_process``
   is the model that attains it.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from dpm_jax.array_types import Array, Float, Step
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.gaussian import LOG_2PI, Normal
from dpm_jax.laws.cheapest_path import cheapest_path
from dpm_jax.laws.swiss_roll import curve
from dpm_jax.laws.swiss_roll.roll import Roll
from dpm_jax.process import FIXED, LEARNED, LastStep, Process
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.schedule import Coefficients, Schedule, check_steps, given, log_snr

MIN_LOG_SNR = -10.0
"""Where ``best_schedule`` stops looking for λ_T."""

ACROSS = 20
"""Nodes for each component of the noise: with 10, limits are off by up to 5e-4 bits."""


def log_density(roll: Roll, x: np.ndarray) -> np.ndarray:
    """Log q(x_0) of points [..., 2], nats; float64 [...].

    Exact to 1e-6 near the curve, and to a few thousandths of itself far from it, where it
    may be -10,000.
    """
    points = np.reshape(x, (-1, 2))
    blurred = curve.panels(roll, roll.variance)
    return curve.log_density(blurred, points).reshape(np.shape(x)[:-1])


def negative_entropy(roll: Roll) -> float:
    """L* = -H = E log q(x_0), nats: the K that no model exceeds."""
    return _negative_entropy(roll, roll.variance)


def last_step_limit(roll: Roll, beta_1: float) -> float:
    """-H_q(X_1), bits: no K exceeds it with the fixed last step T_π(x_0 | x_1; β_1).

    K ≤ E log p(x_1) + E log π(x_0)/π(x_1), and the second term is 0: both have variance 1.
    log p(x_0) itself, and so the importance-weighted bound, may be higher. Quadrature, to
    1e-4 bits.

    Raises:
        ValueError: if ``beta_1`` is not in (0, 1).
    """
    _check_beta_1(beta_1)
    # x_1 = √(1-β_1) y, where y is the roll blurred by β_1/(1-β_1).
    blurred = _negative_entropy(roll, roll.variance + beta_1 / (1 - beta_1))
    return (blurred - math.log1p(-beta_1)) / NATS_PER_BIT


def ceiling(roll: Roll, schedule: Schedule, *, last_step: LastStep = FIXED) -> float:
    """The mean K of ``exact_process``, bits: the best of any diagonal normal reverse.

    K = E log p(x_0 | x_1) - KL_T - Σ_{t=2..T} KL_t, where E KL(q(x_t | x_0) ‖ π) is
    -log(1-ᾱ_t) in two dimensions, since the second moment is 1. Quadrature over u and both
    noises, to 1e-4 bits.
    """
    log_alpha_bar = np.asarray(schedule.log_alpha_bar, np.float64)
    log_noise = np.log(-np.expm1(log_alpha_bar))  # log(1-ᾱ_t)
    # Below e^-30 the points are as good as pure noise; ᾱ_T = 0 is -inf here.
    levels = np.maximum(log_snr(log_alpha_bar), -30.0)
    snr = np.exp(levels)
    # E log p(x_0 | x_1) is E log π(x_0) + KL_1 where that step is fixed; learned, it is minus
    # the entropy of a normal with the exact variance.
    first = log_noise[0]
    if last_step is LEARNED:  # at the finest level, and a logarithm: more nodes along the curve
        first = 0.5 * _mean_over_xt(roll, levels[0], np.log, along=128)
    nats = -LOG_2PI - 1 - first + log_noise[-1]
    for gap, level in zip(snr[:-1] - snr[1:], levels[1:], strict=True):
        nats -= 0.5 * _mean_over_xt(roll, level, partial(_log_one_plus, gap), along=64)
    return float(nats) / NATS_PER_BIT


def best_schedule(
    roll: Roll,
    steps: int,
    beta_1: float,
    *,
    last_step: LastStep = FIXED,
    progress: bool = False,
) -> tuple[np.ndarray, float]:
    """β_1..β_T of the highest ``ceiling`` given T and β_1, and that ceiling in bits.

    Dynamic programming over an even grid of log-SNR from logit(1-β_1) down to
    ``MIN_LOG_SNR``, at which λ_T is free to stop anywhere. float64 [T], for ``given``.

    Raises:
        ValueError: if ``steps`` < 2 or ``beta_1`` is not in (0, 1).
    """
    check_steps(steps)
    _check_beta_1(beta_1)
    start = float(log_snr(np.log1p(-np.float64(beta_1))))
    levels = np.linspace(start, min(MIN_LOG_SNR, start - 1), max(800, 8 * steps))
    # KL_T = -log(1-ᾱ_T) = log(1 + SNR_T)
    path, _ = cheapest_path(_costs(roll, levels, progress), np.log1p(np.exp(levels)), steps - 1)
    log_alpha_bar = -np.logaddexp(0, -levels[path])
    beta = -np.expm1(np.diff(log_alpha_bar, prepend=0.0))
    schedule = given(beta).apply({})
    return beta, ceiling(roll, schedule, last_step=last_step)


class _Nodes(NamedTuple):
    """The curve's quadrature, as an exact process's parameters."""

    positions: Float[Array, "N 2"]
    log_weights: Float[Array, " N"]
    noise_variance: Float[Array, ""]


def exact_process(roll: Roll, schedule: Schedule, *, last_step: LastStep = FIXED) -> Process:
    """The process whose mean K is ``ceiling``.

    Each example holds one number per quadrature node, about 180/noise of them (720 at
    noise 0.25): under ``vmap``, mind the memory.
    """
    panels = curve.panels(roll, roll.variance)
    nodes = _Nodes(
        jnp.asarray(panels.nodes.reshape(-1, 2), jnp.float32),
        jnp.asarray(panels.log_weights.ravel(), jnp.float32),
        jnp.asarray(roll.variance, jnp.float32),
    )
    return Process(gaussian.KERNEL, schedule, exact_reverse, (2,), nodes, last_step)


def exact_reverse(nodes: _Nodes, xt: Float[Array, " 2"], t: Step, c: Coefficients) -> Normal:
    """p(x_{t-1} | x_t) with the exact mean and diagonal variance of q(x_{t-1} | x_t).

    They are those of the bridge from E[x_0 | x_t] and Var[x_0 | x_t]; at t = 1 too, where the
    bridge is that belief itself.
    """
    belief = Normal(*_denoise(xt, c.log_alpha_bar, *nodes))
    return gaussian.bridge(belief, xt, c.beta, c.log_alpha_bar_prev)


def _denoise(
    xt: Float[Array, " 2"],
    log_alpha_bar: Float[Array, ""],
    nodes: Float[Array, "N 2"],
    log_weights: Float[Array, " N"],
    noise_variance: Float[Array, ""],
) -> tuple[Float[Array, " 2"], Float[Array, " 2"]]:
    """E[x_0 | x_t] and Var_d[x_0 | x_t]: normal given u, and u by quadrature."""
    signal, unexplained = jnp.exp(0.5 * log_alpha_bar), -jnp.expm1(log_alpha_bar)
    total = unexplained + signal**2 * noise_variance  # variance of x_t given u
    distance = ((xt[None] - signal * nodes) ** 2).sum(-1)
    weights = jax.nn.softmax(log_weights - 0.5 * distance / total)[:, None]
    centre = (weights * nodes).sum(0)
    spread = (weights * (nodes - centre[None]) ** 2).sum(0)
    mean = centre + signal * noise_variance / total * (xt - signal * centre)
    variance = noise_variance * unexplained / total + (unexplained / total) ** 2 * spread
    return mean, variance


def _negative_entropy(roll: Roll, variance: float) -> float:
    points, weights = curve.rule(roll, variance, along=256, across=ACROSS)
    return float(weights @ curve.log_density(curve.panels(roll, variance), points))


def _check_beta_1(beta_1: float) -> None:
    if not 0 < beta_1 < 1:
        raise ValueError(f"beta_1 must lie in (0, 1), got {beta_1}")


def _log_one_plus(gap: float, variance: np.ndarray) -> np.ndarray:
    return np.asarray(np.log1p(gap * variance))


def _mean_over_xt(
    roll: Roll, level: float, function: Callable[[np.ndarray], np.ndarray], *, along: int
) -> float:
    """Σ_d E f(Var_d(x_0 | x_t)) at a level of log-SNR."""
    variance, weights = _posterior_variance(roll, level, along=along, across=ACROSS)
    return float(weights @ function(variance).sum(-1))


def _posterior_variance(
    roll: Roll, level: float, *, along: int, across: int
) -> tuple[np.ndarray, np.ndarray]:
    """Var_d(x_0 | x_t) at the points of a rule for x_t, [N, 2], and the rule's weights [N]."""
    added = math.exp(-level)  # (1-ᾱ_t)/ᾱ_t
    blur = roll.variance + added
    points, weights = curve.rule(roll, blur, along=along, across=across)
    spread = curve.variance_along_curve(curve.panels(roll, blur), points)
    return added / blur * roll.variance + (added / blur) ** 2 * spread, weights


def _costs(roll: Roll, levels: np.ndarray, progress: bool) -> np.ndarray:
    """KL_t, nats, of a step from each level (row) to each lower one (column); [G, G]."""
    snr = np.exp(levels)

    def column(level: float) -> np.ndarray:
        variance, weights = _posterior_variance(roll, level, along=32, across=6)
        variance, weights = _merged(variance.ravel(), np.repeat(weights, 2))
        gap = np.maximum(snr - math.exp(level), 0.0)[:, None]
        return np.asarray(0.5 * np.log1p(gap * variance) @ weights)

    shown = tqdm(levels, desc="best schedule", disable=not progress, leave=False)
    return np.stack([column(level) for level in shown], axis=1)


def _merged(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values within 15% of each other replaced by their mean: 3e-4 of a KL, for speed."""
    bins = np.floor(np.log(values) / 0.15).astype(int)
    bins -= bins.min()
    weight = np.bincount(bins, weights)
    kept = weight > 0
    return np.bincount(bins, weights * values)[kept] / weight[kept], weight[kept]
