"""Bounds on held-out data, with standard errors, in bounded memory.

Works on any process: a trained model's, or an exact one of ``dpm_jax.laws``. The programs are
compiled once for all processes that differ in numbers only.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from dpm_jax import bound
from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.devices import fold_in_each, in_chunks
from dpm_jax.process import Process
from dpm_jax.scaling import NATS_PER_BIT

BOUNDARY = ("prior_kl", "last_step", "entropy_first", "entropy_last", "entropy_prior")


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
    process: Process,
    examples: np.ndarray,
    key: PRNGKey,
    *,
    times: int = 0,
    chunk: int = 1000,
    progress: bool = True,
) -> Likelihood:
    """The bound of every example [n, *event], all steps summed, one noise draw each.

    With ``times`` > 0, that many stratified steps are drawn for each example instead.

    Raises:
        ValueError: if the kernel cannot diffuse the examples.
    """
    names = ("K", "K_eq14", "null", *BOUNDARY)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in names}
    step_kl = np.zeros(())
    of_chunk = partial(_bounds, process, key, times=times)
    for values in _by_example(of_chunk, process, examples, chunk, "held-out K", progress):
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
    process: Process,
    examples: np.ndarray,
    key: PRNGKey,
    *,
    paths: int,
    chunk: int = 100,
    progress: bool = True,
) -> np.ndarray:
    """The bound with ``paths`` weighted paths (eq. 9) of every example, bits [n].

    Raises:
        ValueError: if the kernel cannot diffuse the examples.
    """
    of_chunk = partial(_weighted, process, key, paths=paths)
    parts = _by_example(of_chunk, process, examples, chunk, "weighted paths", progress)
    return np.concatenate(list(parts)).astype(np.float64) / NATS_PER_BIT


def _by_example(
    of_chunk: Callable[[Array, Array], Any],
    process: Process,
    examples: np.ndarray,
    chunk: int,
    label: str,
    progress: bool,
) -> Iterator[Any]:
    """``of_chunk(x0, numbers)`` over examples that the kernel can diffuse, counted from 0."""
    process.kernel.check(examples)
    process.last_step.check(examples)
    numbers = np.arange(len(examples))
    return in_chunks(of_chunk, examples, numbers, chunk=chunk, label=label, progress=progress)


@partial(jax.jit, static_argnames="times")
def _bounds(
    process: Process, key: PRNGKey, x0: Array, numbers: Array, *, times: int
) -> dict[str, Array]:
    keys = fold_in_each(key, numbers)
    if times:
        terms = jax.vmap(lambda x, k: bound.stratified_steps(process, x, k, times))(x0, keys)
    else:
        terms = bound.whole_bound(process, x0, keys)
    return terms._asdict() | {"K": terms.K, "K_eq14": terms.K_eq14}


@partial(jax.jit, static_argnames="paths")
def _weighted(process: Process, key: PRNGKey, x0: Array, numbers: Array, *, paths: int) -> Array:
    keys = fold_in_each(key, numbers)
    return jax.vmap(lambda x, k: bound.importance_weighted(process, x, k, paths))(x0, keys)
