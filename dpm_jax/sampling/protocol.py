"""What a posterior asks of an observation; ``sampling.knowledge`` has the ones that there are."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from dpm_jax.array_types import Array, Bool, Event, Scalar
from dpm_jax.kernels.base import Believing, Distribution, Family, Kernel
from dpm_jax.process import Process
from dpm_jax.sampling.perturb import Perturbation
from dpm_jax.schedule import Coefficients


@runtime_checkable
class Observation(Protocol):
    """What a posterior needs to know of r."""

    def observed(self, shape: tuple[int, ...]) -> Bool[Array, "*event"]:
        """Components whose own belief r multiplies, one by one; of others r is no product."""

    def evidence(self, family: Believing, belief: Distribution, log_alpha_bar: Scalar) -> Scalar:
        """Log ∫ belief(x_0) r(x_0) dx_0, nats: exact, or a guess by how much x_t says of x_0."""

    def step(
        self,
        kernel: Kernel,
        p: Distribution,
        belief: Distribution | None,
        xt: Event,
        c: Coefficients,
    ) -> Distribution:
        """p(x_{t-1} | x_t) given r, of the components observed: the bridge from belief · r."""

    def before_the_end(self, process: Process) -> Observation:
        """What is known of the x_0 of beliefs, where the model's own ends noisier (t ≥ 2)."""

    def end(self, family: Family, p: Distribution, noise: Event) -> Event:
        """x_0 drawn from about p(x_0 | x_1) · r."""

    def end_weight(self, kernel: Kernel, family: Family, p: Distribution, x0: Event) -> Scalar:
        """Log of p(x_0 | x_1) r(x_0), less that of what ``end`` draws from."""

    def check(self, process: Process) -> None:
        """Refuse a process that it is not of, by a ValueError."""

    def perturbation(self, process: Process) -> Perturbation:
        """The process multiplied step by step (``sampling.perturb``)."""
