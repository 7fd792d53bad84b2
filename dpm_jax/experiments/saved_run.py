"""A trained model left in its run's folder, and read from it again: reading touches nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax import hosts, schedule
from dpm_jax.errors import reason
from dpm_jax.experiments import command_line, registry
from dpm_jax.experiments.base import Experiment, Problem, RunConfig, Units, expanded
from dpm_jax.process import Process, bind, init, parameter_count
from dpm_jax.sampling.draw import draw
from dpm_jax.scaling import Scaling, standardise
from dpm_jax.schedule import Schedule
from dpm_jax.training import model_file
from dpm_jax.training.folder import RunFolder
from dpm_jax.training.model_file import ModelFile

if TYPE_CHECKING:
    from dpm_jax.array_types import PRNGKey
    from dpm_jax.training.loop import Fitted


class Effort(NamedTuple):
    """What a training took, for ``result.json``."""

    steps: int
    train_seconds: float
    first_step_seconds: float
    parameters: int


@dataclass(frozen=True)
class SavedRun:
    """A trained model with all that it takes to use it.

    Attributes:
        problem: which experiment it is of.
        settings: what decided its numbers, as JSON.
        config: the run's configuration.
        process: the trained process, in the model's units: for ``evaluate``, ``draw``,
            ``importance_weighted``, posteriors.
        units: between the model's units and the data's.
        facts: what its shape owes to the data.
        effort: what the training took.
    """

    problem: Problem
    settings: dict[str, Any]
    config: RunConfig
    process: Process
    units: Units
    facts: dict[str, Any]
    effort: Effort

    def draw(self, count: int, key: PRNGKey, *, progress: bool = False) -> np.ndarray:
        """``count`` samples in data units [count, *event]; grey levels are uint8."""
        return self.to_data(draw(self.process, count, key, progress=progress))

    def to_data(self, x: np.ndarray) -> np.ndarray:
        """The model's x [n, *event] in data units."""
        return self.units.to_data(x)

    def from_data(self, data: np.ndarray) -> np.ndarray:
        """Data [n, *event] in the model's units, float32; grey levels at the middle of theirs."""
        return standardise(self.units.scaling, data + np.float32(self.units.grain / 2))


def load(path: str | Path) -> SavedRun:
    """The trained model in a run's folder, or in a model file that was taken from one.

    Raises:
        ValueError: if the path holds no model, its training has not ended, or it is damaged.
    """
    path = expanded("run", Path(path))
    file = RunFolder(path).model if path.is_dir() else path
    held = model_file.load(file)
    try:
        return _filled(held)
    except Exception as error:  # what a person has edited raises almost anything
        raise ValueError(
            f"{file} does not hold a model of this version ({reason(error)})"
        ) from None


def save(
    folder: RunFolder, settings: Mapping[str, Any], fitted: Fitted, experiment: Experiment
) -> Effort:
    """Leave in a run's folder what ``load`` reads; returns what the training took."""
    scaling, grain = experiment.units
    effort = Effort(
        fitted.steps,
        fitted.seconds,
        fitted.first_step_seconds,
        parameter_count(fitted.params),
    )
    about = {
        "settings": settings,
        "facts": experiment.facts,
        "units": {
            "mean": np.asarray(scaling.mean).tolist(),
            "scale": scaling.scale,
            "grain": grain,
        },
        "effort": effort._asdict(),
    }
    if hosts.first():
        model_file.save(folder.model, fitted.process, about)
    return effort


def _filled(held: ModelFile) -> SavedRun:
    settings, facts = held.about["settings"], held.about["facts"]
    problem = registry.problem(settings["experiment"])
    config = _config(problem, settings)
    _check_schedule(held.schedule, vars(config)["timesteps"])
    model = problem.model(config, facts, schedule.constant(*map(np.asarray, held.schedule)))
    expected = jax.eval_shape(partial(init, model), jax.random.key(0))["network"]
    _check_parameters(held.network, expected)
    network = jax.tree.map(jnp.asarray, held.network)  # a traced t cannot index NumPy's
    return SavedRun(
        problem=problem,
        settings=settings,
        config=config,
        process=bind(model, {"network": network, "schedule": {}}),
        units=_units(held.about["units"], model.event_shape),
        facts=facts,
        effort=_effort(held.about["effort"]),
    )


def _config(problem: Problem, settings: Mapping[str, Any]) -> RunConfig:
    """The run's configuration, checked as the command line is."""
    default = command_line.preset(problem.presets, settings.get("preset"), lambda: False)
    # A gift does not say where to write, or what to throw away.
    decisive = {k: v for k, v in settings.items() if k not in default.NOT_THE_RUN}
    return command_line.from_json(default, decisive)


def _check_schedule(held: Schedule, steps: int) -> None:
    beta, log_alpha_bar = map(np.asarray, held)
    for array in (beta, log_alpha_bar):
        if array.shape != (steps,) or array.dtype != np.float32:
            raise ValueError(f"its schedule is not of {steps} steps, float32")
    if not ((beta >= 0) & (beta <= 1) & (log_alpha_bar <= 0)).all():
        raise ValueError("its schedule has rates outside 0 to 1")


def _check_parameters(held: Any, expected: Any) -> None:
    kinds = [jax.tree.map(lambda a: (a.shape, a.dtype), tree) for tree in (held, expected)]
    if kinds[0] != kinds[1]:
        raise ValueError("its parameters are not those of its network")
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(held)):
        raise ValueError("its parameters are not finite")


def _units(saved: Mapping[str, Any], event_shape: tuple[int, ...]) -> Units:
    mean, scale, grain = np.asarray(saved["mean"], float), saved["scale"], saved["grain"]
    if np.broadcast_shapes(mean.shape, event_shape) != event_shape or not np.isfinite(mean).all():
        raise ValueError(f"its units have no mean of examples {event_shape}")
    if not (0 < scale < math.inf and grain in (0, 1)):
        raise ValueError(f"its units have scale {scale!r} and grain {grain!r}")
    return Units(Scaling(mean, float(scale)), float(grain))


def _effort(saved: Mapping[str, Any]) -> Effort:
    effort = Effort(**saved)
    if not all(0 <= number < 2**63 for number in effort):
        raise ValueError(f"its effort is {effort}")
    return effort
