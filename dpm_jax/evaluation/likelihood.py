"""Bounds on held-out data, with standard errors, in bounded memory.

Works on any process: a trained model's, or an exact one of ``dpm_jax.limits``.
"""

import math
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import numpy as np
from tqdm.auto import tqdm

from dpm_jax import bound
from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.process import Process
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.training.sharding import data_mesh, split_batch

BOUNDARY = ("prior_kl", "last_step", "entropy_first", "entropy_last", "entropy_prior")

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
        step_kl: mean KL of steps t = 2..T [T-1]; with drawn steps, of their sum [1].
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
    times: int = 0,
    chunk: int = 1000,
    progress: bool = True,
) -> Likelihood:
    """The bound of every example [n, *event], all steps summed, one noise draw each.

    With ``times`` > 0, that many stratified steps are drawn for each example instead.
    """

    def of_chunk(params: Any, x0: Array, keys: Array) -> dict[str, Array]:
        bound_to = process(params)
        if times:
            terms = jax.vmap(lambda x, k: bound.stratified_steps(bound_to, x, k, times))(x0, keys)
        else:
            shape = (bound_to.schedule.steps, *x0.shape[1:])
            noise = jax.vmap(lambda k: bound_to.kernel.noise(k, shape), out_axes=1)(keys)
            terms = bound.all_steps_of_batch(bound_to, x0, noise)
        return terms._asdict() | {"K": terms.K, "K_eq14": terms.K_eq14}

    names = ("K", "K_eq14", "null", *BOUNDARY)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    step_kl = np.zeros(())
    for values in _by_chunks(of_chunk, params, examples, key, chunk, progress, "held-out K"):
        # Summed at once: [n, T-1] of a long diffusion would not fit.
        step_kl = step_kl + values.pop("step_kl").sum(0, dtype=np.float64)
        for name in names:
            columns[name].append(values[name])
    bits = {name: np.concatenate(columns[name]).astype(np.float64) / NATS_PER_BIT for name in names}
    return Likelihood(
        K=bits["K"],
        K_eq14=bits["K_eq14"],
        null=bits["null"],
        step_kl=step_kl / len(examples) / NATS_PER_BIT,
        terms={name: float(bits[name].mean()) for name in BOUNDARY},
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

    parts = _by_chunks(of_chunk, params, examples, key, chunk, progress, "weighted paths")
    return np.concatenate(list(parts)).astype(np.float64) / NATS_PER_BIT


def _by_chunks(
    function: Callable[[Any, Array, Array], Any],
    params: Any,
    examples: np.ndarray,
    key: PRNGKey,
    chunk: int,
    progress: bool,
    label: str,
) -> Iterator[Any]:
    """``function(params, x0 [chunk], keys [chunk])`` over all examples, chunk by chunk, NumPy.

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

    for start in tqdm(range(0, count, chunk), desc=label, disable=not progress, leave=False):
        index = np.arange(start, start + chunk)
        values = jax.device_get(compiled(params, examples[index % count], index))
        yield jax.tree.map(itemgetter(slice(count - start)), values)
