"""Particle Gibbs: conditional sequential Monte Carlo with ancestor sampling (Lindsten et al. 2014).

A sweep runs the particles again, one of them held to the whole path x_{0..T} of the sweep before,
and draws the next path by their weights. It leaves p(x_{0..T}) r(x_0) / Z as it is for *any* number
of particles from two: more only make its draws depend less on each other.

While resampling, the held path chooses its own ancestor among all particles, in proportion to
w p(x_{t-1} | x_t) / ψ_t(x_t): else all paths would be the held one at high t.

A path takes T·event, and a sweep T·N whole numbers besides: the chosen line is made again
from its particles' numbers (``particles.replayed``), not stored with all others.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpm_jax.array_types import Array, Bool, Float, Int, PRNGKey, Scalar, Step
from dpm_jax.kernels.base import Family, log_prob_of_each
from dpm_jax.process import Process
from dpm_jax.sampling.knowledge import one_path
from dpm_jax.sampling.particles import Lineage, Slot, filtered, line, replayed
from dpm_jax.sampling.protocol import Observation
from dpm_jax.sampling.twist import Ahead

Path = Float[Array, "states *event"]
"""x_0..x_T."""


def held(
    path: Path,
    is_held: Bool[Array, ""] | bool = True,
    along: Bool[Array, "*event"] | None = None,
) -> Lineage:
    """Particle 0 is the path; multinomial for all others, which the proof asks for.

    Where it is not held, all particles are free: so a first path is found by the same program.
    All particles are held to the path in the components ``along``.
    """

    def parents(
        key: PRNGKey, log_weight: Float[Array, " N"], family: Family, ahead: Ahead, t: Step
    ) -> Int[Array, " N"]:
        from blackjax.smc import resampling

        own_key, others_key = jax.random.split(key)

        def log_reach(ahead: Ahead) -> Scalar:
            return jnp.sum(log_prob_of_each(family, ahead.p, path[t - 1])) - ahead.log_twist

        reach = jnp.where(is_held, jax.vmap(log_reach)(ahead), 0.0)
        own = jax.random.categorical(own_key, log_weight + reach)
        weight = jax.nn.softmax(log_weight)
        others = resampling.multinomial(others_key, weight, len(log_weight) - 1)
        return jnp.concatenate([own[None], others])

    def place(slot: Slot, x: Array, t: Step) -> Array:
        own = slot == 0 if along is None else (slot == 0) | along
        return jnp.where(own & is_held, path[t], x)

    return Lineage(parents, place, along)


class Chain(NamedTuple):
    """What the sweeps leave: x_0 of each path, and log Ẑ of each sweep's particles, nats.

    Where a path has the posterior's law, E 1/Ẑ of the next sweep is 1/Z.
    """

    x0: Float[Array, "sweeps *event"]
    log_evidence: Float[Array, " sweeps"]


def chain(
    process: Process,
    observation: Observation,
    key: PRNGKey,
    particles: int,
    sweeps: int,
    *,
    apart: bool = False,
) -> Chain:
    """``sweeps`` sweeps, after a first one in which no path is held; ``apart`` as ``filtered``.

    Known components have a path of their own where ``one_path`` is open: every other sweep leaves
    it as it is, and moves only the others.
    """
    own_path = one_path(process, observation)

    def sweep(path: Path, number: Array) -> tuple[Path, Chain]:
        run_key, end_key = jax.random.split(jax.random.fold_in(key, number))
        alternate = observation.observed(process.event_shape) & (number % 2 == 0)
        lineage = held(path, number > 0, alternate if own_path else None)
        found = filtered(
            process, observation, run_key, particles, lineage=lineage, trace=True, apart=apart
        )
        assert found.parents is not None
        end = jax.random.categorical(end_key, found.log_weight)
        slots = line(found.parents, end)
        path = replayed(process, observation, run_key, slots, lineage)
        return path, Chain(path[0], found.log_evidence)

    none = jnp.zeros((process.schedule.steps + 1, *process.event_shape))
    found = jax.lax.scan(sweep, none, jnp.arange(sweeps + 1))[1]
    return Chain(*(of_all[1:] for of_all in found))
