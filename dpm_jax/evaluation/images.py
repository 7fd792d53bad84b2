"""From a trained model of images to the numbers and pictures that its experiment leaves."""

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dpm_jax import scaling
from dpm_jax.array_types import PRNGKey
from dpm_jax.data.patches import ImageData
from dpm_jax.evaluation import baselines, figures, image_figures, parzen, report, restored
from dpm_jax.evaluation.likelihood import Likelihood, estimate, evaluate
from dpm_jax.evaluation.restoration import Denoising
from dpm_jax.evaluation.restored import Subject
from dpm_jax.evaluation.table import text
from dpm_jax.process import Model
from dpm_jax.training.loop import Fitted

AT_ONCE = 2**21  # numbers in a batch of images: activations take about a hundred times as many
STATES = 6  # steps t of the figure of states
FIT_EXAMPLES = 50_000  # for the moments of the training set
WINDOW_EXAMPLES = 1_000  # validation images for the width of the Parzen windows


def measure(
    model: Model,
    data: ImageData,
    fitted: Fitted,
    folder: Path,
    *,
    seed: int,
    times: int,
    samples: int,
    parzen_samples: int,
    any_size: bool,
    denoising: Denoising,
) -> dict[str, Any]:
    """K and its baseline, samples, denoising and inpainting; figures into ``folder``.

    Args:
        model: what was trained.
        data: its images.
        fitted: the trained weights.
        folder: for the figures.
        seed: every draw follows from it.
        times: diffusion steps drawn for each held-out example in K.
        samples: how many to draw.
        parzen_samples: how many for the Parzen estimate; 0 for none.
        any_size: whether the network fits images of any size.
        denoising: how r enters the steps.
    """
    subject = Subject(model, fitted.params, data)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), 6)
    pixels = data.pixels(FIT_EXAMPLES, seed=seed)
    moments = baselines.fit(pixels, data.scaling, grain=data.grain, seed=seed)
    likelihood = evaluate(
        subject.process,
        subject.params,
        subject.heldout,
        keys[0],
        times=times,
        chunk=_chunk(model, times),
    )
    return {
        "train_examples": data.patches,
        "times_per_example": times,
        **bound(subject, likelihood, baselines.gaussian_bits(moments, subject.heldout)),
        **sample(subject, samples, keys[1], folder),
        **restored.denoise(subject, moments, denoising, keys[2], folder),
        **restored.inpaint(subject, keys[3], folder),
        **(restored.fill_hole(subject, keys[4], folder) if any_size else {}),
        **windows(subject, parzen_samples, keys[5]),
    }


def bound(subject: Subject, likelihood: Likelihood, gaussian: np.ndarray) -> dict[str, Any]:
    """K in all its units, and above L_null and the Gaussian baseline [n] in bits."""
    shape, units = subject.heldout.shape[1:], subject.data.scaling
    pixels, dimensions = shape[0] * shape[1], math.prod(shape)
    K, null = likelihood.K, likelihood.null
    code = scaling.bits_per_dimension(units, K, dimensions)
    gaussian_code = scaling.bits_per_dimension(units, gaussian, dimensions)
    return {
        "heldout_examples": len(K),
        "image_shape": list(shape),
        "scale": units.scale,
        **report.pair("K_bits", estimate(K)),
        **report.pair("K_bits_per_pixel", estimate(K / pixels)),
        "K_eq14_bits_per_pixel": float(likelihood.K_eq14.mean() / pixels),
        "L_null_bits_per_pixel": float(null.mean() / pixels),
        **report.pair("K_minus_L_null_bits_per_pixel", estimate((K - null) / pixels)),
        **report.pair("bits_per_dimension", estimate(code)),
        **report.pair("gaussian_bits_per_pixel", estimate(gaussian / pixels)),
        **report.pair("gaussian_minus_L_null_bits_per_pixel", estimate((gaussian - null) / pixels)),
        **report.pair("K_minus_gaussian_bits_per_pixel", estimate((K - gaussian) / pixels)),
        **report.pair("gaussian_bits_per_dimension", estimate(gaussian_code)),
        "terms_bits_per_pixel": {
            "step_kl": float(likelihood.step_kl.sum() / pixels),
            **{name: value / pixels for name, value in likelihood.terms.items()},
        },
        "beta_1": float(_beta(subject)[0]),
    }


def sample(subject: Subject, count: int, key: PRNGKey, folder: Path) -> dict[str, Any]:
    """Draw samples beside held-out images, and a few of them at several t."""
    steps = subject.model.schedule.steps
    keep = sorted({round(steps * i / (STATES - 1)) for i in range(STATES)}, reverse=True)
    drawn = report.draw(
        subject.model, subject.params, count, key, keep=keep, chunk=_chunk(subject.model, 1)
    )
    shown = {t: subject.grey(x) for t, x in drawn.items()}
    pictures = {
        "samples": image_figures.samples(subject.grey(subject.heldout[:count]), shown[0]),
        "states": image_figures.states({t: x[: restored.SHOWN] for t, x in shown.items()}),
        "schedules": figures.schedules({"learned": _beta(subject)}),
    }
    for name, figure in pictures.items():
        figures.save(figure, folder / f"{name}.png")
    return {"samples": count}


def windows(subject: Subject, count: int, key: PRNGKey) -> dict[str, Any]:
    """The Parzen estimate of Table 2 from ``count`` samples, pixels in [0, 1]."""
    if not count:
        return {}
    sample_key, validation_key = jax.random.split(key)
    drawn = report.draw(
        subject.model,
        subject.params,
        count,
        sample_key,
        keep=(0,),
        chunk=_chunk(subject.model, 1),
    )
    dataset = subject.data.dataset
    validation = np.asarray(
        jax.jit(dataset.batch, static_argnums=2)(dataset.train, validation_key, WINDOW_EXAMPLES)
    )
    found = parzen.parzen(
        subject.grey(drawn[0]), subject.grey(validation), subject.grey(subject.heldout)
    )
    return {
        "parzen": {
            "samples": count,
            "width": found.width,
            **report.pair("bits", found.bits),
            **report.pair("nats", found.nats),
        }
    }


def summary(result: dict[str, Any]) -> str:
    """What a script prints at its end: the bound and its baseline, then the table's row."""
    denoising = result["denoising"]
    rows = {
        "K": "K_bits_per_pixel",
        "K − L_null": "K_minus_L_null_bits_per_pixel",
        "full-covariance Gaussian": "gaussian_bits_per_pixel",
        "K − Gaussian, same images": "K_minus_gaussian_bits_per_pixel",
    }
    errors = (f"{denoising[name]['mse']:.4f}" for name in ("noisy", "wiener", "posterior_mean"))
    lines = [
        "",
        f"{result['heldout_examples']:,} held-out images, bits per pixel of the scaled data:",
        *(report.line(label, result, key) for label, key in rows.items()),
        "bits per dimension of the data as stored:",
        report.line("bound −K", result, "bits_per_dimension"),
        report.line("full-covariance Gaussian", result, "gaussian_bits_per_dimension"),
        f"denoising at signal-to-noise 1, {denoising['images']} images, mean squared error:",
        "  noisy {}, Wiener filter {}, posterior mean {}".format(*errors),
        "",
        report.effort(result),
        "",
        text([result]),
    ]
    return "\n".join(lines)


def _chunk(model: Model, times: int) -> int:
    return max(1, AT_ONCE // (min(times, 16) * math.prod(model.event_shape)))


def _beta(subject: Subject) -> np.ndarray:
    return np.asarray(subject.model.schedule.apply(subject.params["schedule"]).beta)
