"""What is minimised: -K in bits per dimension, or L_simple; and the terms of K by their names."""

import math

import jax
import jax.numpy as jnp

from dpm_jax import bound
from dpm_jax.array_types import Array, Float, Int, PRNGKey, Scalar
from dpm_jax.process import Model, Params, bind
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.training import times as importance
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.times import MeanSquare


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
    steps = model.schedule.steps
    probability = importance.probabilities(importance.start(steps), steps)
    return _drawn(model, params, x0, key, times, probability, simple=False)[1]


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
    steps, times = model.schedule.steps, config.times_per_batch
    if times == 0:
        terms = batch_bound(model, params, x0, key, 0)
        value = -terms.K.mean()
    else:
        probability = importance.probabilities(mean_square, steps)
        simple = config.objective == "simple"
        t, terms, error = _drawn(model, params, x0, key, times, probability, simple=simple)
        share = jnp.repeat(probability[t - 2], len(x0) // times)
        # The sum over t = 2..T for each example, or (T-1) times the mean; and one t's part of it.
        total = error / share if simple else terms.step_kl[:, 0]
        value = total.mean() / (steps - 1) if simple else -terms.K.mean()
        if config.time_sampling == "importance":
            square = jax.lax.stop_gradient((total * share) ** 2).reshape(times, -1).mean(1)
            mean_square = importance.updated(mean_square, t, square, steps)
    per_dimension = value / (math.prod(model.event_shape) * NATS_PER_BIT)
    return per_dimension, (_metrics(model, params, terms), mean_square)


def _drawn(
    model: Model,
    params: Params,
    x0: Float[Array, "batch *event"],
    key: PRNGKey,
    times: int,
    probability: Float[Array, " steps"],
    *,
    simple: bool,
) -> tuple[Int[Array, " times"], bound.Bound, Float[Array, " batch"]]:
    """Steps of these probabilities, each of which serves an equal share of the batch.

    And of every example the bound, and L_simple's ‖ε - ε̂‖², or 0 where it is not asked for.
    """
    process, event = bind(model, params), x0.shape[1:]
    noise_key, times_key = jax.random.split(key)
    t = importance.draw(times_key, times, probability)
    shared = x0.reshape(times, -1, *event)
    eps = process.kernel.noise(noise_key, (*shared.shape[:2], 2, *event))

    def of_one(t: Array, x0: Array, eps: Array) -> tuple[bound.Bound, Array]:
        terms = bound.sampled_step(process, x0, t, eps, probability[t - 2])
        error = bound.noise_error(process, x0, t, eps[1]) if simple else jnp.zeros(())
        return terms, error

    at_step = jax.vmap(of_one, in_axes=(None, 0, 0))
    found = jax.vmap(at_step)(t, shared, eps)
    return t, *jax.tree.map(lambda term: term.reshape(len(x0), *term.shape[2:]), found)


def _metrics(model: Model, params: Params, of_each: bound.Bound) -> dict[str, Scalar]:
    terms = jax.tree.map(lambda term: term.mean(0) / NATS_PER_BIT, of_each)
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
