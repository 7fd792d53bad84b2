"""The Parzen-window log-likelihood of the paper's Table 2 (Goodfellow et al. 2014's protocol).

A Gaussian window of standard deviation σ stands on each of m samples of a model; pixels are in
[0, 1]. A test image has the log-density

    log p(y) = log 1/m Σ_i exp(-‖y - x_i‖² / 2σ²) - D log(σ√2π),

and σ is the one of a grid that gives a validation set the highest mean. It says as much about the
number of samples as about the model: with 50,000 training images in place of 10,000 the "perfect
model" gains 110 bits. Read it beside K, not in its place.

dpm parzen --data-dir DIR

prints the row of the "perfect model", MNIST's training images as the samples: 349 bits, as in
Table 2. Goodfellow et al. give nats, and Table 2 their numbers in bits: 225 nats are its 325.
"""

import math
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array
from dpm_jax.data import prepared
from dpm_jax.devices import in_chunks
from dpm_jax.evaluation.likelihood import Estimate, estimate
from dpm_jax.scaling import NATS_PER_BIT

# Goodfellow et al.'s ten widths and one between each two. The best for 10,000 MNIST images is
# 0.174; their 0.167 costs about 3 bits, and is kept because the paper's numbers have it too.
WIDTHS = tuple(float(w) for w in np.geomspace(0.1, 1.0, 19))
SAMPLES = 10_000
VALIDATION = 1_000
PAPER = Estimate(349.0, 3.3)  # bits


class Parzen(NamedTuple):
    """A Parzen-window estimate.

    Attributes:
        width: σ, the best of the grid on the validation set.
        bits: mean and standard error over the test set.
        nats: the same in nats.
        per_example: log₂ density of each test example [n].
        validation: mean log₂ density of the validation set at each width of the grid.
    """

    width: float
    bits: Estimate
    nats: Estimate
    per_example: np.ndarray
    validation: np.ndarray


def parzen(
    samples: np.ndarray,
    validation: np.ndarray,
    test: np.ndarray,
    *,
    widths: Sequence[float] = WIDTHS,
    chunk: int = 1000,
    progress: bool = False,
) -> Parzen:
    """The estimate of a test set [n, *event] by windows on samples [m, *event], bits and nats.

    The width is chosen on validation [v, *event]. Memory is that of the inputs in float32 and of
    a few blocks [chunk, chunk], whatever m, v and n.

    Raises:
        ValueError: if an array is not of finite floats, the events' shapes differ, there are no
            samples, no validation or fewer than 2 test examples, or a width or the chunk is not
            positive.
    """
    arrays = {"samples": samples, "validation": validation, "test": test}
    for name, values in arrays.items():
        _check(name, values, samples.shape[1:], least=2 if name == "test" else 1)
    if not widths or not all(math.isfinite(w) and w > 0 for w in widths):
        raise ValueError(f"widths must be positive numbers, got {tuple(widths)}")
    if chunk < 1:
        raise ValueError(f"chunk must be at least 1, got {chunk}")
    density = partial(log_density, samples, chunk=chunk, progress=progress)
    on_validation = density(validation, widths=widths).mean(1)
    width = widths[int(on_validation.argmax())]
    (nats,) = density(test, widths=(width,))
    return Parzen(
        width=width,
        bits=estimate(nats / NATS_PER_BIT),
        nats=estimate(nats),
        per_example=nats / NATS_PER_BIT,
        validation=on_validation / NATS_PER_BIT,
    )


def log_density(
    samples: np.ndarray,
    points: np.ndarray,
    *,
    widths: Sequence[float],
    chunk: int = 1000,
    progress: bool = False,
) -> np.ndarray:
    """Log-density of points [n, *event] under windows on samples [m, *event], nats [W, n]."""
    # Naive: ‖x‖² + ‖y‖² - 2xy of the pixels. Distances do not change when both are centred, but
    # the terms that cancel get smaller, and with them float32's error: about 2e-5 for MNIST,
    # which is 2e-5/2σ² nats: 4e-4 at σ = 0.17, and 0.1 at σ = 0.01.
    centre = samples.mean(0, dtype=np.float64)
    chunk = min(chunk, max(len(samples), len(points)))
    fill = -len(samples) % chunk
    blocks = np.pad(_centred(samples, centre), ((0, fill), (0, 0))).reshape(-1, chunk, centre.size)
    # The filling of the last block is infinitely far from everything.
    far = np.where(np.arange(blocks.shape[0] * chunk) < len(samples), 0.0, np.inf)
    offsets = far.reshape(-1, chunk).astype(np.float32)
    parts = in_chunks(
        partial(_windows, blocks, offsets, _column(widths)),
        _centred(points, centre),
        chunk=chunk,
        label="Parzen windows",
        progress=progress,
    )
    nearest, total = (np.concatenate(c, dtype=np.float64).T for c in zip(*parts, strict=True))
    sigma, dimensions = np.asarray(widths, np.float64)[:, None], math.prod(samples.shape[1:])
    peak = -dimensions * np.log(sigma * math.sqrt(2 * math.pi)) - math.log(len(samples))
    return peak - nearest / (2 * sigma**2) + np.log(total)


def _windows(
    blocks: np.ndarray, offsets: np.ndarray, widths: Array, points: Array
) -> tuple[Array, Array]:
    """Least ‖y - x‖² [n] and Σ_i exp(-(‖y - x_i‖² - least) / 2σ²) [n, W]."""
    sums = jnp.full(len(points), jnp.inf), jnp.zeros((len(widths), len(points)))
    for x, offset in zip(blocks, offsets, strict=True):  # one at a time on the device
        sums = _add_block(*sums, x, offset, widths, points)
    nearest, total = sums
    return nearest, total.T


@jax.jit
def _add_block(
    nearest: Array, total: Array, x: Array, offset: Array, widths: Array, points: Array
) -> tuple[Array, Array]:
    # Without this an accelerator may multiply in 10 bits: an error of 1e-1 in place of 1e-5.
    multiply = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    rate, norms = 1 / (2 * widths**2), jnp.square(points).sum(1)
    squares = (jnp.square(x).sum(1) + offset)[:, None] + norms[None] - 2 * multiply(x, points.T)
    squares = jnp.maximum(squares, 0)  # rounding may put a sample behind itself
    # One least distance serves all widths: it is where each one's exponent is greatest.
    closer = jnp.minimum(nearest, squares.min(0))
    kept = total * jnp.exp(-rate * (nearest - closer)[None])
    new = jax.lax.map(lambda r: jnp.exp(-r * (squares - closer[None])).sum(0), rate[:, 0])
    return closer, kept + new


def _column(widths: Sequence[float]) -> Array:
    return jnp.asarray(widths, jnp.float32)[:, None]


def _centred(values: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return (values - centre).astype(np.float32).reshape(len(values), -1)


def _check(name: str, values: np.ndarray, event: tuple[int, ...], *, least: int) -> None:
    if not np.issubdtype(values.dtype, np.floating):
        raise ValueError(f"{name} must be floats, pixels in [0, 1], got {values.dtype}")
    if values.ndim < 2 or values.shape[1:] != event:
        raise ValueError(f"{name} must have the samples' shape {event}, got {values.shape[1:]}")
    if len(values) < least:
        raise ValueError(f"{name} must hold at least {least} examples, got {len(values)}")
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite, got NaN or infinity")


def perfect_model(
    train: np.ndarray,
    heldout: np.ndarray,
    *,
    samples: int = SAMPLES,
    seed: int = 0,
    progress: bool = False,
) -> Parzen:
    """Table 2's last row: training images [n, *event] as the samples, all uint8.

    Samples and validation (``VALIDATION`` images) are different images of a random order.

    Raises:
        ValueError: if there are too few training images for both.
    """
    if len(train) < samples + VALIDATION:
        raise ValueError(
            f"{samples} samples and {VALIDATION} validation images need as many training images, "
            f"got {len(train)}"
        )
    order = np.random.default_rng(seed).permutation(len(train))
    chosen, validation = order[:samples], order[samples : samples + VALIDATION]
    parts = (_grey(part) for part in (train[chosen], train[validation], heldout))
    return parzen(*parts, progress=progress)


def _grey(levels: np.ndarray) -> np.ndarray:
    return levels.astype(np.float32) / np.float32(255)


def main(arguments: Sequence[str]) -> int:
    """Print the perfect model's row; 2 with one line on bad input."""
    match list(arguments):
        case ["--data-dir", folder]:
            pass
        case ["-h" | "--help"]:
            print("usage: dpm parzen --data-dir DIR")
            return 0
        case _:
            print("usage: dpm parzen --data-dir DIR", file=sys.stderr)
            return 2
    try:
        images = prepared.load("mnist", Path(folder))
        train, heldout = np.asarray(images.train), np.asarray(images.heldout)
        row = perfect_model(train, heldout, samples=SAMPLES, progress=True)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"perfect model, {SAMPLES} training images, width {row.width:.3f}: "
        f"{row.bits.mean:.1f} ± {row.bits.se:.1f} bits "
        f"({row.nats.mean:.1f} ± {row.nats.se:.1f} nats); "
        f"paper {PAPER.mean:.0f} ± {PAPER.se} bits"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
