"""Small fits beside the diffusion models: the same optimiser on any loss, many steps a call."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from tqdm.auto import tqdm

from dpm_jax.array_types import Array, PRNGKey, Scalar
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.optimizer import make_optimizer

DISPATCH = 50  # steps in a call of the compiled program

Parameters = TypeVar("Parameters")


def minimise(
    loss: Callable[[Parameters, Any, PRNGKey], Scalar],
    start: Parameters,
    data: Any,
    config: TrainConfig,
    key: PRNGKey,
    *,
    label: str,
    progress: bool,
) -> Parameters:
    """Parameters after ``config.steps`` steps down the gradient of ``loss(parameters, data, key)``.

    Args:
        loss: of a batch that it draws by its key, a new one for each step.
        start: the first parameters, which are given up.
        data: what the loss draws from, a pytree of arrays.
        config: steps, rate and warm-up.
        key: of all batches.
        label: of the progress bar.
        progress: whether to show it.
    """
    optimizer = make_optimizer(config)

    @partial(jax.jit, donate_argnums=0)
    def descend(state: Any, data: Any, first: Array, last: Array) -> Any:
        def step(number: Array, state: Any) -> Any:
            parameters, moments = state
            gradient = jax.grad(loss)(parameters, data, jax.random.fold_in(key, number))
            change, moments = optimizer.update(gradient, moments, parameters)
            return jax.tree.map(jnp.add, parameters, change), moments

        return jax.lax.fori_loop(first, last, step, state)

    state = start, optimizer.init(start)
    with tqdm(total=config.steps, desc=label, disable=not progress, leave=False) as bar:
        for first in range(0, config.steps, DISPATCH):
            last = min(first + DISPATCH, config.steps)
            state = jax.block_until_ready(descend(state, data, first, last))
            bar.update(last - first)
    return state[0]
