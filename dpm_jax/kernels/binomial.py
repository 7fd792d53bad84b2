"""Binomial diffusion: bits forget their value and fall back to activity p₀.

Paper, Table App.1, right column. Bits are the floats 0.0 and 1.0. Probabilities live in
logits throughout: near the data they come within 1e-4 of 0 and 1, where p itself has
lost the digits that a KL needs.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid, sigmoid

from dpm_jax.array_types import Array, Event, Float, PRNGKey, ReadOut, Scalar
from dpm_jax.kernels.base import Kernel


class Bernoulli(NamedTuple):
    """Independent bits, one per component of an event; ``logits`` = log p/(1-p)."""

    logits: Float[Array, "*event"]


def prior(shape: tuple[int, ...], *, activity: float) -> Bernoulli:
    """π(x) = ∏ B(x_i; p₀)."""
    return Bernoulli(jnp.full(shape, jnp.log(activity) - jnp.log1p(-activity)))


def step(x: Event, beta: Scalar, *, activity: float) -> Bernoulli:
    """q(x_t | x_{t-1}) = B(x_{t-1} (1-β_t) + p₀ β_t)."""
    return _fallen_back(x, (1 - beta) / beta, activity)


def marginal(x0: Event, log_alpha_bar: Scalar, *, activity: float) -> Bernoulli:
    """q(x_t | x_0) = B(ᾱ_t x_0 + p₀ (1-ᾱ_t))."""
    # |expm1| and not its negative: at ᾱ = 1 that is -0, and the odds would be -inf.
    return _fallen_back(x0, jnp.exp(log_alpha_bar) / jnp.abs(jnp.expm1(log_alpha_bar)), activity)


def _fallen_back(x: Event, kept: Scalar, activity: float) -> Bernoulli:
    """B(x a + p₀ (1-a)), where ``kept`` is a/(1-a).

    Odds hold both a near 0 and a near 1: B's parameter is 1 - (1-a)(1-p₀) after a one and
    (1-a) p₀ after a zero, and neither 1 - … is ever formed.
    """
    after_one = jnp.log((kept + activity) / (1 - activity))
    after_zero = -jnp.log((kept + (1 - activity)) / activity)
    return Bernoulli(jnp.where(x > 0.5, after_one, after_zero))


def log_likelihood_ratio(xt: Event, beta: Scalar, *, activity: float) -> Event:
    """Log q(x_t | x_{t-1}=1) - log q(x_t | x_{t-1}=0), per bit, after a step of rate β."""
    kept = (1 - beta) / beta
    # Of 1 - β(1-p₀) and p₀β where a one is seen, and of β(1-p₀) and 1 - p₀β where a zero is.
    seen_one, seen_zero = jnp.log1p(kept / activity), -jnp.log1p(kept / (1 - activity))
    return jnp.where(xt > 0.5, seen_one, seen_zero)


def posterior(
    x0: Event, xt: Event, beta: Scalar, log_alpha_bar_prev: Scalar, *, activity: float
) -> Bernoulli:
    """q(x_{t-1} | x_t, x_0) by Bayes: prior odds q(x_{t-1} | x_0) times the likelihood ratio."""
    before = marginal(x0, log_alpha_bar_prev, activity=activity)
    return Bernoulli(before.logits + log_likelihood_ratio(xt, beta, activity=activity))


def bridge(
    belief: Bernoulli, xt: Event, beta: Scalar, log_alpha_bar_prev: Scalar, *, activity: float
) -> Bernoulli:
    """Σ_k P(x_0 = k) q(x_{t-1} | x_t, x_0 = k), per bit, for x_0 ~ belief."""
    # Of the four pairs of x_0 and x_t, not of every bit: log r and log(1 - r), r for x_{t-1} = 1.
    seen, x0 = jnp.meshgrid(jnp.array([0.0, 1.0]), jnp.array([1.0, 0.0]))
    pairs = posterior(x0, seen, beta, log_alpha_bar_prev, activity=activity)
    of_r, of_rest = _log_each(pairs.logits)
    (r_1, not_r_1), (r_0, not_r_0) = (
        (jnp.where(xt > 0.5, a[1], a[0]) for a in each) for each in zip(of_r, of_rest, strict=True)
    )
    # log P₁ and log P₀ above the larger of both; then of P₁ r₁ + P₀ r₀ and its complement, term by
    # term: r₀ may be 1e-9. At t = 1, r₁ = 1 and r₀ = 0: logits are ±inf, which logaddexp carries.
    one, zero = jnp.minimum(belief.logits, 0), jnp.minimum(-belief.logits, 0)
    log_p = jnp.logaddexp(one + r_1, zero + r_0)
    log_not_p = jnp.logaddexp(one + not_r_1, zero + not_r_0)
    return Bernoulli(log_p - log_not_p)


def shift(dist: Bernoulli, readout: ReadOut) -> Bernoulli:
    """The log-odds plus a read-out z."""
    return Bernoulli(dist.logits + readout[..., 0])


def direct(readout: ReadOut) -> Bernoulli:
    """B(σ(z)): the read-out of App. D.1.2."""
    return Bernoulli(readout[..., 0])


def log_prob(dist: Bernoulli, x: Event) -> Scalar:
    """Σ log B(x_i; p_i), nats."""
    return jnp.sum(log_sigmoid(jnp.where(x > 0.5, dist.logits, -dist.logits)))


def entropy(dist: Bernoulli) -> Scalar:
    """Σ h(p_i), nats."""
    return jnp.sum(_bit_entropy(dist.logits))


def step_entropy(dist: Bernoulli, beta: Scalar, *, activity: float) -> Scalar:
    """E_{x ~ dist} H[q(x_t | x_{t-1} = x)], exact because each bit has two values; nats."""
    ones, zeros = jnp.ones_like(dist.logits), jnp.zeros_like(dist.logits)
    after_one = _bit_entropy(step(ones, beta, activity=activity).logits)
    after_zero = _bit_entropy(step(zeros, beta, activity=activity).logits)
    return jnp.sum(sigmoid(dist.logits) * after_one + sigmoid(-dist.logits) * after_zero)


def kl(q: Bernoulli, p: Bernoulli) -> Scalar:
    """KL(q ‖ p) = Σ q log(q/p) + (1-q) log((1-q)/(1-p)), nats."""
    of_q, of_p = _log_each(q.logits), _log_each(p.logits)
    ones, zeros = (jnp.exp(a) * (a - b) for a, b in zip(of_q, of_p, strict=True))
    return jnp.sum(ones + zeros)


def noise(key: PRNGKey, shape: tuple[int, ...]) -> Event:
    """Standard logistic noise for ``transport``: log u/(1-u), u uniform to the last of 48 bits.

    A uniform of float32 is 0 once in 2^23, which would make a one of any bit, however
    improbable; and near 1 it is rounded.
    """
    high_key, low_key = jax.random.split(key)
    high, low = (
        jax.random.bits(high_key, shape, "uint32"),
        jax.random.bits(low_key, shape, "uint16"),
    )
    return _logistic(high, low)


def _logistic(high: Array, low: Array) -> Event:
    # The last bit says to which end u is nearer, the other 47 are twice the distance from it.
    below = ((low >> 1) + jnp.asarray(0.5)) * 2.0**-15
    tail = (high + below) * 2.0**-32
    return jnp.where(low & 1 == 1, -1.0, 1.0) * jnp.log(tail / (2 - tail))


def transport(dist: Bernoulli, noise: Event) -> Event:
    """X = 1[logit u < logit p]: a sample. Its zero gradient is why the paper fixes β for bits."""
    return (noise < dist.logits).astype(dist.logits.dtype)


def product(dist: Bernoulli, other: Bernoulli, power: Scalar) -> Bernoulli:
    """B(c) B(d)^a / Z; for a = 1, B(cd / (cd + (1-c)(1-d))) (paper, Table App.1, last row)."""
    # Where a = 0 nothing is multiplied, not even by a certain bit: 0 · inf.
    return Bernoulli(dist.logits + jnp.where(power == 0, 0.0, power * other.logits))


def evidence(r: Bernoulli, log_alpha_bar: Scalar, *, activity: float) -> Bernoulli:
    """E[r(x_0) | x_t] under π, per bit: by detailed balance x_0 given x_t is ``marginal(x_t)``."""

    def log_r(xt: Event) -> Event:
        return overlap(marginal(xt, log_alpha_bar, activity=activity), r)

    return Bernoulli(log_r(jnp.ones_like(r.logits)) - log_r(jnp.zeros_like(r.logits)))


def tilt(dist: Bernoulli, log_r: Callable[[Event], Scalar]) -> Bernoulli:
    """``product`` with B(d), d_i = r(x_i=1) / (r(x_i=0) + r(x_i=1)), other bits at their means.

    Exact where r is a product over bits. Evaluates log r twice per bit.
    """
    mean = sigmoid(dist.logits).ravel()

    def log_odds(i: Array) -> Scalar:
        one, zero = (mean.at[i].set(bit).reshape(dist.logits.shape) for bit in (1.0, 0.0))
        return log_r(one) - log_r(zero)

    evidence = jax.vmap(log_odds)(jnp.arange(mean.size)).reshape(dist.logits.shape)
    return product(dist, Bernoulli(evidence), jnp.ones(()))


def overlap(dist: Bernoulli, other: Bernoulli) -> Event:
    """Log of p₁ r₁ + p₀ r₀, per bit, nats."""
    (one, zero), (r_one, r_zero) = _log_each(dist.logits), _log_each(other.logits)
    return jnp.logaddexp(one + r_one, zero + r_zero)


def mean(dist: Bernoulli) -> Event:
    """P(x_i = 1)."""
    return sigmoid(dist.logits)


def lean(dist: Bernoulli, log_r: Callable[[Event], Scalar], x: Event) -> Bernoulli:
    """``dist`` itself: log r of bits has no slope that would tell of its other values."""
    return dist


def _log_each(logits: Event) -> tuple[Event, Event]:
    """Log p and log(1 - p), with the one logarithm that both need."""
    rest = jnp.log1p(jnp.exp(-jnp.abs(logits)))
    return jnp.minimum(logits, 0) - rest, jnp.minimum(-logits, 0) - rest


def _bit_entropy(logits: Event) -> Event:
    # -p log p - (1-p) log(1-p)
    return -sigmoid(logits) * log_sigmoid(logits) - sigmoid(-logits) * log_sigmoid(-logits)


def check(examples: np.ndarray) -> None:
    """Refuse all but bits.

    Raises:
        ValueError: if a value is neither 0 nor 1.
    """
    strays = examples[(examples != 0) & (examples != 1)]
    if strays.size:
        raise ValueError(f"examples must be bits, 0 or 1, got {strays.ravel()[0]}")


@cache  # equal activities are one kernel: what was compiled for it serves again
def kernel(activity: float) -> Kernel:
    """The binomial kernel whose equilibrium bits are one with probability ``activity`` (p₀).

    Raises:
        ValueError: if ``activity`` is not in (0, 1).
    """
    if not 0 < activity < 1:
        raise ValueError(f"activity must lie in (0, 1), got {activity}")
    return Kernel(
        prior=partial(prior, activity=activity),
        step=partial(step, activity=activity),
        marginal=partial(marginal, activity=activity),
        posterior=partial(posterior, activity=activity),
        bridge=partial(bridge, activity=activity),
        shift=shift,
        direct=direct,
        channels=1,
        log_prob=log_prob,
        entropy=entropy,
        step_entropy=partial(step_entropy, activity=activity),
        evidence=partial(evidence, activity=activity),
        kl=kl,
        noise=noise,
        transport=transport,
        product=product,
        tilt=tilt,
        overlap=overlap,
        mean=mean,
        lean=lean,
        learnable=False,
        check=check,
    )
