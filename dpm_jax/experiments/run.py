"""From the command line to a finished run: train, measure, and then write; nobody else writes.

Heavy imports wait until the command line is read, so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpm_jax.experiments import command_line, identity
from dpm_jax.experiments.base import Experiment, Problem, RunConfig
from dpm_jax.experiments.exits import again, exits, go_on, quiet_libraries, refusing
from dpm_jax.training.folder import RunFolder, check_folder, check_same, make_numbered, open_folder
from dpm_jax.training.metrics import require_tensorboard
from dpm_jax.training.rescue import write_or_rescue

if TYPE_CHECKING:
    from dpm_jax.experiments.base import Measurement
    from dpm_jax.experiments.saved_run import Effort
    from dpm_jax.process import Process
    from dpm_jax.training.journal import Journal
    from dpm_jax.training.loop import Heldout


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
        if start.evaluate is None:
            return _prepare_training(problem, start.preset, words, prog, held)
        source = Path(os.path.expanduser(start.evaluate))
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
    check_folder(config.workdir, settings, **mode)
    if config.tensorboard:
        require_tensorboard()
    quiet_libraries()
    from dpm_jax.devices import check_divides, data_mesh
    from dpm_jax.training.journal import Journal

    check_divides(config.batch_size, data_mesh())
    experiment = problem.build(config)
    settings = identity.settings(problem, config, experiment.inputs)
    folder = held.enter_context(closing(open_folder(config.workdir, settings, **mode)))
    journal = held.enter_context(closing(Journal(folder, tensorboard=config.tensorboard)))
    return partial(_train, config, settings, experiment, folder, journal)


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
    check_folder(config.workdir, settings, **mode)
    quiet_libraries()
    experiment = problem.build(config)
    settings = identity.settings(problem, config, experiment.inputs)
    check_same(settings, run.settings, source, remedy, but=config.EVALUATION)
    numbered = config.workdir == default.workdir
    workdir = make_numbered(lambda n: beside / str(n)) if numbered else config.workdir
    folder = held.enter_context(closing(open_folder(workdir, settings, **mode)))
    return partial(_measure, config, settings, experiment, folder, run.process, run.effort)


def _accelerator(words: Sequence[str]) -> bool:
    if "--help" in words or "-h" in words:  # which answer without starting jax
        return False
    import jax

    return jax.default_backend() != "cpu"


def _train(
    config: RunConfig,
    settings: dict[str, Any],
    experiment: Experiment,
    folder: RunFolder,
    journal: Journal,
) -> None:
    from dpm_jax.experiments import saved_run
    from dpm_jax.training.loop import fit

    if config.resume:
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
    )

    def save(folder: RunFolder) -> Effort:
        return saved_run.save(folder, settings, fitted, experiment)

    def rescue(another: RunFolder) -> None:
        journal.copy_metrics(another)
        save(another)

    said = "its trained model is saved: measure it by --evaluate {}"
    effort = write_or_rescue(folder, save, rescue, said)
    _measure(config, settings, experiment, folder, fitted.process, effort, rescue)


def _heldout(config: RunConfig, experiment: Experiment) -> Heldout | None:
    from dpm_jax.training.loop import Heldout

    if not config.heldout_every:
        return None
    return Heldout(config.heldout_every, lambda p: {"heldout_K_bits": experiment.watch(p)})


def _measure(
    config: RunConfig,
    settings: dict[str, Any],
    experiment: Experiment,
    folder: RunFolder,
    process: Process,
    effort: Effort,
    rescue: Callable[[RunFolder], None] | None = None,
) -> None:
    """Measure and write; ``rescue`` saves what else there is, should the folder be gone."""
    from dpm_jax.evaluation import report

    measured = experiment.measure(process)
    result = {
        "experiment": settings["experiment"],
        "variant": experiment.variant,
        "seed": config.seed,
        "batch_size": config.batch_size,
        "preset": config.preset,
        **measured.numbers,
        **effort._asdict(),
        **report.machine(),
    }

    def write(folder: RunFolder) -> None:
        _write(folder, experiment, measured, result, tensorboard=config.tensorboard)

    def write_all(another: RunFolder) -> None:
        if rescue is not None:
            rescue(another)
        write(another)

    write_or_rescue(folder, write, write_all, "all that it measured is in {}")
    print("\n".join(experiment.summary(result)))
    print(f"\nresult.json, samples.npz and figures are in {folder.path}")


def _write(
    folder: RunFolder,
    experiment: Experiment,
    measured: Measurement,
    result: dict[str, Any],
    *,
    tensorboard: bool,
) -> None:
    """All that a measurement leaves; ``result.json`` last, so that where it is, all is."""
    from dpm_jax.evaluation import figures
    from dpm_jax.training import metrics
    from dpm_jax.training.folder import write_samples, write_whole

    pictures = dict(measured.figures)
    # None where a trained run is evaluated.
    if records := metrics.read(folder.metrics, "K_bits", "gradient_norm"):
        limit = result.get("true_limit_bits")
        pictures["training"] = figures.training(records, limit=limit, unit=experiment.unit)
    drawn = {name: figures.pixels(figure) for name, figure in pictures.items()}
    for name, picture in drawn.items():
        figures.save_pixels(picture, folder.figures / f"{name}.png")
    if tensorboard:
        metrics.add_pictures(folder.tensorboard, drawn, step=result["steps"])
    write_samples(folder.samples, experiment.units.to_data(measured.samples))
    write_whole(folder.result, json.dumps(result, indent=2) + "\n")
