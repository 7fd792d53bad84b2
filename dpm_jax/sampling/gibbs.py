"""Particle Gibbs: conditional sequential Monte Carlo with ancestor sampling (Lindsten et al. 2014).

A sweep runs the particles again, one of them held to the whole path x_{0..T} of the sweep before,
and draws the next path by their weights. It leaves p(x_{0..T}) r(x_0) / Z as it is for *any* number
of particles from two: more only make its draws depend less on each other.

While resampling, the held path chooses its own ancestor among all particles, in proportion to
w p(x_{t-1} | x_t) / ψ_t(x_t): else all paths would be the held one at high t.

A path takes T·event, and a sweep T·N whole numbers besides: the chosen line is made again
from its particles' numbers (``particles.replayed``), not stored with all others.
"""

import jax
import jax.numpy as jnp

from dpm_jax.array_types import Array, Float, Int, PRNGKey, Scalar, Step
from dpm_jax.kernels.base import Family, log_prob_of_each
from dpm_jax.process import Process
from dpm_jax.sampling.knowledge import Observation
from dpm_jax.sampling.particles import FREE, Ahead, Lineage, Slot, filtered, line, replayed

Path = Float[Array, "T+1 *event"]
"""x_0..x_T."""


def held(path: Path) -> Lineage:
    """Particle 0 is the path; multinomial for all others, which the proof asks for."""

    def parents(
        key: PRNGKey, log_weight: Float[Array, " N"], family: Family, ahead: Ahead, t: Step
    ) -> Int[Array, " N"]:
        from blackjax.smc import resampling

        own_key, others_key = jax.random.split(key)

        def log_reach(ahead: Ahead) -> Scalar:
            return jnp.sum(log_prob_of_each(family, ahead.p, path[t - 1])) - ahead.log_twist

        own = jax.random.categorical(own_key, log_weight + jax.vmap(log_reach)(ahead))
        weight = jax.nn.softmax(log_weight)
        others = resampling.multinomial(others_key, weight, len(log_weight) - 1)
        return jnp.concatenate([own[None], others])

    def place(slot: Slot, x: Array, t: Step) -> Array:
        return jnp.where(slot == 0, path[t], x)

    return Lineage(parents, place)


def start(process: Process, observation: Observation, key: PRNGKey, particles: int) -> Path:
    """A first path, by particles of which none is held."""
    path, _ = _swept(process, observation, key, particles, FREE)
    return path


def sweep(
    process: Process, observation: Observation, key: PRNGKey, particles: int, path: Path
) -> tuple[Path, Scalar]:
    """The next path, and log Ẑ of its particles, nats.

    Where the path has the posterior's law, E 1/Ẑ is 1/Z.
    """
    return _swept(process, observation, key, particles, held(path))


def _swept(
    process: Process, observation: Observation, key: PRNGKey, particles: int, lineage: Lineage
) -> tuple[Path, Scalar]:
    run_key, end_key = jax.random.split(key)
    found = filtered(process, observation, run_key, particles, lineage=lineage, trace=True)
    assert found.parents is not None
    end = jax.random.categorical(end_key, found.log_weight)
    slots = line(found.parents, end)
    return replayed(process, observation, run_key, slots, lineage), found.log_evidence
