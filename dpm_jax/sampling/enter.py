"""Entering the chain: data under normal noise are a state of it, and need no product.

y = x_0 + s ε is x_t/√ᾱ_t at the t where (1-ᾱ_t)/ᾱ_t = s². The reverse process from there draws
x_0 given y: as exact as the model itself, without weights, and in fewer steps than from π. Where
that log-SNR lies between two steps of the schedule, the first step is a part of one.

For bits the same would hold only where π is a fair coin: at any other activity a flip is no
step of the binomial kernel.
"""

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Event, Float, PRNGKey, Scalar, Step
from dpm_jax.devices import in_chunks
from dpm_jax.kernels import gaussian
from dpm_jax.kernels.base import Distribution, log_prob_of_each
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.process import Process
from dpm_jax.reverse import direct, paper
from dpm_jax.sampling.draw import CHUNK
from dpm_jax.sampling.knowledge import Product
from dpm_jax.sampling.perturb import Perturbation, started
from dpm_jax.sampling.protocol import Observation
from dpm_jax.schedule import Coefficients, Schedule, at


def why_not(process: Process, observation: Observation) -> str | None:
    """What keeps an observation from being a state of the chain; None where nothing does."""
    if getattr(process.step, "form", None) in (paper, direct):
        return "the reverse step is of a form without a belief about x_0"
    if not (isinstance(observation, Product) and isinstance(observation.r, Normal)):
        return "only what noisy makes can be a state of the chain"
    variance = np.asarray(observation.r.variance)
    if not np.asarray(observation.seen).all() or variance.min() != variance.max():
        return "all components must be seen under the same noise"
    try:
        until(process, std_of(observation))
    except ValueError as error:
        return str(error)
    return None


def std_of(observation: Product) -> float:
    """Standard deviation of the noise that all components are seen under."""
    return float(np.sqrt(np.asarray(observation.r.variance, np.float64).flat[0]))


def until(process: Process, std: float) -> Process:
    """The process whose x_T is √ᾱ_T y for y = x_0 + std · ε: the steps below, and one up to it.

    ``std`` is in the model's units. The network is asked at the t of the step that is cut short.

    Raises:
        ValueError: if the kernel is not the Gaussian one, or the noise not between that of x_1
            and that of x_T.
    """
    if process.kernel.marginal is not gaussian.marginal:
        raise ValueError("process must be Gaussian to be entered at normal noise")
    reached = np.asarray(process.schedule.log_alpha_bar, np.float64)
    least, most = np.sqrt(np.expm1(-reached[[0, -1]]))
    # The noise of x_T itself, as float32 holds it, is let in.
    if not least < std <= most * (1 + 1e-6):
        raise ValueError(f"std must be more than {least:.3g} and at most {most:.3g}, got {std:.3g}")
    here = -np.log1p(np.float64(std) ** 2)  # log ᾱ = -log(1 + s²)
    below = min(int((reached > here).sum()), process.schedule.steps - 1)
    beta = -np.expm1(here - reached[below - 1])
    beta_before, before = process.schedule.beta[:below], process.schedule.log_alpha_bar[:below]
    return replace(
        process, schedule=Schedule(jnp.append(beta_before, beta), jnp.append(before, here))
    )


def from_noisy(process: Process, noisy: Event) -> Perturbation:
    """Sampling of a process that is ``until`` the noise of y = ``noisy``."""
    return started(process, _last_state(process, noisy))


def belief(process: Process, noisy: Event) -> Distribution:
    """p(x_0 | y) of one example in one call, for a process that is ``until`` the noise of y.

    It is the reverse step that leaves out all others: right for the form ``bridge`` and exact
    processes, whose reverse follows from a belief about x_0.
    """
    t = jnp.asarray(process.schedule.steps)
    return process.reverse(_last_state(process, noisy), t, at(process.schedule, t).to_data)


def posterior_mean(
    process: Process, noisy: np.ndarray, std: float, *, chunk: int = CHUNK, progress: bool = False
) -> Float[np.ndarray, "n *event"]:
    """E[x_0 | y] for every y = x_0 + std · ε [n, *event] in the model's units, one call each."""
    means = in_chunks(
        partial(_means, until(process, std)),
        noisy,
        chunk=chunk,
        label="posterior mean",
        progress=progress,
    )
    return np.concatenate(list(means))


class Rest(NamedTuple):
    """The S steps above the noise of y, up to π; the first may be the rest of one.

    Attributes:
        start: log ᾱ where the chain is entered.
        t: of each step [S].
        coefficients: of each step [S].
    """

    start: Scalar
    t: Array
    coefficients: Coefficients


def rest(process: Process, std: float) -> Rest:
    """What ``until`` leaves out; refused as there."""
    entered = until(process, std).schedule
    here, reached = entered.log_alpha_bar[-1], process.schedule.log_alpha_bar
    below = entered.steps  # the step at whose end, or within which, the noise is y's
    before = jnp.append(here, reached[below - 1 : -1])
    with np.errstate(invalid="ignore"):
        left = -np.expm1(np.minimum(np.asarray(reached[below - 1 :] - before, np.float64), 0.0))
    # Where the noise is that of x_t itself, but for rounding, nothing is left of its step.
    keep = np.flatnonzero(left > 1e-6)
    t = below + jnp.asarray(keep)
    beta = jnp.asarray(left, jnp.float32)[keep]
    return Rest(here, t, Coefficients(beta, reached[t - 1], before[keep]))


def path_log_weight(process: Process, rest: Rest, noisy: Event, key: PRNGKey) -> Scalar:
    """Log of p(x_T) ∏ p(x_{t-1} | x_t)/q(x_t | x_{t-1}) along one path from y (eq. 9), as of y.

    Its mean over paths is the process's density of y, nats.
    """
    kernel, log_prob = process.kernel, partial(log_prob_of_each, process.kernel)

    def add(carry: tuple[Event, Event], step: tuple[Step, Coefficients]) -> tuple[Any, None]:
        (x, log_weight), (t, c) = carry, step
        q = kernel.step(x, c.beta)
        after = kernel.transport(q, kernel.noise(jax.random.fold_in(key, t), x.shape))
        log_p = log_prob(process.reverse(after, t, c), x)
        return (after, log_weight + (log_p - log_prob(q, after))), None

    # Density of y = x/√ᾱ: of every component √ᾱ times that of x.
    first = jnp.exp(0.5 * rest.start) * noisy, jnp.full(noisy.shape, 0.5 * rest.start)
    (xT, log_weight), _ = jax.lax.scan(add, first, (rest.t, rest.coefficients))
    return jnp.sum(log_weight + log_prob(kernel.prior(noisy.shape), xT))


def _last_state(process: Process, noisy: Event) -> Event:
    return jnp.exp(0.5 * process.schedule.log_alpha_bar[-1]) * noisy


@jax.jit
def _means(process: Process, noisy: Array) -> Array:
    return jax.vmap(lambda y: belief(process, y).mean)(noisy)
