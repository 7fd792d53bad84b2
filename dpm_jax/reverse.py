"""From a network's read-out to p(x_{t-1} | x_t): the only seam between network and kernel.

The default, ``bridge``, is written so that a read-out of zero is the forward kernel itself,
T_π(x_{t-1} | x_t; β_t): by detailed balance K is then exactly L_null, and learning starts from
there. The paper's own forms are ``paper`` (eq. 64-65) and ``direct`` (App. D.1).
"""

from collections.abc import Callable

from jax.scipy.special import logit

from dpm_jax.array_types import Event, ReadOut
from dpm_jax.kernels.base import Distribution, Kernel
from dpm_jax.kernels.gaussian import Normal, sigmoid_variance
from dpm_jax.schedule import Coefficients

Form = Callable[[Kernel, ReadOut, Event, Coefficients], Distribution]
"""``form(kernel, readout, xt, coefficients)`` is p(x_{t-1} | x_t)."""


def bridge(kernel: Kernel, readout: ReadOut, xt: Event, c: Coefficients) -> Distribution:
    """∫ belief(x_0) q(x_{t-1} | x_t, x_0) dx_0: the forward kernel at z = 0.

    The read-out shifts the belief about x_0 from the one under π, which is q(x_t | x_0) turned
    around, and the exact posterior does the rest: a read-out means the same whatever the
    schedule makes of its step. For the Gaussian kernel the belief is N(x̂_0, V),

        x̂_0 = √ᾱ_t x_t + √(1-ᾱ_t) z^μ,    V = (1-ᾱ_t) exp(z^Σ);

    for bits, z adds to the log-odds of x_0 = 1.
    """
    belief = kernel.shift(kernel.marginal(xt, c.log_alpha_bar), readout)
    return kernel.bridge(belief, xt, c.beta, c.log_alpha_bar_prev)


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


FORMS: dict[str, Form] = {"bridge": bridge, "paper": paper, "direct": direct}
"""The forms by the names that configurations use."""
