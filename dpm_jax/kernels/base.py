"""The interface that both diffusion kernels share.

A kernel is the physics of one kind of data: how noise enters (paper, Table App.1) and
the analytic quantities that follow. Everything above this room is written once, against
this tuple. All functions see **one example and scalar coefficients**, return
distributions rather than samples, and give information in nats, summed over the event.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Event, PRNGKey, ReadOut, Scalar

Distribution = Any
"""A pytree of arrays: ``gaussian.Normal`` or ``binomial.Bernoulli``."""


@runtime_checkable
class Believing(Protocol):
    """What a look ahead asks of beliefs about x_0 of one family."""

    @property
    def log_prob(self) -> Callable[[Distribution, Event], Scalar]:
        """``log_prob(dist, x)``, nats."""

    @property
    def overlap(self) -> Callable[[Distribution, Distribution], Event]:
        """``overlap(dist, other)`` is log ∫ dist · other, ``other`` of the kernel's."""

    @property
    def mean(self) -> Callable[[Distribution], Event]:
        """``mean(dist)`` of every component."""


@runtime_checkable
class Family(Believing, Protocol):
    """What drawing and weighing need to know of a family of distributions; a ``Kernel`` is one."""

    @property
    def transport(self) -> Callable[[Distribution, Event], Event]:
        """``transport(dist, noise)`` is a sample, of the noise that the kernel draws."""

    @property
    def product(self) -> Callable[[Distribution, Distribution, Scalar], Distribution]:
        """``product(dist, other, power)`` is dist · other^power, ``other`` of the kernel's."""

    @property
    def tilt(self) -> Callable[[Distribution, Callable[[Event], Scalar]], Distribution]:
        """``tilt(dist, log_r)`` is close to dist · r."""


class Kernel(NamedTuple):
    """A Markov diffusion kernel T_π and what is analytic about it.

    Attributes:
        prior: ``prior(shape)`` is π(x), the equilibrium distribution.
        step: ``step(x, beta)`` is q(x_t | x_{t-1}), which is also T_π in reverse.
        marginal: ``marginal(x0, log_alpha_bar)`` is q(x_t | x_0).
        posterior: ``posterior(x0, xt, beta, log_alpha_bar_prev)`` is q(x_{t-1} | x_t, x_0).
        bridge: ``bridge(belief, xt, beta, log_alpha_bar_prev)`` is the posterior averaged over
            x_0 ~ belief, a distribution of the kernel's family: what a belief about x_0 given
            x_t says of x_{t-1}. Under π that belief is ``marginal(xt, log_alpha_bar)``, and
            its bridge is ``step(xt, beta)``: detailed balance.
        shift: ``shift(dist, readout)`` is ``dist`` moved by a read-out; by zero, not at all.
        direct: ``direct(readout)`` is the distribution that a read-out names outright.
        channels: size of a read-out's last axis.
        log_prob: ``log_prob(dist, x)``, nats.
        entropy: ``entropy(dist)``, nats.
        step_entropy: ``step_entropy(dist, beta)`` is the mean of H[step(x, beta)] over
            x ~ dist, nats.
        kl: ``kl(q, p)``, nats.
        noise: ``noise(key, shape)`` draws the randomness that ``transport`` takes.
        transport: ``transport(dist, noise)`` is a sample: a function of both, so that holding
            the noise while differentiating by β *is* the paper's frozen noise (§2.4.1).
        evidence: ``evidence(r, log_alpha_bar)`` is r_t(x_t) = E_π[r(x_0) | x_t] for r of the
            kernel's family, up to a constant: what r says of x_t where x_0 ~ π.
        product: ``product(dist, other, power)`` is dist · other^power, normalised: exact, and
            of the same family (§2.5).
        tilt: ``tilt(dist, log_r)`` is close to dist · r, normalised, for any differentiable
            log r of an event (§2.5, App. C).
        overlap: ``overlap(dist, other)`` is log ∫ dist(x) other(x) dx of every component [*event],
            nats: what ``product`` is divided by.
        mean: ``mean(dist)`` of every component [*event].
        lean: ``lean(dist, log_r, x)`` is ``dist`` moved by the slope of log r at a state x near by,
            and no further than ``gaussian.MOST_LEAN`` of its deviations; bits have no slope.
        learnable: whether ``transport`` has a gradient in its distribution: without one, K has
            no gradient in β, and a schedule cannot be learned.
        check: ``check(examples)`` refuses examples [n, *event] that this kernel cannot diffuse,
            by a ValueError that says what is allowed.
    """

    prior: Callable[[tuple[int, ...]], Distribution]
    step: Callable[[Event, Scalar], Distribution]
    marginal: Callable[[Event, Scalar], Distribution]
    posterior: Callable[[Event, Event, Scalar, Scalar], Distribution]
    bridge: Callable[[Distribution, Event, Scalar, Scalar], Distribution]
    shift: Callable[[Distribution, ReadOut], Distribution]
    direct: Callable[[ReadOut], Distribution]
    channels: int
    log_prob: Callable[[Distribution, Event], Scalar]
    entropy: Callable[[Distribution], Scalar]
    step_entropy: Callable[[Distribution, Scalar], Scalar]
    kl: Callable[[Distribution, Distribution], Scalar]
    noise: Callable[[PRNGKey, tuple[int, ...]], Event]
    transport: Callable[[Distribution, Event], Event]
    evidence: Callable[[Distribution, Scalar], Distribution]
    product: Callable[[Distribution, Distribution, Scalar], Distribution]
    tilt: Callable[[Distribution, Callable[[Event], Scalar]], Distribution]
    overlap: Callable[[Distribution, Distribution], Event]
    mean: Callable[[Distribution], Event]
    lean: Callable[[Distribution, Callable[[Event], Scalar], Event], Distribution]
    learnable: bool
    check: Callable[[np.ndarray], None]


def log_prob_of_each(family: Believing, dist: Distribution, x: Event) -> Event:
    """``family.log_prob`` of every component of an event by itself, nats."""

    def listed(a: Array) -> Array:
        more = a.shape[x.ndim :]  # a component may have a mixture of its own
        return jnp.broadcast_to(a, x.shape + more).reshape(x.size, *more)

    each: Event = jax.vmap(family.log_prob)(*jax.tree.map(listed, (dist, x)))
    return each.reshape(x.shape)
