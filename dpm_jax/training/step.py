"""The only jit boundary of training: several optimiser steps per call, state donated."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.data.dataset import Batch
from dpm_jax.devices import replicated, split_batch
from dpm_jax.process import Model
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.objective import loss
from dpm_jax.training.state import TrainState
from dpm_jax.training.times import MeanSquare

NEVER = jnp.iinfo(jnp.int32).max


class Report(NamedTuple):
    """What one dispatch tells the host: metrics, means over its steps, and the first bad step."""

    metrics: dict[str, Array]
    first_bad_step: Array  # 1-based; NEVER if loss, gradient and parameters stayed finite


TrainSteps = Callable[[TrainState, Array, Any], tuple[TrainState, Report]]
"""What ``make_train_steps`` makes, once it is compiled."""


def make_train_steps(
    model: Model,
    optimizer: optax.GradientTransformation,
    config: TrainConfig,
    mesh: Mesh,
    key: PRNGKey,
    batch: Batch,
) -> jax.stages.Wrapped:
    """``train_steps(state, data, count)``: ``count`` steps on batches drawn from ``data``.

    ``count`` is traced, so a whole run, its last and shorter dispatch included, is one trace.
    """
    split = split_batch(mesh)

    def objective(
        params: dict, data: Array, key: PRNGKey, mean_square: MeanSquare
    ) -> tuple[Array, tuple[dict[str, Array], MeanSquare]]:
        batch_key, noise_key = jax.random.split(key)
        x0 = split(batch(data, batch_key, config.batch_size))
        return loss(model, params, x0, noise_key, config, mean_square)

    @jax.jit  # so that its shapes and the loop below are of one trace
    def train_step(state: TrainState, data: Array) -> tuple[TrainState, dict[str, Array]]:
        step_key = jax.random.fold_in(key, state.step)
        gradient = jax.value_and_grad(objective, has_aux=True)
        (value, (metrics, mean_square)), grads = gradient(
            state.params, data, step_key, state.mean_square
        )
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        # Short memory at first, so that the average forgets the starting point.
        decay = jnp.minimum(config.ema_decay, (1 + state.step) / (10 + state.step))
        ema = optax.incremental_update(params, state.ema, 1 - decay)
        metrics |= {"loss": value, "gradient_norm": optax.tree.norm(grads)}
        return TrainState(state.step + 1, params, ema, opt_state, mean_square), metrics

    @jax.jit(donate_argnums=0, out_shardings=replicated(mesh))
    def train_steps(state: TrainState, data: Array, count: Array) -> tuple[TrainState, Report]:
        def body(_: Array, carry: tuple[TrainState, Report]) -> tuple[TrainState, Report]:
            state, report = carry
            state, metrics = train_step(state, data)
            finite = _all_finite((metrics["loss"], metrics["gradient_norm"], state.params))
            bad_step = jnp.where(finite, NEVER, state.step)
            total = jax.tree.map(jnp.add, report.metrics, metrics)
            return state, Report(total, jnp.minimum(report.first_bad_step, bad_step))

        shapes = jax.eval_shape(train_step, state, data)[1]
        zero = jax.tree.map(lambda m: jnp.zeros(m.shape, m.dtype), shapes)
        start = Report(zero, jnp.asarray(NEVER, jnp.int32))
        state, report = jax.lax.fori_loop(0, count, body, (state, start))
        return state, report._replace(metrics=jax.tree.map(lambda m: m / count, report.metrics))

    return train_steps


def _all_finite(tree: Any) -> Array:
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
