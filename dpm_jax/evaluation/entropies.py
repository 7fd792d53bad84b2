"""Entropy of every reverse step, between the bounds of eq. 24: where there is much to learn."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.devices import fold_in_each, in_chunks
from dpm_jax.entropy import entropy_bounds
from dpm_jax.process import Process
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.schedule import at, times

CHUNK = 1_000  # examples at a time


class EntropyProfile(NamedTuple):
    """Means over data for t = 2..T, bits per example; every field [T-1].

    Attributes:
        lower: left side of eq. 24.
        upper: right side of eq. 24.
        model: E_q(x_t) H[p(x_{t-1} | x_t)], the entropy that the model gives the step.
    """

    lower: np.ndarray
    upper: np.ndarray
    model: np.ndarray


def entropy_profile(process: Process, examples: np.ndarray, key: PRNGKey) -> EntropyProfile:
    """Eq. 24 around the process's own entropies, averaged over ``examples`` [n, *event]."""
    parts = in_chunks(
        partial(_profile, process, key),
        examples,
        np.arange(len(examples)),
        chunk=CHUNK,
        label="entropies",
        progress=False,
    )
    sums = [[value.sum(0, dtype=np.float64) for value in values] for values in parts]
    return EntropyProfile(*np.sum(sums, axis=0) / len(examples) / NATS_PER_BIT)


@jax.jit
def _profile(
    process: Process, key: PRNGKey, x0: Array, numbers: Array
) -> tuple[Array, Array, Array]:
    """The same of each example [n, T-1], nats."""
    kernel, schedule = process.kernel, process.schedule

    def of_step(x0: Array, t: Array, key: PRNGKey) -> tuple[Array, Array, Array]:
        c = at(schedule, t)
        lower, upper = entropy_bounds(kernel, schedule, x0, t)
        noise = kernel.noise(key, x0.shape)
        xt = kernel.transport(kernel.marginal(x0, c.log_alpha_bar), noise)
        return lower, upper, kernel.entropy(process.reverse(xt, t, c))

    def over_data(t: Array) -> tuple[Array, Array, Array]:
        keys = fold_in_each(jax.random.fold_in(key, t), numbers)
        return jax.vmap(lambda x, k: of_step(x, t, k))(x0, keys)

    found = jax.lax.map(over_data, times(schedule))
    return jax.tree.map(jnp.transpose, found)
