"""What each step of the diffusion costs each example, and where along the log-SNR that lies."""

from functools import partial

import jax
import numpy as np

from dpm_jax import bound
from dpm_jax.array_types import Array, Float, PRNGKey
from dpm_jax.devices import fold_in_each, in_chunks
from dpm_jax.process import Process
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.schedule import LEAST_LOG_SNR, Schedule, log_snr


def step_costs(
    process: Process,
    examples: np.ndarray,
    key: PRNGKey,
    *,
    chunk: int = 64,
    progress: bool = False,
) -> Float[np.ndarray, "n steps"]:
    """KL of every step t = 2..T for every example [n, *event], one noise draw each, bits.

    Raises:
        ValueError: if the kernel cannot diffuse the examples.
    """
    process.kernel.check(examples)
    process.last_step.check(examples)
    numbers = np.arange(len(examples))
    of_chunk = partial(_step_costs, process, key)
    parts = in_chunks(
        of_chunk, examples, numbers, chunk=chunk, label="every step", progress=progress
    )
    return np.concatenate(list(parts)).astype(np.float64) / NATS_PER_BIT


@jax.jit
def _step_costs(process: Process, key: PRNGKey, x0: Array, numbers: Array) -> Array:
    return bound.every_step(process, x0, fold_in_each(key, numbers))


def log_snr_edges(schedule: Schedule, width: float) -> Float[np.ndarray, " edges"]:
    """Multiples of ``width`` that fall from above λ_1 to below λ_T, nats.

    No λ_T counts as lower than ``LEAST_LOG_SNR``: of x_0 there is nothing left to see.
    """
    path = _path(schedule)
    return width * np.arange(np.ceil(path[0] / width), np.floor(path[-1] / width) - 1, -1)


def by_log_snr(
    costs: Float[np.ndarray, "n steps"], schedule: Schedule, edges: Float[np.ndarray, " edges"]
) -> Float[np.ndarray, "n bins"]:
    """What the steps cost in each range of the log-SNR; their sum, where ``edges`` hold them all.

    Step t leads from λ_{t-1} down to λ_t, and its cost is spread evenly over that way.

    Args:
        costs: of steps t = 2..T.
        schedule: of the same T.
        edges: falling, nats.
    """
    path = _path(schedule)
    start, end = path[:-1, None], path[1:, None]
    way = start - end
    with np.errstate(divide="ignore", invalid="ignore"):
        gone = np.clip((start - edges) / way, 0, 1)
    gone = np.where(way > 0, gone, edges <= end)  # two steps at the end that float32 takes for one
    return costs @ np.diff(gone, axis=1)


def _path(schedule: Schedule) -> Float[np.ndarray, " T"]:
    with np.errstate(divide="ignore"):  # log ᾱ_T = -inf where β_T = 1
        return np.maximum(log_snr(np.asarray(schedule.log_alpha_bar)), LEAST_LOG_SNR)
