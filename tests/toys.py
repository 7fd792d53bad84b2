"""Small models whose training compiles in a second or two."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp

from dpm_jax import reverse, schedule
from dpm_jax.array_types import Array
from dpm_jax.kernels import binomial, gaussian
from dpm_jax.process import Model, Network
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


def reals() -> Model:
    """Two real numbers, a learned schedule."""
    family, form = schedule.learned(STEPS, 0.01), reverse.PERTURBED_NORMAL
    return Model(gaussian.KERNEL, family, linear(form.channels, (2,)), form, (2,))


def bits() -> Model:
    """Three bits, the fixed schedule."""
    family, form = schedule.fixed(STEPS), reverse.perturbed_bernoulli_reverse(0.3)
    return Model(binomial.kernel(0.3), family, linear(form.channels, (3,)), form, (3,))


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
