"""Rate and distortion at every t: what x_t costs, and how much of x_0 it shows.

Sent from the noise down, x_T costs L_T and each step to x_{s-1} costs L_{s-1}: by the time that
x_t has arrived, L_T + Σ_{s>t} L_{s-1} is spent, and x̂_0(x_t) can be shown (Ho et al. 2020, §4.3).
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax import bound
from dpm_jax.array_types import Array, Event, Float, Int, PRNGKey, Scalar, Step
from dpm_jax.devices import fold_in_each, in_chunks
from dpm_jax.process import Process
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.schedule import at


class RateDistortion(NamedTuple):
    """Means over examples and their standard errors, at several t; every field [k].

    Attributes:
        t: the steps, rising from 1 to T.
        rate: L_T + Σ_{s>t} L_{s-1}, bits per example.
        rate_se: its standard error.
        rmse: √E‖x_0 - x̂_0(x_t)‖² per component, the model's units.
        rmse_se: its standard error.
    """

    t: Int[np.ndarray, " k"]
    rate: Float[np.ndarray, " k"]
    rate_se: Float[np.ndarray, " k"]
    rmse: Float[np.ndarray, " k"]
    rmse_se: Float[np.ndarray, " k"]


def rate_distortion(
    process: Process,
    examples: np.ndarray,
    key: PRNGKey,
    *,
    points: int = 24,
    chunk: int = 1000,
    progress: bool = True,
) -> RateDistortion:
    """Both at ``points`` steps spread evenly over 1..T, or at all of them, from [n, *event].

    The steps between two points are summed by one of them, drawn for each example: unbiased. For
    Gaussian processes whose steps follow from a belief about x_0.

    Raises:
        ValueError: if the kernel cannot diffuse the examples.
    """
    process.kernel.check(examples)
    steps = process.schedule.steps
    t = np.unique(np.linspace(1, steps, min(points, steps)).round().astype(int))
    numbers = np.arange(len(examples))
    of_chunk = partial(_both, process, key, jnp.asarray(t))
    parts = in_chunks(
        of_chunk, examples, numbers, chunk=chunk, label="rate and distortion", progress=progress
    )
    costs, errors = (np.concatenate(a).astype(np.float64) for a in zip(*parts, strict=True))
    rate = costs[:, ::-1].cumsum(1)[:, ::-1] / NATS_PER_BIT  # from x_T down to every t
    rmse = np.sqrt(errors.mean(0))
    return RateDistortion(t, rate.mean(0), _error(rate), rmse, _error(errors) / (2 * rmse))


def squared_error(process: Process, x0: Event, t: Step, noise: Event) -> Scalar:
    """‖x_0 - x̂_0(x_t)‖² per component, at x_t = transport(q(x_t | x_0), noise).

    x̂_0 is the mean of the one step from x_t to the data, as in ``sampling.enter``.
    """
    kernel, c = process.kernel, at(process.schedule, t)
    xt = kernel.transport(kernel.marginal(x0, c.log_alpha_bar), noise)
    return jnp.mean((x0 - process.reverse(xt, t, c.to_data).mean) ** 2)


def _error(values: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    return values.std(0, ddof=1) / math.sqrt(len(values))


@jax.jit
def _both(
    process: Process, key: PRNGKey, t: Array, x0: Array, numbers: Array
) -> tuple[Array, Array]:
    """What the steps above every t cost, up to the next one, nats; and squared errors: [n, k]."""
    kernel, gaps = process.kernel, jnp.diff(t)

    def cost(x: Event, t: Step, gap: Array, key: PRNGKey) -> Scalar:
        step_key, noise_key = jax.random.split(key)
        s = t + 1 + jax.random.randint(step_key, (), 0, gap)
        return gap * bound.step_kl(process, x, s, kernel.noise(noise_key, x.shape))

    def of_example(x: Event, key: PRNGKey) -> tuple[Array, Array]:
        cost_key, error_key = jax.random.split(key)
        costs = jax.lax.map(lambda a: cost(x, *a), (t[:-1], gaps, _keys(cost_key, gaps)))
        last = kernel.marginal(x, process.schedule.log_alpha_bar[-1])
        errors = jax.lax.map(
            lambda a: squared_error(process, x, a[0], kernel.noise(a[1], x.shape)),
            (t, _keys(error_key, t)),
        )
        return jnp.append(costs, kernel.kl(last, kernel.prior(x.shape))), errors

    return jax.vmap(of_example)(x0, fold_in_each(key, numbers))


def _keys(key: PRNGKey, like: Array) -> Array:
    return jax.random.split(key, len(like))
