"""Images restored by multiplying the model with what is known of them (§2.5, Figures 3-5).

Batches of images in the model's units; every function is one compiled program.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax import perturb, trajectory
from dpm_jax.array_types import Array, Bool, Float, PRNGKey
from dpm_jax.evaluation.likelihood import MakeProcess
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.perturb import Perturbation
from dpm_jax.process import Process

Images = Float[np.ndarray, "n height width channels"]
Draws = Float[np.ndarray, "n draws height width channels"]
Denoising = Literal["constant", "observed"]
"""How r enters the steps: ``denoise``."""


def inpaint(
    process: MakeProcess,
    params: Any,
    images: Images,
    mask: Bool[np.ndarray, "height width channels"],
    key: PRNGKey,
    *,
    draws: int,
) -> Draws:
    """Samples given the pixels under ``mask``, which end bit-identical to those of ``images``."""
    return _posterior(process, params, images, key, draws, partial(_known, mask=jnp.asarray(mask)))


def denoise(
    process: MakeProcess,
    params: Any,
    noisy: Images,
    std: float,
    key: PRNGKey,
    *,
    draws: int,
    form: Denoising,
) -> Draws:
    """Samples of x_0 given y = x_0 + std · ε, the noise's ``std`` in the model's units.

    ``form``: r(x_0) at every t, as in the paper, or what y says of x_t (``perturb.observed``).
    """
    multiply = {"constant": perturb.product, "observed": perturb.observed}[form]
    gaussian = partial(_gaussian, std=std, multiply=multiply)
    return _posterior(process, params, noisy, key, draws, gaussian)


def _known(process: Process, image: Array, *, mask: Array) -> Perturbation:
    return perturb.known(process, image, mask)


def _gaussian(
    process: Process,
    noisy: Array,
    *,
    std: float,
    multiply: Callable[[Process, Normal], Perturbation],
) -> Perturbation:
    return multiply(process, Normal(noisy, jnp.full(noisy.shape, std**2)))


def _posterior(
    process: MakeProcess,
    params: Any,
    given: np.ndarray,
    key: PRNGKey,
    draws: int,
    perturbation: Callable[[Process, Array], Perturbation],
) -> np.ndarray:
    @jax.jit
    def compiled(params: Any, given: Array, keys: Array) -> Array:
        bound_to = process(params)

        def one(image: Array, key: Array) -> Array:
            r = perturbation(bound_to, image)
            return trajectory.sample(bound_to, image.shape, key, perturbation=r).end

        return jax.vmap(lambda image, keys: jax.vmap(partial(one, image))(keys))(given, keys)

    keys = jax.random.split(key, (len(given), draws))
    return np.asarray(compiled(params, given, keys))
