"""The loss: -K in bits per dimension, and its terms under the paper's names."""

import math

import jax
import jax.numpy as jnp

from dpm_jax import bound
from dpm_jax.array_types import Array, Float, PRNGKey, Scalar
from dpm_jax.process import Model, Params, bind
from dpm_jax.scaling import NATS_PER_BIT


def batch_bound(
    model: Model, params: Params, x0: Float[Array, "batch *event"], key: PRNGKey, times: int
) -> bound.Bound:
    """The bound of every example [batch], summed over all steps, or estimated from one.

    With ``times`` > 0, that many stratified steps t are drawn, and each serves an equal share
    of the batch: examples that share a t share the read-out's weights, which is several times
    as fast as a t for each.
    """
    process = bind(model, params)
    noise, steps, event = process.kernel.noise, process.schedule.steps, x0.shape[1:]
    if times == 0:
        return bound.all_steps_of_batch(process, x0, noise(key, (steps, *x0.shape)))
    noise_key, times_key = jax.random.split(key)
    t = bound.stratified_times(times_key, times, steps)
    shared = x0.reshape(times, -1, *event)
    eps = noise(noise_key, (*shared.shape[:2], 2, *event))

    def at_step(t: Array, x0: Array, eps: Array) -> bound.Bound:
        return jax.vmap(lambda x, e: bound.sampled_step(process, x, t, e))(x0, eps)

    terms = jax.vmap(at_step)(t, shared, eps)
    return jax.tree.map(lambda term: term.reshape(len(x0), *term.shape[2:]), terms)


def loss(
    model: Model, params: Params, x0: Float[Array, "batch *event"], key: PRNGKey, times: int
) -> tuple[Scalar, dict[str, Scalar]]:
    """-K in bits per dimension, and the terms of K in bits per example, batch means."""
    terms = jax.tree.map(
        lambda term: term.mean(0) / NATS_PER_BIT, batch_bound(model, params, x0, key, times)
    )
    schedule = model.schedule.apply(params["schedule"])
    metrics = {
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
    return -terms.K / math.prod(model.event_shape), metrics
