"""From a trained process of images to the numbers and pictures that its experiment leaves."""

from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from dpm_jax.array_types import PRNGKey
from dpm_jax.data.patches import ImageData
from dpm_jax.evaluation import figures, parzen, report
from dpm_jax.evaluation.likelihood import evaluate
from dpm_jax.experiments.images import (
    bounds,
    by_step,
    fewer,
    first_noise,
    grade,
    interpolation,
    rates,
    restored,
    ways,
    yardsticks,
)
from dpm_jax.experiments.images import figures as image_figures
from dpm_jax.experiments.images.config import ImageConfig
from dpm_jax.experiments.images.grade import Lesson
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.experiments.measurement import Measurement
from dpm_jax.process import Process
from dpm_jax.sampling.draw import chunk_of, states

PICTURED = 400  # samples in the figure of them
STATES = 6  # steps t of the figure of states
WINDOW_EXAMPLES = 1_000  # validation images for the width of the Parzen windows
WATCHED = 200  # held-out images that are looked at during training


class Keys(NamedTuple):
    """All random numbers of a measurement, split from its seed once."""

    bound: PRNGKey
    samples: PRNGKey
    denoising: PRNGKey
    inpainting: PRNGKey
    hole: PRNGKey
    windows: PRNGKey
    interpolation: PRNGKey
    steps: PRNGKey
    rates: PRNGKey
    learned: PRNGKey


def keys(seed: int) -> Keys:
    """The keys of a seed."""
    return Keys(*jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), 10))


def measure(
    config: ImageConfig, data: ImageData, lesson: Lesson | None, process: Process
) -> Measurement:
    """K and its baseline, samples and their grade, denoising and inpainting."""
    subject, key = Subject(process, data, config.seed), keys(config.seed)
    heldout, times = subject.heldout, _times(config, process)
    found = Measurement(
        {
            "train_examples": data.patches,
            "heldout_examples": len(heldout),
            "times_per_example": times,
            "samples": config.samples,
        }
    )
    chunk = bounds.chunk_of_images(process, times)
    likelihood = found.value(
        "likelihood", evaluate, process, heldout, key.bound, times=times, chunk=chunk
    )
    likelihood = found.value("likelihood", bounds.density, subject, likelihood)
    likelihood = (
        likelihood if found.add("likelihood", bounds.numbers, subject, likelihood) else None
    )
    found.add("learned images", bounds.of_learned, subject, times, key.learned)
    moments = yardsticks.compare(found, config, subject, likelihood)
    if config.believes:
        one = bounds.chunk_of_images(process, 1)
        found.extend("rate and distortion", rates.measured, subject, key.rates, one)
    else:
        reason = f"reverse is {config.reverse}: it has no belief about x_0"
        found.numbers["rate_distortion_missing"] = reason
    form = config.denoising or ("entered" if config.believes else "constant")
    found.extend("denoising", restored.denoise, subject, moments, form, key.denoising)
    drawn = found.value("samples", sample, subject, config.samples, key.samples)
    if drawn is not None:
        found.samples = drawn[0]
        _draw(found, subject, drawn)
    found.draw("schedules", figures.schedules, {"learned": np.asarray(process.schedule.beta)})
    found.extend("inpainting", restored.inpaint, subject, key.inpainting)
    if config.believes:
        found.extend("inpainting by particles", ways.halves, subject, key.inpainting)
    found.extend("interpolation", interpolation.between, subject, key.interpolation)
    if config.any_size:
        found.extend("hole", restored.fill_hole, subject, key.hole)
    graded = None if drawn is None else drawn[0]
    if config.parzen_samples:
        sample_key, validation_key = jax.random.split(key.windows)
        many = found.value("parzen", bounds.freely, subject, config.parzen_samples, sample_key)
        found.add("parzen", windows, subject, many, validation_key)
        graded = max((x for x in (graded, many) if x is not None), key=len, default=None)
    grader = None
    if lesson is not None:
        grader = found.value("grade", grade.learn, lesson, config.seed)
        found.add("grade", grade.grade, subject, grader, graded)
    found.extend("steps", by_step.profile, subject, times, key.steps)
    if config.fewer_steps:
        across = partial(fewer.across, grader=grader)
        keys_of = (key.bound, key.samples)
        found.extend(
            "fewer steps", across, subject, config.fewer_steps, times, likelihood, drawn, keys_of
        )
    if config.first_noises:
        noises = config.first_noises
        found.extend("first noise", first_noise.across, subject, noises, key.bound)
    return found


def _draw(found: Measurement, subject: Subject, drawn: dict[int, np.ndarray]) -> None:
    def side_by_side() -> Figure:
        count = min(len(drawn[0]), PICTURED)
        return image_figures.samples(
            subject.grey(subject.heldout[:count]), subject.grey(drawn[0][:count])
        )

    def by_time() -> Figure:
        few = {t: x[: restored.SHOWN] for t, x in drawn.items()}
        return image_figures.states({t: subject.grey(x) for t, x in few.items()})

    found.draw("samples", side_by_side)
    found.draw("states", by_time)


def _times(config: ImageConfig, process: Process) -> int:
    every = process.schedule.steps - 1
    return min(config.times_per_example or every, every)


def watch(config: ImageConfig, data: ImageData, process: Process) -> float:
    """Held-out K of a few images, bits per image."""
    few, key = data.dataset.heldout[:WATCHED], keys(config.seed).bound
    times = _times(config, process)
    return float(evaluate(process, few, key, times=times, progress=False).K.mean())


def sample(subject: Subject, count: int, key: PRNGKey) -> dict[int, np.ndarray]:
    """Samples and their states at several t, [count, *event] each."""
    process = subject.process
    steps = process.schedule.steps
    keep = sorted({round(steps * i / (STATES - 1)) for i in range(STATES)}, reverse=True)
    chunk = min(chunk_of(count), bounds.chunk_of_images(process, 1))
    return states(process, count, key, keep, chunk=chunk, progress=True)


def windows(subject: Subject, drawn: np.ndarray, key: PRNGKey) -> dict[str, Any]:
    """The Parzen estimate of Table 2 from samples, pixels in [0, 1]."""
    dataset = subject.data.dataset
    validation = np.asarray(
        jax.jit(dataset.batch, static_argnums=2)(dataset.train, key, WINDOW_EXAMPLES)
    )
    found = parzen.parzen(
        subject.grey(drawn),
        subject.grey(validation),
        subject.grey(subject.heldout),
        progress=True,
    )
    return {
        "parzen": {
            "samples": len(drawn),
            "width": found.width,
            **report.pair("bits", found.bits),
            **report.pair("nats", found.nats),
        }
    }
