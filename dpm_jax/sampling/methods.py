"""The ways to a posterior; ``sampling.posterior`` is the door to them.

A way is a pure function of one run's key, and one compiled program makes all runs. A run's random
numbers follow from its own number alone, so that draws are the same on any number of devices.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Float, PRNGKey
from dpm_jax.devices import fold_in_each
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.process import Process
from dpm_jax.reverse import direct, paper
from dpm_jax.sampling import enter, gibbs, trajectory
from dpm_jax.sampling.estimates import Posterior
from dpm_jax.sampling.knowledge import Known, Product, one_path
from dpm_jax.sampling.particles import FREE, Lineage, along, filtered
from dpm_jax.sampling.perturb import Perturbation
from dpm_jax.sampling.protocol import Observation

BURN = 4
"""One in so many sweeps of ``gibbs`` leads from the first path to the posterior, and is dropped."""

LEAST_LOG = np.float32(-1e30)
"""In place of log 0."""


class Run(NamedTuple):
    """What one run leaves.

    Attributes:
        x: draws [n, *event].
        log_weight: of each, nats; or log Ẑ of each sweep.
        effective: effective size at t = 0..T [T+1]; empty where it is not followed.
    """

    x: Float[Array, "n *event"]
    log_weight: Float[Array, " n"]
    effective: Float[Array, " kept"]


class Found(NamedTuple):
    """The same of all runs, [r, ...] each, NumPy."""

    x: np.ndarray
    log_weight: np.ndarray
    effective: np.ndarray


class Method(NamedTuple):
    """A way to a posterior.

    Attributes:
        prepare: ``prepare(process, observation)`` is the process that is run; refuses, by a
            ValueError, what this way does not lead to.
        run: ``run(process, observation, key, particles, sweeps)`` is one run, traceable.
        told: ``told(process, observation, key, found)`` makes all runs a ``Posterior``.
    """

    prepare: Callable[[Process, Observation], Process]
    run: Callable[[Process, Observation, PRNGKey, int, int], Run]
    told: Callable[[Process, Observation, PRNGKey, Found], Posterior]


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


@partial(jax.jit, static_argnames=("run", "particles", "sweeps"))
def runs_of(
    process: Process,
    observation: Observation,
    key: PRNGKey,
    numbers: Array,
    *,
    run: Callable[..., Run],
    particles: int,
    sweeps: int,
) -> Run:
    """The runs of these numbers [r], all fields with r in front."""
    return jax.vmap(lambda key: run(process, observation, key, particles, sweeps))(
        fold_in_each(key, numbers)
    )


def _as_it_is(process: Process, observation: Observation) -> Process:
    return process


def _of_runs(
    name: str, process: Process, observation: Observation, key: PRNGKey, found: Found
) -> Posterior:
    x = found.x.reshape(-1, *process.event_shape)
    ess = found.effective.sum(0, dtype=np.float64)
    return Posterior(x, found.log_weight.ravel(), len(found.x), ess, name)


def _smc(
    lineage: Callable[[Process, Observation], Lineage],
    *given: Any,
) -> Run:
    process, observation, key, particles, _ = given
    found = filtered(process, observation, key, particles, lineage=lineage(process, observation))
    return Run(found.x, found.log_weight, found.effective)


def _one_path(process: Process, observation: Observation) -> Process:
    if not one_path(process, observation):
        raise ValueError(
            "method path is for components that are known, where the last step is not fixed"
        )
    return process


def _of_paths(process: Process, observation: Observation, key: PRNGKey, found: Found) -> Posterior:
    told = _of_runs("path", process, observation, key, found)
    # Where the steps are those of q, what is known does not depend on its path: all count the same.
    total = np.logaddexp.reduce(found.log_weight, axis=1, keepdims=True)
    log_weight = found.log_weight - np.maximum(total, LEAST_LOG)
    return told._replace(log_weight=log_weight.ravel(), evidence=told.log_evidence)


def _gibbs(
    process: Process, observation: Observation, key: PRNGKey, particles: int, sweeps: int
) -> Run:
    x, log_z = gibbs.chain(process, observation, key, particles, sweeps)
    burnt = sweeps // BURN
    return Run(x[burnt:], log_z[burnt:], jnp.zeros(0))


def _of_chains(process: Process, observation: Observation, key: PRNGKey, found: Found) -> Posterior:
    x, chains = found.x.reshape(-1, *process.event_shape), len(found.x)
    # E 1/Ẑ = 1/Z; and chains are independent, as runs are.
    log_z = np.maximum(found.log_weight.ravel(), LEAST_LOG)
    inverse, error = Posterior(x, -log_z, chains).log_evidence
    # A sweep without any particle left leaves no draw.
    log_weight = np.where(log_z > LEAST_LOG, 0.0, -np.inf)
    return Posterior(x, log_weight, chains, None, "gibbs", (-inverse, error))


def _multiplied(
    process: Process, observation: Observation, key: PRNGKey, particles: int, sweeps: int
) -> Run:
    return _walked(process, observation.perturbation(process), key, particles)


def _walked(process: Process, perturbation: Perturbation, key: PRNGKey, particles: int) -> Run:
    def one(key: PRNGKey) -> tuple[Array, Array]:
        end, _, log_weight = trajectory.sample(process, key, perturbation=perturbation)
        return end, log_weight

    x, log_weight = jax.vmap(one)(fold_in_each(key, jnp.arange(particles)))
    return Run(x, log_weight, jnp.zeros(0))


def _of_draws(process: Process, observation: Observation, key: PRNGKey, found: Found) -> Posterior:
    return Posterior(found.x.reshape(-1, *process.event_shape), found.log_weight.ravel())


def _only_known(process: Process, observation: Observation) -> Process:
    if not isinstance(observation, Known):
        raise ValueError("method replace is for components that are known, got other observations")
    return process


def _replaced(
    process: Process, observation: Observation, key: PRNGKey, particles: int, sweeps: int
) -> Run:
    found = _multiplied(process, observation, key, particles, sweeps)
    return found._replace(log_weight=jnp.zeros(particles))


def _approximate(
    process: Process, observation: Observation, key: PRNGKey, found: Found
) -> Posterior:
    nothing = float("nan"), float("nan")
    draws = _of_draws(process, observation, key, found)
    return draws._replace(method="replace", evidence=nothing)


def _until(process: Process, observation: Observation) -> Process:
    reason = why_not_entered(process, observation)
    if reason:
        raise ValueError(f"method enter is not open to this observation: {reason}")
    assert isinstance(observation, Product)
    return enter.until(process, _std(observation))


def _entered(
    process: Process, observation: Observation, key: PRNGKey, particles: int, sweeps: int
) -> Run:
    assert isinstance(observation, Product)
    y = jnp.asarray(observation.r.mean)
    return _walked(process, enter.from_noisy(process, y), key, particles)


def _of_entered(
    process: Process, observation: Observation, key: PRNGKey, found: Found
) -> Posterior:
    assert isinstance(observation, Product)
    draws = _of_draws(process, observation, key, found)
    rest = enter.rest(process, _std(observation))
    log_weight = np.asarray(_paths(process, rest, observation.r.mean, key, count=len(draws.x)))
    evidence = draws._replace(log_weight=log_weight).log_evidence
    return draws._replace(method="enter", evidence=evidence)


@partial(jax.jit, static_argnames="count")
def _paths(
    process: Process, rest: enter.Rest, y: Array, key: PRNGKey, *, count: int
) -> Float[Array, " count"]:
    weigh = partial(enter.path_log_weight, process, rest, y)
    return jax.lax.map(weigh, fold_in_each(key, jnp.arange(count)), batch_size=AT_ONCE)


AT_ONCE = 64
"""Paths from noisy data to π that are weighed at a time."""

METHODS = {
    "enter": Method(_until, _entered, _of_entered),
    "smc": Method(_as_it_is, partial(_smc, lambda *given: FREE), partial(_of_runs, "smc")),
    "gibbs": Method(_as_it_is, _gibbs, _of_chains),
    "path": Method(_one_path, partial(_smc, along), _of_paths),
    "weights": Method(_as_it_is, _multiplied, _of_draws),
    "replace": Method(_only_known, _replaced, _approximate),
}
"""The ways by their names."""
