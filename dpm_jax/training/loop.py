"""The training loop: dispatch, record, save; nothing else happens on the host."""

import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from dpm_jax.array_types import Array
from dpm_jax.data import dataset
from dpm_jax.devices import check_divides, data_mesh, replicate
from dpm_jax.errors import Interrupted, TrainingStopped
from dpm_jax.process import Model, Params, Process, bind
from dpm_jax.scaling import PER_EXAMPLE, Unit
from dpm_jax.training.checkpoint import describe
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.interrupts import interrupts
from dpm_jax.training.journal import Journal
from dpm_jax.training.metrics import Record
from dpm_jax.training.optimizer import make_optimizer
from dpm_jax.training.state import TrainState, initial_state
from dpm_jax.training.step import NEVER, Report, TrainSteps, make_train_steps


class Fitted(NamedTuple):
    """A trained model: the process of its averaged parameters, and what they cost."""

    process: Process
    params: Params
    steps: int
    seconds: float  # of training, compilation included, summed over resumed runs
    first_step_seconds: float  # from the call of ``fit`` to the end of the first dispatch


class Heldout(NamedTuple):
    """A measurement during training, of the averaged parameters.

    Attributes:
        every: optimiser steps between two, rounded up to whole dispatches.
        measure: of a process, to what goes into the record beside K of the batch.
    """

    every: int
    measure: Callable[[Process], Record]


def fit(
    model: Model,
    examples: np.ndarray,
    config: TrainConfig,
    *,
    batch: dataset.Batch = dataset.examples,
    journal: Journal | None = None,
    unit: Unit = PER_EXAMPLE,
    heldout: Heldout | None = None,
    progress: bool = True,
) -> Fitted:
    """Train ``model`` on ``examples`` [n, *event], or what ``batch`` draws, by ascent on K.

    With a journal, continues from its newest checkpoint, and leaves one behind on Ctrl-C,
    SIGTERM and at the end; a run that was cut and resumed ends in the same bits. The progress
    bar quotes K in ``unit``; what ``heldout`` measures goes into the records.

    Raises:
        ValueError: if the batch does not divide by the number of devices, or the examples
            do not have the model's event shape or are not what its kernel can diffuse.
        Interrupted: after a signal, once the state is saved.
        TrainingStopped: if the loss is not finite, a checkpoint cannot be written, or no checkpoint
            can be restored.
    """
    begin = time.perf_counter()
    state, data, train_steps = prepare(model, examples, config, batch)
    spent = 0.0
    if journal is not None:
        state, spent = journal.restore(state)
    step = int(state.step)
    first_step_seconds, stop = 0.0, False
    bar = tqdm(total=config.steps, initial=step, unit=" steps", disable=not progress)
    with bar, interrupts() as interrupted:
        while step < config.steps and not stop:
            count = min(config.steps_per_dispatch, config.steps - step)
            state, report = train_steps(state, data, np.int32(count))
            record = {"step": step + count, **_to_record(report, journal)}
            first_step_seconds = first_step_seconds or time.perf_counter() - begin
            before, step = step, step + count
            bar.update(count)
            bar.set_postfix_str(f"K = {unit.quote(record['K_bits'])}")
            if heldout is not None and _passes(heldout.every, before, step):
                record |= heldout.measure(bind(model, state.ema))
            due = _passes(config.checkpoint_every, before, step)
            stop = bool(interrupted)  # read once: no signal stops the run before its state is saved
            if journal is not None:
                journal.write(record)
                if due or stop or step == config.steps:
                    journal.save(state, spent + time.perf_counter() - begin)
    if interrupted:
        saved = "" if journal is None else ", which is saved"
        raise Interrupted(f"{interrupted.name}: stopped after step {step}{saved}")
    seconds = spent + time.perf_counter() - begin
    # Off the mesh, but jax arrays: a traced t cannot index NumPy's.
    params = jax.tree.map(jnp.asarray, jax.device_get(state.ema))
    return Fitted(bind(model, params), params, step, seconds, first_step_seconds)


def prepare(
    model: Model,
    examples: np.ndarray,
    config: TrainConfig,
    batch: dataset.Batch = dataset.examples,
) -> tuple[TrainState, Array, TrainSteps]:
    """The state of step 0 and the data, on all devices, and the program that trains.

    Raises:
        ValueError: as ``fit``.
    """
    mesh = data_mesh()
    check_divides(config.batch_size, mesh)
    _check_examples(model, examples, batch)
    init_key, step_key = jax.random.split(jax.random.key(config.seed))
    optimizer = make_optimizer(config)
    state = initial_state(model, optimizer, init_key)
    train_steps = make_train_steps(model, optimizer, config, mesh, step_key, batch)
    return replicate(state, mesh), replicate(jnp.asarray(examples), mesh), train_steps


def _check_examples(model: Model, examples: np.ndarray, batch: dataset.Batch) -> None:
    drawn = jax.eval_shape(lambda data, key: batch(data, key, 1), examples, jax.random.key(0))
    if drawn.shape[1:] != model.event_shape:
        raise ValueError(
            f"examples must have shape [n, {', '.join(map(str, model.event_shape))}], "
            f"got [n, {', '.join(map(str, drawn.shape[1:]))}]"
        )
    whole = batch is dataset.examples
    seen = examples if whole else jax.jit(batch, static_argnums=2)(examples, jax.random.key(0), 256)
    model.kernel.check(np.asarray(seen))


def _passes(every: int, before: int, after: int) -> bool:
    return after // every > before // every


def _to_record(report: Report, journal: Journal | None) -> Record:
    report = jax.device_get(report)
    if report.first_bad_step != NEVER:
        good = describe(None if journal is None else journal.checkpoints.last_step)
        raise TrainingStopped(
            f"loss, gradient or parameters are not finite at step {report.first_bad_step}; "
            f"last good checkpoint: {good}; try a smaller learning_rate"
        )
    return {name: float(value) for name, value in report.metrics.items()}
