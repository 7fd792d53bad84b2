"""What held-out images cost otherwise: by a Gaussian, by an MCGSM, as files.

The first two are densities of dequantised grey levels, whatever the model's last step ends in.
"""

import math
from functools import partial
from typing import Any

import numpy as np

from dpm_jax import memory, scaling
from dpm_jax.data.patches import ImageData, evenly
from dpm_jax.evaluation import baselines, codecs, mcgsm, mcgsm_fit, report
from dpm_jax.evaluation.baselines import Moments
from dpm_jax.evaluation.likelihood import Likelihood, estimate
from dpm_jax.experiments.images.config import ImageConfig
from dpm_jax.experiments.images.restored import Subject
from dpm_jax.experiments.measurement import Measurement

FIT_EXAMPLES = 50_000  # for the moments of the training set
COPIES = 5  # of a covariance, where its inverse is formed


def compare(
    found: Measurement, config: ImageConfig, subject: Subject, likelihood: Likelihood | None
) -> Moments | None:
    """Add what the held-out images cost otherwise; returns the moments of the training images."""
    if subject.data.grain:
        found.add("codecs", files, subject)
    if config.mcgsm_steps:
        conditional = found.value("MCGSM", fit_mcgsm, config, subject)
        found.numbers["mcgsm_steps"] = config.mcgsm_steps
        found.add("MCGSM", against, subject, "mcgsm", likelihood, conditional)
    fitted = found.value("moments", fit_gaussian, config, subject.data)
    if fitted is None:
        return None
    moments, why_not = fitted
    if why_not:
        found.numbers["gaussian_missing"] = why_not
    else:
        gaussian = found.value("gaussian", baselines.gaussian_bits, moments, subject.dequantised)
        found.add("gaussian", against, subject, "gaussian", likelihood, gaussian)
    return moments


def fit_gaussian(config: ImageConfig, data: ImageData) -> tuple[Moments, str]:
    """Moments of the training images, and why there is no Gaussian of them, where there is none.

    Components that never vary leave a covariance without a density; it still makes a Wiener filter.
    """
    dimensions = math.prod(data.dataset.heldout.shape[1:])
    memory.require({f"the covariance of {dimensions} components": COPIES * 8 * dimensions**2})
    pixels = data.pixels(FIT_EXAMPLES, seed=config.seed)
    fit = partial(baselines.fit, pixels, data.scaling, grain=data.grain, seed=config.seed)
    try:
        return fit(progress=True), ""
    except ValueError as error:
        return baselines.moments_of_pixels(pixels, data.scaling, grain=data.grain), str(error)


def fit_mcgsm(config: ImageConfig, subject: Subject) -> np.ndarray:
    """log₂ density of the held-out images under an MCGSM of the training images, bits [n]."""
    data, steps = subject.data, config.mcgsm_steps
    dequantised = data.dataset._replace(batch=data.dequantised)
    model = mcgsm_fit.fit(
        dequantised, steps=steps, finest=data.finest, seed=config.seed, progress=True
    )
    return mcgsm.bits(model, subject.dequantised, progress=True)


def files(subject: Subject) -> dict[str, Any]:
    """What image files of the held-out grey levels cost."""
    heldout, (height, width) = subject.heldout, subject.heldout.shape[1:3]
    some = heldout[evenly(len(heldout), codecs.enough(height, width))]
    levels = scaling.levels(subject.data.scaling, some)
    return {"codecs": codecs.bits_per_dimension(levels)}


def against(
    subject: Subject, name: str, likelihood: Likelihood, other: np.ndarray
) -> dict[str, Any]:
    """Another model's log-density of the held-out images, bits [n], and K's gain over it."""
    shape, K, null = subject.heldout.shape[1:], likelihood.K, likelihood.null
    pixels = shape[0] * shape[1]
    code = scaling.bits_per_dimension(subject.data.scaling, other, math.prod(shape))
    return {
        **report.pair(f"{name}_bits_per_pixel", estimate(other / pixels)),
        **report.pair(f"{name}_minus_L_null_bits_per_pixel", estimate((other - null) / pixels)),
        **report.pair(f"K_minus_{name}_bits_per_pixel", estimate((K - other) / pixels)),
        **report.pair(f"{name}_{per_dimension(subject.data)}", estimate(code)),
    }


def per_dimension(data: ImageData) -> str:
    """What the bits per dimension are called: only of grey levels are they a code's length."""
    return "bits_per_dimension" if data.grain else "density_bits_per_dimension"
