"""Multiplying distributions: sampling from p(x_0) r(x_0) / Z (§2.5, App. C).

Every reverse step p(x_{t-1} | x_t) is multiplied by r. The paper lets the steps stand for
the product; that is exact for infinitely small steps only where r keeps its mean along the
trajectory, and posteriors are what goes wrong first. So each step also returns

    log weight = log p(x_{t-1} | x_t) - log g(x_{t-1} | x_t),    g: what it drew from,

to which t = 0 adds log r(x_0). Summed over a trajectory this is the importance weight for
the target p(x_{0..T}) r(x_0): the mean of the weights estimates Z = E_p r(x_0), and averages
over trajectories weighted by them tend to the model's own posterior.

r(x_t) = r(x_0) at all t, as in the paper; or *annealed*: r(x_0)^((T-t)/T), which leaves the
noise alone; or *observed*, what r(x_0) says of x_t.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpm_jax.array_types import Array, Bool, Event, Scalar, Step
from dpm_jax.kernels.base import Distribution, Family, log_prob_of_each
from dpm_jax.process import Process
from dpm_jax.schedule import at


class Weighted(NamedTuple):
    """A sample and the log of its importance weight, nats."""

    x: Event
    log_weight: Scalar


Perturbation = Callable[[Family, Distribution, Event, Step, Event], Weighted]
"""``perturbation(family, p, after, t, noise)`` draws x_t from about p · r.

``p`` is p(x_t | x_{t+1}), one of ``family``, and ``after`` is x_{t+1}, t = T-1..0. At t = T,
``p`` is π: a step of rate 1, which forgets ``after``.
"""


def nothing(process: Process) -> Perturbation:
    """No perturbation, r = 1: ancestral sampling."""

    def perturbation(
        family: Family, p: Distribution, after: Event, t: Step, noise: Event
    ) -> Weighted:
        return Weighted(family.transport(p, noise), jnp.zeros(()))

    return perturbation


def started(process: Process, xT: Event) -> Perturbation:
    """Ancestral sampling from a given x_T."""

    def perturbation(
        family: Family, p: Distribution, after: Event, t: Step, noise: Event
    ) -> Weighted:
        x = jnp.where(t == process.schedule.steps, xT, family.transport(p, noise))
        return Weighted(x, jnp.zeros(()))

    return perturbation


def smooth(
    process: Process, log_r: Callable[[Event], Scalar], *, annealed: bool = False
) -> Perturbation:
    """Any differentiable log r, by the perturbed kernels of Table App.1 (``Kernel.tilt``).

    Args:
        process: whose steps are multiplied.
        log_r: log r of one event, up to a constant. For bits, also of means in [0, 1].
        annealed: r(x_0)^((T-t)/T) in place of r(x_0).
    """
    power = _power(process, annealed)

    def multiply(family: Family, p: Distribution, t: Step) -> Distribution:
        return family.tilt(p, lambda x: power(t) * log_r(x))

    return _proposal(multiply, log_r)


def product(process: Process, r: Distribution, *, annealed: bool = False) -> Perturbation:
    """Any r of the kernel's own family, multiplied exactly step by step (``Kernel.product``).

    Denoising: ``Normal(y, s²)`` for y = x_0 + noise of standard deviation s. Bits that were
    flipped with probability f: ``Bernoulli`` of the logits ±log((1-f)/f).
    """
    power = _power(process, annealed)

    def multiply(family: Family, p: Distribution, t: Step) -> Distribution:
        return family.product(p, r, power(t))

    return _proposal(multiply, lambda x: process.kernel.log_prob(r, x))


def observed(
    process: Process, r: Distribution, *, seen: Bool[Array, "*event"] | None = None
) -> Perturbation:
    """``product`` with r_t(x_t) = E_π[r(x_0) | x_t] in place of r at every t.

    Exact for x_0 ~ π in the limit of small steps, where a constant r counts twice: near
    equilibrium the product of many small steps with r has the law p r². Close to the data it
    is r, whatever their law; far from them it knows that x_t says little of x_0.

    Components that were not ``seen`` are left alone; by default, all were.
    """
    all_seen = jnp.ones(process.event_shape, bool) if seen is None else seen

    def multiply(family: Family, p: Distribution, t: Step) -> Distribution:
        log_alpha_bar = at(process.schedule, t).log_alpha_bar
        g = family.product(p, process.kernel.evidence(r, log_alpha_bar), jnp.ones(()))
        return jax.tree.map(lambda a, b: jnp.where(all_seen, a, b), g, p)

    def log_r(x: Event) -> Scalar:
        return jnp.sum(jnp.where(all_seen, log_prob_of_each(process.kernel, r, x), 0.0))

    return _proposal(multiply, log_r)


def known(
    process: Process, value: Event, mask: Bool[Array, "*event"], *, constant: bool = False
) -> Perturbation:
    """Inpainting, r a delta at known components of x_0: they end bit-identical to ``value``.

    Known components follow a forward path of their own, drawn backwards from q(x_t | x_{t+1},
    x_0 = value), so that the unknown ones always see them as noisy as they are themselves.
    The weight is that of eq. 9 for the known components, and its mean estimates p(value).

    With ``constant`` known components have their value at every t, as in the paper. The weight
    is then the density of that: it turns averages to those of p given the *whole* constant
    path, and its mean is no p(value). Without its weights neither form is a posterior.

    Args:
        process: whose steps are perturbed.
        value: an event; only its known components are read.
        mask: which components are known.
        constant: the paper's form.
    """
    kernel = process.kernel
    # x_T ~ π is a step of rate 1.
    beta = jnp.append(process.schedule.beta, 1.0)
    # Only the known components follow the path, but NaN in the others would still spread.
    value = jnp.where(mask, value, 0.0)

    def log_prob_known(family: Family, dist: Distribution, x: Event) -> Scalar:
        return jnp.sum(jnp.where(mask, log_prob_of_each(family, dist, x), 0.0))

    def perturbation(
        family: Family, p: Distribution, after: Event, t: Step, noise: Event
    ) -> Weighted:
        # At t = 0 there is no path left to draw; step 1's coefficients keep it finite.
        s = jnp.maximum(t, 1)
        path = kernel.posterior(value, after, beta[s], process.schedule.log_alpha_bar[s - 1])
        follows = (t > 0) & (not constant)
        held = jnp.where(follows, kernel.transport(path, noise), value)
        x = jnp.where(mask, held, family.transport(p, noise))
        log_path = jnp.where(follows, log_prob_known(kernel, path, x), 0.0)
        return Weighted(x, log_prob_known(family, p, x) - log_path)

    return perturbation


def _power(process: Process, annealed: bool) -> Callable[[Step], Scalar]:
    steps = process.schedule.steps
    return lambda t: (steps - t) / steps if annealed else jnp.ones(())


def _proposal(
    multiply: Callable[[Family, Distribution, Step], Distribution],
    log_r: Callable[[Event], Scalar],
) -> Perturbation:
    def perturbation(
        family: Family, p: Distribution, after: Event, t: Step, noise: Event
    ) -> Weighted:
        g = multiply(family, p, t)
        x = family.transport(g, noise)
        log_weight = family.log_prob(p, x) - family.log_prob(g, x)
        return Weighted(x, log_weight + jnp.where(t == 0, log_r(x), 0.0))

    return perturbation
