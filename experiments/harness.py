"""What every experiment script does: command line, training, evaluation, ``result.json``.

A script gives its ``Config``, its presets and a function ``build`` that turns a config into
an ``Experiment``; ``main`` does the rest. Heavy imports wait until the command line is read,
so that ``--help`` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from dpm_jax.training.config import TrainConfig, require

if TYPE_CHECKING:
    import numpy as np

    from dpm_jax.data.dataset import Dataset
    from dpm_jax.evaluation.report import Outcome
    from dpm_jax.process import Model
    from dpm_jax.schedule import ScheduleFamily

NOT_THE_MODEL = ("workdir", "resume", "overwrite", "tensorboard", "preset")


@dataclass(frozen=True, kw_only=True)
class RunConfig(TrainConfig):
    """Flags that all experiments share.

    Attributes:
        preset: named settings to start from; other flags change them.
        workdir: the run's folder; must be new, unless with --resume or --overwrite.
        resume: go on from the newest checkpoint in workdir.
        overwrite: throw away the run in workdir.
        tensorboard: also write TensorBoard events (needs tensorboardX).
        train_examples: examples drawn for training.
        heldout_examples: examples drawn for evaluation.
        iw_examples: how many of the held-out examples get the importance-weighted bound.
        iw_samples: paths N per example of that bound.
        samples: examples drawn from the model.
    """

    workdir: Path
    preset: str = "default"
    resume: bool = False
    overwrite: bool = False
    tensorboard: bool = False
    train_examples: int = 1_000_000
    heldout_examples: int = 200_000
    iw_examples: int = 10_000
    iw_samples: int = 64
    samples: int = 10_000

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        for name in ("heldout_examples", "iw_examples"):
            require(name, getattr(self, name), at_least=2)  # a standard error needs two
        for name in ("train_examples", "iw_samples", "samples"):
            require(name, getattr(self, name), at_least=1)
        if self.iw_examples > self.heldout_examples:
            raise ValueError(
                f"iw_examples must be at most heldout_examples, {self.heldout_examples}, "
                f"got {self.iw_examples}"
            )


class Experiment(NamedTuple):
    """What differs between experiments.

    Attributes:
        name: as in the paper's table (``evaluation.paper``).
        variant: what to add to the row's title, such as the noise; may be empty.
        model: the model to train.
        data: its examples.
        true_limit_bits: the mean of log q(x_0) under the law itself: no K can exceed it.
        log_q: exact log q(x_0) of examples [n, *event], bits [n].
        finish: draws the figures into the folder and returns more keys for ``result.json``.
    """

    name: str
    variant: str
    model: Model
    data: Dataset
    true_limit_bits: float
    log_q: Callable[[np.ndarray], np.ndarray]
    finish: Callable[[Outcome, Path], dict[str, Any]]


ConfigT = TypeVar("ConfigT", bound=RunConfig)


def main(doc: str, presets: Mapping[str, ConfigT], build: Callable[[ConfigT], Experiment]) -> None:
    """Run an experiment from the command line; exits 2 with one line on bad input."""
    try:
        config = parse(doc, presets)
        _quiet_libraries()
        experiment = build(config)
        run = _open(config, experiment)
    except ValueError as error:
        sys.exit(_say(error, code=2))
    from dpm_jax.training.errors import Interrupted, TrainingStopped

    try:
        run()
    except Interrupted as stopped:
        print(f"{stopped}: saved. Go on with:\n  {_resume_command()}", file=sys.stderr)
        sys.exit(130)
    except KeyboardInterrupt:
        print(f"interrupted after training; evaluate with:\n  {_resume_command()}", file=sys.stderr)
        sys.exit(130)
    except (TrainingStopped, OSError) as error:
        sys.exit(_say(error, code=2))


def parse(doc: str, presets: Mapping[str, ConfigT], args: list[str] | None = None) -> ConfigT:
    """The config that the command line asks for: a preset, changed by flags.

    Raises:
        ValueError: on a value that a config refuses. An unknown flag exits with code 2.
    """
    import tyro

    words = sys.argv[1:] if args is None else args
    name = "default"
    for i, word in enumerate(words):
        if word == "--preset" and i + 1 < len(words):
            name = words[i + 1]
        elif word.startswith("--preset="):
            name = word.removeprefix("--preset=")
    if name not in presets:
        raise ValueError(f"preset must be one of {', '.join(presets)}, got {name}")
    start = presets[name]
    return tyro.cli(type(start), default=start, description=doc, args=words)


def schedule_family(name: str, steps: int, beta_1: float = 0.5) -> ScheduleFamily:
    """The schedule that a flag names: "learned", "fixed", or a text file of rates.

    Raises:
        ValueError: if the file cannot be read or does not hold ``steps`` valid rates.
    """
    import numpy as np

    from dpm_jax import schedule

    if name == "learned":
        return schedule.learned(steps, beta_1)
    if name == "fixed":
        return schedule.fixed(steps)
    try:
        rates = np.loadtxt(name, ndmin=1)
    except OSError:
        raise ValueError(
            f"schedule must be learned, fixed or a readable file, got {name}"
        ) from None
    except ValueError as error:
        raise ValueError(f"schedule file {name} must hold numbers, one per line: {error}") from None
    if len(rates) != steps:
        raise ValueError(f"timesteps is {steps}, but schedule file {name} has {len(rates)} rates")
    return schedule.given(rates)


def _open(config: RunConfig, experiment: Experiment) -> Callable[[], None]:
    """Everything that can refuse the input; returns the run itself."""
    from dpm_jax.training.folder import open_folder
    from dpm_jax.training.journal import Journal
    from dpm_jax.training.sharding import check_divides, data_mesh

    check_divides(config.batch_size, data_mesh())
    settings = {
        f.name: getattr(config, f.name)
        for f in dataclasses.fields(config)
        if f.name not in NOT_THE_MODEL
    }
    settings = json.loads(json.dumps({"experiment": experiment.name, **settings}))
    folder = open_folder(config.workdir, settings, resume=config.resume, overwrite=config.overwrite)
    journal = Journal(folder, tensorboard=config.tensorboard)

    def run() -> None:
        from dpm_jax.evaluation import report
        from dpm_jax.training.loop import fit

        try:
            fitted = fit(experiment.model, experiment.data.train, config, journal=journal)
        finally:
            journal.close()
        outcome = report.evaluate_model(
            experiment.model,
            fitted,
            experiment.data,
            experiment.log_q,
            seed=config.seed,
            iw_examples=config.iw_examples,
            iw_samples=config.iw_samples,
            samples=config.samples,
        )
        result = {
            "experiment": experiment.name,
            "variant": experiment.variant,
            "seed": config.seed,
            "batch_size": config.batch_size,
            "preset": config.preset,
            **report.result(outcome, experiment.true_limit_bits),
            **experiment.finish(outcome, folder.figures),
        }
        folder.result.write_text(json.dumps(result, indent=2) + "\n")
        print(report.summary(result))
        print(f"\nresult.json and figures are in {folder.path}")

    return run


def _quiet_libraries() -> None:
    import logging

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    logging.getLogger("absl").setLevel(logging.ERROR)


def _resume_command() -> str:
    import shlex

    words = [w for w in sys.argv if w not in ("--resume", "--overwrite")]
    return shlex.join(["python", *words, "--resume"])


def _say(error: BaseException, *, code: int) -> int:
    print(f"error: {error}", file=sys.stderr)
    return code
