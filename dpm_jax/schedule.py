"""Diffusion rates β_1..β_T from parameters (§2.4.1).

The only room that knows that step t is stored at index t-1. A ``ScheduleFamily`` turns its
parameters, possibly none, into a ``Schedule``; the parameters sit beside the network's, so
β is learned by the same optimiser.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import sigmoid

from dpm_jax.array_types import Array, Float, PerStep, Scalar, Step

MIN_LOG_SNR = -8.0
"""Floor of the learned log-SNR at t = T: there x_T holds under e^-8 nats of x_0 a dimension."""

LEAST_LOG_SNR = -15.0
"""Of a resampled schedule: float32 tells ᾱ_T from 0, and no more of x_0 is left to see."""

LEAST_SHARE = 1e-12
"""Floor of a learned step's share of the fall in log-SNR, and of the share that λ_T makes of it."""

LEAST_BETA_1, MOST_BETA_1 = 1e-14, 1 - 1e-6
"""Limits of a learned schedule's β_1: float32 rounds √β_1 away from x_0, or ᾱ_1 from 1-β_1."""

LEAST_FLOAT = float(np.finfo(np.float32).tiny)  # XLA takes anything smaller for 0


class Schedule(NamedTuple):
    """The rates of one diffusion: β_t and log ᾱ_t = Σ_{s≤t} log(1-β_s), t = 1..T."""

    beta: PerStep
    log_alpha_bar: PerStep

    @property
    def steps(self) -> int:
        """T."""
        return self.beta.shape[0]


class Coefficients(NamedTuple):
    """What the kernels need to know of step t."""

    beta: Scalar
    log_alpha_bar: Scalar
    log_alpha_bar_prev: Scalar

    @property
    def to_data(self) -> "Coefficients":
        """The one step that leads from x_t to x_0: of rate 1-ᾱ_t, from ᾱ = 1."""
        return Coefficients(
            -jnp.expm1(self.log_alpha_bar), self.log_alpha_bar, jnp.zeros_like(self.log_alpha_bar)
        )


class ScheduleFamily(NamedTuple):
    """Schedules of T steps indexed by parameters; ``apply(init())`` is the starting one.

    ``learned`` tells whether there are parameters at all.
    """

    steps: int
    init: Callable[[], dict[str, Array]]
    apply: Callable[[Any], Schedule]
    learned: bool


def at(schedule: Schedule, t: Step) -> Coefficients:
    """β_t, log ᾱ_t and log ᾱ_{t-1} of step t = 1..T, with ᾱ_0 = 1."""
    beta = jnp.asarray(schedule.beta)  # a traced t cannot index NumPy's arrays
    from_zero = jnp.concatenate([jnp.zeros(1), schedule.log_alpha_bar])
    return Coefficients(beta[t - 1], from_zero[t], from_zero[t - 1])


def times(schedule: Schedule) -> Array:
    """The steps whose reverse is trained by a KL term: t = 2..T."""
    return jnp.arange(2, schedule.steps + 1)


def check_steps(steps: int) -> None:
    """Raise ValueError unless T ≥ 2: one step is the fixed last one (App. B.2)."""
    if steps < 2:
        raise ValueError(f"timesteps must be at least 2, got {steps}")


def log_snr(log_alpha_bar: np.ndarray | float) -> np.ndarray:
    """λ_t = log ᾱ_t - log(1-ᾱ_t) in nats, in float64 on the host; -inf where ᾱ_t = 0.

    ``log_alpha_bar`` is below zero: before the first step, λ has no value.
    """
    log_alpha_bar = np.asarray(log_alpha_bar, np.float64)
    # 1 - exp(log ᾱ), exact where ᾱ is close to 1
    return np.asarray(log_alpha_bar - np.log(-np.expm1(log_alpha_bar)))


def given(beta: Float[np.ndarray, " T"] | list[float]) -> ScheduleFamily:
    """A fixed schedule from any array of rates β_1..β_T, as float32 holds them.

    Raises:
        ValueError: unless T ≥ 2 and every β_t lies in (0, 1) in float32 too; β_T may be 1.
    """
    asked = np.asarray(beta, np.float64)
    if asked.ndim != 1:
        raise ValueError(f"beta must be a list of T rates, got an array of shape {asked.shape}")
    check_steps(len(asked))
    # log ᾱ is that of the rounded rates, or the two would not be of one diffusion where β is
    # near 1; and it is accumulated in float64: 2,000 steps of float32 would lose three digits.
    rates = asked.astype(np.float32).astype(np.float64)
    inside = (rates >= LEAST_FLOAT) & (rates < 1)
    inside[-1] |= asked[-1] == 1  # the paper's own fixed schedule ends so
    if not inside.all():
        t = int(np.argmin(inside)) + 1
        raise ValueError(
            f"beta must lie in (0, 1), got beta_{t} = {asked[t - 1]}: "
            f"float32 holds {LEAST_FLOAT:.2g} to 1 - 6e-8"
        )
    with np.errstate(divide="ignore"):  # log ᾱ_T = -inf where β_T = 1, and that is right
        log_alpha_bar = np.cumsum(np.log1p(-rates))
    return constant(rates.astype(np.float32), log_alpha_bar.astype(np.float32))


def constant(
    beta: Float[np.ndarray, " T"], log_alpha_bar: Float[np.ndarray, " T"]
) -> ScheduleFamily:
    """The one schedule of these arrays, taken as they are."""

    def apply(params: dict[str, Any]) -> Schedule:
        return Schedule(jnp.asarray(beta), jnp.asarray(log_alpha_bar))

    return ScheduleFamily(len(beta), dict, apply, learned=False)


def fixed(steps: int) -> ScheduleFamily:
    """β_t = 1/(T-t+1): removes 1/T of the signal per step, ᾱ_t = 1 - t/T (§2.4.1).

    Raises:
        ValueError: if ``steps`` < 2.
    """
    check_steps(steps)
    return given(1.0 / np.arange(steps, 0, -1))


def linear(steps: int) -> ScheduleFamily:
    """β_t from 1e-4 to 0.02 in 1,000 even steps (Ho et al. 2020, §4), or T steps along that path.

    With T = 1000 these are DDPM's rates; otherwise log ᾱ at t is theirs at 1000 t/T.

    Raises:
        ValueError: if ``steps`` < 2.
    """
    check_steps(steps)
    path = np.append(0.0, np.cumsum(np.log1p(-np.linspace(1e-4, 0.02, 1000))))
    log_alpha_bar = np.interp(np.linspace(0, 1000, steps + 1), np.arange(1001.0), path)
    return given(-np.expm1(np.diff(log_alpha_bar)))


def cosine(steps: int) -> ScheduleFamily:
    """ᾱ_t = f(t/T)/f(0), f(u) = cos²(π/2 (u+s)/(1+s)), s = 0.008 (Nichol & Dhariwal 2021, eq. 17).

    β_t is at most 0.999, as theirs.

    Raises:
        ValueError: if ``steps`` < 2.
    """
    check_steps(steps)
    f = np.cos(np.pi / 2 * (np.linspace(0, 1, steps + 1) + 0.008) / 1.008) ** 2
    return given(np.minimum(1 - f[1:] / f[:-1], 0.999))


def resampled(schedule: Schedule, steps: int) -> Schedule:
    """A diffusion of T = ``steps`` on the same path: λ_t is its λ at the same (t-1)/(T-1).

    In straight lines between its steps, in float64 on the host. Both ends are the same, but that
    no λ_T is below ``LEAST_LOG_SNR``.

    Raises:
        ValueError: if ``steps`` < 2.
    """
    check_steps(steps)
    path = np.maximum(log_snr(np.asarray(schedule.log_alpha_bar)), LEAST_LOG_SNR)
    at_same = np.linspace(0, 1, steps), np.linspace(0, 1, schedule.steps)
    log_alpha_bar = -np.logaddexp(0, -np.interp(*at_same, path))
    return given(-np.expm1(np.diff(log_alpha_bar, prepend=0.0))).apply({})


NAMED = {"fixed": fixed, "linear": linear, "cosine": cosine}
"""Schedules without parameters by the names that configurations use."""


def learned(
    steps: int, beta_1: float, *, spacing: float = 1.0, knots: int | None = None
) -> ScheduleFamily:
    """β_2..β_T learned by gradient ascent on K, β_1 fixed (§2.4.1).

    The parameters move the log-SNR λ_t = log ᾱ_t/(1-ᾱ_t), which falls from
    λ_1 = logit(1-β_1) to λ_T in steps whose shares are a softmax: no step can collapse to
    β = 0 or run off to β = 1, where its gradient would vanish and never return; no share is
    below ``LEAST_SHARE``. λ_T is free between λ_1 and ``MIN_LOG_SNR``, or λ_1 - 1 where that
    is lower.

    Learning starts with shares (t-1)^-spacing. At 1, the first steps are the longest: where
    β_1 lies far below the data's finest scale, they have a long way to go before there is
    anything to lose. At 0 all are equal, for data with something to lose at every scale.

    Each step's share has a parameter of its own, or log shares are straight lines between
    ``knots`` of them. With own parameters every batch must hold every t: where few t are drawn,
    a step between them could grow unseen, and the rare large gradient that would stop it is
    what Adam normalises away.

    Raises:
        ValueError: if ``steps`` < 2, ``beta_1`` is not between ``LEAST_BETA_1`` and
            ``MOST_BETA_1``, or ``knots`` < 2.
    """
    check_steps(steps)
    if knots is not None and knots < 2:
        raise ValueError(f"knots must be at least 2, got {knots}")
    if not LEAST_BETA_1 <= beta_1 <= MOST_BETA_1:
        raise ValueError(
            f"beta_1 must lie in (0, 1), got {beta_1}: "
            f"float32 has room for {LEAST_BETA_1:g} to 1 - 1e-6"
        )
    start = float(log_snr(np.log1p(-np.float64(beta_1))))
    reach = max(start - MIN_LOG_SNR, 1.0)

    every = np.arange(1.0, steps)  # t - 1
    free = every if knots is None else np.linspace(1.0, steps - 1, knots)

    def init() -> dict[str, Array]:
        return {"gaps": -spacing * jnp.log(jnp.asarray(free)), "end": jnp.full((), 2.0)}

    def apply(params: dict[str, Any]) -> Schedule:
        log_shares = jnp.interp(every, free, params["gaps"])
        shares = jax.nn.softmax(log_shares) + LEAST_SHARE
        gaps = reach * shares * (sigmoid(params["end"]) + LEAST_SHARE)  # λ_{t-1} - λ_t
        log_snr = start - jnp.concatenate([jnp.zeros(1), jnp.cumsum(gaps)])
        # 1 - ᾱ_t/ᾱ_{t-1} = (1 - exp(λ_t - λ_{t-1})) (1-ᾱ_t), without cancellation; λ_0 is ∞.
        beta = sigmoid(-log_snr) * -jnp.expm1(jnp.concatenate([jnp.full(1, -jnp.inf), -gaps]))
        # Not log σ(λ_t): the rounding of λ would set it apart from the rates.
        return Schedule(beta, jnp.cumsum(jnp.log1p(-beta)))

    return ScheduleFamily(steps, init, apply, learned=True)
