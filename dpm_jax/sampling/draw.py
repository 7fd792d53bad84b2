"""Draws from a process: many trajectories, chunk by chunk, by one compiled program."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np

from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.devices import fold_in_each, in_chunks
from dpm_jax.process import Process
from dpm_jax.sampling import trajectory
from dpm_jax.sampling.perturb import Perturbation, nothing
from dpm_jax.sampling.trajectory import Trajectory

CHUNK = 2_000

Perturb = Callable[[Process, Any], Perturbation]
"""``perturb(process, given)``: what one trajectory is multiplied by, ``given`` its own data.

It belongs to the compiled program: the same function again, not an equal one, is not traced anew.
"""


def chunk_of(count: int) -> int:
    """Draws at once: enough for the machine, few enough for a progress bar to move."""
    return min(CHUNK, max(16, count // 8))


def draw(
    process: Process,
    count: int,
    key: PRNGKey,
    *,
    chunk: int = CHUNK,
    progress: bool = False,
) -> np.ndarray:
    """``count`` ancestral samples of x_0 in the model's units [count, *event]."""
    return states(process, count, key, (0,), chunk=chunk, progress=progress)[0]


def states(
    process: Process,
    count: int,
    key: PRNGKey,
    keep: Sequence[int],
    *,
    chunk: int = CHUNK,
    progress: bool = False,
) -> dict[int, np.ndarray]:
    """``count`` ancestral samples at the steps t = 0..T to ``keep``, by t; [count, *event] each."""
    kept = multiplied(
        process,
        _freely,
        np.zeros((count, 0), np.float32),
        key,
        keep=tuple(keep),
        chunk=chunk,
        label="samples",
        progress=progress,
    ).kept
    return {t: np.asarray(kept[:, i]) for i, t in enumerate(keep)}


def multiplied(
    process: Process,
    perturb: Perturb,
    given: Any,
    key: PRNGKey,
    *,
    keep: tuple[int, ...] = (),
    chunk: int = CHUNK,
    label: str,
    progress: bool,
) -> Trajectory:
    """A trajectory for each row of ``given`` [n, ...], with a key of its own; NumPy.

    Raises:
        ValueError: if one ends in numbers that are not finite: a picture would show them as black.
    """
    parts = in_chunks(
        partial(_trajectories, process, key, perturb=perturb, keep=keep),
        given,
        np.arange(len(given)),
        chunk=chunk,
        label=label,
        progress=progress,
    )
    found: Trajectory = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    check_finite(np.asarray(found.end))
    return found


def check_finite(draws: np.ndarray) -> None:
    """Raise ValueError if a draw of [n, *event] holds a number that is not finite."""
    lost = ~np.isfinite(draws).reshape(len(draws), -1).all(1)
    if lost.any():
        raise ValueError(f"{lost.sum()} of {len(draws)} draws are not finite")


def forward(
    process: Process, x0: np.ndarray, key: PRNGKey, keep: Sequence[int]
) -> dict[int, np.ndarray]:
    """Examples [n, *event] diffused, their states at the steps to ``keep`` by t."""
    parts = in_chunks(
        partial(_diffused, process, key, keep=tuple(keep)),
        x0,
        np.arange(len(x0)),
        chunk=CHUNK,
        label="forward",
        progress=False,
    )
    kept = np.concatenate(list(parts))
    return {t: kept[:, i] for i, t in enumerate(keep)}


def _freely(process: Process, given: Array) -> Perturbation:
    return nothing(process)


@partial(jax.jit, static_argnames=("perturb", "keep"))
def _trajectories(
    process: Process,
    key: PRNGKey,
    given: Array,
    numbers: Array,
    *,
    perturb: Perturb,
    keep: tuple[int, ...],
) -> Trajectory:
    def one(given: Array, key: Array) -> Trajectory:
        multiply = perturb(process, given)
        return trajectory.sample(process, key, keep=keep, perturbation=multiply)

    return jax.vmap(one)(given, fold_in_each(key, numbers))


@partial(jax.jit, static_argnames="keep")
def _diffused(
    process: Process, key: PRNGKey, x0: Array, numbers: Array, *, keep: tuple[int, ...]
) -> Array:
    walk = partial(trajectory.forward, process, keep=keep)
    return jax.vmap(walk)(x0, fold_in_each(key, numbers)).kept
