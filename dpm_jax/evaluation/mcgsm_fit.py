"""Fitting a mixture of conditional Gaussian scale mixtures to the training images.

The optimiser is the one of the diffusion models. A step sees a few pixels of each of many images,
because neighbouring pixels say much the same.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp

from dpm_jax.array_types import Array, PRNGKey, Scalar
from dpm_jax.data.dataset import Batch, Dataset
from dpm_jax.evaluation.mcgsm import Layout, Mcgsm, Parameters, Seen, layout, log_density, look
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.minimise import minimise

REACH = 2  # pixels to the left, above and to the right: 12 neighbours
COMPONENTS = 8
SCALES = 5
FEATURES = 16
RATE = 0.05
WARMUP = 50  # steps
IMAGES = 64  # in a batch, of each of which a share of the pixels is drawn
PIXELS = 2**11  # in a batch
BATCH_LIMIT = 2**22  # pixels of a batch's whole images
RIDGE = 1e-3  # keeps flat images from a singular first guess
SPREAD = 0.1  # of the first guesses of components about the linear predictor


def fit(
    dataset: Dataset,
    *,
    steps: int,
    finest: float,
    seed: int = 0,
    reach: int = REACH,
    components: int = COMPONENTS,
    scales: int = SCALES,
    features: int = FEATURES,
    progress: bool = False,
) -> Mcgsm:
    """Ascend on the mean log-density of random pixels of the training images, by Adam.

    Args:
        dataset: of images; its held-out part lends only its shape.
        steps: of the optimiser.
        finest: width of the finest structure in the model's units, such as a grey level: the
            first guesses of λ reach from the linear predictor's to 12/finest².
        seed: of the first guess and of the batches.
        reach: of the neighbourhood, in pixels.
        components: C.
        scales: S.
        features: N.
        progress: whether to show a bar.

    Raises:
        ValueError: if ``steps`` < 1.
    """
    start_key, data_key, step_key = jax.random.split(jax.random.key(seed), 3)
    height, width = dataset.heldout.shape[1:3]
    where = layout(height, width, reach)
    train = jnp.asarray(dataset.train)
    seen = jax.jit(partial(_drawn, where, dataset.batch))(train, data_key)
    parameters = minimise(
        partial(_loss, where, dataset.batch),
        _initial(start_key, seen, where, finest, (components, scales, features)),
        train,
        TrainConfig(steps=steps, learning_rate=RATE, warmup_steps=WARMUP),
        step_key,
        label="MCGSM",
        progress=progress,
    )
    return Mcgsm(where, parameters)


def _drawn(layout: Layout, batch: Batch, train: Array, key: PRNGKey) -> Seen:
    """Random pixels of random images, each leaf [images, ...]."""
    batch_key, pixel_key = jax.random.split(key)
    pixels = layout.cut.size
    count = min(IMAGES, max(1, BATCH_LIMIT // pixels))
    images = batch(train, batch_key, count)
    where = jax.random.randint(pixel_key, (count, PIXELS // count), 0, pixels)
    flat = images.reshape(count, pixels, -1)
    return jax.vmap(partial(look, layout))(flat, where)


def _initial(
    key: PRNGKey, seen: Seen, layout: Layout, finest: float, sizes: tuple[int, int, int]
) -> Parameters:
    """Every component near the linear predictor, at all scales that there can be."""
    components, scales, features = sizes
    y = jnp.moveaxis(seen.y, 1, 0).reshape(seen.y.shape[1], -1)
    x = jnp.moveaxis(seen.x, 1, 0).reshape(*y.shape, -1)
    channels, count, inputs = x.shape
    products = jnp.einsum("cki,ckj->cij", x, x) / count + RIDGE * jnp.eye(inputs)[None]
    linear = jnp.linalg.solve(products, jnp.einsum("cki,ck->ci", x, y)[..., None] / count)
    left = jnp.square(y - jnp.einsum("cki,ci->ck", x, linear[..., 0])).mean(1)
    precision = jnp.linspace(-jnp.log(left), math.log(12 / finest**2), scales, axis=-1)
    normal = zip(
        jax.random.split(key, 3),
        ((inputs, components), (inputs, features), (components, features)),
        strict=True,
    )
    a, b, w = (SPREAD * jax.random.normal(k, (channels, *shape)) for k, shape in normal)
    return Parameters(
        prior=jnp.zeros((channels, int(layout.cut.max()) + 1, components, scales)),
        log_precision=jnp.repeat(precision[:, None], components, 1),
        predictors=linear + a / math.sqrt(inputs),
        features=b,
        loadings=w,
    )


def _loss(
    layout: Layout, batch: Batch, parameters: Parameters, train: Array, key: PRNGKey
) -> Scalar:
    seen = _drawn(layout, batch, train, key)
    return -jax.vmap(partial(log_density, Mcgsm(layout, parameters)))(seen).mean()
