"""From a network's read-out to p(x_{t-1} | x_t): the only seam between network and kernel.

Every kernel has two forms. The *perturbed* form is written so that a read-out of zero is
the forward kernel itself, T_π(x_{t-1} | x_t; β_t): by detailed balance K is then exactly
L_null, and learning starts from there. The *direct* form is the paper's (App. D.1).
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
from jax.nn import log_sigmoid

from dpm_jax.array_types import Event, ReadOut
from dpm_jax.kernels import binomial
from dpm_jax.kernels.base import Distribution
from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.schedule import Coefficients


class Reverse(NamedTuple):
    """How many read-out channels an event's component has, and what they mean.

    Attributes:
        channels: size of the read-out's last axis.
        distribution: ``distribution(readout, xt, coefficients)`` is p(x_{t-1} | x_t).
    """

    channels: int
    distribution: Callable[[ReadOut, Event, Coefficients], Distribution]


def perturbed_normal(readout: ReadOut, xt: Event, c: Coefficients) -> Normal:
    """N(√(1-β) x_t + √β z^μ, σ(z^Σ + σ⁻¹(β))): the forward kernel at z = 0.

    Eq. 65's Σ, with the mean shifted in units of the step's own noise.
    """
    z_mean, z_variance = readout[..., 0], readout[..., 1]
    mean = jnp.sqrt(1 - c.beta) * xt + jnp.sqrt(c.beta) * z_mean
    logit_beta = jnp.log(c.beta) - jnp.log1p(-c.beta)
    # exp(log_sigmoid) keeps the relative precision of variances near 0 and near 1.
    return Normal(mean, jnp.exp(log_sigmoid(z_variance + logit_beta)))


def paper_normal(readout: ReadOut, xt: Event, c: Coefficients) -> Normal:
    """N((x_t - z^μ)(1-Σ) + z^μ, Σ), Σ = σ(z^Σ + σ⁻¹(β)): eq. 64-65, word for word.

    Not the forward kernel at z = 0, whose mean is √(1-β) x_t and not (1-β) x_t.
    """
    z_mean, z_variance = readout[..., 0], readout[..., 1]
    logit_beta = jnp.log(c.beta) - jnp.log1p(-c.beta)
    variance = jnp.exp(log_sigmoid(z_variance + logit_beta))
    return Normal(xt + variance * (z_mean - xt), variance)


def denoised_normal(readout: ReadOut, xt: Event, c: Coefficients) -> Normal:
    """∫ N(x_0; x̂_0, V) q(x_{t-1} | x_t, x_0) dx_0: the forward kernel at z = 0.

    The read-out shifts the belief N(x̂_0, V) about x_0 from the one under π,

        x̂_0 = √ᾱ_t x_t + √(1-ᾱ_t) z^μ,    V = (1-ᾱ_t) exp(z^Σ),

    and the exact posterior does the rest, so that a read-out means the same whatever the
    schedule makes of its step.
    """
    z_mean, z_variance = readout[..., 0], readout[..., 1]
    before = -jnp.expm1(c.log_alpha_bar_prev)  # 1 - ᾱ_{t-1}
    added = jnp.exp(c.log_alpha_bar_prev) * c.beta
    total = before + added  # 1 - ᾱ_t, without cancellation
    mean = jnp.sqrt(1 - c.beta) * xt + jnp.sqrt(added * c.beta / total) * z_mean
    return Normal(mean, c.beta * (before + added * jnp.exp(z_variance)) / total)


def direct_normal(readout: ReadOut, xt: Event, c: Coefficients) -> Normal:
    """N(z^μ, σ(z^Σ)): the read-outs of App. D.1.1."""
    return Normal(readout[..., 0], jnp.exp(log_sigmoid(readout[..., 1])))


def perturbed_bernoulli(
    readout: ReadOut, xt: Event, c: Coefficients, *, activity: float
) -> Bernoulli:
    """Σ_k P(x_0 = k | x_t) q(x_{t-1} | x_t, x_0 = k), per bit: the forward kernel at z = 0.

    The read-out shifts the log-odds that x_0 = 1 given x_t from those under π; the exact
    posterior does the rest. Without a shift this is Bayes under π, which is T_π itself.
    """
    # ᾱ_t = 0 leaves no evidence; -expm1(-inf) = 1 says so without a special case.
    evidence = binomial.log_likelihood_ratio(xt, -jnp.expm1(c.log_alpha_bar), activity=activity)
    odds = jnp.log(activity) - jnp.log1p(-activity) + evidence + readout[..., 0]
    posterior = partial(
        binomial.posterior,
        xt=xt,
        beta=c.beta,
        log_alpha_bar_prev=c.log_alpha_bar_prev,
        activity=activity,
    )
    after_one, after_zero = posterior(jnp.ones_like(xt)), posterior(jnp.zeros_like(xt))
    # log of π r₁ + (1-π) r₀, and of its complement, term by term: r₀ may be 1e-9.
    log_p = jnp.logaddexp(
        log_sigmoid(odds) + log_sigmoid(after_one.logits),
        log_sigmoid(-odds) + log_sigmoid(after_zero.logits),
    )
    log_not_p = jnp.logaddexp(
        log_sigmoid(odds) + log_sigmoid(-after_one.logits),
        log_sigmoid(-odds) + log_sigmoid(-after_zero.logits),
    )
    return Bernoulli(log_p - log_not_p)


def direct_bernoulli(readout: ReadOut, xt: Event, c: Coefficients) -> Bernoulli:
    """B(σ(z)): the read-out of App. D.1.2."""
    return Bernoulli(readout[..., 0])


PERTURBED_NORMAL = Reverse(2, perturbed_normal)
DENOISED_NORMAL = Reverse(2, denoised_normal)
PAPER_NORMAL = Reverse(2, paper_normal)
DIRECT_NORMAL = Reverse(2, direct_normal)
DIRECT_BERNOULLI = Reverse(1, direct_bernoulli)


def perturbed_bernoulli_reverse(activity: float) -> Reverse:
    """The perturbed form for bits of equilibrium activity p₀."""
    return Reverse(1, partial(perturbed_bernoulli, activity=activity))
