"""What an experiment is: its configuration, what it builds, and what its measurement returns."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from dpm_jax.hosts import HostFlags
from dpm_jax.training.config import MOST_STEPS, TrainConfig, require

if TYPE_CHECKING:
    import numpy as np

    from dpm_jax.data.dataset import Dataset
    from dpm_jax.experiments.measurement import Measurement
    from dpm_jax.process import Model, Process
    from dpm_jax.scaling import Scaling, Unit
    from dpm_jax.schedule import ScheduleFamily


SCHEDULES = ("learned", "fixed", "linear", "cosine")  # any other is a file
HELD = 32  # states at several t, twice while they are joined; figures; the file
LONGEST_PATH = 4096  # bytes: no call of Linux takes more


@dataclass(frozen=True, kw_only=True)
class RunConfig(HostFlags, TrainConfig):
    """Flags that all experiments share.

    Attributes:
        preset: named settings to start from; other flags change them.
        workdir: the run's folder; must be new, unless with --resume or --overwrite.
        resume: go on from the newest checkpoint in workdir.
        overwrite: throw away the run in workdir.
        tensorboard: also write TensorBoard events (pip install 'dpm_jax[tensorboard]').
        evaluate: a trained run's folder: measure its model again, by these flags, without
            training; the workdir is then by default a new folder in its "evaluation".
        samples: examples drawn from the model.
        sample_steps: how many of the T steps are taken where a trained model is measured and
            sampled, evenly spread; 0 for all. K on these steps is another true bound.
        timesteps: T.
        reverse: the form of the reverse step.
        heldout_every: optimiser steps between two looks at held-out K during training; 0 for none.
    """

    NOT_THE_RUN: ClassVar[tuple[str, ...]] = (
        "workdir",
        "resume",
        "overwrite",
        "tensorboard",
        "evaluate",
        "coordinator",
        "processes",
        "process",
    )
    """Flags that change nothing of what a run computes."""
    EVALUATION: ClassVar[tuple[str, ...]] = ("samples", "sample_steps")
    """Flags of what is measured once the model is trained: ``--evaluate`` may change them."""
    DRAWN: ClassVar[tuple[str, ...]] = ("samples",)
    """Flags that say how many samples are held in memory."""

    READS: ClassVar[tuple[str, ...]] = ("schedule",)
    """Flags that may name a file or a folder which is read."""

    workdir: Path
    preset: str = "default"
    resume: bool = False
    overwrite: bool = False
    tensorboard: bool = False
    evaluate: Path | None = None
    timesteps: int = 1000
    reverse: str = "bridge"
    samples: int = 10_000
    sample_steps: int = 0
    heldout_every: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        self.check_hosts()
        for name, value in vars(self).items():
            if isinstance(value, Path):
                object.__setattr__(self, name, expanded(name, value))
        require("timesteps", self.timesteps, at_least=2, at_most=MOST_STEPS)
        require("samples", self.samples, at_least=1)
        require("heldout_every", self.heldout_every, at_least=0)
        check_sample_steps(self)
        if self.evaluate and self.resume:
            raise ValueError("evaluate and resume exclude each other; give one of them")

    @property
    def believes(self) -> bool:
        """Whether the read-out is a belief about x_0, which can be asked at any log-SNR."""
        return self.reverse not in ("paper", "direct")

    def reads(self) -> dict[str, Path]:
        """The files and folders that are read, by flag."""
        values = {name: getattr(self, name) for name in self.READS}
        return {name: Path(v) for name, v in values.items() if v not in (None, *SCHEDULES)}


def check_sample_steps(config: RunConfig, asked: int | None = None) -> None:
    """Raise ValueError unless so many of the run's steps can be taken; by default its own flag."""
    asked = config.sample_steps if asked is None else asked
    if asked and not 2 <= asked <= config.timesteps:
        raise ValueError(
            f"sample_steps must be 0 for all, or lie in 2 to timesteps, {config.timesteps}, "
            f"got {asked}"
        )
    if asked and not config.believes:
        raise ValueError(
            f"sample_steps must be 0 where reverse is {config.reverse}, got {asked}: "
            "a longer step needs a belief about x_0"
        )


def expanded(name: str, path: Path) -> Path:
    """A path that a person typed, with ~ filled in.

    Raises:
        ValueError: if it starts in a home that there is not, or can be no path at all.
    """
    if "\0" in str(path):
        raise ValueError(f"{name} must be a path, got one with a NUL character")
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise ValueError(f"{name} must be a path of at most {LONGEST_PATH} bytes, got a longer one")
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError(f"{name} must start in a home folder that there is, got {path}") from None


def require_beta_1(beta_1: float | None) -> None:
    """Raise ValueError if the rate of the first step is given, and 1 - ᾱ or ᾱ is lost in float32.

    One that follows from the data is checked where it is used.
    """
    if beta_1 is not None:
        require("beta_1", beta_1, at_least=1e-12, at_most=0.999)


def check_samples(
    event_shape: Sequence[int], counts: Mapping[str, int], *, held: int = HELD
) -> None:
    """Raise ValueError unless there is room for so many samples, by the field that says so.

    ``held`` is how many float32 numbers are there for each of a sample's, copies included.
    """
    from dpm_jax import memory

    memory.require({name: held * 4 * math.prod(event_shape) * n for name, n in counts.items()})


class Units(NamedTuple):
    """How to leave the model's units: ``scaling``, and the width of a grey level in data units.

    ``grain`` is 1 for 8-bit images, and 0 for real numbers and bits.
    """

    scaling: Scaling
    grain: float = 0.0

    def to_data(self, x: np.ndarray) -> np.ndarray:
        """The model's x [n, *event] in data units; as uint8 where these are grey levels."""
        from dpm_jax import scaling

        return scaling.levels(self.scaling, x) if self.grain else scaling.invert(self.scaling, x)


class Experiment(NamedTuple):
    """What a configuration builds.

    Attributes:
        variant: what to add to the title of its row, such as the noise; may be empty.
        model: the model to train.
        data: its examples.
        inputs: sha256 of what each flag of files has brought, but for what a seed makes: its last
            bits may differ between machines.
        units: of the data.
        unit: in which its bound is quoted.
        facts: what the model's shape owes to the data, as JSON; with the configuration it makes
            the model again (``Problem.model``).
        measure: of a trained process.
        watch: held-out K of a process in bits per example, quickly, to be watched in training.
        summary: what to print of ``result.json``.
    """

    variant: str
    model: Model
    data: Dataset
    inputs: dict[str, str]
    units: Units
    unit: Unit
    facts: dict[str, Any]
    measure: Callable[[Process], Measurement]
    watch: Callable[[Process], float]
    summary: Callable[[Mapping[str, Any]], Sequence[str]]


class Problem(NamedTuple):
    """An experiment before it is configured: what a command needs to know of it.

    Attributes:
        name: as in the paper's table (``evaluation.paper``).
        doc: for --help.
        presets: configurations by name, the default one first.
        build: from a configuration; raises ValueError on a bad value.
        model: ``model(config, facts, schedule)``, without reading any data.
        frames: ``frames(states, units, facts)`` pictures states x_t by t, from noise to data,
            one after the other: [height, width, 3], uint8.
    """

    name: str
    doc: str
    presets: Mapping[str, Any]
    build: Callable[[Any], Experiment]
    model: Callable[[Any, Mapping[str, Any], ScheduleFamily], Model]
    frames: Callable[[Mapping[int, np.ndarray], Units, Mapping[str, Any]], list[np.ndarray]]
