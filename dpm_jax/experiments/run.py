"""From the command line to a finished run: train, measure, and then write.

Heavy imports wait until the command line is read, so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpm_jax import hosts
from dpm_jax.experiments import command_line, identity
from dpm_jax.experiments.base import Experiment, Problem, RunConfig, check_samples, expanded
from dpm_jax.experiments.exits import again, exits, go_on, quiet_libraries, refusing
from dpm_jax.experiments.results import measure
from dpm_jax.training.folder import RunFolder, check_folder, check_same, make_numbered, open_folder
from dpm_jax.training.metrics import require_tensorboard
from dpm_jax.training.rescue import write_or_rescue

if TYPE_CHECKING:
    from dpm_jax.experiments.saved_run import Effort
    from dpm_jax.training.journal import Journal
    from dpm_jax.training.loop import Heldout
    from dpm_jax.training.program import Program


def main(problem: Problem, words: Sequence[str] | None = None, *, prog: str | None = None) -> None:
    """Run an experiment from the command line, by default this process's own.

    Exits with code 2 and one line on bad input, a full disk or a loss that is not finite;
    with 130 and the command to go on with after Ctrl-C or SIGTERM.
    """
    words = sys.argv[1:] if words is None else words
    ready = False
    with exits(lambda: go_on(words, prog) if ready else again(words, prog)), ExitStack() as held:
        run = _prepare(problem, words, prog, held)
        ready = True
        run()


def _prepare(
    problem: Problem, words: Sequence[str], prog: str | None, held: ExitStack
) -> Callable[[], None]:
    """Everything that can refuse the input, quick checks first; returns the run itself.

    What the run needs open is ``held``.
    """
    with refusing():
        start = command_line.start(words)
        if not asks_for_help(words):
            hosts.start(start)
        if start.evaluate is None:
            return _prepare_training(problem, start.preset, words, prog, held)
        source = expanded("evaluate", start.evaluate)
        return _prepare_evaluation(problem, source, words, prog, held)


def _prepare_training(
    problem: Problem, preset: str | None, words: Sequence[str], prog: str | None, held: ExitStack
) -> Callable[[], None]:
    default = command_line.preset(problem.presets, preset, partial(_accelerator, words))
    config = command_line.parse(problem.doc, default, words, prog=prog)
    if not config.resume:
        identity.check_apart(config.workdir, config.reads())
    settings = identity.settings(problem, config)
    mode = {"resume": config.resume, "overwrite": config.overwrite}
    hosts.by_first(lambda: check_folder(config.workdir, settings, **mode), None)
    if config.tensorboard:
        require_tensorboard()
    quiet_libraries()
    from dpm_jax.devices import check_divides, data_mesh
    from dpm_jax.training.journal import Journal
    from dpm_jax.training.program import prepare

    check_divides(config.batch_size, data_mesh())
    experiment = problem.build(config)
    _check_samples(config, experiment)
    data = experiment.data
    settings = identity.settings(problem, config, experiment.inputs)
    program = prepare(experiment.model, data.train, config, data.batch)
    folder = _opened(config.workdir, settings, held, **mode)
    journal = held.enter_context(closing(Journal(folder, tensorboard=config.tensorboard)))
    return partial(_train, config, settings, experiment, folder, journal, program)


def _prepare_evaluation(
    problem: Problem, source: Path, words: Sequence[str], prog: str | None, held: ExitStack
) -> Callable[[], None]:
    from dpm_jax.experiments import saved_run

    run = saved_run.load(source)
    if run.problem.name != problem.name:
        raise ValueError(
            f"{source} is not a {problem.name} run: its experiment is {run.problem.name}"
        )
    beside = source / "evaluation"
    default = dataclasses.replace(run.config, workdir=beside / "N")  # the next number, in the end
    config = command_line.parse(problem.doc, default, words, prog=prog)
    identity.check_apart(config.workdir, config.reads() | {"run to evaluate": source})
    settings = identity.settings(problem, config)
    remedy = "with --evaluate only flags of evaluation can change"
    check_same(settings, run.settings, source, remedy, but=config.EVALUATION)
    mode = {"resume": False, "overwrite": config.overwrite}
    hosts.by_first(lambda: check_folder(config.workdir, settings, **mode), None)
    quiet_libraries()
    experiment = problem.build(config)
    _check_samples(config, experiment)
    settings = identity.settings(problem, config, experiment.inputs)
    check_same(settings, run.settings, source, remedy, but=config.EVALUATION)
    numbered = config.workdir == default.workdir
    workdir = config.workdir
    if numbered:
        made = hosts.by_first(lambda: make_numbered(lambda n: beside / str(n)), workdir)
        workdir = Path(hosts.tell(str(made)))
    folder = _opened(workdir, settings, held, **mode)
    return partial(measure, config, settings, experiment, folder, run.process, run.effort)


def _opened(workdir: Path, settings: dict[str, Any], held: ExitStack, **mode: bool) -> RunFolder:
    """The run's folder, which the first host locks and writes; it lies where all can reach it."""
    folder = hosts.by_first(lambda: open_folder(workdir, settings, **mode), RunFolder(workdir))
    return held.enter_context(closing(folder))


def asks_for_help(words: Sequence[str]) -> bool:
    """Whether the answer is --help, which does not start jax."""
    return "--help" in words or "-h" in words


def _check_samples(config: RunConfig, experiment: Experiment) -> None:
    counts = {name: getattr(config, name) for name in config.DRAWN}
    check_samples(experiment.model.event_shape, counts)


def _accelerator(words: Sequence[str]) -> bool:
    if asks_for_help(words):
        return False
    import jax

    return jax.default_backend() != "cpu"


def _train(
    config: RunConfig,
    settings: dict[str, Any],
    experiment: Experiment,
    folder: RunFolder,
    journal: Journal,
    program: Program,
) -> None:
    from dpm_jax.experiments import saved_run
    from dpm_jax.training.loop import fit

    if config.resume and hosts.first():
        last = journal.checkpoints.last_step
        where = "at step 0, with no checkpoint" if last is None else f"from step {last}"
        print(f"{folder.path}: going on {where}, to step {config.steps}", file=sys.stderr)
    data = experiment.data
    fitted = fit(
        experiment.model,
        data.train,
        config,
        batch=data.batch,
        journal=journal,
        unit=experiment.unit,
        heldout=_heldout(config, experiment),
        program=program,
    )

    def save(folder: RunFolder) -> Effort:
        return saved_run.save(folder, settings, fitted, experiment)

    def rescue(another: RunFolder) -> None:
        journal.copy_metrics(another)
        save(another)

    said = "its trained model is saved: measure it by --evaluate {}"
    effort = write_or_rescue(folder, save, rescue, said)
    measure(config, settings, experiment, folder, fitted.process, effort, rescue)


def _heldout(config: RunConfig, experiment: Experiment) -> Heldout | None:
    from dpm_jax.training.loop import Heldout

    if not config.heldout_every:
        return None
    return Heldout(config.heldout_every, lambda p: {"heldout_K_bits": experiment.watch(p)})
