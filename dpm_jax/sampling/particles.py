"""Posteriors by particles: twisted sequential Monte Carlo (Wu et al. 2023), one compiled scan.

N particles walk from x_T to x_0. At every step their target is

    γ_t(x_{t..T}) = p(x_{t..T}) ψ_t(x_t),    ψ_t(x_t) = E[r(x_0) | x_t],    ψ_0 = r,

and the *twist* ψ_t is read from the process's own belief about x_0, so that a particle is judged
by what will become of it long before it gets there. Steps are drawn from a proposal g that knows
of r, and weighted by

    w = p(x_{t-1} | x_t) ψ_{t-1}(x_{t-1}) / (g(x_{t-1} | x_t) ψ_t(x_t)),

which makes any proposal and any positive twist right. Where the effective size of the weights falls
under half of N, particles are drawn anew by them. The product of the mean weights at these places
is an unbiased estimate of Z = E_p r(x_0).

Memory does not grow with T, but for N numbers a step where ancestors are asked for.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from dpm_jax.array_types import Array, Bool, Event, Float, Int, PRNGKey, Scalar, Step
from dpm_jax.devices import data_mesh, split_batch
from dpm_jax.kernels.base import Distribution, Family, log_prob_of_each
from dpm_jax.process import Process
from dpm_jax.sampling.log_weights import alive, effective_size, log_mean
from dpm_jax.sampling.protocol import Observation
from dpm_jax.sampling.twist import Ahead, look, look_at_end

Slot = Int[Array, ""]  # a particle's number, 0..N-1


class Lineage(NamedTuple):
    """Who descends from whom, and what is held fixed.

    Attributes:
        parents: ``parents(key, log_weight, family, ahead, t)`` are N particles at t drawn by
            their weights.
        place: ``place(slot, x, t)`` is the particle's x_t, where x is what was drawn for it.
        along: components whose noise is the same for all particles, that of the first. Each
            particle has its own law all the same, and estimates of Z stay without bias.
    """

    parents: Callable[[PRNGKey, Float[Array, " N"], Family, Ahead, Step], Int[Array, " N"]]
    place: Callable[[Slot, Event, Step], Event]
    along: Bool[Array, "*event"] | None = None


class Filtered(NamedTuple):
    """N weighted draws of x_0.

    Attributes:
        x: [N, *event].
        log_weight: nats; the mean weight estimates Z.
        effective: effective size of the weights at t = 0..T, before any drawing anew.
        parents: where asked for, those of x_{t-1} among the x_t, at index t-1.
    """

    x: Float[Array, "N *event"]
    log_weight: Float[Array, " N"]
    effective: Float[Array, " states"]
    parents: Int[Array, "steps N"] | None

    @property
    def log_evidence(self) -> Scalar:
        """Log of the mean weight, nats."""
        return log_mean(self.log_weight)


def free(weight_key: PRNGKey, log_weight: Float[Array, " N"], *of_no_use: object) -> Array:
    """Stratified resampling."""
    from blackjax.smc import resampling

    return resampling.stratified(weight_key, jax.nn.softmax(log_weight), len(log_weight))


FREE = Lineage(free, lambda slot, x, t: x)
"""No particle is held fixed."""


def along(process: Process, observation: Observation) -> Lineage:
    """All particles on one path of the components observed, where these are known.

    They are then weighed by what they make of it, and not by its own noise, which is far more.
    """
    return FREE._replace(along=observation.observed(process.event_shape))


def filtered(
    process: Process,
    observation: Observation,
    key: PRNGKey,
    particles: int,
    *,
    lineage: Lineage = FREE,
    trace: bool = False,
    apart: bool = False,
) -> Filtered:
    """``particles`` draws from p(x_0) r(x_0) / Z.

    Args:
        process: p.
        observation: r.
        key: noise is of the key, the step and the particle's number: ``replayed`` makes it again.
        particles: N.
        lineage: how particles descend from each other.
        trace: whether to keep the parents.
        apart: whether particles are split over all devices, which they divide among.
    """
    split = split_batch(data_mesh()) if apart else lambda x: x
    slots, steps = split(jnp.arange(particles)), process.schedule.steps

    def arrive(
        carry: tuple[Array, Array, Array], t: Step, look: Callable[[Event], Ahead], family: Family
    ) -> tuple[Ahead, Array, Array, tuple[Array, Array]]:
        """Weights at x_t, and who goes on from there."""
        x, log_weight, log_z = carry
        ahead = jax.vmap(look)(x)
        log_weight = alive(log_weight + ahead.log_twist)
        effective = effective_size(log_weight)
        few = (effective < particles / 2) & (effective > 0)
        resample_key = jax.random.fold_in(jax.random.fold_in(key, t), 1)
        drawn = lineage.parents(resample_key, log_weight, family, ahead, t)
        parents = jnp.where(few, drawn, slots)
        log_z = jnp.where(few, log_z + log_mean(log_weight), log_z)
        log_weight = jnp.where(few, 0.0, log_weight)
        ahead = jax.tree.map(lambda leaf: leaf[parents], ahead)
        return ahead, log_weight - ahead.log_twist, log_z, (effective, parents)

    def body(carry: tuple[Array, Array, Array], t: Step) -> tuple[Any, Any]:
        look_on = partial(look, process, observation, t=t)
        ahead, log_weight, log_z, seen = arrive(carry, t, look_on, process.kernel)

        def move(slot: Slot, ahead: Ahead) -> tuple[Event, Scalar]:
            x = lineage.place(slot, _drawn(process, ahead.g, key, t - 1, slot, lineage), t - 1)
            log_prob = partial(log_prob_of_each, process.kernel, x=x)
            return x, jnp.sum(log_prob(ahead.p) - log_prob(ahead.g))

        x, log_step = jax.vmap(move)(slots, ahead)
        # Drawing anew brings particles together: each device takes up its own again.
        return (split(x), split(log_weight + log_step), log_z), seen if trace else seen[:1]

    def start(slot: Slot) -> Event:
        prior = process.kernel.prior(process.event_shape)
        top = jnp.asarray(steps)
        return lineage.place(slot, _drawn(process, prior, key, top, slot, lineage), top)

    first = jax.vmap(start)(slots), jnp.zeros(particles), jnp.zeros(())
    carry, seen = jax.lax.scan(body, first, jnp.arange(steps, 1, -1))
    one, family = jnp.asarray(1), process.last_step.family(process)
    last = partial(look_at_end, process, observation)
    ahead, log_weight, log_z, seen_last = arrive(carry, one, last, family)

    def end(slot: Slot, ahead: Ahead) -> tuple[Event, Scalar]:
        zero = jnp.asarray(0)
        noise = _noise(process, key, zero, slot, lineage)
        x = lineage.place(slot, observation.end(family, ahead.p, noise), zero)
        return x, observation.end_weight(process.kernel, family, ahead.p, x)

    x, log_end = jax.vmap(end)(slots, ahead)
    log_weight = alive(log_weight + log_end)
    effective = jnp.concatenate([seen[0], seen_last[0][None], effective_size(log_weight)[None]])
    parents = jnp.concatenate([seen[1], seen_last[1][None]])[::-1] if trace else None
    return Filtered(x, log_weight + log_z, effective[::-1], parents)


def replayed(
    process: Process,
    observation: Observation,
    key: PRNGKey,
    slots: Int[Array, " states"],
    lineage: Lineage = FREE,
) -> Float[Array, "states *event"]:
    """x_0..x_T of one line of descent of ``filtered``, by its particles' numbers at t = 0..T.

    A line needs nothing of the others, once it is known: N times less work than all.
    """
    steps, zero = process.schedule.steps, jnp.asarray(0)

    def body(x: Event, t: Step) -> tuple[Event, Event]:
        g = look(process, observation, x, t).g
        drawn = _drawn(process, g, key, t - 1, slots[t - 1], lineage)
        before = lineage.place(slots[t - 1], drawn, t - 1)
        return before, before

    top = jnp.asarray(steps)
    prior = process.kernel.prior(process.event_shape)
    xT = lineage.place(slots[-1], _drawn(process, prior, key, top, slots[-1], lineage), top)
    x1, path = jax.lax.scan(body, xT, jnp.arange(steps, 1, -1))
    family, p = process.last_step.family(process), process.last_step.distribution(process, x1)
    noise = _noise(process, key, zero, slots[0], lineage)
    x0 = lineage.place(slots[0], observation.end(family, p, noise), zero)
    return jnp.concatenate([xT[None], path, x0[None]])[::-1]


def line(parents: Int[Array, "steps N"], end: Slot) -> Int[Array, " states"]:
    """Numbers at t = 0..T of the particle ``end`` of x_0 and its forebears."""

    def back(slot: Slot, parents: Array) -> tuple[Slot, Slot]:
        return parents[slot], parents[slot]

    return jnp.concatenate([end[None], jax.lax.scan(back, end, parents)[1]])


def _drawn(
    process: Process, g: Distribution, key: PRNGKey, t: Step, slot: Slot, lineage: Lineage
) -> Event:
    return process.kernel.transport(g, _noise(process, key, t, slot, lineage))


def _noise(process: Process, key: PRNGKey, t: Step, slot: Slot, lineage: Lineage) -> Event:
    of_step = jax.random.fold_in(jax.random.fold_in(key, t), 0)

    def of(slot: Slot) -> Event:
        return process.kernel.noise(jax.random.fold_in(of_step, slot), process.event_shape)

    if lineage.along is None:
        return of(slot)
    return jnp.where(lineage.along, of(jnp.zeros_like(slot)), of(slot))
