"""The bounds on the reverse step's entropy (eq. 24, App. A): how much there is to learn.

H_q(X_t|X_{t-1}) + H_q(X_{t-1}|X_0) - H_q(X_t|X_0) ≤ H_q(X_{t-1}|X_t) ≤ H_q(X_t|X_{t-1})
"""

from typing import NamedTuple

from dpm_jax.array_types import Event, Scalar, Step
from dpm_jax.kernels.base import Kernel
from dpm_jax.schedule import Schedule, at


class EntropyBounds(NamedTuple):
    """One example's contribution to both sides of eq. 24, nats summed over the event."""

    lower: Scalar
    upper: Scalar


def entropy_bounds(kernel: Kernel, schedule: Schedule, x0: Event, t: Step) -> EntropyBounds:
    """Bounds on H_q(X_{t-1} | X_t) for t = 2..T, to be averaged over data.

    For the Gaussian kernel, per dimension: ½ log(2πe β̃_t) and ½ log(2πe β_t). The upper
    bound needs data no wider than π: variance at most 1, or bits of mean activity p₀.
    """
    c = at(schedule, t)
    before = kernel.marginal(x0, c.log_alpha_bar_prev)
    step = kernel.step_entropy(before, c.beta)
    lower = step + kernel.entropy(before) - kernel.entropy(kernel.marginal(x0, c.log_alpha_bar))
    return EntropyBounds(lower, step)
