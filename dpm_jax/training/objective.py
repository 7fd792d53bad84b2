"""What is minimised: -K in bits per dimension, or L_simple; and the terms of K by their names."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from dpm_jax import bound
from dpm_jax.array_types import Array, Float, Int, PRNGKey, Scalar
from dpm_jax.process import Model, Params, bind
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.training import times as importance
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.times import MeanSquare


class Drawn(NamedTuple):
    """A batch estimated from drawn steps, each of which serves an equal share of it.

    Attributes:
        t: the steps [times].
        probability: of drawing them.
        terms: the bound of every example [times, share].
        error: L_simple's ‖ε - ε̂‖² of every example; zeros where it is not asked for.
    """

    t: Int[Array, " times"]
    probability: Float[Array, " times"]
    terms: bound.Bound
    error: Float[Array, "times share"]


def batch_bound(
    model: Model, params: Params, x0: Float[Array, "batch *event"], key: PRNGKey, times: int
) -> bound.Bound:
    """The bound of every example [batch], summed over all steps, or estimated from one.

    With ``times`` > 0, that many stratified steps t are drawn, and each serves an equal share
    of the batch: examples that share a t share the read-out's weights, which is several times
    as fast as a t for each.
    """
    if times == 0:
        process = bind(model, params)
        noise = process.kernel.noise(key, (process.schedule.steps, *x0.shape))
        return bound.all_steps_of_batch(process, x0, noise)
    uniform = importance.start(model.schedule.steps)
    terms = _drawn(model, params, x0, key, times, uniform, simple=False).terms
    return jax.tree.map(lambda term: term.reshape(len(x0), *term.shape[2:]), terms)


def loss(
    model: Model,
    params: Params,
    x0: Float[Array, "batch *event"],
    key: PRNGKey,
    config: TrainConfig,
    mean_square: MeanSquare,
) -> tuple[Scalar, tuple[dict[str, Scalar], MeanSquare]]:
    """The objective per dimension; the terms of K in bits per example, batch means; mean squares.

    Whatever is minimised, K is what is reported. ``mean_square`` is what ``training.times`` knows
    of the steps' losses.
    """
    dimensions, steps = math.prod(model.event_shape), model.schedule.steps
    if config.times_per_batch == 0:
        terms = batch_bound(model, params, x0, key, 0)
        value = -terms.K.mean()
    else:
        simple = config.objective == "simple"
        drawn = _drawn(model, params, x0, key, config.times_per_batch, mean_square, simple=simple)
        terms, probability = drawn.terms, drawn.probability[:, None]
        if simple:  # E_t of the error, t uniform on 2..T
            of_each = drawn.error
            value = (of_each / probability).mean() / (steps - 1)
        else:
            of_each = terms.step_kl[..., 0] * probability
            value = -terms.K.mean()
        if config.time_sampling == "importance":
            square = jax.lax.stop_gradient(of_each**2).mean(1)
            mean_square = importance.updated(mean_square, drawn.t, square, steps)
    metrics = _metrics(model, params, terms)
    return value / (dimensions * NATS_PER_BIT), (metrics, mean_square)


def _drawn(
    model: Model,
    params: Params,
    x0: Float[Array, "batch *event"],
    key: PRNGKey,
    times: int,
    mean_square: MeanSquare,
    *,
    simple: bool,
) -> Drawn:
    process, event = bind(model, params), x0.shape[1:]
    noise_key, times_key = jax.random.split(key)
    probability = importance.probabilities(mean_square, process.schedule.steps)
    t = importance.draw(times_key, times, probability)
    shared = x0.reshape(times, -1, *event)
    eps = process.kernel.noise(noise_key, (*shared.shape[:2], 2, *event))

    def of_one(t: Array, p: Array, x0: Array, eps: Array) -> tuple[bound.Bound, Array]:
        terms = bound.sampled_step(process, x0, t, eps, p)
        error = bound.noise_error(process, x0, t, eps[1]) if simple else jnp.zeros(())
        return terms, error

    chosen = probability[t - 2]
    at_step = jax.vmap(of_one, in_axes=(None, None, 0, 0))
    return Drawn(t, chosen, *jax.vmap(at_step)(t, chosen, shared, eps))


def _metrics(model: Model, params: Params, of_each: bound.Bound) -> dict[str, Scalar]:
    batch = of_each.null.ndim
    terms = jax.tree.map(lambda term: term.mean(tuple(range(batch))) / NATS_PER_BIT, of_each)
    schedule = model.schedule.apply(params["schedule"])
    return {
        "K_bits": terms.K,
        "K_eq14_bits": terms.K_eq14,
        "step_kl_bits": terms.step_kl.sum(),
        "prior_kl_bits": terms.prior_kl,
        "last_step_bits": terms.last_step,
        "entropy_first_bits": terms.entropy_first,
        "entropy_last_bits": terms.entropy_last,
        "beta_min": schedule.beta.min(),
        "beta_max": schedule.beta.max(),
        "beta_mean": schedule.beta.mean(),
        "alpha_bar_T": jnp.exp(schedule.log_alpha_bar[-1]),
    }
