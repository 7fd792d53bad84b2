"""A process is a value: forward and reverse diffusion with every number filled in.

The bound, the samplers and all that measures take one argument for "the model", a ``Process``,
trained or exact (``dpm_jax.laws``). It is a pytree: its schedule and parameters are data, so
that one compiled program serves all processes of one shape; the rest is its structure.

A ``Model`` is what a process is made from, and ``bind`` fills in its parameters.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Event, PRNGKey, ReadOut, Scalar, Step, Time
from dpm_jax.kernels.base import Distribution, Family, Kernel
from dpm_jax.reverse import Form, Guess, direct, paper
from dpm_jax.schedule import Coefficients, Schedule, ScheduleFamily, at

Params = dict[str, Any]
"""{"network": …, "schedule": …}: optimiser, checkpoint and sharding see one tree."""

ReverseStep = Callable[[Any, Event, Step, Coefficients], Distribution]
"""``step(params, xt, t, coefficients)`` is p(x_{t-1} | x_t)."""


def _of_the_kernel(process: "Process") -> Family:
    return process.kernel


def _anything(examples: np.ndarray, where: np.ndarray | bool = True) -> None:
    """What the kernel can diffuse, a step of its own family can end in."""


class LastStep(NamedTuple):
    """The reverse step t = 1, which ends in the data.

    Attributes:
        distribution: ``distribution(process, x1)`` is p(x_0 | x_1).
        expected_log_prob: ``expected_log_prob(process, x0, noise)`` is E_q log p(x_0 | x_1) over
            x_1 ~ q(x_1 | x_0), nats: exact, or at the x_1 that the noise makes.
        family: ``family(process)`` is what p(x_0 | x_1) is one of, by default the kernel's own.
        check: ``check(examples, where=True)`` refuses examples [n, *event] that it cannot end in,
            by a ValueError that says what is allowed; it reads them ``where`` that is true.
    """

    distribution: Callable[["Process", Event], Distribution]
    expected_log_prob: Callable[["Process", Event, Event], Scalar]
    family: Callable[["Process"], Family] = _of_the_kernel
    check: Callable[..., None] = _anything


def _forward_kernel(process: "Process", x1: Event) -> Distribution:
    """T_π(x_0 | x_1; β_1) (App. B.2)."""
    return process.kernel.step(x1, process.schedule.beta[0])


def _by_detailed_balance(process: "Process", x0: Event, noise: Event) -> Scalar:
    """E_q log T_π(x_0 | x_1; β_1) = log π(x_0) + KL(q(x_1 | x_0) ‖ π)."""
    kernel = process.kernel
    prior, first = kernel.prior(x0.shape), kernel.marginal(x0, process.schedule.log_alpha_bar[0])
    return kernel.log_prob(prior, x0) + kernel.kl(first, prior)


def as_any_other(process: "Process", x1: Event) -> Distribution:
    """The process's own reverse step at t = 1."""
    t = jnp.asarray(1)
    return process.reverse(x1, t, at(process.schedule, t))


def sampled(
    distribution: Callable[["Process", Event], Distribution],
    family: Callable[["Process"], Family] = _of_the_kernel,
    check: Callable[..., None] = _anything,
) -> LastStep:
    """The last step of this p(x_0 | x_1), its log-probability taken at one x_1 of the noise."""

    def expected_log_prob(process: "Process", x0: Event, noise: Event) -> Scalar:
        kernel = process.kernel
        x1 = kernel.transport(kernel.marginal(x0, process.schedule.log_alpha_bar[0]), noise)
        return family(process).log_prob(distribution(process, x1), x0)

    return LastStep(distribution, expected_log_prob, family, check)


FIXED = LastStep(_forward_kernel, _by_detailed_balance)
"""The paper's: the forward kernel, which is not learned."""

LEARNED = sampled(as_any_other)
"""The process's own reverse step at t = 1."""

LAST_STEPS = {"fixed": FIXED, "learned": LEARNED}
"""The last steps by the names that configurations use."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=("schedule", "params"),
    meta_fields=("kernel", "step", "event_shape", "last_step"),
)
@dataclass(frozen=True)
class Process:
    """Forward and reverse process.

    Attributes:
        kernel: the forward physics.
        schedule: β_t and log ᾱ_t.
        step: ``step(params, xt, t, coefficients)`` is p(x_{t-1} | x_t). It belongs to the
            structure: the same function, not an equal one, is what a compiled program knows.
        event_shape: of one example.
        params: what ``step`` is given.
        last_step: p(x_0 | x_1), by default the paper's.
    """

    kernel: Kernel
    schedule: Schedule
    step: ReverseStep
    event_shape: tuple[int, ...]
    params: Any = field(default=())
    last_step: LastStep = FIXED

    def reverse(self, xt: Event, t: Step, c: Coefficients) -> Distribution:
        """p(x_{t-1} | x_t), t = 2..T."""
        return self.step(self.params, xt, t, c)

    def guess(self, xt: Event, t: Step, c: Coefficients) -> Guess | None:
        """The belief about x_0 that p(x_{t-1} | x_t) follows from; None where there is none."""
        return guess_of(self.step, self.kernel, self.params, xt, t, c)


def guess_of(
    step: ReverseStep, kernel: Kernel, params: Any, xt: Event, t: Step, c: Coefficients
) -> Guess | None:
    """``Process.guess`` of a step; by default, the step that leaves out all others."""
    own: Callable[..., Guess | None] | None = getattr(step, "guess", None)
    if own is not None:
        return own(kernel, params, xt, t, c)
    return Guess(kernel, step(params, xt, t, c.to_data))


def index(t: Step, c: Coefficients) -> Step:
    """The number of the step: the clock of a network that has read-outs for each t, or bumps."""
    return t


def log_snr(t: Step, c: Coefficients) -> Scalar:
    """λ_t = log ᾱ_t/(1-ᾱ_t), nats: a clock that means the same at any T and in any schedule."""
    return c.log_alpha_bar - jnp.log(-jnp.expm1(c.log_alpha_bar))


class Network(NamedTuple):
    """A network as pure functions.

    Attributes:
        init: ``init(key)`` is its parameters.
        apply: ``apply(params, xt, time)`` is its read-out.
        clock: ``clock(t, coefficients)`` is the time that it is told: ``index`` or ``log_snr``.
    """

    init: Callable[[PRNGKey], Any]
    apply: Callable[[Any, Event, Time], ReadOut]
    clock: Callable[[Step, Coefficients], Time] = index


@dataclass(frozen=True)
class Model:
    """The pure things of which ``Params`` is the one tree.

    Raises:
        ValueError: if the schedule is to be learned where K has no gradient in β.
    """

    kernel: Kernel
    schedule: ScheduleFamily
    network: Network
    form: Form
    event_shape: tuple[int, ...]
    last_step: LastStep = FIXED

    def __post_init__(self) -> None:
        """Refuse what would be trained in vain."""
        if self.schedule.learned and not self.kernel.learnable:
            raise ValueError(
                "schedule must be fixed or given for bits, got a learned one: "
                "K has no gradient in β"
            )


@dataclass(frozen=True)
class _NetworkStep:
    """The reverse step of a model; equal where kernel, form and network are."""

    kernel: Kernel
    form: Form
    network: Network

    def __call__(self, params: Any, xt: Event, t: Step, c: Coefficients) -> Distribution:
        return self.form(self.kernel, self._readout(params, xt, t, c), xt, c)

    def guess(
        self, kernel: Kernel, params: Any, xt: Event, t: Step, c: Coefficients
    ) -> Guess | None:
        """What the form makes of the read-out as a belief about x_0, where it makes one."""
        if self.form in (paper, direct):
            return None
        readout = self._readout(params, xt, t, c)
        own: Callable[..., Guess] | None = getattr(self.form, "guess", None)
        if own is not None:
            return own(kernel, readout, xt, c)
        return Guess(kernel, self.form(kernel, readout, xt, c.to_data))

    def _readout(self, params: Any, xt: Event, t: Step, c: Coefficients) -> ReadOut:
        return self.network.apply(params, xt, self.network.clock(t, c))


def init(model: Model, key: PRNGKey) -> Params:
    """Starting parameters."""
    return {"network": model.network.init(key), "schedule": model.schedule.init()}


def bind(model: Model, params: Params) -> Process:
    """The process that ``params`` describe; differentiable in them."""
    return Process(
        kernel=model.kernel,
        schedule=model.schedule.apply(params["schedule"]),
        step=_NetworkStep(model.kernel, model.form, model.network),
        event_shape=model.event_shape,
        params=params["network"],
        last_step=model.last_step,
    )


def parameter_count(params: Params) -> int:
    """How many numbers are learned."""
    leaves: list[Array] = jax.tree.leaves(params)
    return sum(leaf.size for leaf in leaves)
