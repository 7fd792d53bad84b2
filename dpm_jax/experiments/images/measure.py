"""From a trained process of images to the numbers and pictures that its experiment leaves."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure

from dpm_jax import scaling
from dpm_jax.array_types import PRNGKey
from dpm_jax.data.patches import ImageData
from dpm_jax.evaluation import figures, parzen, report
from dpm_jax.evaluation.likelihood import Likelihood, estimate, evaluate
from dpm_jax.experiments.images import figures as image_figures
from dpm_jax.experiments.images import interpolation, rates, restored, yardsticks
from dpm_jax.experiments.images.config import ImageConfig
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.experiments.measurement import Measurement
from dpm_jax.process import Process
from dpm_jax.sampling.draw import chunk_of, draw, states

AT_ONCE = 2**21  # numbers in a batch of images: activations take about a hundred times as many
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
    rates: PRNGKey


def keys(seed: int) -> Keys:
    """The keys of a seed."""
    return Keys(*jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), 8))


def measure(config: ImageConfig, data: ImageData, process: Process) -> Measurement:
    """K and its baseline, samples, denoising and inpainting."""
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
    chunk = _chunk(process, times)
    likelihood = found.value(
        "likelihood", evaluate, process, heldout, key.bound, times=times, chunk=chunk
    )
    likelihood = found.value("likelihood", density, subject, likelihood)
    likelihood = likelihood if found.add("likelihood", bound, subject, likelihood) else None
    moments = yardsticks.compare(found, config, subject, likelihood)
    if config.believes:
        chunk = _chunk(process, 1)
        found.extend("rate and distortion", rates.measured, subject, key.rates, chunk)
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
    found.extend("interpolation", interpolation.between, subject, key.interpolation)
    if not config.dense:  # a dense path fits one size of images only
        found.extend("hole", restored.fill_hole, subject, key.hole)
    if config.parzen_samples:
        found.add("parzen", windows, subject, config.parzen_samples, key.windows)
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


def density(subject: Subject, likelihood: Likelihood) -> Likelihood:
    """The bound as one on the log-density of the scaled data, whatever the last step ends in.

    The probability of a grey level, spread evenly over its width, is such a density: log₂(scale)
    bits more for each component.
    """
    if subject.continuous:
        return likelihood
    bits = math.log2(subject.data.scaling.scale) * math.prod(subject.heldout.shape[1:])
    terms = likelihood.terms | {"last_step": likelihood.terms["last_step"] + bits}
    return likelihood._replace(K=likelihood.K + bits, terms=terms)


def bound(subject: Subject, likelihood: Likelihood) -> dict[str, Any]:
    """K in all its units, and above L_null."""
    shape, units = subject.heldout.shape[1:], subject.data.scaling
    pixels, dimensions = shape[0] * shape[1], math.prod(shape)
    K, null = likelihood.K, likelihood.null
    code = scaling.bits_per_dimension(units, K, dimensions)
    dimension = yardsticks.per_dimension(subject.data)
    terms = {name: value / dimensions for name, value in likelihood.terms.items()}
    return {
        "image_shape": list(shape),
        "scale": units.scale,
        **report.pair("K_bits", estimate(K)),
        **report.pair("K_bits_per_pixel", estimate(K / pixels)),
        "K_eq14_bits_per_pixel": float(likelihood.K_eq14.mean() / pixels),
        "L_null_bits_per_pixel": float(null.mean() / pixels),
        **report.pair("K_minus_L_null_bits_per_pixel", estimate((K - null) / pixels)),
        **report.pair(dimension, estimate(code)),
        # In DDPM's names and signs; they add up to the line above.
        f"ddpm_terms_{dimension}": {
            "L_T": terms["prior_kl"],
            "L_t_minus_1": float(likelihood.step_kl.sum() / dimensions),
            "L_0": math.log2(units.scale) - terms["last_step"],
        },
        "terms_bits_per_pixel": {
            "step_kl": float(likelihood.step_kl.sum() / pixels),
            **{name: value / pixels for name, value in likelihood.terms.items()},
        },
        "beta_1": float(subject.process.schedule.beta[0]),
    }


def sample(subject: Subject, count: int, key: PRNGKey) -> dict[int, np.ndarray]:
    """Samples and their states at several t, [count, *event] each."""
    process = subject.process
    steps = process.schedule.steps
    keep = sorted({round(steps * i / (STATES - 1)) for i in range(STATES)}, reverse=True)
    chunk = min(chunk_of(count), _chunk(process, 1))
    return states(process, count, key, keep, chunk=chunk, progress=True)


def windows(subject: Subject, count: int, key: PRNGKey) -> dict[str, Any]:
    """The Parzen estimate of Table 2 from ``count`` samples, pixels in [0, 1]."""
    sample_key, validation_key = jax.random.split(key)
    chunk = min(chunk_of(count), _chunk(subject.process, 1))
    drawn = draw(subject.process, count, sample_key, chunk=chunk, progress=True)
    dataset = subject.data.dataset
    validation = np.asarray(
        jax.jit(dataset.batch, static_argnums=2)(dataset.train, validation_key, WINDOW_EXAMPLES)
    )
    found = parzen.parzen(
        subject.grey(drawn),
        subject.grey(validation),
        subject.grey(subject.heldout),
        progress=True,
    )
    return {
        "parzen": {
            "samples": count,
            "width": found.width,
            **report.pair("bits", found.bits),
            **report.pair("nats", found.nats),
        }
    }


def _chunk(process: Process, times: int) -> int:
    return max(1, AT_ONCE // (min(times, 16) * math.prod(process.event_shape)))
