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
    """The bound of every example: ``times`` stratified steps each, or all steps if 0."""
    process = bind(model, params)
    noise = model.kernel.noise
    count, event = x0.shape[0], x0.shape[1:]
    if times == 0:
        return bound.all_steps_of_batch(
            process, x0, noise(key, (process.schedule.steps, count, *event))
        )
    noise_key, times_key = jax.random.split(key)
    t = bound.stratified_times(times_key, count * times, process.schedule.steps)
    eps = noise(noise_key, (count, times, 2, *event))

    def example(x: Array, t: Array, e: Array) -> bound.Bound:
        draws = jax.vmap(lambda t, e: bound.sampled_step(process, x, t, e))(t, e)
        return jax.tree.map(lambda term: term.mean(0), draws)

    return jax.vmap(example)(x0, t.reshape(count, times), eps)


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
