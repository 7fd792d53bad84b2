"""From a trained model of images to the numbers and pictures that its experiment leaves."""

import math
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dpm_jax import scaling
from dpm_jax.array_types import PRNGKey
from dpm_jax.data.patches import ImageData
from dpm_jax.evaluation import baselines, figures, image_figures, parzen, report, restoration
from dpm_jax.evaluation.baselines import Moments
from dpm_jax.evaluation.likelihood import Likelihood, estimate, evaluate
from dpm_jax.evaluation.table import text
from dpm_jax.process import Model, Params, bind
from dpm_jax.training.loop import Fitted

AT_ONCE = 2**21  # numbers in a batch of images: activations take about a hundred times as many
STATES = 6  # steps t of the figure of states
SHOWN = 8  # images in a figure's row
NOISE = 1.0  # standard deviation, scaled units: signal-to-noise 1
DENOISED, DRAWS = 16, 6  # images, and samples whose mean is the posterior's
FIT_EXAMPLES = 50_000  # for the moments of the training set
WINDOW_EXAMPLES = 1_000  # validation images for the width of the Parzen windows
HOLE = 100  # side in pixels, as in the paper's Figure 5
SCENE = 256  # side of the scene around it, at most


class Subject(NamedTuple):
    """A trained model and its data: what every measurement here is about."""

    model: Model
    params: Params
    data: ImageData

    @property
    def heldout(self) -> np.ndarray:
        """Held-out examples in the model's units [n, height, width, channels]."""
        return self.data.dataset.heldout

    def grey(self, x: np.ndarray) -> np.ndarray:
        """The model's x as brightness in [0, 1], for pictures and Parzen windows."""
        top = 255 if self.data.grain else float(self.data.dataset.train.max())
        low = 0 if self.data.grain else float(self.data.dataset.train.min())
        levels = scaling.invert(self.data.scaling, x) - self.data.grain / 2
        return np.clip((levels - low) / (top - low), 0, 1)


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
    """
    subject = Subject(model, fitted.params, data)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), 6)
    pixels = data.pixels(FIT_EXAMPLES, seed=seed)
    moments = baselines.fit(pixels, data.scaling, grain=data.grain, seed=seed)
    likelihood = evaluate(
        partial(bind, model),
        fitted.params,
        subject.heldout,
        keys[0],
        times=times,
        chunk=_chunk(model, times),
    )
    return {
        "train_examples": int(data.patches),
        "times_per_example": times,
        **bound(subject, likelihood, baselines.gaussian_bits(moments, subject.heldout)),
        **sample(subject, samples, keys[1], folder),
        **denoise(subject, moments, keys[2], folder),
        **inpaint(subject, keys[3], folder),
        **(fill_hole(subject, keys[4], folder) if any_size else {}),
        **windows(subject, parzen_samples, keys[5]),
    }


def bound(subject: Subject, likelihood: Likelihood, gaussian: np.ndarray) -> dict[str, Any]:
    """K in all its units, and above L_null and the Gaussian baseline [n] in bits."""
    shape, units = subject.heldout.shape[1:], subject.data.scaling
    pixels, dimensions = shape[0] * shape[1], math.prod(shape)
    K, null = likelihood.K, likelihood.null
    code = scaling.bits_per_dimension(units, K, dimensions)
    gaussian_code = scaling.bits_per_dimension(units, gaussian, dimensions)
    schedule = subject.model.schedule.apply(subject.params["schedule"])
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
        "beta_1": float(schedule.beta[0]),
    }


def sample(subject: Subject, count: int, key: PRNGKey, folder: Path) -> dict[str, Any]:
    """Draw samples beside held-out images, and a few of them at several t."""
    steps = subject.model.schedule.steps
    keep = sorted({round(steps * i / (STATES - 1)) for i in range(STATES)}, reverse=True)
    drawn = report.draw(
        subject.model, subject.params, count, key, keep=keep, chunk=_chunk(subject.model, 1)
    )
    data, drawn = (
        subject.grey(subject.heldout[:count]),
        {t: subject.grey(x) for t, x in drawn.items()},
    )
    pictures = {
        "samples": image_figures.samples(data, drawn[0]),
        "states": image_figures.states({t: x[:SHOWN] for t, x in drawn.items()}),
        "schedules": figures.schedules({"learned": _beta(subject)}),
    }
    for name, figure in pictures.items():
        figures.save(figure, folder / f"{name}.png")
    return {"samples": count}


def denoise(subject: Subject, moments: Moments, key: PRNGKey, folder: Path) -> dict[str, Any]:
    """Signal-to-noise 1: the mean of posterior samples against the noisy image and Wiener's."""
    noise_key, draw_key = jax.random.split(key)
    clean = subject.heldout[_spread(len(subject.heldout), DENOISED)]
    noisy = clean + NOISE * np.asarray(jax.random.normal(noise_key, clean.shape))
    wiener = baselines.wiener(moments, noisy, NOISE**2)
    draws = restoration.denoise(
        partial(bind, subject.model), subject.params, noisy, NOISE, draw_key, draws=DRAWS
    )
    versions = {"noisy": noisy, "wiener": wiener, "posterior_mean": draws.mean(1)}
    errors = {name: ((x - clean) ** 2).mean((1, 2, 3)) for name, x in versions.items()}
    labels = dict(zip(versions, ("noisy", "Wiener filter", "posterior mean"), strict=True))
    shown = {labels[name]: x for name, x in versions.items()}
    shown = {"clean": clean, **shown, "one sample": draws[:, 0]}
    notes = {labels[name]: f"MSE {error.mean():.3f}" for name, error in errors.items()}
    figure = image_figures.rows({name: subject.grey(x[:SHOWN]) for name, x in shown.items()}, notes)
    figures.save(figure, folder / "denoising.png")
    found = {name: report.pair("mse", estimate(error)) for name, error in errors.items()}
    gain = estimate(errors["wiener"] - errors["posterior_mean"])
    return {
        "denoising": {
            "images": len(clean),
            "draws": DRAWS,
            "noise_std": NOISE,
            **found,
            **report.pair("wiener_minus_posterior_mean_mse", gain),
        }
    }


def inpaint(subject: Subject, key: PRNGKey, folder: Path) -> dict[str, Any]:
    """The right half of images given the left."""
    images = subject.heldout[_spread(len(subject.heldout), SHOWN)]
    mask = np.zeros(images.shape[1:], bool)
    mask[:, : mask.shape[1] // 2] = True
    draws = restoration.inpaint(
        partial(bind, subject.model), subject.params, images, mask, key, draws=3
    )
    known = np.where(mask, images, np.float32(0))
    rows = {"image": images, "given": known}
    rows |= {f"sample {i + 1}": draws[:, i] for i in range(draws.shape[1])}
    figure = image_figures.rows({name: subject.grey(x) for name, x in rows.items()})
    figures.save(figure, folder / "inpainting.png")
    identical = all((draw[:, mask] == images[:, mask]).all() for draw in np.moveaxis(draws, 1, 0))
    return {
        "inpainting": {
            "known_pixels_identical": bool(identical),
            "unknown_pixels_std": float(draws.std(1)[:, ~mask].mean()),
        }
    }


def fill_hole(subject: Subject, key: PRNGKey, folder: Path) -> dict[str, Any]:
    """A hole in a held-out scene that is larger than what the model was trained on (Figure 5).

    Only where there is such a scene. The network must have no dense path: that fits one size.
    """
    scenes = [s for s in subject.data.scenes if min(s.shape[:2]) > HOLE]
    if not scenes or subject.model.event_shape[0] >= HOLE:
        return {}
    scene = np.asarray(scenes[0])[:SCENE, :SCENE]
    units, grain = subject.data.scaling, subject.data.grain
    image = scaling.standardise(units, scaling.dequantise(scene, np.full(scene.shape, grain / 2)))
    mask = np.ones(image.shape, bool)
    top, left = ((side - HOLE) // 2 for side in image.shape[:2])
    mask[top : top + HOLE, left : left + HOLE] = False
    process = partial(bind, subject.model)
    (draws,) = restoration.inpaint(process, subject.params, image[None], mask, key, draws=2)
    panels = {"held-out scene": image, "given": np.where(mask, image, np.float32(0))}
    panels |= {f"sample {i + 1}": draw for i, draw in enumerate(draws)}
    figure = image_figures.panels({name: subject.grey(x) for name, x in panels.items()})
    figures.save(figure, folder / "hole.png")
    return {
        "hole": {
            "side": HOLE,
            "scene": list(image.shape),
            "known_pixels_identical": bool((draws[:, mask] == image[mask]).all()),
            "std_in_the_hole": float(draws[:, ~mask].std()),
            "std_of_the_scene": float(image.std()),
        }
    }


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


def _spread(count: int, wanted: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(wanted, count)).round().astype(int)


def _beta(subject: Subject) -> np.ndarray:
    return np.asarray(subject.model.schedule.apply(subject.params["schedule"]).beta)
