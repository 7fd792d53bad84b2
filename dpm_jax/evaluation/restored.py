"""Denoising and inpainting of held-out images: the pictures, and how good they are."""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dpm_jax import scaling
from dpm_jax.array_types import PRNGKey
from dpm_jax.data.patches import ImageData, evenly
from dpm_jax.evaluation import baselines, figures, image_figures, report, restoration
from dpm_jax.evaluation.baselines import Moments
from dpm_jax.evaluation.likelihood import MakeProcess, estimate
from dpm_jax.process import Model, Params, bind

SHOWN = 8  # images in a figure's row
NOISE = 1.0  # standard deviation, scaled units: signal-to-noise 1
DENOISED, DRAWS = 16, 6  # images, and samples whose mean is the posterior's
HOLE = 100  # side in pixels, as in the paper's Figure 5
SCENE = 256  # side of the scene around it, at most


class Subject(NamedTuple):
    """A trained model and its data: what every measurement here is about."""

    model: Model
    params: Params
    data: ImageData

    @property
    def process(self) -> MakeProcess:
        """Parameters to process."""
        return partial(bind, self.model)

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


def denoise(
    subject: Subject, moments: Moments, form: restoration.Denoising, key: PRNGKey, folder: Path
) -> dict[str, Any]:
    """Signal-to-noise 1: the mean of posterior samples against the noisy image and Wiener's."""
    noise_key, draw_key = jax.random.split(key)
    clean = subject.heldout[evenly(len(subject.heldout), DENOISED)]
    noisy = clean + NOISE * np.asarray(jax.random.normal(noise_key, clean.shape))
    wiener = baselines.wiener(moments, noisy, NOISE**2)
    draws = restoration.denoise(
        subject.process, subject.params, noisy, NOISE, draw_key, draws=DRAWS, form=form
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
            "form": form,
            **found,
            **report.pair("wiener_minus_posterior_mean_mse", gain),
        }
    }


def inpaint(subject: Subject, key: PRNGKey, folder: Path) -> dict[str, Any]:
    """The right half of images given the left."""
    images = subject.heldout[evenly(len(subject.heldout), SHOWN)]
    mask = np.zeros(images.shape[1:], bool)
    mask[:, : mask.shape[1] // 2] = True
    draws = restoration.inpaint(subject.process, subject.params, images, mask, key, draws=3)
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
    (draws,) = restoration.inpaint(subject.process, subject.params, image[None], mask, key, draws=2)
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
