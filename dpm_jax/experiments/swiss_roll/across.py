"""One network at many T: K, and what the schedule allows, beside the limit of the law."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from dpm_jax.array_types import PRNGKey
from dpm_jax.evaluation.likelihood import Estimate, estimate, evaluate
from dpm_jax.laws.swiss_roll import limits
from dpm_jax.laws.swiss_roll.roll import Roll
from dpm_jax.process import Process
from dpm_jax.schedule import resampled

TIMESTEPS = (5, 10, 20, 40, 100, 200, 400)
EXAMPLES = 100_000  # held-out points, the same at every T


class Point(NamedTuple):
    """What was measured at one T, bits per example.

    Attributes:
        steps: T.
        K: of held-out points.
        gap: their exact log q, less K: far less noise, since the points are the same.
        ceiling: of the schedule.
    """

    steps: int
    K: Estimate
    gap: Estimate
    ceiling: float


def measure(
    process: Process,
    roll: Roll,
    log_q: Callable[[np.ndarray], np.ndarray],
    heldout: np.ndarray,
    key: PRNGKey,
    timesteps: Sequence[int] = TIMESTEPS,
) -> list[Point]:
    """A process whose network is told the log-SNR, at other T: its own path, ``resampled``."""
    points, found = heldout[:EXAMPLES], []
    exact = log_q(points)
    for steps in timesteps:
        schedule = resampled(process.schedule, steps)
        K = evaluate(replace(process, schedule=schedule), points, key).K
        ceiling = limits.ceiling(roll, schedule, last_step=process.last_step)
        found.append(Point(steps, estimate(K), estimate(exact - K), ceiling))
    return found


def numbers(points: Sequence[Point]) -> dict[str, Any]:
    """For ``result.json``: a list over T of each."""
    return {
        "across_T": {
            "timesteps": [p.steps for p in points],
            "K_bits": [p.K.mean for p in points],
            "K_bits_se": [p.K.se for p in points],
            "log_q_minus_K_bits": [p.gap.mean for p in points],
            "log_q_minus_K_bits_se": [p.gap.se for p in points],
            "ceiling_bits": [p.ceiling for p in points],
        }
    }
