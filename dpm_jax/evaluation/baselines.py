"""What second moments alone can do: the Gaussian's log-density and the Wiener filter.

Both are exact and both need only the mean and the covariance of the training images, so they
share one fit. A model of images should beat the first in likelihood and the second in denoising.
Everything is in the model's units and in float64: the least variance of 8-bit images, that of
dequantisation, is 1e-5 of the greatest or less.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from dpm_jax import scaling
from dpm_jax.scaling import NATS_PER_BIT, Scaling

# All of MNIST hardly cares below 0.01; 3,000 images of 32x32x3 take 0.003, and fail without it.
SHRINKAGE = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0)
VALIDATION_SHARE = 10  # one training image in so many chooses the shrinkage
CHUNK = 4096


class Moments(NamedTuple):
    """Mean and covariance of examples, float64.

    Attributes:
        mean: [*event].
        covariance: [D, D], of the flattened event.
    """

    mean: np.ndarray
    covariance: np.ndarray


def moments(batches: Iterable[np.ndarray], *, noise_variance: float = 0.0) -> Moments:
    """μ = E x and C = E xxᵀ - μμᵀ + v I of all examples in batches [k, *event].

    Examples are added up batch by batch, so that any number of them fits.

    Args:
        batches: in the model's units.
        noise_variance: v of independent noise of mean 0 that the batches lack. C is then that of
            the noisy data exactly, where drawing the noise would add an error.

    Raises:
        ValueError: if there are no examples, a value is not finite, or the variance is negative.
    """
    if noise_variance < 0:
        raise ValueError(f"noise_variance must not be negative, got {noise_variance}")
    count, event = 0, ()
    total, products = np.zeros(()), np.zeros(())
    for batch in batches:
        x = batch.reshape(len(batch), -1).astype(np.float64)
        count, event = count + len(x), batch.shape[1:]
        total, products = total + x.sum(0), products + x.T @ x
    if count == 0:
        raise ValueError("batches must hold at least one example, got none")
    if not np.isfinite(products).all():
        raise ValueError("examples must be finite, got NaN or infinity")
    mean = total / count
    covariance = products / count - np.outer(mean, mean)
    return Moments(mean.reshape(event), covariance + noise_variance * np.eye(mean.size))


def moments_of_pixels(
    pixels: np.ndarray, units: Scaling, *, grain: float, progress: bool = False
) -> Moments:
    """Moments in the model's units of pixels [n, *event] as stored, after dequantisation.

    Uniform noise of one grey level has mean grain/2 and variance grain²/12, and is independent of
    the level; so nothing is drawn, and C is no regularised covariance but the exact one.

    Args:
        pixels: grey levels, or real numbers that were never quantised.
        units: the scaling of the dequantised pixels.
        grain: width of a grey level in data units: 1 for 8-bit images, 0 for real numbers.
        progress: whether to show a bar.
    """
    batches = _scaled(pixels, units, grain, progress)
    return moments(batches, noise_variance=(grain / units.scale) ** 2 / 12)


def fit(
    pixels: np.ndarray, units: Scaling, *, grain: float, seed: int = 0, progress: bool = False
) -> Moments:
    """Moments of training pixels [n, *event], shrunk as serves unseen images best.

    The weight is chosen on a tenth of the images with the moments of the others, which
    keeps few images from making a weak baseline; then all of them are used.

    Raises:
        ValueError: if there are fewer than 2 images, or a value is not finite.
    """
    if len(pixels) < 2:
        raise ValueError(f"pixels must hold at least 2 images, got {len(pixels)}")
    random = np.random.default_rng(seed)
    order = random.permutation(len(pixels))
    cut = max(1, len(pixels) // VALIDATION_SHARE)
    levels = pixels[order[:cut]]
    u = np.float32(grain) * random.random(levels.shape, np.float32)
    validation = scaling.standardise(units, scaling.dequantise(levels, u))
    of = partial(moments_of_pixels, units=units, grain=grain, progress=progress)
    weight = best_shrinkage(of(pixels[np.sort(order[cut:])]), validation, progress=progress)
    return shrunk(of(pixels), weight)


def shrunk(fitted: Moments, weight: float) -> Moments:
    """C_w = (1-w) C + w diag C: every variance stays, every correlation is less by 1-w.

    The diagonal, not the identity: the border of MNIST is constant, and is to stay so.

    Raises:
        ValueError: if the weight is outside [0, 1].
    """
    if not 0 <= weight <= 1:
        raise ValueError(f"weight must lie in [0, 1], got {weight}")
    diagonal = np.diag(np.diag(fitted.covariance))
    return Moments(fitted.mean, (1 - weight) * fitted.covariance + weight * diagonal)


def best_shrinkage(
    fitted: Moments,
    validation: np.ndarray,
    *,
    weights: Sequence[float] = SHRINKAGE,
    progress: bool = False,
) -> float:
    """The weight with the highest mean log-density of examples [v, *event] not fitted to.

    Weights at which the covariance is singular are passed over.

    Raises:
        ValueError: if it is singular at all weights.
    """
    scores = {}
    for weight in tqdm(weights, desc="Gaussian: shrinkage", disable=not progress, leave=False):
        try:
            scores[weight] = gaussian_bits(shrunk(fitted, weight), validation).mean()
        except ValueError as error:
            reason = error
    if not scores:
        raise reason
    return max(scores, key=scores.__getitem__)


def gaussian_bits(fitted: Moments, examples: np.ndarray) -> np.ndarray:
    """log₂ N(x; μ, C) of examples [n, *event] in the model's units, bits per example [n].

    Raises:
        ValueError: if the covariance is singular or the events' shapes differ.
    """
    _check_event(fitted, examples)
    try:
        factor = np.linalg.cholesky(fitted.covariance)
    except np.linalg.LinAlgError:
        raise ValueError(
            "the covariance is singular; add the variance of dequantisation, or shrink it"
        ) from None
    # Naive: log det C overflows. C = LLᵀ, so it is 2 Σ log L_dd, and x's distance is ‖L⁻¹(x-μ)‖.
    whiten = np.linalg.inv(factor).T
    volume = 0.5 * len(factor) * np.log(2 * np.pi) + np.log(np.diag(factor)).sum()
    distances = [np.square(x @ whiten).sum(1) for x in _centred(fitted, examples)]
    return -(0.5 * np.concatenate(distances) + volume) / NATS_PER_BIT


def wiener(fitted: Moments, noisy: np.ndarray, noise_variance: float) -> np.ndarray:
    """x̂ = μ + C (C + s²I)⁻¹ (y - μ) for y = x + s ε [n, *event]: the best linear denoiser.

    For Gaussian x it is the posterior mean, the best of all; its mean squared error per
    dimension is tr(C - C (C + s²I)⁻¹ C) / D for any x of these moments.

    Raises:
        ValueError: if the noise's variance s² is not positive or the events' shapes differ.
    """
    if not noise_variance > 0:
        raise ValueError(f"noise_variance must be positive, got {noise_variance}")
    _check_event(fitted, noisy)
    covariance = fitted.covariance
    # C and C + s²I commute, so this is the gain, and its transpose.
    gain = np.linalg.solve(covariance + noise_variance * np.eye(len(covariance)), covariance)
    parts = [y @ gain for y in _centred(fitted, noisy)]
    return np.concatenate(parts).reshape(noisy.shape) + fitted.mean


def _scaled(
    pixels: np.ndarray, units: Scaling, grain: float, progress: bool
) -> Iterator[np.ndarray]:
    starts = range(0, len(pixels), CHUNK)
    for start in tqdm(starts, desc="Gaussian: moments", disable=not progress, leave=False):
        levels = pixels[start : start + CHUNK]
        middle = np.full(levels.shape, grain / 2, np.float32)
        yield scaling.standardise(units, scaling.dequantise(levels, middle))


def _centred(fitted: Moments, examples: np.ndarray) -> Iterator[np.ndarray]:
    """Rows [k, D] of x - μ, float64, so that not all of them are there at once."""
    for start in range(0, len(examples), CHUNK):
        part = examples[start : start + CHUNK]
        yield (part - fitted.mean).reshape(len(part), -1)


def _check_event(fitted: Moments, examples: np.ndarray) -> None:
    if len(examples) == 0 or examples.shape[1:] != fitted.mean.shape:
        raise ValueError(
            f"examples must be one or more of shape {fitted.mean.shape}, got {examples.shape}"
        )
