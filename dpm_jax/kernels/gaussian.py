"""Gaussian diffusion: real data slide towards N(0, I) (paper, Table App.1, left column)."""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import log_sigmoid

from dpm_jax.array_types import Array, Event, Float, PRNGKey, ReadOut, Scalar
from dpm_jax.kernels.base import Kernel

LOG_2PI = math.log(2 * math.pi)
FAR = 4.0  # a second moment this many times that of π, or less than its inverse, is worth a warning

LEAST_VARIANCE = 1e-14
"""The least that a read-out can ask for: float32 rounds its root away from numbers near 1."""

MOST_GROWTH = 40.0
"""The largest z^Σ that widens: a variance e^40 times the one under π."""

MOST_LEAN = 1.0
"""Standard deviations by which a slope moves a step: further off, it is that of another place."""


class Normal(NamedTuple):
    """Independent normals, one per component of an event."""

    mean: Float[Array, "*event"]
    variance: Float[Array, "*#event"]


def prior(shape: tuple[int, ...]) -> Normal:
    """π(x) = N(0, I)."""
    return Normal(jnp.zeros(shape), jnp.ones(shape))


def step(x: Event, beta: Scalar) -> Normal:
    """q(x_t | x_{t-1}) = N(√(1-β_t) x_{t-1}, β_t I)."""
    return Normal(jnp.sqrt(1 - beta) * x, jnp.broadcast_to(beta, x.shape))


def marginal(x0: Event, log_alpha_bar: Scalar) -> Normal:
    """q(x_t | x_0) = N(√ᾱ_t x_0, (1-ᾱ_t) I)."""
    # -expm1(log ᾱ) is 1 - ᾱ, exact where ᾱ is close to 1 (the first steps).
    variance = -jnp.expm1(log_alpha_bar)
    return Normal(jnp.exp(0.5 * log_alpha_bar) * x0, jnp.broadcast_to(variance, x0.shape))


def posterior(x0: Event, xt: Event, beta: Scalar, log_alpha_bar_prev: Scalar) -> Normal:
    """q(x_{t-1} | x_t, x_0), normal by Bayes (paper, Table App.1).

    mean     = [√ᾱ_{t-1} β_t x_0 + √(1-β_t) (1-ᾱ_{t-1}) x_t] / (1-ᾱ_t)
    variance = β_t (1-ᾱ_{t-1}) / (1-ᾱ_t)
    """
    weight_x0, weight_xt, variance = _bayes(beta, log_alpha_bar_prev)
    return Normal(weight_x0 * x0 + weight_xt * xt, jnp.broadcast_to(variance, x0.shape))


def bridge(belief: Normal, xt: Event, beta: Scalar, log_alpha_bar_prev: Scalar) -> Normal:
    """∫ N(x_0; m, V) q(x_{t-1} | x_t, x_0) dx_0: ``posterior`` at m, its x_0's variance added."""
    weight_x0, weight_xt, variance = _bayes(beta, log_alpha_bar_prev)
    mean = weight_x0 * belief.mean + weight_xt * xt
    return Normal(mean, variance + weight_x0**2 * belief.variance)


def _bayes(beta: Scalar, log_alpha_bar_prev: Scalar) -> tuple[Scalar, Scalar, Scalar]:
    """Weights of x_0 and of x_t in the posterior's mean, and its variance."""
    unexplained = -jnp.expm1(log_alpha_bar_prev)  # 1 - ᾱ_{t-1}
    # 1 - ᾱ_t = 1 - ᾱ_{t-1}(1-β_t), written as a sum of positive terms: no cancellation.
    total = unexplained + jnp.exp(log_alpha_bar_prev) * beta
    weight_x0 = jnp.exp(0.5 * log_alpha_bar_prev) * beta / total
    weight_xt = jnp.sqrt(1 - beta) * unexplained / total
    return weight_x0, weight_xt, beta * unexplained / total


def shift(dist: Normal, readout: ReadOut) -> Normal:
    """N(μ + σ z^μ, σ² exp z^Σ) for a read-out z = (z^μ, z^Σ).

    The variance saturates at ``LEAST_VARIANCE``, and where z^Σ is ``MOST_GROWTH``.
    """
    z_mean, z_variance = readout[..., 0], readout[..., 1]
    mean = dist.mean + jnp.sqrt(dist.variance) * z_mean
    variance = dist.variance * jnp.exp(jnp.minimum(z_variance, MOST_GROWTH))
    return Normal(mean, jnp.maximum(variance, LEAST_VARIANCE))


def direct(readout: ReadOut) -> Normal:
    """N(z^μ, σ(z^Σ)): the read-outs of App. D.1.1."""
    return Normal(readout[..., 0], sigmoid_variance(readout[..., 1]))


def sigmoid_variance(z: Event) -> Event:
    """σ(z), which saturates at ``LEAST_VARIANCE``."""
    # exp(log_sigmoid) keeps the relative precision of variances near 0.
    return jnp.maximum(jnp.exp(log_sigmoid(z)), LEAST_VARIANCE)


def log_prob(dist: Normal, x: Event) -> Scalar:
    """Log N(x; mean, variance), nats, summed over the event."""
    deviation = (x - dist.mean) ** 2 / dist.variance
    return -0.5 * jnp.sum(LOG_2PI + jnp.log(dist.variance) + deviation)


def entropy(dist: Normal) -> Scalar:
    """H = Σ ½ log(2πe σ²), nats (differential: may be negative)."""
    log_variance = jnp.broadcast_to(jnp.log(dist.variance), dist.mean.shape)
    return 0.5 * jnp.sum(LOG_2PI + 1 + log_variance)


def step_entropy(dist: Normal, beta: Scalar) -> Scalar:
    """E_x H[q(x_t | x_{t-1} = x)] = D/2 log(2πe β), whatever x is; nats."""
    return entropy(step(dist.mean, beta))


def kl(q: Normal, p: Normal) -> Scalar:
    """KL(q ‖ p) = ½ Σ [σ_q²/σ_p² - 1 - log(σ_q²/σ_p²) + (μ_q-μ_p)²/σ_p²], nats."""
    log_ratio = jnp.log(q.variance) - jnp.log(p.variance)
    # expm1(r) - r is e^r - 1 - r without the cancellation at r = 0.
    return 0.5 * jnp.sum(jnp.expm1(log_ratio) - log_ratio + (q.mean - p.mean) ** 2 / p.variance)


def noise(key: PRNGKey, shape: tuple[int, ...]) -> Event:
    """Standard normal noise for ``transport``."""
    return jax.random.normal(key, shape)


def transport(dist: Normal, noise: Event) -> Event:
    """X = μ + σ ε: a sample, differentiable in the distribution for fixed ε."""
    return dist.mean + jnp.sqrt(dist.variance) * noise


def product(dist: Normal, other: Normal, power: Scalar) -> Normal:
    """N(μ, σ²) N(m, s²)^a / Z = N(μ + g (m - μ), (1 - g) σ²) with g = aσ²/(aσ² + s²)."""
    # The precision form, 1/σ² + a/s², would not survive σ² = 0.
    total = power * dist.variance + other.variance
    # Nothing to multiply by, or nothing left to move: aσ² = s² = 0.
    total = jnp.where(total > 0, total, 1.0)
    gain = power * dist.variance / total
    # (1 - g) σ², without cancellation
    variance = dist.variance * jnp.where(gain > 0, other.variance / total, 1.0)
    return Normal(dist.mean + gain * (other.mean - dist.mean), variance)


def evidence(r: Normal, log_alpha_bar: Scalar) -> Normal:
    """E[r(x_0) | x_t] under π as a function of x_t: N(m; √ᾱ_t x_t, s² + 1-ᾱ_t), a normal in x_t."""
    # Where ᾱ = 0 nothing is known of x_t: this normal is wide enough for float32 to say so.
    log_alpha_bar = jnp.maximum(log_alpha_bar, -30.0)
    variance = (r.variance - jnp.expm1(log_alpha_bar)) * jnp.exp(-log_alpha_bar)
    return Normal(r.mean * jnp.exp(-0.5 * log_alpha_bar), variance)


def tilt(dist: Normal, log_r: Callable[[Event], Scalar]) -> Normal:
    """N(μ + σ² ∇log r(μ), σ²): r is taken as log-linear near μ (paper, Table App.1, last row)."""
    return Normal(dist.mean + dist.variance * jax.grad(log_r)(dist.mean), dist.variance)


def overlap(dist: Normal, other: Normal) -> Event:
    """Log ∫ N(x; μ, σ²) N(x; m, s²) dx = log N(μ; m, σ² + s²) of every component, nats."""
    variance = dist.variance + other.variance
    deviation = (dist.mean - other.mean) ** 2 / variance
    return -0.5 * (LOG_2PI + jnp.log(variance) + deviation)


def mean(dist: Normal) -> Event:
    """μ."""
    return dist.mean


def lean(dist: Normal, log_r: Callable[[Event], Scalar], x: Event) -> Normal:
    """N(μ + σ² ∇log r(x), σ²), moved by at most ``MOST_LEAN`` σ: r as log-linear around x."""
    std = jnp.sqrt(dist.variance)
    move = jnp.clip(jnp.nan_to_num(std * jax.grad(log_r)(x)), -MOST_LEAN, MOST_LEAN)
    return Normal(dist.mean + std * move, dist.variance)


def check_finite(examples: np.ndarray) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: if a value is not finite.
    """
    if not np.isfinite(examples).all():
        raise ValueError("examples must be finite, got NaN or infinity")


def check(examples: np.ndarray) -> None:
    """Refuse NaN and infinity; warn of data that are not in the model's units.

    Raises:
        ValueError: if a value is not finite.
    """
    check_finite(examples)
    if examples.size == 0:
        return
    mean, spread = float(examples.mean(dtype=np.float64)), float(examples.std(dtype=np.float64))
    if not 1 / FAR < mean**2 + spread**2 < FAR:
        warnings.warn(
            f"examples have mean {mean:.3g} and standard deviation {spread:.3g}, but a Gaussian "
            "model expects about 0 and 1: scale them with dpm_jax.scaling.fit and standardise",
            stacklevel=3,
        )


KERNEL = Kernel(
    prior=prior,
    step=step,
    marginal=marginal,
    posterior=posterior,
    bridge=bridge,
    shift=shift,
    direct=direct,
    channels=2,
    log_prob=log_prob,
    entropy=entropy,
    step_entropy=step_entropy,
    evidence=evidence,
    kl=kl,
    noise=noise,
    transport=transport,
    product=product,
    tilt=tilt,
    overlap=overlap,
    mean=mean,
    lean=lean,
    learnable=True,
    check=check,
)

UNSCALED = KERNEL._replace(check=check_finite)
"""The same for a network whose units are its own: it says nothing of their mean and scale."""
