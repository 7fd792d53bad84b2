"""Bounds on held-out data, with standard errors, in bounded memory.

Works on any process: a trained model's, or an exact one of ``dpm_jax.limits``.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

from dpm_jax import bound
from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.process import Process
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.training.sharding import data_mesh, split_batch

MakeProcess = Callable[[Any], Process]
"""Parameters to process: ``partial(bind, model)``, for one."""


class Estimate(NamedTuple):
    """A mean over examples and its standard error."""

    mean: float
    se: float


class Likelihood(NamedTuple):
    """The bound on held-out data, in bits.

    Attributes:
        K: the true bound, per example [n].
        K_eq14: eq. 14's value, per example [n].
        null: log π(x_0), per example [n].
        step_kl: mean KL of steps t = 2..T [T-1].
        terms: means of the boundary terms, by name.
    """

    K: np.ndarray
    K_eq14: np.ndarray
    null: np.ndarray
    step_kl: np.ndarray
    terms: dict[str, float]


def estimate(values: np.ndarray) -> Estimate:
    """Mean and standard error of independent values [n]."""
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(len(values))))


def evaluate(
    process: MakeProcess,
    params: Any,
    examples: np.ndarray,
    key: PRNGKey,
    *,
    chunk: int = 1000,
    progress: bool = True,
) -> Likelihood:
    """The bound of every example [n, *event], all steps summed, one noise draw each."""

    def of_one(x0: Array, key: PRNGKey, params: Any) -> bound.Bound:
        bound_to = process(params)
        noise = bound_to.kernel.noise(key, (bound_to.schedule.steps, *x0.shape))
        return bound.all_steps(bound_to, x0, noise)

    def of_chunk(params: Any, x0: Array, keys: Array) -> tuple[bound.Bound, Array, Array]:
        terms = jax.vmap(lambda x, k: of_one(x, k, params))(x0, keys)
        return terms, terms.K, terms.K_eq14

    terms, K, K_eq14 = _by_chunks(of_chunk, params, examples, key, chunk, progress, "held-out K")
    bits = jax.tree.map(lambda a: np.asarray(a, np.float64) / NATS_PER_BIT, terms)
    boundary = {
        name: float(getattr(bits, name).mean())
        for name in ("prior_kl", "last_step", "entropy_first", "entropy_last", "entropy_prior")
    }
    return Likelihood(
        K=K / NATS_PER_BIT,
        K_eq14=K_eq14 / NATS_PER_BIT,
        null=bits.null,
        step_kl=bits.step_kl.mean(0),
        terms=boundary,
    )


def importance_weighted(
    process: MakeProcess,
    params: Any,
    examples: np.ndarray,
    key: PRNGKey,
    *,
    paths: int,
    chunk: int = 100,
    progress: bool = True,
) -> np.ndarray:
    """The bound with ``paths`` weighted paths (eq. 9) of every example, bits [n]."""

    def of_chunk(params: Any, x0: Array, keys: Array) -> Array:
        bound_to = process(params)
        return jax.vmap(lambda x, k: bound.importance_weighted(bound_to, x, k, paths))(x0, keys)

    nats: np.ndarray = _by_chunks(
        of_chunk, params, examples, key, chunk, progress, "weighted paths"
    )
    return nats / NATS_PER_BIT


def _by_chunks(
    function: Callable[[Any, Array, Array], Any],
    params: Any,
    examples: np.ndarray,
    key: PRNGKey,
    chunk: int,
    progress: bool,
    label: str,
) -> Any:
    """``function(params, x0 [chunk], keys [chunk])`` over all examples; results joined, NumPy.

    One trace: the last chunk is filled up by repeating examples, which are cut off again.
    Example i has the key ``fold_in(key, i)``, whatever the chunk.
    """
    mesh = data_mesh()
    count = len(examples)
    chunk = mesh.size * math.ceil(min(chunk, count) / mesh.size)
    split = split_batch(mesh)

    @jax.jit
    def compiled(params: Any, x0: Array, index: Array) -> Any:
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(index)
        return function(params, split(x0), split(keys))

    parts = []
    for start in tqdm(range(0, count, chunk), desc=label, disable=not progress, leave=False):
        index = np.arange(start, start + chunk) % count
        parts.append(jax.device_get(compiled(params, examples[index], index)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)
