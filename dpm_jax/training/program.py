"""The program that trains: compiled, and known to fit, before any of its memory is taken."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from dpm_jax import memory
from dpm_jax.array_types import Array, PRNGKey
from dpm_jax.data import dataset
from dpm_jax.devices import check_divides, data_mesh, place, replicate, replicated
from dpm_jax.errors import reason
from dpm_jax.process import Model
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.optimizer import make_optimizer
from dpm_jax.training.state import TrainState, initial_state
from dpm_jax.training.step import TrainSteps, make_train_steps


class Program(NamedTuple):
    """What ``prepare`` makes.

    Attributes:
        start: the state of step 0 and the data, on all devices.
        train_steps: as ``make_train_steps`` makes it, compiled.
        seconds: that it took to compile.
    """

    start: Callable[[], tuple[TrainState, Array]]
    train_steps: TrainSteps
    seconds: float


def prepare(
    model: Model,
    examples: np.ndarray,
    config: TrainConfig,
    batch: dataset.Batch = dataset.examples,
) -> Program:
    """Compile the training of ``model`` on ``examples`` [n, *event], or what ``batch`` draws.

    Raises:
        ValueError: if the batch does not divide by the number of devices, the examples do not
            have the model's event shape or are not what its kernel can diffuse, or there is not
            enough memory.
    """
    begin = time.perf_counter()
    mesh = data_mesh()
    check_divides(config.batch_size, mesh)
    _check_shape(model, examples, batch)
    start = partial(initial_state, model, make_optimizer(config), _keys(config).init)
    abstract = jax.eval_shape(start)
    # Parameters alone may be too many to be compiled: gradients and moments are as large as they.
    _require(config, 2 * memory.of_tree(abstract) + examples.nbytes)
    _check_values(model, examples, batch)
    everywhere = replicated(mesh)
    try:
        compiled = lowered(model, examples, config, batch).compile()
    except jax.errors.JaxRuntimeError as error:
        raise ValueError(f"training cannot be compiled: {reason(error)}") from None
    # While a checkpoint is written, the state is there twice.
    _require(config, memory.of_program(compiled) + memory.of_tree(abstract))
    return Program(
        lambda: (replicate(start(), mesh), place(examples, everywhere)),
        compiled,
        time.perf_counter() - begin,
    )


def lowered(
    model: Model,
    examples: np.ndarray | jax.ShapeDtypeStruct,
    config: TrainConfig,
    batch: dataset.Batch = dataset.examples,
    platform: str | None = None,
) -> jax.stages.Lowered:
    """The program before it is compiled, for this machine or any: "cuda", "tpu", "cpu".

    Of ``examples`` only shape and type are looked at.
    """
    train_steps, arguments = traced(model, examples, config, batch)
    platforms = None if platform is None else (platform,)
    return train_steps.trace(*arguments).lower(lowering_platforms=platforms)


def traced(
    model: Model,
    examples: np.ndarray | jax.ShapeDtypeStruct,
    config: TrainConfig,
    batch: dataset.Batch = dataset.examples,
) -> tuple[jax.stages.Wrapped, tuple[Any, ...]]:
    """The program that trains, and the shapes and places of its arguments."""
    mesh, keys, optimizer = data_mesh(), _keys(config), make_optimizer(config)
    train_steps = make_train_steps(model, optimizer, config, mesh, keys.step, batch)
    state = jax.eval_shape(partial(initial_state, model, optimizer), keys.init)
    arguments = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)),
        (state, jax.eval_shape(jax.numpy.asarray, examples), np.zeros((), np.int32)),
    )
    return train_steps, arguments


class _Keys(NamedTuple):
    init: PRNGKey
    step: PRNGKey


def _keys(config: TrainConfig) -> _Keys:
    return _Keys(*jax.random.split(jax.random.key(config.seed)))


def _require(config: TrainConfig, size: int) -> None:
    memory.require({}, {f"training ({', '.join(config.SIZES)})": size})


def _check_shape(model: Model, examples: np.ndarray, batch: dataset.Batch) -> None:
    drawn = jax.eval_shape(lambda data, key: batch(data, key, 1), examples, jax.random.key(0))
    if drawn.shape[1:] != model.event_shape:
        raise ValueError(
            f"examples must have shape [n, {', '.join(map(str, model.event_shape))}], "
            f"got [n, {', '.join(map(str, drawn.shape[1:]))}]"
        )


def _check_values(model: Model, examples: np.ndarray, batch: dataset.Batch) -> None:
    whole = batch is dataset.examples
    seen = examples if whole else jax.jit(batch, static_argnums=2)(examples, jax.random.key(0), 256)
    model.kernel.check(np.asarray(seen))
    model.last_step.check(np.asarray(seen))
