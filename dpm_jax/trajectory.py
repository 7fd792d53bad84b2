"""Trajectories, each one compiled scan: data to noise, and noise to data.

One example at a time; callers ``vmap`` over keys. Memory does not grow with T: only the
steps asked for by ``keep`` are held.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpm_jax.array_types import Array, Event, Float, PRNGKey, Step
from dpm_jax.process import Process
from dpm_jax.schedule import at


class Trajectory(NamedTuple):
    """Where a trajectory ended, and its states at the steps that were kept."""

    end: Event
    kept: Float[Array, "kept *event"]


def forward(process: Process, x0: Event, key: PRNGKey, *, keep: Sequence[int] = ()) -> Trajectory:
    """x_1..x_T from x_0 by single steps of q(x_t | x_{t-1}); ``keep`` lists steps t = 0..T."""
    kernel = process.kernel

    def move(x: Event, t: Step) -> Event:
        q = kernel.step(x, at(process.schedule, t).beta)
        return kernel.transport(q, kernel.noise(jax.random.fold_in(key, t), x.shape))

    return _walk(move, x0, jnp.arange(1, process.schedule.steps + 1), 0, keep, direction=1)


def sample(
    process: Process, shape: tuple[int, ...], key: PRNGKey, *, keep: Sequence[int] = ()
) -> Trajectory:
    """x_0 by ancestral sampling: x_T ~ π, then p(x_{t-1} | x_t); ``keep`` lists steps t = 0..T."""
    kernel, steps = process.kernel, process.schedule.steps

    def move(x: Event, t: Step) -> Event:
        p = process.reverse(x, t, at(process.schedule, t))
        return kernel.transport(p, kernel.noise(jax.random.fold_in(key, t), shape))

    xT = kernel.transport(kernel.prior(shape), kernel.noise(jax.random.fold_in(key, 0), shape))
    x1, kept = _walk(move, xT, jnp.arange(steps, 1, -1), steps, keep, direction=-1)
    noise = kernel.noise(jax.random.fold_in(key, 1), shape)
    x0 = kernel.transport(process.last_step(x1), noise)
    return Trajectory(x0, _record(kept, x0, jnp.asarray(0), keep))


def _walk(
    move: Callable[[Event, Step], Event],
    x: Event,
    t: Array,
    start: int,
    keep: Sequence[int],
    *,
    direction: int,
) -> Trajectory:
    def body(carry: Trajectory, t: Step) -> tuple[Trajectory, None]:
        x = move(carry.end, t)
        arrived = t if direction > 0 else t - 1
        return Trajectory(x, _record(carry.kept, x, arrived, keep)), None

    kept = _record(jnp.zeros((len(keep), *x.shape)), x, jnp.asarray(start), keep)
    return jax.lax.scan(body, Trajectory(x, kept), t)[0]


def _record(kept: Array, x: Event, t: Step, keep: Sequence[int]) -> Array:
    for i, step in enumerate(keep):
        kept = kept.at[i].set(jnp.where(t == step, x, kept[i]))
    return kept
