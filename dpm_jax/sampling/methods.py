"""The ways to a posterior; ``sampling.posterior`` is the door to them.

A way is a pure function of one run's key, and one compiled program makes all runs. A run's random
numbers follow from its own number alone, so that draws are the same on any number of devices.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Float, PRNGKey
from dpm_jax.devices import data_mesh, fold_in_each, in_chunks, split_batch
from dpm_jax.process import Process
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


class Sizes(NamedTuple):
    """How large a run is; static in the compiled program.

    Attributes:
        particles: N.
        sweeps: of "gibbs" alone.
        apart: whether the particles are split over the devices, each run over all of them.
    """

    particles: int
    sweeps: int
    apart: bool = False


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
        run: ``run(process, observation, key, sizes)`` is one run, traceable.
        told: ``told(process, observation, key, found)`` makes all runs a ``Posterior``.
    """

    prepare: Callable[[Process, Observation], Process]
    run: Callable[[Process, Observation, PRNGKey, Sizes], Run]
    told: Callable[[Process, Observation, PRNGKey, Found], Posterior]


@partial(jax.jit, static_argnames=("run", "sizes"))
def runs_of(
    process: Process,
    observation: Observation,
    key: PRNGKey,
    numbers: Array,
    *,
    run: Callable[..., Run],
    sizes: Sizes,
) -> Run:
    """The runs of these numbers [r], all fields with r in front."""
    one = partial(run, process, observation, sizes=sizes)
    return jax.vmap(one)(fold_in_each(key, numbers))


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
    process: Process,
    observation: Observation,
    key: PRNGKey,
    sizes: Sizes,
) -> Run:
    of_path = lineage(process, observation)
    found = filtered(process, observation, key, sizes.particles, lineage=of_path, apart=sizes.apart)
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


def _gibbs(process: Process, observation: Observation, key: PRNGKey, sizes: Sizes) -> Run:
    particles, sweeps, apart = sizes
    x, log_z = gibbs.chain(process, observation, key, particles, sweeps, apart=apart)
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


def _multiplied(process: Process, observation: Observation, key: PRNGKey, sizes: Sizes) -> Run:
    return _walked(process, observation.perturbation(process), key, sizes)


def _walked(process: Process, perturbation: Perturbation, key: PRNGKey, sizes: Sizes) -> Run:
    def one(key: PRNGKey) -> tuple[Array, Array]:
        end, _, log_weight = trajectory.sample(process, key, perturbation=perturbation)
        return end, log_weight

    numbers = jnp.arange(sizes.particles)
    if sizes.apart:
        numbers = split_batch(data_mesh())(numbers)
    x, log_weight = jax.vmap(one)(fold_in_each(key, numbers))
    return Run(x, log_weight, jnp.zeros(0))


def _of_draws(process: Process, observation: Observation, key: PRNGKey, found: Found) -> Posterior:
    return Posterior(found.x.reshape(-1, *process.event_shape), found.log_weight.ravel())


def _only_known(process: Process, observation: Observation) -> Process:
    if not isinstance(observation, Known):
        raise ValueError("method replace is for components that are known, got other observations")
    return process


def _replaced(process: Process, observation: Observation, key: PRNGKey, sizes: Sizes) -> Run:
    found = _multiplied(process, observation, key, sizes)
    return found._replace(log_weight=jnp.zeros(sizes.particles))


def _approximate(
    process: Process, observation: Observation, key: PRNGKey, found: Found
) -> Posterior:
    nothing = float("nan"), float("nan")
    draws = _of_draws(process, observation, key, found)
    return draws._replace(method="replace", evidence=nothing)


def _until(process: Process, observation: Observation) -> Process:
    reason = enter.why_not(process, observation)
    if reason:
        raise ValueError(f"method enter is not open to this observation: {reason}")
    assert isinstance(observation, Product)
    return enter.until(process, enter.std_of(observation))


def _entered(process: Process, observation: Observation, key: PRNGKey, sizes: Sizes) -> Run:
    assert isinstance(observation, Product)
    y = jnp.asarray(observation.r.mean)
    return _walked(process, enter.from_noisy(process, y), key, sizes)


def _of_entered(
    process: Process, observation: Observation, key: PRNGKey, found: Found
) -> Posterior:
    assert isinstance(observation, Product)
    draws = _of_draws(process, observation, key, found)
    rest = enter.rest(process, enter.std_of(observation))
    parts = in_chunks(
        partial(_path_log_weights, process, rest, jnp.asarray(observation.r.mean), key),
        np.arange(len(draws.x)),
        chunk=AT_ONCE * data_mesh().size,
        label="evidence",
        progress=False,
    )
    evidence = draws._replace(log_weight=np.concatenate(list(parts))).log_evidence
    return draws._replace(method="enter", evidence=evidence)


@jax.jit
def _path_log_weights(
    process: Process, rest: enter.Rest, y: Array, key: PRNGKey, numbers: Array
) -> Float[Array, " paths"]:
    weigh = partial(enter.path_log_weight, process, rest, y)
    return jax.vmap(weigh)(fold_in_each(key, numbers))


AT_ONCE = 64
"""Paths from noisy data to π that a device weighs at a time."""

METHODS = {
    "enter": Method(_until, _entered, _of_entered),
    "smc": Method(_as_it_is, partial(_smc, lambda *given: FREE), partial(_of_runs, "smc")),
    "gibbs": Method(_as_it_is, _gibbs, _of_chains),
    "path": Method(_one_path, partial(_smc, along), _of_paths),
    "weights": Method(_as_it_is, _multiplied, _of_draws),
    "replace": Method(_only_known, _replaced, _approximate),
}
"""The ways by their names."""
