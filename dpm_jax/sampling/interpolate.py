"""Between two examples: both diffused to x_t, mixed there, and brought back (Ho et al. 2020, §4.3).

The larger t, the less of either is left in x_t, and the more of what comes back is the model's own.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Float, PRNGKey
from dpm_jax.kernels import gaussian
from dpm_jax.process import Process
from dpm_jax.sampling.draw import CHUNK, multiplied
from dpm_jax.sampling.perturb import started
from dpm_jax.schedule import Schedule


def interpolate(
    process: Process,
    first: Float[np.ndarray, "n *event"],
    second: Float[np.ndarray, "n *event"],
    t: int,
    weights: Float[np.ndarray, " w"],
    key: PRNGKey,
    *,
    chunk: int = CHUNK,
    progress: bool = False,
) -> Float[np.ndarray, "w n *event"]:
    """x_0 ~ p(x_0 | x_t) at x_t = (1-w) x_t' + w x_t'', for every weight and every pair.

    x_t' ~ q(x_t | first) and x_t'' ~ q(x_t | second) are drawn once for all weights.

    Raises:
        ValueError: if t is not in 1..T, or the process is of bits, whose mixtures are none.
    """
    steps, schedule = process.schedule.steps, process.schedule
    if not 1 <= t <= steps:
        raise ValueError(f"t must lie in 1 to {steps}, got {t}")
    if process.kernel.marginal is not gaussian.marginal:
        raise ValueError("process must be Gaussian to be interpolated: bits cannot be mixed")
    noise_key, draw_key = jax.random.split(key)
    until = replace(process, schedule=Schedule(schedule.beta[:t], schedule.log_alpha_bar[:t]))
    ends = jnp.stack([first, second])
    noise = process.kernel.noise(noise_key, ends.shape)
    diffused = process.kernel.marginal(ends, schedule.log_alpha_bar[t - 1])
    x, y = np.asarray(process.kernel.transport(diffused, noise))
    mixed = np.concatenate([(1 - w) * x + w * y for w in weights])
    found = multiplied(
        until, started, mixed, draw_key, chunk=chunk, label="interpolation", progress=progress
    )
    return np.asarray(found.end).reshape(len(weights), *first.shape)
