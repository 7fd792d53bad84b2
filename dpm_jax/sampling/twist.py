"""The look ahead of twisted particles: what x_t says of the weight that x_0 will have."""

from typing import NamedTuple

import jax.numpy as jnp

from dpm_jax.array_types import Event, Scalar, Step
from dpm_jax.kernels.base import Distribution
from dpm_jax.process import Process
from dpm_jax.reverse import Guess
from dpm_jax.sampling.knowledge import merged
from dpm_jax.sampling.protocol import Observation
from dpm_jax.schedule import at


class Ahead(NamedTuple):
    """What lies ahead of a particle at x_t.

    Attributes:
        log_twist: log ψ_t(x_t), nats.
        p: p(x_{t-1} | x_t).
        g: what x_{t-1} is drawn from; at t = 1, p itself.
    """

    log_twist: Scalar
    p: Distribution
    g: Distribution


def look(process: Process, observation: Observation, x: Event, t: Step) -> Ahead:
    """Ahead of x_t, t = 2..T."""
    kernel, c = process.kernel, at(process.schedule, t)
    given = observation.before_the_end(process)

    def log_twist(x: Event) -> Scalar:
        # Where the form has no belief, what x_t says under π.
        guess = process.guess(x, t, c) or Guess(kernel, kernel.marginal(x, c.log_alpha_bar))
        return given.evidence(guess.family, guess.dist, c.log_alpha_bar)

    p = process.reverse(x, t, c)
    belief = None if process.guess(x, t, c) is None else process.reverse(x, t, c.to_data)
    own = given.step(kernel, p, belief, x, c)
    g = merged(given.observed(x.shape), own, kernel.lean(p, log_twist, x))
    return Ahead(log_twist(x), p, g)


def look_at_end(process: Process, observation: Observation, x1: Event) -> Ahead:
    """Ahead of x_1."""
    p = process.last_step.distribution(process, x1)
    family = process.last_step.family(process)
    return Ahead(observation.evidence(family, p, jnp.zeros(())), p, p)
