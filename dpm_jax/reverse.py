"""From a network's read-out to p(x_{t-1} | x_t): the only seam between network and kernel.

The default, ``bridge``, is written so that a read-out of zero is the forward kernel itself,
T_π(x_{t-1} | x_t; β_t): by detailed balance K is then exactly L_null, and learning starts from
there. The paper's own forms are ``paper`` (eq. 64-65) and ``direct`` (App. D.1); DDPM's read out
x̂_0 in one of three ways, and take one of three variances (``ddpm``).
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax.scipy.special import logit

from dpm_jax.array_types import Event, ReadOut
from dpm_jax.kernels.base import Believing, Distribution, Kernel
from dpm_jax.kernels.gaussian import LEAST_VARIANCE, MOST_GROWTH, Normal, sigmoid_variance
from dpm_jax.schedule import Coefficients

Form = Callable[[Kernel, ReadOut, Event, Coefficients], Distribution]
"""``form(kernel, readout, xt, coefficients)`` is p(x_{t-1} | x_t)."""


Base = Callable[[Kernel, Event, Coefficients], Distribution]
"""``base(kernel, xt, coefficients)`` is a belief about x_0, for a read-out to shift."""


class Guess(NamedTuple):
    """A belief about x_0, ``dist``, and how it is read."""

    family: Believing
    dist: Any


def under_prior(kernel: Kernel, xt: Event, c: Coefficients) -> Distribution:
    """p(x_0 | x_t) where x_0 ~ π: q(x_t | x_0) turned around, by detailed balance."""
    return kernel.marginal(xt, c.log_alpha_bar)


def bridge(kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients) -> Distribution:
    """∫ belief(x_0) q(x_{t-1} | x_t, x_0) dx_0: the forward kernel at z = 0.

    The read-out shifts the belief about x_0 from the one under π, which is q(x_t | x_0) turned
    around, and the exact posterior does the rest: a read-out means the same whatever the
    schedule makes of its step. For the Gaussian kernel the belief is N(x̂_0, V),

        x̂_0 = √ᾱ_t x_t + √(1-ᾱ_t) z^μ,    V = (1-ᾱ_t) exp(z^Σ);

    for bits, z adds to the log-odds of x_0 = 1.
    """
    return shifted(under_prior)(kernel, readout, xt, c)


def shifted(base: Base) -> Form:
    """``bridge`` for a read-out that shifts another belief about x_0: ``base`` itself at z = 0."""

    def form(kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients) -> Distribution:
        belief = kernel.shift(base(kernel, xt, c), readout)
        return kernel.bridge(belief, xt, c.beta, c.log_alpha_bar_prev)

    return form


def paper(kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients) -> Normal:
    """N((x_t - z^μ)(1-Σ) + z^μ, Σ), Σ = σ(z^Σ + σ⁻¹(β)): eq. 64-65, word for word.

    Not the forward kernel at z = 0, whose mean is √(1-β) x_t and not (1-β) x_t.

    Raises:
        ValueError: if the kernel's read-outs are not of a mean and a variance.
    """
    if kernel.channels != 2:
        raise ValueError("reverse must be bridge or direct for bits, got paper (eq. 64-65)")
    z_mean, z_variance = readout[..., 0], readout[..., 1]
    variance = sigmoid_variance(z_variance + logit(c.beta))
    return Normal(xt + variance * (z_mean - xt), variance)


def direct(kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients) -> Distribution:
    """What the read-out says outright: N(z^μ, σ(z^Σ)), or B(σ(z)) (App. D.1)."""
    return kernel.direct(readout)


Mean = Callable[[Event, Event, Coefficients], Event]
"""``mean(z, xt, coefficients)`` is x̂_0."""

Variance = Callable[[Event, Coefficients], Event]
"""``variance(z, coefficients)`` is that of p(x_{t-1} | x_t)."""


def epsilon(z: Event, xt: Event, c: Coefficients) -> Event:
    """x̂_0 = (x_t - √(1-ᾱ_t) ε̂)/√ᾱ_t: z is the noise in x_t (Ho et al. 2020, eq. 9, 15)."""
    noise = jnp.sqrt(-jnp.expm1(c.log_alpha_bar))
    return jnp.exp(-0.5 * c.log_alpha_bar) * (xt - noise * z)


def x0(z: Event, xt: Event, c: Coefficients) -> Event:
    """x̂_0 = z."""
    return z


def velocity(z: Event, xt: Event, c: Coefficients) -> Event:
    """x̂_0 = √ᾱ_t x_t - √(1-ᾱ_t) v̂: z is v = √ᾱ_t ε - √(1-ᾱ_t) x_0 (Salimans & Ho 2022)."""
    noise = jnp.sqrt(-jnp.expm1(c.log_alpha_bar))
    return jnp.exp(0.5 * c.log_alpha_bar) * xt - noise * z


def beta(z: Event, c: Coefficients) -> Event:
    """β_t: right for x_0 ~ N(0, I) (Ho et al. 2020, §3.2)."""
    return jnp.broadcast_to(c.beta, z.shape)


def beta_tilde(z: Event, c: Coefficients) -> Event:
    """β̃_t = β_t (1-ᾱ_{t-1})/(1-ᾱ_t), that of the posterior: right for a certain x_0 (eq. 7).

    At t = 1 it is 0, and β_1 takes its place.
    """
    share = jnp.expm1(c.log_alpha_bar_prev) / jnp.expm1(c.log_alpha_bar)
    return jnp.broadcast_to(c.beta * jnp.where(share > 0, share, 1.0), z.shape)


def between(z: Event, c: Coefficients) -> Event:
    """β_t^f β̃_t^(1-f), f = (z + 1)/2, between the two and learned (Nichol & Dhariwal 2021, eq. 15).

    From ``LEAST_VARIANCE``, and at most e^``MOST_GROWTH`` times β_t.
    """
    highest, lowest = jnp.log(beta(z, c)), jnp.log(beta_tilde(z, c))
    log_variance = lowest + 0.5 * (z + 1) * (highest - lowest)
    return jnp.exp(jnp.clip(log_variance, math.log(LEAST_VARIANCE), highest + MOST_GROWTH))


def ddpm(mean: Mean, variance: Variance) -> Form:
    """N(μ̃_t(x_t, x̂_0), σ_t²): the posterior's mean at x̂_0, and a variance of its own (eq. 7)."""

    def form(kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients) -> Normal:
        if kernel.channels != 2:
            raise ValueError("reverse must be bridge or direct for bits, got one of DDPM's forms")
        guess = mean(readout[..., 0], xt, c)
        posterior = kernel.posterior(guess, xt, c.beta, c.log_alpha_bar_prev)
        return Normal(posterior.mean, variance(readout[..., 1], c))

    return form


MEANS: dict[str, Mean] = {"epsilon": epsilon, "x0": x0, "v": velocity}
"""What a read-out is the prediction of, by the names that configurations use."""

VARIANCES: dict[str, Variance] = {"beta": beta, "beta_tilde": beta_tilde, "between": between}
"""DDPM's variances, by the names that configurations use."""

FORMS: dict[str, Form] = {"bridge": bridge, "paper": paper, "direct": direct}
"""The paper's forms and ours, by the names that configurations use."""


@cache  # equal names are one form: what was compiled for it serves again
def named(reverse: str, variance: str | None) -> Form:
    """The form of a configuration: one of ``FORMS``, or of ``MEANS`` with one of ``VARIANCES``."""
    if reverse in FORMS:
        return FORMS[reverse]
    return ddpm(MEANS[reverse], VARIANCES[variance or "beta_tilde"])
