"""What the range of the log-SNR costs: K of one trained model by the noise of its first state.

The less noise x_1 has, the surer the last step is of the data, and the more nats of log-SNR the
other steps have to cross. A network that is told the log-SNR can be asked on any of these ranges.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import jax
import numpy as np

from dpm_jax import scaling, schedule
from dpm_jax.array_types import Array, Float, PRNGKey, Scalar
from dpm_jax.data.patches import evenly
from dpm_jax.devices import fold_in_each, in_chunks
from dpm_jax.evaluation import report, step_costs
from dpm_jax.experiments.images import bounds, curves
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.experiments.measurement import Found
from dpm_jax.levels import LAST_STEPS, Grid
from dpm_jax.process import FIXED, LastStep, Process
from dpm_jax.scaling import NATS_PER_BIT
from dpm_jax.schedule import Schedule

MEASURED = 256  # held-out images
PER_NAT = 16  # steps


def across(subject: Subject, noises: Sequence[float], key: PRNGKey) -> Found:
    """How many bits per dimension more than at the run's own first noise, by last step.

    A chain begins at each noise, takes even steps of log-SNR to the highest noise, and goes on from
    there as the run's. What all of them share falls out; the rest is summed step by step, for the
    same images and noise. Each is a true bound. The fixed last step is among them where the model
    is one of dequantised images.

    Args:
        subject: of 8-bit images, its network told the log-SNR.
        noises: standard deviations of x_1/√ᾱ_1 in grey levels; the run's own is added.
        key: of the noise.
    """
    finest = subject.data.finest
    first = schedule.log_snr(np.asarray(subject.process.schedule.log_alpha_bar))[0]
    own = float(np.exp(-first / 2)) / finest
    levels = sorted({own, *(s for s in noises if not np.isclose(s, own, rtol=1e-3))})
    starts = -2 * np.log(np.array(levels) * finest)
    found = {}
    for images, endings in _endings(subject):
        steps = _steps(subject.process, starts, images, key) / images[0].size
        for name, last_step in endings.items():
            process = replace(subject.process, last_step=last_step)
            last = _last_steps(process, starts, images, key) / images[0].size
            parts = {"steps": steps, "last_step": last, "more_than_own": steps + last}
            found[name] = _against(parts, levels.index(own))
    numbers = {
        "images": len(images),
        "own_grey_levels": own,
        "grey_levels": levels,
        "highest_log_snr": starts.tolist(),
        "bits_per_dimension": found,
    }
    return {"first_noise": numbers}, {"first_noise": curves.first_noise(numbers)}


def _endings(subject: Subject) -> Iterator[tuple[np.ndarray, dict[str, LastStep]]]:
    """Images, and the last steps that end in them."""
    units = subject.data.scaling
    some = subject.heldout[evenly(len(subject.heldout), MEASURED)]
    if subject.continuous:
        yield some, {"fixed": FIXED}
    lowest = scaling.standardise(units, np.full((1,) * some.ndim, 0.5))[0]
    grid = Grid(lowest, subject.data.finest, 256)
    middles = scaling.standardise(units, scaling.levels(units, some) + np.float32(0.5))
    yield middles, {"levels": LAST_STEPS["levels"](grid), "binned": LAST_STEPS["binned"](grid)}


def _steps(
    process: Process, starts: np.ndarray, images: np.ndarray, key: PRNGKey
) -> Float[np.ndarray, "n starts"]:
    """What the steps from each start to the last of them cost every image, bits."""
    gaps = np.ceil(-PER_NAT * np.diff(starts)).astype(int)
    marks = np.append(0, gaps.cumsum())
    path = np.interp(np.arange(marks[-1] + 1), marks, starts)
    chain = replace(process, schedule=_schedule(path))
    chunk = bounds.chunk_of_images(process, 1)
    each = step_costs.step_costs(chain, images, key, chunk=chunk, progress=True)
    below = np.cumsum(each[:, ::-1], axis=1)[:, ::-1]
    return np.append(below, np.zeros((len(images), 1)), axis=1)[:, marks]


def _last_steps(
    process: Process, starts: np.ndarray, images: np.ndarray, key: PRNGKey
) -> Float[np.ndarray, "n starts"]:
    """L_0 of every image where x_1 is at each start, bits."""
    numbers, chunk = np.arange(len(images)), bounds.chunk_of_images(process, 1)
    found = []
    for start in starts:
        chain = replace(process, schedule=_schedule(np.array([start, start - 1])))
        parts = in_chunks(
            partial(_last_step, chain, key), images, numbers, chunk=chunk, label="", progress=False
        )
        found.append(-np.concatenate(list(parts)).astype(np.float64) / NATS_PER_BIT)
    return np.stack(found, axis=1)


@jax.jit
def _last_step(process: Process, key: PRNGKey, x0: Array, numbers: Array) -> Array:
    def one(x: Array, key: PRNGKey) -> Scalar:
        noise = process.kernel.noise(key, x.shape)
        return process.last_step.expected_log_prob(process, x, noise)

    return jax.vmap(one)(x0, fold_in_each(key, numbers))


def _schedule(path: Float[np.ndarray, " T"]) -> Schedule:
    """The schedule of this log-SNR."""
    log_alpha_bar = -np.logaddexp(0, -path)
    return schedule.given(-np.expm1(np.diff(log_alpha_bar, prepend=0.0))).apply({})


def _against(
    parts: Mapping[str, Float[np.ndarray, "n starts"]], own: int
) -> dict[str, list[float]]:
    """Each part less what it is at the run's own start."""
    found: dict[str, list[float]] = {}
    for name, values in parts.items():
        found |= report.pairs(name, list((values - values[:, own : own + 1]).T))
    return found
