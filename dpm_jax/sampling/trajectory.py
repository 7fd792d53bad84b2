"""Trajectories, each one compiled scan: data to noise, and noise to data.

One example at a time; callers ``vmap`` over keys. Memory does not grow with T: only the
steps asked for by ``keep`` are held.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpm_jax.array_types import Array, Event, Float, PRNGKey, Scalar, Step
from dpm_jax.process import Process
from dpm_jax.sampling.perturb import Perturbation, Weighted, nothing
from dpm_jax.schedule import at


class Trajectory(NamedTuple):
    """Where a trajectory ended, its states at the steps that were kept, and its weight.

    ``log_weight`` is that of the perturbation, nats; 0 without one.
    """

    end: Event
    kept: Float[Array, "kept *event"]
    log_weight: Scalar


def forward(process: Process, x0: Event, key: PRNGKey, *, keep: Sequence[int] = ()) -> Trajectory:
    """x_1..x_T from x_0 by single steps of q(x_t | x_{t-1}); ``keep`` lists steps t = 0..T."""
    kernel = process.kernel

    def move(x: Event, t: Step) -> Weighted:
        q = kernel.step(x, at(process.schedule, t).beta)
        noise = kernel.noise(jax.random.fold_in(key, t), x.shape)
        return Weighted(kernel.transport(q, noise), jnp.zeros(()))

    start = Weighted(x0, jnp.zeros(()))
    return _walk(move, start, jnp.arange(1, process.schedule.steps + 1), 0, keep, ahead=0)


def sample(
    process: Process,
    key: PRNGKey,
    *,
    keep: Sequence[int] = (),
    perturbation: Perturbation | None = None,
) -> Trajectory:
    """x_0 by ancestral sampling: x_T ~ π, then p(x_{t-1} | x_t); ``keep`` lists steps t = 0..T.

    With a ``perturbation``, every one of these draws is of ``dpm_jax.sampling.perturb``'s
    making.
    """
    kernel, steps, shape = process.kernel, process.schedule.steps, process.event_shape
    perturb = nothing(process) if perturbation is None else perturbation

    def noise(index: Array) -> Event:
        return kernel.noise(jax.random.fold_in(key, index), shape)

    def move(x: Event, t: Step) -> Weighted:
        p = process.reverse(x, t, at(process.schedule, t))
        return perturb(kernel, p, x, t - 1, noise(t))

    # x_T comes from nowhere: π is a step that forgets where it came from.
    start = jnp.asarray(steps), noise(jnp.asarray(0))
    xT = perturb(kernel, kernel.prior(shape), jnp.zeros(shape), *start)
    x1, kept, log_weight = _walk(move, xT, jnp.arange(steps, 1, -1), steps, keep, ahead=-1)
    last = process.last_step
    p, end = last.distribution(process, x1), (jnp.asarray(0), noise(jnp.asarray(1)))
    x0, log_last = perturb(last.family(process), p, x1, *end)
    return Trajectory(x0, _record(kept, x0, jnp.asarray(0), keep), log_weight + log_last)


def _walk(
    move: Callable[[Event, Step], Weighted],
    start: Weighted,
    t: Array,
    start_step: int,
    keep: Sequence[int],
    *,
    ahead: int,
) -> Trajectory:
    # A move of step t arrives at x_{t + ahead}.
    def body(carry: Trajectory, t: Step) -> tuple[Trajectory, None]:
        x, log_weight = move(carry.end, t)
        kept = _record(carry.kept, x, t + ahead, keep)
        return Trajectory(x, kept, carry.log_weight + log_weight), None

    x, log_weight = start
    kept = _record(jnp.zeros((len(keep), *x.shape)), x, jnp.asarray(start_step), keep)
    return jax.lax.scan(body, Trajectory(x, kept, log_weight), t)[0]


def _record(kept: Array, x: Event, t: Step, keep: Sequence[int]) -> Array:
    for i, step in enumerate(keep):
        kept = kept.at[i].set(jnp.where(t == step, x, kept[i]))
    return kept
