"""Where the bits go: K of the best chain of its family, term by term, without sampling.

For any reverse chain p whose steps stand beside the exact q(x_{t-1} | x_t),

    K = -H(X_0) - KL(q(x_T) ‖ π) - Σ_{t=1..T} E KL(q(x_{t-1} | x_t) ‖ p(x_{t-1} | x_t)):

what the data themselves cost, the end that is not yet π, and each step. The paper's K (eq. 13)
has q(x_{t-1} | x_t, x_0) in the place of q(x_{t-1} | x_t), and no H(X_0): its terms are larger by
H(X_{t-1} | X_t) less eq. 24's lower bound, which no model can change.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from dpm_jax.laboratory.chain import LastStep, alpha_bar, forward, log_reverse
from dpm_jax.laboratory.columns import log
from dpm_jax.laboratory.distances import entropy, kl, mean_entropy, mean_kl
from dpm_jax.laboratory.space import Space
from dpm_jax.laboratory.transform import likelihood, log_posterior


class Account(NamedTuple):
    """All in bits; the first two arrays for t = 1..T, the bounds for t = 2..T."""

    data: float  # H(X_0); on the line differential
    end: float  # KL(q(x_T) ‖ π)
    steps: Float[np.ndarray, " T"]  # E KL(q(x_{t-1} | x_t) ‖ p(x_{t-1} | x_t))
    reverse: Float[np.ndarray, " T"]  # H(X_{t-1} | X_t)
    lower: Float[np.ndarray, " T-1"]  # eq. 24's bounds on it
    upper: Float[np.ndarray, " T-1"]
    prior_kl: float  # E KL(q(x_T | x_0) ‖ π), a term of eq. 13

    @property
    def K(self) -> float:
        """Of this chain, exactly."""
        return self.K_exact - float(self.steps.sum())

    @property
    def K_exact(self) -> float:
        """Of the chain whose steps are the exact posteriors: its end alone costs."""
        return -self.data - self.end

    @property
    def step_kl(self) -> Float[np.ndarray, " steps"]:
        """E KL(q(x_{t-1} | x_t, x_0) ‖ p(x_{t-1} | x_t)), t = 2..T: the terms of eq. 13."""
        return self.steps[1:] + self.reverse[1:] - self.lower

    @property
    def last_step(self) -> float:
        """E log₂ p(x_0 | x_1)."""
        return -float(self.steps[0] + self.reverse[0])


def account(
    space: Space,
    q: Float[np.ndarray, " n"],
    alphas: Float[np.ndarray, " T"],
    last_step: LastStep = "learned",
) -> Account:
    """The account of the best conditional normals, or independent bits, for q's chain.

    No chain of the same family has a higher K; a last step that is "fixed" is the forward kernel.

    Raises:
        ValueError: if q is no law, or a rate does not suit the space.
    """
    laws, bars = forward(space, q, alphas), alpha_bar(alphas)
    steps, reverse, lower, upper = [], [], [], []
    from_data = 0.0  # H(X_{t-1} | X_0), of no use at t = 1
    for t, alpha in enumerate(map(float, alphas), 1):
        before, after = laws[t - 1], laws[t]
        log_p = log_posterior(space, before, alpha)
        p = np.exp(log_p)
        steps.append(mean_kl(after, p, log_reverse(space, t, alpha, log_p, last_step)))
        reverse.append(mean_entropy(space, after, p))
        step_entropy = mean_entropy(space, before, likelihood(space, alpha))
        marginal = likelihood(space, float(bars[t - 1]))
        to_data = mean_entropy(space, q, marginal)
        lower.append(step_entropy + from_data - to_data)
        upper.append(step_entropy)
        from_data = to_data
    return Account(
        data=entropy(space, q),
        end=float(kl(laws[-1], space.prior)),
        steps=np.array(steps),
        reverse=np.array(reverse),
        lower=np.array(lower[1:]),
        upper=np.array(upper[1:]),
        prior_kl=mean_kl(q, marginal, np.repeat(log(space.prior)[:, None], len(q), 1)),
    )


def log_probability(
    restored: Float[np.ndarray, " n"], q: Float[np.ndarray, " n"], cell: float
) -> float:
    """E_q log₂ p(x_0) of a model whose law of x_0 is ``restored``, bits: no less than its K."""
    held = q > 0
    with np.errstate(divide="ignore"):
        return float(q[held] @ (np.log2(restored[held]) - np.log2(cell)))
