"""What every experiment script does: command line, training, evaluation, ``result.json``.

A script gives its ``Config``, its presets and a function ``build`` that turns a config into
an ``Experiment``; ``main`` does the rest. Heavy imports wait until the command line is read,
so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeVar

import saved_run
from command_line import parse, value_of

from dpm_jax.training.config import TrainConfig, require
from dpm_jax.training.errors import Interrupted, TrainingStopped
from dpm_jax.training.folder import RunFolder, check_folder, open_folder, read_config, write_whole
from dpm_jax.training.metrics import require_tensorboard

if TYPE_CHECKING:
    from dpm_jax.data.dataset import Dataset
    from dpm_jax.process import Model
    from dpm_jax.schedule import ScheduleFamily
    from dpm_jax.training.journal import Journal
    from dpm_jax.training.loop import Fitted


@dataclass(frozen=True, kw_only=True)
class RunConfig(TrainConfig):
    """Flags that all experiments share.

    Attributes:
        preset: named settings to start from; other flags change them.
        workdir: the run's folder; must be new, unless with --resume or --overwrite.
        resume: go on from the newest checkpoint in workdir.
        overwrite: throw away the run in workdir.
        tensorboard: also write TensorBoard events (needs tensorboardX).
        evaluate: a finished run's folder: measure its model again, by these flags, without
            training; the workdir is then by default "evaluation" in that folder.
        samples: examples drawn from the model.
    """

    NOT_THE_RUN: ClassVar[tuple[str, ...]] = (
        "workdir",
        "resume",
        "overwrite",
        "tensorboard",
        "evaluate",
    )
    """Flags that change nothing of what a run computes."""
    EVALUATION: ClassVar[tuple[str, ...]] = ("samples",)
    """Flags of what is measured once the model is trained: ``--evaluate`` may change them."""

    workdir: Path
    preset: str = "default"
    resume: bool = False
    overwrite: bool = False
    tensorboard: bool = False
    evaluate: Path | None = None
    samples: int = 10_000

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        require("samples", self.samples, at_least=1)
        if self.evaluate and self.resume:
            raise ValueError("evaluate and resume exclude each other; give one of them")


class Experiment(NamedTuple):
    """What differs between experiments.

    Attributes:
        name: as in the paper's table (``evaluation.paper``).
        variant: what to add to the row's title, such as the noise; may be empty.
        model: the model to train.
        data: its examples.
        measure: measures a trained model, draws the figures into the folder, and returns what
            goes into ``result.json``.
        summary: what to print of that.
    """

    name: str
    variant: str
    model: Model
    data: Dataset
    measure: Callable[[Fitted, Path], dict[str, Any]]
    summary: Callable[[dict[str, Any]], str]


ConfigT = TypeVar("ConfigT", bound=RunConfig)


class Refused(Exception):
    """Bad input: one line that says what is wrong, and nothing was touched."""


def main(doc: str, presets: Mapping[str, ConfigT], build: Callable[[ConfigT], Experiment]) -> None:
    """Run an experiment from the command line.

    Exits with code 2 and one line on bad input, a full disk or a loss that is not finite;
    with 130 and the command to go on with after Ctrl-C or SIGTERM.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # SIGTERM acts like Ctrl-C
    try:
        _prepare(doc, presets, build)()
    except (Interrupted, KeyboardInterrupt) as stopped:
        print(
            f"{str(stopped) or 'interrupted'}. Go on with:\n  {_resume_command()}", file=sys.stderr
        )
        sys.exit(130)
    except (Refused, TrainingStopped) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {error}; put it right and go on with --resume", file=sys.stderr)
        sys.exit(2)


def schedule_family(
    name: str,
    steps: int,
    beta_1: float = 0.5,
    *,
    spacing: float = 1.0,
    knots: int | None = None,
) -> ScheduleFamily:
    """The schedule that a flag names: "learned", "fixed", or a text file of rates.

    Raises:
        ValueError: if the file cannot be read or does not hold ``steps`` valid rates.
    """
    from dpm_jax import schedule

    if name == "learned":
        return schedule.learned(steps, beta_1, spacing=spacing, knots=knots)
    if name == "fixed":
        return schedule.fixed(steps)
    try:
        rates = [float(word) for word in Path(name).read_text().split()]
    except OSError:
        raise ValueError(
            f"schedule must be learned, fixed or a readable file, got {name}"
        ) from None
    except ValueError as error:
        raise ValueError(f"schedule file {name} must hold numbers, one per line: {error}") from None
    if len(rates) != steps:
        raise ValueError(f"timesteps is {steps}, but schedule file {name} has {len(rates)} rates")
    return schedule.given(rates)


def _prepare(
    doc: str, presets: Mapping[str, ConfigT], build: Callable[[ConfigT], Experiment]
) -> Callable[[], None]:
    """Everything that can refuse the input, quick checks first; returns the run itself."""
    try:
        config, saved = _configure(doc, presets)
        settings = _settings(config)
        mode = {"resume": config.resume, "overwrite": config.overwrite}
        check_folder(config.workdir, settings, **mode)
        if config.tensorboard:
            require_tensorboard()
        _quiet_libraries()
        from dpm_jax.training.journal import Journal
        from dpm_jax.training.sharding import check_divides, data_mesh

        check_divides(config.batch_size, data_mesh())
        experiment = build(config)
        settings = {"experiment": experiment.name} | settings
        if config.evaluate is not None:
            saved_run.check_unchanged(settings, saved, config.evaluate, but=config.EVALUATION)
            fitted = _trained(experiment.model, config, config.evaluate)
            folder = open_folder(config.workdir, settings, **mode)
            return partial(_measure, config, experiment, folder, fitted)
        folder = open_folder(config.workdir, settings, **mode)
        journal = Journal(folder, tensorboard=config.tensorboard)
    except (ValueError, OSError, MemoryError) as error:
        raise Refused(error) from None
    return partial(_run, config, experiment, folder, journal)


def _configure(doc: str, presets: Mapping[str, ConfigT]) -> tuple[ConfigT, dict[str, Any]]:
    """What the command line asks for, and the saved settings of the run to evaluate, if any."""
    evaluated = value_of("evaluate", sys.argv[1:])
    if evaluated is None:
        return parse(doc, presets), {}
    saved = read_config(Path(evaluated))
    start = saved_run.configuration(next(iter(presets.values())), saved, Path(evaluated))
    return parse(doc, presets, start=start), saved


def _settings(config: RunConfig) -> dict[str, Any]:
    """What decides a run's numbers, as JSON gives it back."""
    names = (f.name for f in dataclasses.fields(config) if f.name not in config.NOT_THE_RUN)
    settings: dict[str, Any] = json.loads(
        json.dumps({name: getattr(config, name) for name in names}, default=str)
    )
    return settings


def _trained(model: Model, config: RunConfig, folder: Path) -> Fitted:
    from dpm_jax.training.loop import restore

    return restore(model, config, RunFolder(folder).checkpoints)


def _run(config: RunConfig, experiment: Experiment, folder: RunFolder, journal: Journal) -> None:
    from dpm_jax.training.loop import fit

    if config.resume:
        last = journal.checkpoints.last_step
        where = "at step 0, with no checkpoint" if last is None else f"from step {last}"
        print(f"{folder.path}: going on {where}, to step {config.steps}", file=sys.stderr)
    data = experiment.data
    try:
        fitted = fit(experiment.model, data.train, config, batch=data.batch, journal=journal)
    finally:
        journal.close()
    _measure(config, experiment, folder, fitted)


def _measure(config: RunConfig, experiment: Experiment, folder: RunFolder, fitted: Fitted) -> None:
    from dpm_jax.evaluation import report

    result = {
        "experiment": experiment.name,
        "variant": experiment.variant,
        "seed": config.seed,
        "batch_size": config.batch_size,
        "preset": config.preset,
        **experiment.measure(fitted, folder.figures),
        **report.training(fitted),
        **report.machine(),
    }
    write_whole(folder.result, json.dumps(result, indent=2) + "\n")
    print(experiment.summary(result))
    print(f"\nresult.json and figures are in {folder.path}")


def _quiet_libraries() -> None:
    import logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    # orbax raises a failed write, and that we report; but it also logs it, and tensorstore's
    # threads then meet an event loop that is closed.
    for library in ("absl", "asyncio"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    sys.unraisablehook = _unraisable


def _unraisable(failure: sys.UnraisableHookArgs) -> None:
    if str(failure.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(failure)


def _resume_command() -> str:
    words = [w for w in sys.argv if w not in ("--resume", "--overwrite")]
    return shlex.join(["python", *words, "--resume"])
