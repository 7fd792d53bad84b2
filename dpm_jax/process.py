"""The model: a kernel, a schedule family, a network and a reverse form, and one pytree.

``bind`` joins a model with its parameters into a ``Process``, which is all that the bound
and the samplers know. Exact reverse models (``dpm_jax.limits``) are processes too.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from dpm_jax.array_types import Array, Event, PRNGKey, ReadOut, Step
from dpm_jax.kernels.base import Distribution, Kernel
from dpm_jax.reverse import Reverse
from dpm_jax.schedule import Coefficients, Schedule, ScheduleFamily, at

Params = dict[str, Any]
"""{"network": …, "schedule": …}: optimiser, checkpoint and sharding see one tree."""


class Network(NamedTuple):
    """A network as pure functions: ``init(key)`` and ``apply(params, xt, t)``."""

    init: Callable[[PRNGKey], Any]
    apply: Callable[[Any, Event, Step], ReadOut]


class Process(NamedTuple):
    """Forward and reverse process with every number filled in.

    Attributes:
        kernel: the forward physics.
        schedule: β_t and log ᾱ_t.
        reverse: ``reverse(xt, t, coefficients)`` is p(x_{t-1} | x_t).
        learned_last_step: whether ``reverse`` is also used at t = 1. The paper fixes that
            step to the forward kernel, T_π(x_0 | x_1; β_1) (App. B.2).
    """

    kernel: Kernel
    schedule: Schedule
    reverse: Callable[[Event, Step, Coefficients], Distribution]
    learned_last_step: bool = False

    def last_step(self, x1: Event) -> Distribution:
        """p(x_0 | x_1)."""
        t = jax.numpy.asarray(1)
        c = at(self.schedule, t)
        if self.learned_last_step:
            return self.reverse(x1, t, c)
        return self.kernel.step(x1, c.beta)


class Model(NamedTuple):
    """The four pure things of which ``Params`` is the one tree."""

    kernel: Kernel
    schedule: ScheduleFamily
    network: Network
    reverse: Reverse
    event_shape: tuple[int, ...]
    learned_last_step: bool = False


def init(model: Model, key: PRNGKey) -> Params:
    """Starting parameters."""
    return {"network": model.network.init(key), "schedule": model.schedule.init()}


def bind(model: Model, params: Params) -> Process:
    """The process that ``params`` describe; differentiable in them."""

    def reverse(xt: Event, t: Step, c: Coefficients) -> Distribution:
        readout = model.network.apply(params["network"], xt, t)
        return model.reverse.distribution(readout, xt, c)

    schedule = model.schedule.apply(params["schedule"])
    return Process(model.kernel, schedule, reverse, model.learned_last_step)


def parameter_count(params: Params) -> int:
    """How many numbers are learned."""
    leaves: list[Array] = jax.tree.leaves(params)
    return sum(leaf.size for leaf in leaves)
