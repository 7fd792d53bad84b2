"""What a run carries from step to step: one pytree, all of it in every checkpoint."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.process import Model, Params, init
from dpm_jax.training import times
from dpm_jax.training.times import MeanSquare


class TrainState(NamedTuple):
    """No key is held: step s draws from ``fold_in(key(seed), s)``, so a resumed run repeats."""

    step: Array  # optimiser steps taken
    params: Params
    ema: Params  # running average of params, which evaluation uses
    opt_state: optax.OptState
    mean_square: MeanSquare  # of the steps' losses: ``training.times``


def initial_state(
    model: Model, optimizer: optax.GradientTransformation, key: PRNGKey
) -> TrainState:
    """Step 0, made by one compiled program."""

    def start(key: PRNGKey) -> TrainState:
        # astype makes weak types strong: train_steps returns strong ones, and would trace anew.
        params = jax.tree.map(lambda leaf: leaf.astype(leaf.dtype), init(model, key))
        step, mean_square = jnp.zeros((), jnp.int32), times.start(model.schedule.steps)
        return TrainState(step, params, params, optimizer.init(params), mean_square)

    return jax.jit(start)(key)
