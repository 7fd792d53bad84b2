"""A small classifier of labelled images, fitted by the side: what are a model's samples?

An MLP of SiLU units on 8-bit pixels, trained on images that are shifted by a pixel or two. It is
no more than a reader who is quick and always the same: sure of an image does not mean that a
person would be.
"""

import math
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from dpm_jax.array_types import Array, Float, Int, PRNGKey, Scalar
from dpm_jax.devices import in_chunks
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.minimise import minimise

WIDTHS = (512, 256)
BATCH = 256
RATE = 2e-3
WARMUP = 100  # steps
SHIFT = 2  # pixels, at most, in each direction
CHUNK = 2_000  # images at once

Images = UInt8[np.ndarray, "n height width channels"]


class Layer(NamedTuple):
    """x ↦ x weight + offset."""

    weight: Float[Array, "inputs outputs"]
    offset: Float[Array, " outputs"]


Classifier = tuple[Layer, ...]
"""The layers of an MLP, from pixels to the logits of the classes."""


def fit(
    images: Images,
    labels: Int[np.ndarray, " labels"],
    *,
    steps: int,
    seed: int = 0,
    progress: bool = False,
) -> Classifier:
    """The classifier of as many classes as the labels, 0, 1, …, name; by Adam on cross-entropy.

    Raises:
        ValueError: unless there is a label for each image, none of them is negative, and
            ``steps`` ≥ 1.
    """
    if len(labels) != len(images) or labels.min(initial=0) < 0:
        raise ValueError(f"labels must be a class ≥ 0 for each of {len(images)} images")
    start_key, key = jax.random.split(jax.random.key(seed))
    widths = (math.prod(images.shape[1:]), *WIDTHS, int(labels.max()) + 1)
    return minimise(
        _loss,
        _start(start_key, widths),
        (jnp.asarray(images), jnp.asarray(labels)),
        TrainConfig(steps=steps, learning_rate=RATE, warmup_steps=WARMUP),
        key,
        label="classifier",
        progress=progress,
    )


def probabilities(classifier: Classifier, images: Images) -> Float[np.ndarray, "n classes"]:
    """What the classifier takes each image for."""
    of_chunk = partial(_probabilities, classifier)
    parts = in_chunks(of_chunk, images, chunk=CHUNK, label="classes", progress=False)
    return np.concatenate(list(parts))


@jax.jit
def _probabilities(classifier: Classifier, images: Array) -> Array:
    return jax.nn.softmax(_logits(classifier, images))


def _start(key: PRNGKey, widths: tuple[int, ...]) -> Classifier:
    """Hidden layers that keep the variance of what goes in; the last one is zero: all may be."""
    *hidden, last = pairwise(widths)
    keys = jax.random.split(key, len(hidden))
    first = [
        Layer(jax.random.normal(k, (n, m)) * math.sqrt(2 / n), jnp.zeros(m))
        for k, (n, m) in zip(keys, hidden, strict=True)
    ]
    return (*first, Layer(jnp.zeros(last), jnp.zeros(last[1])))


def _logits(classifier: Classifier, images: Array) -> Float[Array, "n classes"]:
    x = images.reshape(len(images), -1).astype(jnp.float32) / 255
    *hidden, last = classifier
    for layer in hidden:
        x = jax.nn.silu(_affine(layer, x))
    return _affine(last, x)


def _affine(layer: Layer, x: Float[Array, "n inputs"]) -> Float[Array, "n outputs"]:
    return x @ layer.weight + layer.offset[None]


def _loss(classifier: Classifier, data: tuple[Array, Array], key: PRNGKey) -> Scalar:
    """Mean cross-entropy of a random batch of shifted images, nats."""
    images, labels = data
    number_key, shift_key = jax.random.split(key)
    number = jax.random.randint(number_key, (BATCH,), 0, len(images))
    shift = jax.random.randint(shift_key, (BATCH, 2), -SHIFT, SHIFT + 1)
    logits = _logits(classifier, jax.vmap(_shifted)(images[number], shift))
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), labels[number, None], axis=1)
    return -chosen.mean()


def _shifted(image: Array, by: Int[Array, "2"]) -> Array:
    """An image moved down and right; black comes in at the edges."""
    padded = jnp.pad(image, ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    down, right = SHIFT - by
    return jax.lax.dynamic_slice(padded, (down, right, 0), image.shape)
