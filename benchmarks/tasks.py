"""What is timed on our side: the compiled programs of the project, as its users run them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import presets

from dpm_jax import bound, models, schedule
from dpm_jax.evaluation.likelihood import evaluate
from dpm_jax.experiments import registry
from dpm_jax.laws import heartbeat
from dpm_jax.laws.swiss_roll import roll
from dpm_jax.process import Model, Params, Process, bind, init
from dpm_jax.sampling.draw import draw
from dpm_jax.schedule import at
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.program import lowered, prepare

Run = Callable[[int], None]
"""``run(n)`` does the timed work n times, and returns when it is done."""


class Task(NamedTuple):
    """A model, examples to train it on, and how.

    Attributes:
        draws: samples of one timed call.
        bounds: examples whose whole bound is one timed call.
    """

    model: Model
    data: np.ndarray
    config: TrainConfig
    draws: int
    bounds: int


class Work(NamedTuple):
    """Timed work.

    Attributes:
        run: as ``Run``.
        units: steps, draws or examples of one call.
        flops: of one call, as XLA counts them.
        size: bytes that one call reads and writes after fusion, counted by XLA as if there were no
            cache; 0 where no program is at hand to be counted.
        seconds: that it took to compile, with the first call.
    """

    run: Run
    units: int
    flops: float
    size: float
    seconds: float


def _roll() -> Task:
    law = roll.law(0.25)
    model = models.gaussian_mlp((2,), schedule.learned(40, 1e-6))
    data = roll.sample(law, 100_000, np.random.default_rng(0))
    return Task(model, data, TrainConfig(batch_size=512), 20_000, 10_000)


def _heartbeat() -> Task:
    model = models.binomial_mlp(
        (heartbeat.BITS,), schedule.fixed(2000), activity=heartbeat.ACTIVITY
    )
    data = heartbeat.sample(100_000, np.random.default_rng(0))
    return Task(model, data, TrainConfig(batch_size=512, times_per_batch=128), 1_000, 200)


def _mnist_paper() -> Task:
    """About App. D.2's network of MNIST, for images of the right size that hold noise."""
    model = models.gaussian_multiscale(
        (28, 28, 1),
        schedule.learned(1000, 1e-6, spacing=0.0, knots=16),
        finest=1 / 64,
        convolutions=(20,) * 4,
        scales=3,
        dense=(500,) * 3,
        dense_maps=2,
        upper=(20,),
    )
    data = np.random.default_rng(0).normal(size=(10_000, 28, 28, 1)).astype(np.float32)
    return Task(model, data, TrainConfig(batch_size=128, times_per_batch=16), 64, 8)


def _mnist_default() -> Task:
    config = registry.problem("mnist").presets["cpu"]
    model = presets.model_of("mnist", config)
    return Task(model, presets.images(10_000, model.event_shape), config, 64, 8)


TASKS: dict[str, Callable[[], Task]] = {
    "roll": _roll,
    "heartbeat": _heartbeat,
    "mnist_paper": _mnist_paper,
    "mnist_default": _mnist_default,
}


def parameters(model: Model) -> Params:
    """Parameters that are nowhere zero: at the start a read-out is, and hides what is before it."""
    start = init(model, jax.random.key(0))
    leaves, shape = jax.tree.flatten(start)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [
        leaf + 0.05 * jax.random.normal(key, leaf.shape)
        for leaf, key in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(shape, moved)


def train(task: Task) -> Work:
    """Optimiser steps."""
    program = prepare(task.model, task.data, task.config)
    state, resident = program.start()

    def run(count: int) -> None:
        nonlocal state
        state, report = program.train_steps(state, resident, np.int32(count))
        jax.block_until_ready(report)

    run(1)
    flops = _count(lowered(task.model, task.data, task.config))[0]
    return Work(run, 1, flops, _count(program.train_steps)[1], program.seconds)


def sample(task: Task) -> Work:
    """Ancestral samples."""
    process = bind(task.model, init(task.model, jax.random.key(0)))

    def step(process: Process, x: Any) -> Any:
        t = jnp.asarray(2)
        return jax.vmap(lambda x: process.reverse(x, t, at(process.schedule, t)))(x)

    call = partial(draw, process, task.draws, jax.random.key(0), chunk=task.draws)
    return _forward(task, call, task.draws, process, step)


def whole_bound(task: Task) -> Work:
    """K of examples, all steps summed."""
    process = bind(task.model, init(task.model, jax.random.key(0)))
    examples = task.data[: task.bounds]

    def step(process: Process, x: Any) -> Any:
        return jax.vmap(lambda x: bound.step_kl(process, x, jnp.asarray(2), jnp.ones_like(x)))(x)

    call = partial(evaluate, process, examples, jax.random.key(0), progress=False)
    return _forward(task, call, task.bounds, process, step)


def _forward(
    task: Task, call: Callable[[], Any], units: int, process: Process, step: Callable[..., Any]
) -> Work:
    """Work that calls the network at every t; what a call costs is T times what ``step`` does."""
    import time

    begin = time.perf_counter()
    call()
    seconds = time.perf_counter() - begin
    x = jax.ShapeDtypeStruct((units, *task.model.event_shape), np.float32)
    steps = task.model.schedule.steps
    lowered_step = jax.jit(step).lower(process, x)
    flops, size = _count(lowered_step)[0], _count(lowered_step.compile())[1]

    def run(count: int) -> None:
        for _ in range(count):
            call()

    return Work(run, units, steps * flops, steps * size, seconds)


def _count(program: Any) -> tuple[float, float]:
    """FLOPs and bytes; of a loop, those of one turn."""
    counted = program.cost_analysis()
    return counted["flops"], counted["bytes accessed"]


KINDS: dict[str, Callable[[Task], Work]] = {"train": train, "sample": sample, "bound": whole_bound}
UNITS = {"train": "steps/s", "sample": "draws/s", "bound": "bounds/s"}
