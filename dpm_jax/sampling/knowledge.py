"""What is known of x_0 as a value: r(x_0), and what it makes of a belief about x_0.

A value is a pytree: one compiled program serves all of one shape. Nothing in it knows of which
kernel it is; it asks a kernel, or a last step's family, to multiply. ``sampling.observation``
makes them.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Bool, Event, Scalar
from dpm_jax.kernels.base import Believing, Distribution, Family, Kernel, log_prob_of_each
from dpm_jax.process import FIXED, Process
from dpm_jax.sampling import perturb
from dpm_jax.sampling.perturb import Perturbation
from dpm_jax.sampling.protocol import Observation
from dpm_jax.schedule import Coefficients

Values = np.ndarray | Array

LEAST = -1e4
"""Nats of the least that r is taken for at a mean: a look ahead must leave nothing out."""

_value = partial(jax.tree_util.register_dataclass, meta_fields=())


@partial(_value, data_fields=("r", "seen"))
@dataclass(frozen=True)
class Product:
    """r of the kernel's own family over the components that were seen."""

    r: Distribution
    seen: Any  # true where seen [*event]; any leaf that a pytree may hold

    def observed(self, shape: tuple[int, ...]) -> Bool[Array, "*event"]:
        """Those that were seen."""
        return jnp.asarray(self.seen)

    def evidence(self, family: Believing, belief: Distribution, log_alpha_bar: Scalar) -> Scalar:
        """Exact of one component; of more, widened."""
        each = jnp.where(self.seen, family.overlap(belief, self.r), 0.0)
        return jnp.sum(each) * _together(self.seen, log_alpha_bar)

    def step(
        self,
        kernel: Kernel,
        p: Distribution,
        belief: Distribution | None,
        xt: Event,
        c: Coefficients,
    ) -> Distribution:
        """Exact for the belief; without one, p times what r says of x_{t-1} under π."""
        if belief is None:
            r = kernel.evidence(self.r, c.log_alpha_bar_prev)
            return kernel.product(p, r, jnp.ones(()))
        given = kernel.product(belief, self.r, jnp.ones(()))
        return kernel.bridge(given, xt, c.beta, c.log_alpha_bar_prev)

    def before_the_end(self, process: Process) -> Observation:
        """As seen through ``_undone``."""
        if process.last_step is not FIXED:
            return self
        return Product(process.kernel.evidence(self.r, _undone(process)), self.seen)

    def end(self, family: Family, p: Distribution, noise: Event) -> Event:
        """By ``Family.product``."""
        return family.transport(self._end(family, p), noise)

    def end_weight(self, kernel: Kernel, family: Family, p: Distribution, x0: Event) -> Scalar:
        """Component by component: the logarithms of whole images would lose the difference."""
        p_x, g_x = (log_prob_of_each(family, d, x0) for d in (p, self._end(family, p)))
        return jnp.sum(p_x - g_x + jnp.where(self.seen, log_prob_of_each(kernel, self.r, x0), 0.0))

    def _end(self, family: Family, p: Distribution) -> Distribution:
        return merged(self.seen, family.product(p, self.r, jnp.ones(())), p)

    def check(self, process: Process) -> None:
        """Shape, and the kernel's family."""
        _check_shape(process, np.shape(self.seen))
        if type(process.kernel.prior(())) is not type(self.r):
            raise ValueError(
                "observation must be noisy where the process is Gaussian, and flipped where it is "
                f"of bits, got a {type(self.r).__name__}"
            )

    def perturbation(self, process: Process) -> Perturbation:
        """By what r says of every x_t under π."""
        return perturb.observed(process, self.r, seen=jnp.asarray(self.seen))


@partial(_value, data_fields=("value", "mask"))
@dataclass(frozen=True)
class Known:
    """r a point mass at the known components, which end bit-identical to ``value``."""

    value: Any  # [*event], 0 where not known
    mask: Any  # true where known [*event]

    def observed(self, shape: tuple[int, ...]) -> Bool[Array, "*event"]:
        """Those that are known."""
        return jnp.asarray(self.mask)

    def evidence(self, family: Believing, belief: Distribution, log_alpha_bar: Scalar) -> Scalar:
        """The belief's density, or probability, at the known components; of several, widened."""
        each = log_prob_of_each(family, belief, jnp.asarray(self.value))
        return jnp.sum(jnp.where(self.mask, each, 0.0)) * _together(self.mask, log_alpha_bar)

    def step(
        self,
        kernel: Kernel,
        p: Distribution,
        belief: Distribution | None,
        xt: Event,
        c: Coefficients,
    ) -> Distribution:
        """q(x_{t-1} | x_t, x_0 = value), whatever the belief."""
        return kernel.posterior(jnp.asarray(self.value), xt, c.beta, c.log_alpha_bar_prev)

    def before_the_end(self, process: Process) -> Observation:
        """As seen through ``_undone``: a bit that no belief has may still be made at the end."""
        if process.last_step is not FIXED:
            return self
        certain = process.kernel.marginal(jnp.asarray(self.value), jnp.zeros(()))
        return Product(process.kernel.evidence(certain, _undone(process)), self.mask)

    def end(self, family: Family, p: Distribution, noise: Event) -> Event:
        """The value itself, beside p's other components."""
        return jnp.where(self.mask, self.value, family.transport(p, noise))

    def end_weight(self, kernel: Kernel, family: Family, p: Distribution, x0: Event) -> Scalar:
        """Log p of the known components."""
        return self.evidence(family, p, jnp.zeros(()))

    def check(self, process: Process) -> None:
        """Shape, what the kernel can diffuse, and what the last step can end in."""
        _check_shape(process, np.shape(self.mask))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a part of an example may have any scale
            process.kernel.check(np.asarray(self.value)[None])
        process.last_step.check(np.asarray(self.value)[None], where=np.asarray(self.mask))

    def perturbation(self, process: Process) -> Perturbation:
        """Known components on a forward path of their own."""
        return perturb.known(process, jnp.asarray(self.value), jnp.asarray(self.mask))


@partial(jax.tree_util.register_dataclass, data_fields=(), meta_fields=("of",))
@dataclass(frozen=True)
class Likelihood:
    """Any log r(x_0). It belongs to the compiled program: the same function is not traced anew."""

    of: Callable[[Event], Scalar]

    def observed(self, shape: tuple[int, ...]) -> Bool[Array, "*event"]:
        """None: a slope is all that is known of r."""
        return jnp.zeros(shape, bool)

    def evidence(self, family: Believing, belief: Distribution, log_alpha_bar: Scalar) -> Scalar:
        """Log r at the belief's mean, times ᾱ_t: r is wider, the less x_t says of x_0.

        r itself would be too narrow there, and then weights have no variance. At t = 0 it is r.
        """
        return jnp.exp(log_alpha_bar) * jnp.maximum(self.of(family.mean(belief)), LEAST)

    def step(
        self,
        kernel: Kernel,
        p: Distribution,
        belief: Distribution | None,
        xt: Event,
        c: Coefficients,
    ) -> Distribution:
        """Without change: no component is observed."""
        return p

    def before_the_end(self, process: Process) -> Observation:
        """Itself."""
        return self

    def end(self, family: Family, p: Distribution, noise: Event) -> Event:
        """By ``Family.tilt``."""
        return family.transport(family.tilt(p, self.of), noise)

    def end_weight(self, kernel: Kernel, family: Family, p: Distribution, x0: Event) -> Scalar:
        """With r at x_0 itself."""
        g = family.tilt(p, self.of)
        return jnp.sum(log_prob_of_each(family, p, x0) - log_prob_of_each(family, g, x0)) + self.of(
            x0
        )

    def check(self, process: Process) -> None:
        """One number, of one event."""
        event = jax.ShapeDtypeStruct(process.event_shape, jnp.float32)
        found = jax.eval_shape(self.of, event)
        if getattr(found, "shape", None) != ():
            raise ValueError(
                f"log_r must be one number of an event {process.event_shape}, got {found}"
            )

    def perturbation(self, process: Process) -> Perturbation:
        """By ``Kernel.tilt``."""
        return perturb.smooth(process, self.of)


def one_path(process: Process, observation: Observation) -> bool:
    """Whether known components walk from x_T to the value by themselves, whatever the others do.

    Not where a fixed last step may make them of others (``Known.before_the_end``).
    """
    return isinstance(observation, Known) and process.last_step is not FIXED


def merged(mask: Values, one: Distribution, other: Distribution) -> Distribution:
    """``one`` where the mask is true, and ``other`` elsewhere."""
    return jax.tree.map(lambda a, b: jnp.where(mask, a, b), one, other)


def _together(seen: Values, log_alpha_bar: Scalar) -> Scalar:
    """The power of a product over n components: ᾱ_t^(1 - 1/n).

    Given x_t components go together, and their beliefs are no n pieces of news: a product of all
    would be too narrow. It is exact for n = 1, and at t = 0.
    """
    number = jnp.maximum(jnp.sum(seen), 1)
    # Where β_T = 1, log ᾱ_T is -∞, and 0 times it is no number.
    return jnp.where(number > 1, jnp.exp(log_alpha_bar * (1 - 1 / number)), 1.0)


def _undone(process: Process) -> Scalar:
    """Log ᾱ of what stands between a belief and the model's x_0: to x_1, and the fixed last step.

    A belief is about the data; the fixed last step adds once more the noise that x_1 has.
    """
    return 2 * process.schedule.log_alpha_bar[0]


def _check_shape(process: Process, shape: tuple[int, ...]) -> None:
    if shape != process.event_shape:
        raise ValueError(
            f"observation must have the process's event shape {process.event_shape}, got {shape}"
        )
