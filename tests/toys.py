"""Small models whose training compiles in a second or two."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from dpm_jax import models, reverse, schedule
from dpm_jax.array_types import Array
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.kernels.base import Kernel
from dpm_jax.process import Model, Network, Params, Process, bind, init
from dpm_jax.training.config import TrainConfig

STEPS = 4  # T


def linear(channels: int, event_shape: tuple[int, ...]) -> Network:
    """A network without hidden layers, of its own read-out for each t; zero at the start."""

    def init(key: Array) -> dict[str, Array]:
        shape = (STEPS, *event_shape, channels)
        # One of them weakly typed, as jnp.full of a Python number is.
        return {"slope": jnp.zeros(shape), "offset": jnp.full(shape, 0.0)}

    def apply(params: dict[str, Array], x: Array, t: Array) -> Array:
        return params["slope"][t - 1] * x[..., None] + params["offset"][t - 1]

    return Network(init, apply)


def model_of(kernel: Kernel, family: schedule.ScheduleFamily, shape: tuple[int, ...]) -> Model:
    """The linear network and the default form."""
    return Model(kernel, family, linear(kernel.channels, shape), reverse.bridge, shape)


def reals() -> Model:
    """Two real numbers, a learned schedule."""
    return model_of(gaussian.KERNEL, schedule.learned(STEPS, 0.01), (2,))


def bits() -> Model:
    """Three bits, the fixed schedule."""
    return model_of(binomial.kernel(0.3), schedule.fixed(STEPS), (3,))


def small_mlp() -> Model:
    """The ready-made model of three bits, as small as it gets: what ``model_v1.npz`` is of."""
    return models.binomial_mlp((3,), schedule.fixed(STEPS), activity=0.3, hidden=(5, 4), bumps=2)


def random_params(model: Model, seed: int = 0) -> Params:
    """Read-outs of random size: not the forward kernel."""
    params = init(model, jax.random.key(0))
    rng = np.random.default_rng(seed)
    network = jax.tree.map(
        lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), params["network"]
    )
    return params | {"network": network}


def random_process(model: Model, seed: int = 0) -> Process:
    """A process that is not the forward one."""
    return bind(model, random_params(model, seed))


def real_data(count: int = 500) -> np.ndarray:
    """N(0.8, 0.6²): its second moment is the prior's, 1, but not its mean; [count, 2]."""
    return (0.8 + 0.6 * np.random.default_rng(0).normal(size=(count, 2))).astype(np.float32)


def bit_data(count: int = 500) -> np.ndarray:
    """Bits of activities 0.7, 0.1 and 0.1, the prior's 0.3 in the mean; [count, 3]."""
    return (np.random.default_rng(0).random((count, 3)) < [0.7, 0.1, 0.1]).astype(np.float32)


def config(**changes: float) -> TrainConfig:
    """Forty steps in dispatches of ten, a checkpoint after each."""
    defaults = {
        "steps": 40,
        "batch_size": 32,
        "learning_rate": 0.03,
        "warmup_steps": 3,
        "ema_decay": 0.9,
        "steps_per_dispatch": 10,
        "checkpoint_every": 10,
    }
    return TrainConfig(**(defaults | changes))


def checkpoint(run: Path, step: int) -> dict[str, Any]:
    """The state of a run's checkpoint, as NumPy arrays, whatever devices it was saved from."""
    path, reader = (run / "checkpoints" / str(step) / "state").absolute(), ocp.PyTreeCheckpointer()
    to_numpy = ocp.RestoreArgs(restore_type=np.ndarray)
    args = jax.tree.map(lambda _: to_numpy, dict(reader.metadata(path).item_metadata))
    state: dict[str, Any] = reader.restore(path, restore_args=args)
    return state
