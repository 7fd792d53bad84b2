"""Denoising and inpainting of held-out images: the pictures, and how good they are.

Images are restored by multiplying the model with what is known of them (§2.5, Figures 3-5); noisy
ones also by entering the chain where they are a state of it.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax import scaling
from dpm_jax.array_types import Array, Bool, Float, PRNGKey
from dpm_jax.data.patches import ImageData, evenly
from dpm_jax.evaluation import baselines, report
from dpm_jax.evaluation.baselines import Moments
from dpm_jax.evaluation.likelihood import estimate
from dpm_jax.experiments.base import Units
from dpm_jax.experiments.images import figures
from dpm_jax.experiments.measurement import Found
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.process import LAST_STEPS, Process
from dpm_jax.sampling import enter, perturb
from dpm_jax.sampling.draw import Perturb, chunk_of, multiplied
from dpm_jax.sampling.perturb import Perturbation

Images = Float[np.ndarray, "n height width channels"]
Draws = Float[np.ndarray, "n draws height width channels"]
Denoising = Literal["entered", "constant", "observed"]
"""The chain is entered at y; or r enters the steps: r(x_0) at every t, as in the paper, or what y
says of x_t."""

SHOWN = 8  # images in a figure's row
NOISE = 1.0  # standard deviation, scaled units: signal-to-noise 1
DENOISED = 64  # images
DRAWS = 6  # samples whose mean is the posterior's, where no single call gives it
HOLE = 100  # side in pixels, as in the paper's Figure 5
SCENE = 256  # side of the scene around it, at most


class Subject(NamedTuple):
    """A trained process and its data: what every measurement here is about."""

    process: Process
    data: ImageData
    seed: int = 0

    @property
    def heldout(self) -> np.ndarray:
        """Held-out examples in the model's units [n, height, width, channels]."""
        return self.data.dataset.heldout

    @property
    def continuous(self) -> bool:
        """Whether K bounds a density: of real numbers, or of dequantised grey levels."""
        return self.process.last_step in LAST_STEPS.values()

    @property
    def dequantised(self) -> np.ndarray:
        """The held-out examples as a density sees them: grey levels spread over their width."""
        if self.continuous:
            return self.heldout
        u = np.random.default_rng(self.seed).random(self.heldout.shape, np.float32)
        return self.heldout + (u - np.float32(0.5)) * np.float32(self.data.finest)

    def grey(self, x: np.ndarray) -> np.ndarray:
        """The model's x as brightness in [0, 1], for pictures and Parzen windows."""
        data = self.data
        return figures.brightness(Units(data.scaling, data.grain), data.range, x)


def denoise(subject: Subject, moments: Moments, form: Denoising, key: PRNGKey) -> Found:
    """Signal-to-noise 1: the posterior mean against the noisy image and Wiener's."""
    noise_key, draw_key = jax.random.split(key)
    clean = subject.heldout[evenly(len(subject.heldout), DENOISED)]
    noisy = clean + NOISE * np.asarray(jax.random.normal(noise_key, clean.shape))
    wiener = baselines.wiener(moments, noisy, NOISE**2)
    restored = _DENOISERS[form](subject.process, noisy, draw_key)
    versions = {"noisy": noisy, "wiener": wiener, "posterior_mean": restored.mean}
    errors = {name: ((x - clean) ** 2).mean((1, 2, 3)) for name, x in versions.items()}
    labels = dict(zip(versions, ("noisy", "Wiener filter", "posterior mean"), strict=True))
    shown = {labels[name]: x for name, x in versions.items()}
    shown = {"clean": clean, **shown, "one sample": restored.samples}
    notes = {labels[name]: f"MSE {error.mean():.3f}" for name, error in errors.items()}
    figure = figures.rows({name: subject.grey(x[:SHOWN]) for name, x in shown.items()}, notes)
    found = {name: report.pair("mse", estimate(error)) for name, error in errors.items()}
    gain = estimate(errors["wiener"] - errors["posterior_mean"])
    numbers = {
        "images": len(clean),
        "draws": restored.draws,
        "noise_std": NOISE,
        "form": form,
        **found,
        **report.pair("wiener_minus_posterior_mean_mse", gain),
    }
    return {"denoising": numbers}, {"denoising": figure}


def left_half(shape: tuple[int, ...]) -> Bool[np.ndarray, "height width channels"]:
    """True in the left half of an image of this shape."""
    mask = np.zeros(shape, bool)
    mask[:, : shape[1] // 2] = True
    return mask


def inpaint(subject: Subject, key: PRNGKey) -> Found:
    """The right half of images given the left."""
    images = subject.heldout[evenly(len(subject.heldout), SHOWN)]
    mask = left_half(images.shape[1:])
    draws = inpainted(subject.process, images, mask, key, draws=3, progress=True)
    rows = {"image": images, "given": np.where(mask, images, np.float32(0))}
    rows |= {f"sample {i + 1}": draws[:, i] for i in range(draws.shape[1])}
    figure = figures.rows({name: subject.grey(x) for name, x in rows.items()})
    identical = all((draw[:, mask] == images[:, mask]).all() for draw in np.moveaxis(draws, 1, 0))
    numbers = {
        "known_pixels_identical": bool(identical),
        "unknown_pixels_std": float(draws.std(1)[:, ~mask].mean()),
    }
    return {"inpainting": numbers}, {"inpainting": figure}


def fill_hole(subject: Subject, key: PRNGKey) -> Found:
    """A hole in a held-out scene that is larger than what the model was trained on (Figure 5).

    Only where there is such a scene. The network must be one for any size.
    """
    scenes = [s for s in subject.data.scenes if min(s.shape[:2]) > HOLE]
    if not scenes or subject.process.event_shape[0] >= HOLE:
        return {}, {}
    scene = np.asarray(scenes[0])[:SCENE, :SCENE]
    units, grain = subject.data.scaling, subject.data.grain
    image = scaling.standardise(units, scaling.dequantise(scene, np.full(scene.shape, grain / 2)))
    mask = np.ones(image.shape, bool)
    top, left = ((side - HOLE) // 2 for side in image.shape[:2])
    mask[top : top + HOLE, left : left + HOLE] = False
    larger = replace(subject.process, event_shape=image.shape)
    (draws,) = inpainted(larger, image[None], mask, key, draws=2, progress=True)
    panels = {"held-out scene": image, "given": np.where(mask, image, np.float32(0))}
    panels |= {f"sample {i + 1}": draw for i, draw in enumerate(draws)}
    figure = figures.panels({name: subject.grey(x) for name, x in panels.items()})
    numbers = {
        "side": HOLE,
        "scene": list(image.shape),
        "known_pixels_identical": bool((draws[:, mask] == image[mask]).all()),
        "std_in_the_hole": float(draws[:, ~mask].std()),
        "std_of_the_scene": float(image.std()),
    }
    return {"hole": numbers}, {"hole": figure}


def inpainted(
    process: Process,
    images: Images,
    mask: Bool[np.ndarray, "height width channels"],
    key: PRNGKey,
    *,
    draws: int,
    progress: bool = False,
) -> Draws:
    """Samples given the pixels under ``mask``, which end bit-identical to those of ``images``."""

    def known(process: Process, image: Array) -> Perturbation:
        return perturb.known(process, image, jnp.asarray(mask))

    return _several(process, known, images, key, draws, "inpainting", progress)


def denoised(
    process: Process,
    noisy: Images,
    std: float,
    key: PRNGKey,
    *,
    draws: int,
    form: Literal["constant", "observed"],
    progress: bool = False,
) -> Draws:
    """Samples of x_0 given y = x_0 + std · ε, the noise's ``std`` in the model's units.

    The model is multiplied with what y says; ``sampling.enter`` does without.
    """

    def gaussian(process: Process, noisy: Array) -> Perturbation:
        r = Normal(noisy, jnp.full(noisy.shape, std**2))
        constant = form == "constant"
        return perturb.product(process, r) if constant else perturb.observed(process, r)

    return _several(process, gaussian, noisy, key, draws, "denoising", progress)


class _Denoised(NamedTuple):
    """The posterior's mean, of so many draws or of none, and a sample of each that is shown."""

    mean: Images
    samples: Images
    draws: int


def _enter(process: Process, noisy: Images, key: PRNGKey) -> _Denoised:
    mean = enter.posterior_mean(process, noisy, NOISE, chunk=SHOWN, progress=True)
    entered = enter.until(process, NOISE)
    samples = _several(entered, enter.from_noisy, noisy[:SHOWN], key, 1, "denoising", progress=True)
    return _Denoised(mean, samples[:, 0], 0)


def _multiply(
    form: Literal["constant", "observed"], process: Process, noisy: Images, key: PRNGKey
) -> _Denoised:
    draws = denoised(process, noisy, NOISE, key, draws=DRAWS, form=form, progress=True)
    return _Denoised(draws.mean(1), draws[:, 0], DRAWS)


_DENOISERS: dict[Denoising, Callable[[Process, Images, PRNGKey], _Denoised]] = {
    "entered": _enter,
    "constant": partial(_multiply, "constant"),
    "observed": partial(_multiply, "observed"),
}


def _several(
    process: Process,
    perturb: Perturb,
    given: np.ndarray,
    key: PRNGKey,
    draws: int,
    label: str,
    progress: bool,
) -> np.ndarray:
    """``draws`` trajectories for each of ``given``."""
    ends = multiplied(
        process,
        perturb,
        np.repeat(given, draws, axis=0),
        key,
        chunk=chunk_of(len(given) * draws),
        label=label,
        progress=progress,
    ).end
    return np.asarray(ends).reshape(len(given), draws, *given.shape[1:])
