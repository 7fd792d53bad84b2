"""The training loop: dispatch, record, save; nothing else happens on the host."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm.auto import tqdm

from dpm_jax import hosts
from dpm_jax.data import dataset
from dpm_jax.errors import Interrupted, TrainingStopped, reason
from dpm_jax.process import Model, Params, Process, bind
from dpm_jax.scaling import PER_EXAMPLE, Unit
from dpm_jax.training.checkpoint import describe
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.interrupts import interrupts
from dpm_jax.training.journal import Journal
from dpm_jax.training.metrics import Record
from dpm_jax.training.program import Program, prepare
from dpm_jax.training.step import NEVER, Report


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
    program: Program | None = None,
    progress: bool = True,
) -> Fitted:
    """Train ``model`` on ``examples`` [n, *event], or what ``batch`` draws, by ascent on K.

    With a journal, continues from its newest checkpoint, and leaves one behind on Ctrl-C,
    SIGTERM and at the end; a run that was cut and resumed ends in the same bits. The progress
    bar quotes K in ``unit``; what ``heldout`` measures goes into the records. ``program`` is what
    ``prepare`` made of the first three and ``batch``, if it has been called.

    Raises:
        ValueError: as ``prepare``.
        Interrupted: after a signal, once the state is saved.
        TrainingStopped: if the loss is not finite, memory runs out after all, a checkpoint cannot
            be written, or none can be restored.
    """
    program = program or prepare(model, examples, config, batch)
    begin = time.perf_counter() - program.seconds
    state, data = program.start()
    spent = 0.0
    if journal is not None:
        state, spent = journal.restore(state)
    step = int(state.step)
    first_step_seconds, stop, hidden = 0.0, False, not (progress and hosts.first())
    bar = tqdm(total=config.steps, initial=step, unit=" steps", disable=hidden)
    with bar, interrupts() as interrupted:
        while step < config.steps and not stop:
            count = min(config.steps_per_dispatch, config.steps - step)
            with _memory(journal):
                state, report = program.train_steps(state, data, np.int32(count))
                report = jax.device_get(report)
            record = {"step": step + count, **_to_record(report, journal)}
            first_step_seconds = first_step_seconds or time.perf_counter() - begin
            before, step = step, step + count
            bar.update(count)
            bar.set_postfix_str(f"K = {unit.quote(record['K_bits'])}")
            if heldout is not None and _passes(heldout.every, before, step):
                with _memory(journal):
                    record |= heldout.measure(bind(model, state.ema))
            due = _passes(config.checkpoint_every, before, step)
            # Read once: no signal stops the run before its state is saved. On all hosts alike.
            stop = hosts.any_of(bool(interrupted))
            if journal is not None:
                journal.write(record)
                if due or stop or step == config.steps:
                    journal.save(state, spent + time.perf_counter() - begin)
    if stop:
        saved = "" if journal is None else ", which is saved"
        by = interrupted.name or "asked on another host"
        raise Interrupted(f"{by}: stopped after step {step}{saved}")
    seconds = spent + time.perf_counter() - begin
    # Off the mesh, but jax arrays: a traced t cannot index NumPy's.
    params = jax.tree.map(jnp.asarray, jax.device_get(state.ema))
    return Fitted(bind(model, params), params, step, seconds, first_step_seconds)


def _passes(every: int, before: int, after: int) -> bool:
    return after // every > before // every


@contextmanager
def _memory(journal: Journal | None) -> Iterator[None]:
    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        lost = ", perhaps because another host was lost" if hosts.several() else ""
        raise TrainingStopped(
            f"training stopped{lost}: {reason(error)}; last good checkpoint: {_last_good(journal)}"
        ) from error


def _last_good(journal: Journal | None) -> str:
    return describe(None if journal is None else journal.checkpoints.last_step)


def _to_record(report: Report, journal: Journal | None) -> Record:
    if report.first_bad_step != NEVER:
        raise TrainingStopped(
            f"loss, gradient or parameters are not finite at step {report.first_bad_step}; "
            f"last good checkpoint: {_last_good(journal)}; try a smaller learning_rate"
        )
    return {name: float(value) for name, value in report.metrics.items()}
