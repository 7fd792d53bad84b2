"""Mixtures of conditional Gaussian scale mixtures (Theis, Hosseini and Bethge 2012), exact.

The paper compares its dead leaves with this model. An image is read in raster order, and in a
pixel channel by channel. Every number y has a distribution given its causal neighbourhood x,

    p(y | x) = Σ_cs p(c, s | x) N(y; a_cᵀx, 1/λ_cs),
    p(c, s | x) ∝ exp(η_cs - ½ λ_cs Σ_n w_cn² (b_nᵀx)²),

with components c, scales s and precisions λ; x holds a constant 1 beside the neighbours. The
log-density of an image is the sum of the logs, by the chain rule: no bound and no sampling.

At the border a part of the neighbourhood lies outside. A neighbour that is missing is replaced by
the nearest one that is there, and by 0 at the first pixel, where there is none. So every x is a
function of earlier numbers, whatever lies where, and the density of a whole image is proper. The
weights η are of their own for every way in which the border cuts the neighbourhood.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Float, Int
from dpm_jax.devices import in_chunks
from dpm_jax.scaling import NATS_PER_BIT

MEASURED = 2**17  # pixels at once

Examples = Float[np.ndarray, "n height width channels"]


class Layout(NamedTuple):
    """The causal neighbourhood of every pixel of images of one size.

    Attributes:
        neighbours: number of each neighbour in raster order; height·width stands for none.
        cut: which of the ways in which the border cuts the neighbourhood.
    """

    neighbours: Int[Array, "height width M"]
    cut: Int[Array, "height width"]


class Parameters(NamedTuple):
    """All that is fitted: a mixture for every channel. D is the length of x.

    Attributes:
        prior: η, for every cut.
        log_precision: log λ.
        predictors: a.
        features: b.
        loadings: w.
    """

    prior: Float[Array, "channels cuts C S"]
    log_precision: Float[Array, "channels C S"]
    predictors: Float[Array, "channels D C"]
    features: Float[Array, "channels D N"]
    loadings: Float[Array, "channels C N"]


class Mcgsm(NamedTuple):
    """A model of images of one size, in the units of the images it was fitted to."""

    layout: Layout
    parameters: Parameters


class Seen(NamedTuple):
    """What is to be predicted at k pixels of an image, and from what.

    Attributes:
        y: the numbers.
        x: their neighbourhoods.
        cut: as in the layout.
    """

    y: Float[Array, "channels k"]
    x: Float[Array, "channels k D"]
    cut: Int[Array, " k"]


def bits(model: Mcgsm, examples: Examples, *, progress: bool = False) -> np.ndarray:
    """log₂ density of images in the model's units, bits per image [n].

    Raises:
        ValueError: if the images are not of the model's shape.
    """
    event = (*model.layout.cut.shape, len(model.parameters.prior))
    if examples.shape[1:] != event:
        raise ValueError(f"examples must be of shape {event}, got {examples.shape[1:]}")
    chunk = max(1, MEASURED // model.layout.cut.size)
    of_chunk = partial(log_prob, model)
    parts = in_chunks(of_chunk, examples, chunk=chunk, label="MCGSM: held-out", progress=progress)
    return np.concatenate(list(parts)).astype(np.float64) / NATS_PER_BIT


@jax.jit
def log_prob(model: Mcgsm, images: Float[Array, "n height width channels"]) -> Float[Array, " n"]:
    """Log-density of images in the model's units, nats."""
    return conditionals(model, images).sum((1, 2, 3))


def conditionals(
    model: Mcgsm, images: Float[Array, "n height width channels"]
) -> Float[Array, "n height width channels"]:
    """Log-density of every number given all earlier ones of its image, nats."""
    flat = images.reshape(len(images), -1, images.shape[-1])
    every = jnp.arange(flat.shape[1])
    parts = jax.vmap(lambda image: log_density(model, look(model.layout, image, every)))(flat)
    return jnp.swapaxes(parts, 1, 2).reshape(images.shape)


def layout(height: int, width: int, reach: int) -> Layout:
    """Neighbourhoods of ``reach`` pixels to the left, above, and above to both sides."""
    steps = np.stack(np.divmod(np.arange(2 * reach * (reach + 1)), 2 * reach + 1), 1) - reach
    at = np.moveaxis(np.indices((height, width)), 0, -1)[:, :, None] + steps
    inside = ((at >= 0) & (at < (height, width))).all(-1)
    cuts, cut = np.unique(inside.reshape(-1, len(steps)), axis=0, return_inverse=True)
    cut = cut.reshape(height, width)
    gaps = np.square(steps[:, None] - steps).sum(-1)
    nearest = np.where(cuts[:, None], gaps, gaps.max() + 1).argmin(-1)[cut]
    numbers = np.take_along_axis(at @ (width, 1), nearest, -1)
    numbers = np.where(inside.any(-1, keepdims=True), numbers, height * width)
    return Layout(jnp.asarray(numbers, jnp.int32), jnp.asarray(cut, jnp.int32))


def look(layout: Layout, image: Float[Array, "pixels channels"], where: Int[Array, " k"]) -> Seen:
    """What there is at the pixels ``where``, counted in raster order."""
    channels = image.shape[1]
    padded = jnp.concatenate([image, jnp.zeros((1, channels))])
    neighbours = layout.neighbours.reshape(len(image), -1)[where]
    past = padded[neighbours].reshape(len(where), -1)
    y, one = image[where], jnp.ones((len(where), 1))
    # Of its own pixel, a channel sees those before it.
    before = [jnp.where(jnp.arange(channels - 1)[None] < c, y[:, :-1], 0) for c in range(channels)]
    x = jnp.stack([jnp.concatenate([past, own, one], 1) for own in before])
    return Seen(y.T, x, layout.cut.ravel()[where])


def log_density(model: Mcgsm, seen: Seen) -> Float[Array, "channels k"]:
    """Densities log p(y | x), nats."""
    return jax.vmap(_of_channel, (0, 0, 0, None))(model.parameters, seen.y, seen.x, seen.cut)


def _of_channel(
    p: Parameters, y: Float[Array, " k"], x: Float[Array, "k D"], cut: Int[Array, " k"]
) -> Float[Array, " k"]:
    # Without this an accelerator may multiply in 10 bits, less than a grey level needs.
    multiply = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    precision = jnp.exp(p.log_precision)[None]
    energy = multiply(jnp.square(multiply(x, p.features)), jnp.square(p.loadings).T)
    distance = jnp.square(y[:, None] - multiply(x, p.predictors))
    # Not p.prior[cut]: its gradient would be a scatter, which is slow.
    prior = jnp.tensordot(jax.nn.one_hot(cut, len(p.prior)), p.prior, 1)
    gate = prior - 0.5 * precision * energy[..., None]
    normal = 0.5 * (p.log_precision - math.log(2 * math.pi))[None]
    normal = normal - 0.5 * precision * distance[..., None]
    return jax.nn.logsumexp(gate + normal, (1, 2)) - jax.nn.logsumexp(gate, (1, 2))
