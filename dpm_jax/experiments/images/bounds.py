"""The bound on images in all its units, and how many of them are worked on at once."""

import math
from typing import Any

import jax
import numpy as np

from dpm_jax import scaling
from dpm_jax.array_types import Float, PRNGKey
from dpm_jax.evaluation import report
from dpm_jax.evaluation.likelihood import Likelihood, estimate, evaluate
from dpm_jax.experiments.images import yardsticks
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.process import Process
from dpm_jax.sampling.draw import chunk_of, draw

LEARNED = 500  # training images, at most, that are measured beside the held-out ones
AT_ONCE = 2**21  # numbers in a batch of images: activations take about a hundred times as many


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


def code(subject: Subject, likelihood: Likelihood) -> Float[np.ndarray, " n"]:
    """Bits per dimension of every image as stored, of a bound on the density."""
    dimensions = math.prod(subject.heldout.shape[1:])
    return scaling.bits_per_dimension(subject.data.scaling, likelihood.K, dimensions)


def numbers(subject: Subject, likelihood: Likelihood) -> dict[str, Any]:
    """K in all its units, and above L_null."""
    shape, units = subject.heldout.shape[1:], subject.data.scaling
    pixels, dimensions = shape[0] * shape[1], math.prod(shape)
    K, null = likelihood.K, likelihood.null
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
        **report.pair(dimension, estimate(code(subject, likelihood))),
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


def of_learned(subject: Subject, times: int, key: PRNGKey) -> dict[str, Any]:
    """Bits per dimension of images that were learned from, as many as are held out, or ``LEARNED``.

    By how much they are fewer than the held-out images' is over-fitting.
    """
    dataset, process = subject.data.dataset, subject.process
    count = min(LEARNED, len(dataset.heldout))
    batch_key, bound_key = jax.random.split(key)
    images = jax.jit(dataset.batch, static_argnums=2)(dataset.train, batch_key, count)
    likelihood = evaluate(
        process,
        np.asarray(images),
        bound_key,
        times=times,
        chunk=chunk_of_images(process, times),
        progress=False,
    )
    bits = estimate(code(subject, density(subject, likelihood)))
    name = yardsticks.per_dimension(subject.data)
    return {"learned_images": {"images": count, **report.pair(name, bits)}}


def freely(subject: Subject, count: int, key: PRNGKey) -> np.ndarray:
    """Samples alone [count, *event]."""
    chunk = min(chunk_of(count), chunk_of_images(subject.process, 1))
    return draw(subject.process, count, key, chunk=chunk, progress=True)


def chunk_of_images(process: Process, times: int) -> int:
    """Images at once, of each of which so many steps are drawn."""
    return max(1, AT_ONCE // (min(times, 16) * math.prod(process.event_shape)))
