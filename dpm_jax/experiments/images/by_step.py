"""Where in the diffusion a trained model's bits lie, and what drawing steps costs its estimate."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Float, PRNGKey
from dpm_jax.data.patches import evenly
from dpm_jax.evaluation import estimator, report, step_costs
from dpm_jax.evaluation.likelihood import Estimate, estimate
from dpm_jax.experiments.images import curves
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.experiments.measurement import Found
from dpm_jax.training import times as importance

PROFILED = 32  # held-out images
CALLS = 2**16  # of the network: fewer images of a long diffusion
WIDTH = 0.5  # nats of log-SNR that are one bar


def profile(subject: Subject, draws: int, key: PRNGKey) -> Found:
    """Every step of a few held-out images, ``draws`` of which a bound is otherwise made of."""
    schedule = subject.process.schedule
    count = min(PROFILED, max(2, CALLS // schedule.steps))
    some = subject.heldout[evenly(len(subject.heldout), count)]
    costs = step_costs.step_costs(subject.process, some, key, chunk=len(some), progress=True)
    edges = step_costs.log_snr_edges(schedule, WIDTH)
    parts = step_costs.by_log_snr(costs, schedule, edges) / math.prod(some.shape[1:])
    found = [estimate(part) for part in parts.T]
    where = {
        "images": len(some),
        "edges": edges.tolist(),
        "bits_per_dimension": [f.mean for f in found],
        "bits_per_dimension_se": [f.se for f in found],
    }
    figure = curves.log_snr(edges, parts)
    return {"log_snr": where, "estimator_sd": spread(costs, draws)}, {"log_snr": figure}


def spread(costs: Float[np.ndarray, "n steps"], draws: int) -> dict[str, Any]:
    """Standard deviations of one example's K by which steps are drawn for it, bits.

    Of one step, uniform or in proportion to the root-mean-square of its cost as training learns it
    (``training.times``; here from these very examples), and of ``draws`` stratified ones of both.
    """
    steps = costs.shape[1] + 1
    even = np.full(steps - 1, 1 / (steps - 1))
    known = importance.of_every_step(jnp.asarray((costs**2).mean(0), jnp.float32))
    uneven = np.asarray(importance.probabilities(known, steps), np.float64)
    ways = {
        "uniform": (even, 1),
        "importance": (uneven, 1),
        "stratified": (even, draws),
        "stratified_importance": (uneven, draws),
    }
    found: dict[str, Any] = {"images": len(costs), "stratified_draws": draws}
    for name, way in ways.items():
        found |= report.pair(f"{name}_bits", _root(estimate(estimator.variances(costs, *way))))
    return found


def _root(variance: Estimate) -> Estimate:
    """The standard deviation of a mean variance; its error is of first order."""
    root = math.sqrt(max(variance.mean, 0.0))
    return Estimate(root, variance.se / (2 * root) if root else 0.0)
