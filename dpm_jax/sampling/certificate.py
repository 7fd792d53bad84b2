"""Proof that posteriors are right, where no exact answer is at hand.

Both certificates start from data of the process itself: x_{0..T} ~ p and an observation of x_0. The
path is then an exact draw from p(x_{0..T} | observation), which nobody else can supply.

- ``sandwich`` (bidirectional Monte Carlo, Grosse et al. 2015): log Ẑ of free particles lies below
  log Z in the mean; that of particles held to the path lies above, since E 1/Ẑ = 1/Z. What is
  between them bounds the error of both.
- ``ranks`` (simulation-based calibration, Talts et al. 2018): the rank of a statistic of x_0 among
  draws from the posterior is uniform where these are right.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import gammaincc

from dpm_jax.array_types import Array, Event, Float, Int, PRNGKey, Scalar, Step
from dpm_jax.devices import fold_in_each, in_chunks
from dpm_jax.process import Process
from dpm_jax.sampling import gibbs
from dpm_jax.sampling.draw import CHUNK
from dpm_jax.sampling.methods import METHODS, Run, Sizes
from dpm_jax.sampling.particles import filtered
from dpm_jax.sampling.protocol import Observation
from dpm_jax.schedule import at

Observe = Callable[[np.ndarray, np.random.Generator], Observation]
"""``observe(x0, rng)`` observes an x_0 as its r says; all of one kind and shape."""


class Sandwich(NamedTuple):
    """Log Ẑ, nats, of every simulated observation."""

    below: np.ndarray  # [simulations]
    above: np.ndarray

    @property
    def gap(self) -> tuple[float, float]:
        """Mean of above - below, and its standard error over simulations."""
        gap = (self.above - self.below).astype(np.float64)
        return float(gap.mean()), float(gap.std(ddof=1) / np.sqrt(len(gap)))


class Ranks(NamedTuple):
    """How often a simulated x_0 had each rank among the draws, 0..draws."""

    counts: np.ndarray  # [draws + 1]

    @property
    def chi2(self) -> float:
        """Σ (count - expected)²/expected."""
        expected = self.counts.mean()
        return float(((self.counts - expected) ** 2 / expected).sum())

    @property
    def p_value(self) -> float:
        """How often χ² is that large where all ranks are equally likely."""
        return float(gammaincc((len(self.counts) - 1) / 2, self.chi2 / 2))


def sandwich(
    process: Process,
    observe: Observe,
    key: PRNGKey,
    *,
    simulations: int = 64,
    particles: int = 128,
    chunk: int = CHUNK,
    progress: bool = False,
) -> Sandwich:
    """The evidence of simulated observations from below and from above.

    Raises:
        ValueError: if ``simulations`` or ``particles`` is below 2.
    """
    _check(simulations=simulations, particles=particles)
    paths, observed = _simulations(process, observe, key, simulations)
    return Sandwich(
        *_over_simulations(
            partial(_bounds, process, jax.random.fold_in(key, 2), particles=particles),
            (paths, observed),
            chunk // particles,
            "sandwich",
            progress,
        )
    )


def ranks(
    process: Process,
    observe: Observe,
    statistic: Callable[[Event], Scalar],
    key: PRNGKey,
    *,
    method: str = "smc",
    simulations: int = 200,
    draws: int = 9,
    particles: int = 32,
    sweeps: int = 16,
    chunk: int = CHUNK,
    progress: bool = False,
) -> Ranks:
    """Ranks of ``statistic(x_0)`` among the same of draws from the posterior.

    Every draw is of a run of its own: those of one run share forebears, and are too much alike.
    Equal values are ordered by chance. All observations of "enter" must be of the same noise.

    Raises:
        ValueError: if a number is below 2, or the method is unknown or not open to an observation.
    """
    _check(simulations=simulations, draws=draws, particles=particles)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method}")
    paths, observed = _simulations(process, observe, key, simulations)
    way, first = METHODS[method], jax.tree.map(lambda leaf: leaf[0], observed)
    ranked = partial(
        _ranked,
        way.prepare(process, first),
        jax.random.fold_in(key, 2),
        statistic=statistic,
        run=way.run,
        draws=draws,
        sizes=Sizes(particles, sweeps),
    )
    given = paths[:, 0], observed
    found = _over_simulations(ranked, given, chunk // (particles * draws), "ranks", progress)
    return Ranks(np.bincount(found, minlength=draws + 1))


def _check(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 2:
            raise ValueError(f"{name} must be at least 2, got {number}")


def _simulations(
    process: Process, observe: Observe, key: PRNGKey, count: int
) -> tuple[np.ndarray, Observation]:
    """Paths x_0..x_T [count, T+1, *event], and an observation of each x_0, one behind the other."""
    path_key, seed_key = jax.random.split(jax.random.fold_in(key, 1))
    parts = in_chunks(
        partial(_paths, process, path_key),
        np.arange(count),
        chunk=CHUNK,
        label="simulations",
        progress=False,
    )
    paths = np.concatenate(list(parts))
    rng = np.random.default_rng(np.asarray(jax.random.key_data(seed_key)))
    observed = [observe(path[0], rng) for path in paths]
    observed[0].check(process)
    return paths, jax.tree.map(lambda *leaves: np.stack(leaves), *observed)


def _over_simulations(
    function: Callable[..., Any], given: Any, chunk: int, label: str, progress: bool
) -> Any:
    """``function(numbers, *leaves, structure=…)`` over all simulations."""
    leaves, structure = jax.tree.flatten(given)
    numbers = np.arange(len(leaves[0]))
    parts = in_chunks(
        partial(function, structure=structure),
        numbers,
        *leaves,
        chunk=max(1, chunk),
        label=label,
        progress=progress,
    )
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@jax.jit
def _paths(process: Process, key: PRNGKey, numbers: Array) -> Float[Array, "n states *event"]:
    kernel, shape = process.kernel, process.event_shape

    def walk(key: PRNGKey) -> Array:
        def noise(t: Step | int) -> Event:
            return kernel.noise(jax.random.fold_in(key, t), shape)

        def back(x: Event, t: Step) -> tuple[Event, Event]:
            p = process.reverse(x, t, at(process.schedule, t))
            before = kernel.transport(p, noise(t - 1))
            return before, before

        xT = kernel.transport(kernel.prior(shape), noise(process.schedule.steps))
        x1, path = jax.lax.scan(back, xT, jnp.arange(process.schedule.steps, 1, -1))
        last = process.last_step
        x0 = last.family(process).transport(last.distribution(process, x1), noise(0))
        return jnp.concatenate([xT[None], path, x0[None]])[::-1]

    return jax.vmap(walk)(fold_in_each(key, numbers))


@partial(jax.jit, static_argnames=("structure", "particles"))
def _bounds(
    process: Process, key: PRNGKey, numbers: Array, *leaves: Array, structure: Any, particles: int
) -> tuple[Array, Array]:
    def both(key: PRNGKey, given: tuple[gibbs.Path, Observation]) -> tuple[Scalar, Scalar]:
        path, observation = given
        below_key, above_key = jax.random.split(key)
        below = filtered(process, observation, below_key, particles)
        held = gibbs.held(path)
        above = filtered(process, observation, above_key, particles, lineage=held)
        return below.log_evidence, above.log_evidence

    return jax.vmap(both)(fold_in_each(key, numbers), jax.tree.unflatten(structure, leaves))


@partial(jax.jit, static_argnames=("structure", "statistic", "run", "draws", "sizes"))
def _ranked(
    process: Process,
    key: PRNGKey,
    numbers: Array,
    *leaves: Array,
    structure: Any,
    statistic: Callable[[Event], Scalar],
    run: Callable[..., Run],
    draws: int,
    sizes: Sizes,
) -> Int[Array, " n"]:
    def rank(key: PRNGKey, given: tuple[Event, Observation]) -> Array:
        x0, observation = given

        def one(key: PRNGKey) -> Scalar:
            run_key, pick_key = jax.random.split(key)
            found = run(process, observation, run_key, sizes=sizes)
            return statistic(found.x[jax.random.categorical(pick_key, found.log_weight)])

        tie_key, draws_key = jax.random.split(key)
        values = jax.vmap(one)(fold_in_each(draws_key, jnp.arange(draws)))
        own = statistic(x0)
        below, same = (values < own).sum(), (values == own).sum()
        return below + jax.random.randint(tie_key, (), 0, same + 1)

    return jax.vmap(rank)(fold_in_each(key, numbers), jax.tree.unflatten(structure, leaves))
