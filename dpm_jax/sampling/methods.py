"""The ways to a posterior, each as one compiled program over independent runs.

A run's random numbers follow from its own number alone, so that the draws are the same on any
number of devices.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.devices import fold_in_each, in_chunks
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.process import Process
from dpm_jax.reverse import direct, paper
from dpm_jax.sampling import enter, gibbs, trajectory
from dpm_jax.sampling.draw import CHUNK
from dpm_jax.sampling.knowledge import Known, Observation, Product
from dpm_jax.sampling.particles import Filtered, filtered
from dpm_jax.sampling.perturb import Perturbation
from dpm_jax.sampling.posterior import Posterior

BURN = 4
"""One in so many sweeps of ``gibbs`` leads from the first path to the posterior, and is dropped."""


class Effort(NamedTuple):
    """How much of it, and how it is shown."""

    particles: int
    runs: int
    sweeps: int
    chunk: int
    progress: bool


def posterior(
    process: Process,
    observation: Observation,
    key: PRNGKey,
    *,
    particles: int = 128,
    runs: int = 8,
    sweeps: int = 64,
    method: str = "auto",
    chunk: int = CHUNK,
    progress: bool = False,
) -> Posterior:
    """Draws of x_0 given what was observed, their weights, and the evidence log p(observed).

    ``loaded.units.to_data`` takes the draws to data units. Methods:

    - "enter": from noisy data straight into the chain (``sampling.enter``); no weights. The
      evidence is the mean weight of forward paths from there.
    - "smc": twisted sequential Monte Carlo (``sampling.particles``), right for many particles.
    - "gibbs": particle Gibbs (``sampling.gibbs``), right for any number of particles after many
      sweeps; its evidence is from 1/Ẑ.
    - "weights": importance weights of multiplied trajectories, never drawn anew.
    - "replace": known components held on a forward path of their own, as images are inpainted in
      the paper, without weights: an approximation, biased however many draws there are.
    - "auto": "enter" where the observation can be entered, and "smc" elsewhere.

    Args:
        process: p.
        observation: r, of ``sampling.observation``, in the process's units.
        key: of all random numbers.
        particles: N of a run.
        runs: independent repetitions: ``particles`` · ``runs`` draws, and the standard errors.
        sweeps: of "gibbs" alone: a draw each, of ``runs`` chains; one quarter is dropped.
        method: one of the above.
        chunk: trajectories at once.
        progress: whether to show a bar.

    Raises:
        ValueError: if a number is too small, the observation is not of this process or has not
            this method, or no particle is left.
    """
    if particles < 2:
        raise ValueError(f"particles must be at least 2, got {particles}")
    if runs < 1:
        raise ValueError(f"runs must be at least 1, got {runs}")
    if sweeps < 1:
        raise ValueError(f"sweeps must be at least 1, got {sweeps}")
    observation.check(process)
    if method == "auto":
        method = "smc" if why_not_entered(process, observation) else "enter"
    if method not in METHODS:
        raise ValueError(f"method must be auto, {', '.join(METHODS)}, got {method}")
    effort = Effort(particles, runs, sweeps, chunk, progress)
    found = METHODS[method](process, observation, key, effort)
    if not found.log_weight.max() > -np.inf:
        raise ValueError(
            "no particle is left: what was observed is impossible under the process, or nearly so; "
            "check the observation, or take more particles"
        )
    lost = ~np.isfinite(found.x).reshape(len(found.x), -1).all(1)
    if lost.any():
        raise ValueError(f"{lost.sum()} of {len(found.x)} draws are not finite")
    return found


def why_not_entered(process: Process, observation: Observation) -> str | None:
    """What keeps an observation from being a state of the chain; None where nothing does."""
    if getattr(process.step, "form", None) in (paper, direct):
        return "the reverse step is of a form without a belief about x_0"
    if not (isinstance(observation, Product) and isinstance(observation.r, Normal)):
        return "only what noisy makes can be a state of the chain"
    variance = np.asarray(observation.r.variance)
    if not np.asarray(observation.seen).all() or variance.min() != variance.max():
        return "all components must be seen under the same noise"
    try:
        enter.until(process, _std(observation))
    except ValueError as error:
        return str(error)
    return None


def _std(observation: Product) -> float:
    return float(np.sqrt(np.asarray(observation.r.variance, np.float64).flat[0]))


def _over_runs(function: Callable[..., Any], effort: Effort, label: str) -> Any:
    """What ``function(numbers)`` finds for all runs."""
    parts = in_chunks(
        function,
        np.arange(effort.runs),
        chunk=max(1, effort.chunk // effort.particles),
        label=label,
        progress=effort.progress,
    )
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _smc(process: Process, observation: Observation, key: PRNGKey, effort: Effort) -> Posterior:
    run = partial(_filtered, process, observation, key, count=effort.particles)
    found = _over_runs(run, effort, "smc")
    x = found.x.reshape(-1, *process.event_shape)
    ess = found.effective.sum(0, dtype=np.float64)
    return Posterior(x, found.log_weight.ravel(), effort.runs, ess, "smc")


def _gibbs(process: Process, observation: Observation, key: PRNGKey, effort: Effort) -> Posterior:
    sizes = {"count": effort.particles, "sweeps": effort.sweeps}
    run = partial(_chains, process, observation, key, **sizes)
    x, log_z = _over_runs(run, effort, "gibbs")
    x, log_z = (a[:, effort.sweeps // BURN :] for a in (x, log_z))
    # E 1/Ẑ = 1/Z, by chains as by runs.
    flat = np.zeros(log_z.size, np.float32)
    inverse = Posterior(flat[:, None], -log_z.ravel(), effort.runs)
    log_inverse, error = inverse.log_evidence
    ess = np.full(process.schedule.steps + 1, np.float64(log_z.size))
    draws = x.reshape(-1, *process.event_shape)
    return Posterior(draws, flat, effort.runs, ess, "gibbs", (-log_inverse, error))


def _weights(process: Process, observation: Observation, key: PRNGKey, effort: Effort) -> Posterior:
    return Posterior(*_over_draws(partial(_multiplied, process, observation, key), effort, "weights"))


def _replace(process: Process, observation: Observation, key: PRNGKey, effort: Effort) -> Posterior:
    if not isinstance(observation, Known):
        raise ValueError("method replace needs known components, got another observation")
    run = partial(_multiplied, process, observation, key)
    x, log_weight = _over_draws(run, effort, "replace")
    nothing = float("nan"), float("nan")
    return Posterior(x, np.zeros_like(log_weight), method="replace", evidence=nothing)


def _enter(process: Process, observation: Observation, key: PRNGKey, effort: Effort) -> Posterior:
    reason = why_not_entered(process, observation)
    if reason:
        raise ValueError(f"method enter is not open to this observation: {reason}")
    assert isinstance(observation, Product)
    y, std = jnp.asarray(observation.r.mean), _std(observation)
    draw_key, weigh_key = jax.random.split(key)
    run = partial(_entered, enter.until(process, std), y, draw_key)
    x, log_weight = _over_draws(run, effort, "enter")
    weigh = partial(_paths, process, enter.rest(process, std), y, weigh_key)
    paths = Posterior(x, _over_draws(weigh, effort, "evidence"))
    return Posterior(x, log_weight, method="enter", evidence=paths.log_evidence)


METHODS = {"enter": _enter, "smc": _smc, "gibbs": _gibbs, "weights": _weights, "replace": _replace}
"""The methods by their names."""


def _over_draws(function: Callable[..., Any], effort: Effort, label: str) -> Any:
    """What ``function(numbers)`` finds for every draw by itself."""
    total = effort.particles * effort.runs
    parts = in_chunks(
        function, np.arange(total), chunk=effort.chunk, label=label, progress=effort.progress
    )
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@partial(jax.jit, static_argnames="count")
def _filtered(
    process: Process, observation: Observation, key: PRNGKey, numbers: Array, *, count: int
) -> Filtered:
    def run(key: PRNGKey) -> Filtered:
        return filtered(process, observation, key, count)

    return jax.vmap(run)(fold_in_each(key, numbers))


@partial(jax.jit, static_argnames=("count", "sweeps"))
def _chains(
    process: Process,
    observation: Observation,
    key: PRNGKey,
    numbers: Array,
    *,
    count: int,
    sweeps: int,
) -> tuple[Array, Array]:
    def chain(key: PRNGKey) -> tuple[Array, Array]:
        def sweep(path: Array, number: Array) -> tuple[Array, tuple[Array, Array]]:
            sweep_key = jax.random.fold_in(key, number)
            path, log_z = gibbs.sweep(process, observation, sweep_key, count, path)
            return path, (path[0], log_z)

        first = gibbs.start(process, observation, jax.random.fold_in(key, 0), count)
        return jax.lax.scan(sweep, first, jnp.arange(1, sweeps + 1))[1]

    return jax.vmap(chain)(fold_in_each(key, numbers))


@jax.jit
def _multiplied(
    process: Process, observation: Observation, key: PRNGKey, numbers: Array
) -> tuple[Array, Array]:
    return _walked(process, observation.perturbation(process), key, numbers)


@jax.jit
def _entered(process: Process, y: Array, key: PRNGKey, numbers: Array) -> tuple[Array, Array]:
    return _walked(process, enter.from_noisy(process, y), key, numbers)


def _walked(
    process: Process, perturbation: Perturbation, key: PRNGKey, numbers: Array
) -> tuple[Array, Array]:
    def one(key: PRNGKey) -> tuple[Array, Array]:
        end, _, log_weight = trajectory.sample(process, key, perturbation=perturbation)
        return end, log_weight

    return jax.vmap(one)(fold_in_each(key, numbers))


@jax.jit
def _paths(process: Process, rest: enter.Rest, y: Array, key: PRNGKey, numbers: Array) -> Array:
    weigh = partial(enter.path_log_weight, process, rest, y)
    return jax.vmap(weigh)(fold_in_each(key, numbers))
