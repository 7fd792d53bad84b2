"""The schedule that a flag names: learned, one of those with a name, or a file of rates."""

from pathlib import Path

import numpy as np

from dpm_jax import files, schedule
from dpm_jax.data.dataset import digest
from dpm_jax.errors import reason
from dpm_jax.experiments.base import SCHEDULES
from dpm_jax.schedule import ScheduleFamily

RATE = 64  # bytes that a rate may take in a schedule file; NumPy writes 25


def schedule_family(
    name: str,
    steps: int,
    beta_1: float = 0.5,
    *,
    spacing: float = 1.0,
    knots: int | None = None,
) -> tuple[ScheduleFamily, dict[str, str]]:
    """The schedule of a flag: "learned", one of ``schedule.NAMED``, or a text file of rates.

    And, of a file, what it adds to ``Experiment.inputs``.

    Raises:
        ValueError: if the file cannot be read or does not hold ``steps`` valid rates.
    """
    if name == "learned":
        return schedule.learned(steps, beta_1, spacing=spacing, knots=knots), {}
    if name in schedule.NAMED:
        return schedule.NAMED[name](steps), {}
    try:
        content = files.read_bytes(Path(name), most=max(files.MOST, RATE * steps))
        rates = [float(word) for word in content.decode().split()]
    except OSError:
        raise ValueError(
            f"schedule must be {', '.join(SCHEDULES)} or a readable file, got {name}"
        ) from None
    except ValueError as error:
        raise ValueError(
            f"schedule file {name} must hold numbers, one per line: {reason(error)}"
        ) from None
    if len(rates) != steps:
        raise ValueError(f"timesteps is {steps}, but schedule file {name} has {len(rates)} rates")
    return schedule.given(rates), {"schedule": digest([np.array(rates)])}
