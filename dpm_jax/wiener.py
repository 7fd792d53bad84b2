"""Beliefs about x_0 from a pixel's surroundings: what second moments can tell, and exactly that.

In a stationary Gaussian field with the images' autocovariance, a pixel given the noisy square
around it is normal, its mean linear in x_t: the Wiener filter of that noise level. A network that
starts from there has only to learn what is not Gaussian.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Array, Event, Float, Scalar
from dpm_jax.kernels.gaussian import LEAST_VARIANCE, Normal

LEAST_EIGENVALUE = 1e-6
"""Of a square's covariance, in the model's units: an estimate of it may be a little indefinite."""


class Surroundings(NamedTuple):
    """Squares of a stationary field by their principal components.

    Attributes:
        side: of the square, odd, pixels.
        channels: of a pixel.
        eigenvalues: [n], n = side · side · channels.
        eigenvectors: [n, n], one in each column; rows as ``squares`` orders them.
    """

    side: int
    channels: int
    eigenvalues: np.ndarray
    eigenvectors: np.ndarray


def autocovariance(images: Float[np.ndarray, "n height width c"], side: int) -> np.ndarray:
    """E x(p) x(p+d)ᵀ of images of mean 0 over all pixels p, at every shift d inside a square.

    Float64 [2 side - 1, 2 side - 1, c, c], the shift (0, 0) in the middle.
    """
    height, width, channels = images.shape[1:]
    reach = side - 1
    found = np.zeros((2 * side - 1, 2 * side - 1, channels, channels))
    for down in range(side):
        for right in range(-reach, side):
            here = images[:, : height - down, max(0, -right) : width - max(0, right)]
            there = images[:, down:, max(0, right) : width + min(0, right)]
            mean = np.einsum("nijc,nijd->cd", here, there) / here[..., 0].size
            found[reach + down, reach + right] = mean
            found[reach - down, reach - right] = mean.T
    return found


def surroundings(autocovariance: np.ndarray) -> Surroundings:
    """The principal components of the squares of a field with this autocovariance."""
    side, channels = (len(autocovariance) + 1) // 2, autocovariance.shape[-1]
    place = np.arange(side)
    shift = place[None] - place[:, None] + side - 1  # from one row, or column, to another
    blocks = autocovariance[shift[:, None, :, None], shift[None, :, None, :]]
    size = side * side * channels
    # [row, column, row', column', c, c'] to a matrix
    covariance = blocks.transpose(0, 1, 4, 2, 3, 5).reshape(size, size)
    eigenvalues, eigenvectors = np.linalg.eigh(covariance)
    return Surroundings(side, channels, np.maximum(eigenvalues, LEAST_EIGENVALUE), eigenvectors)


def squares(
    x: Float[Array, "height width channels"], side: int, beyond: str = "constant"
) -> Float[Array, "height width k"]:
    """Of every pixel, the ``side`` × ``side`` pixels around it, row by row.

    ``beyond`` the border they are zeros, or as ``jnp.pad`` names it.
    """
    height, width = x.shape[:2]
    padded = jnp.pad(x, ((side // 2,) * 2, (side // 2,) * 2, (0, 0)), mode=beyond)
    views = [padded[i : i + height, j : j + width] for i in range(side) for j in range(side)]
    return jnp.concatenate(views, -1)


def belief(around: Surroundings, xt: Event, log_alpha_bar: Scalar) -> Normal:
    """x_0 of each pixel given the square of x_t around it, as if the field were Gaussian.

    With C = U diag(s) Uᵀ the covariance of a square of x_0, and u a row of U for the pixel itself,
    the mean is √ᾱ uᵀ diag(s/(ᾱs + 1-ᾱ)) Uᵀ x_t, the variance Σ u² s(1-ᾱ)/(ᾱs + 1-ᾱ). The border
    is a mirror.
    """
    alpha_bar, noise = jnp.exp(log_alpha_bar), -jnp.expm1(log_alpha_bar)
    middle = around.side**2 // 2 * around.channels
    own = jnp.asarray(around.eigenvectors[middle : middle + around.channels].T, xt.dtype)
    vectors, values = (
        jnp.asarray(a, xt.dtype) for a in (around.eigenvectors, around.eigenvalues[:, None])
    )
    gain = values / (alpha_bar * values + noise)
    mean = squares(xt, around.side, "reflect") @ (vectors @ (jnp.sqrt(alpha_bar) * gain * own))
    variance = (own**2 * (gain * noise)).sum(0)
    return Normal(
        mean,
        jnp.broadcast_to(jnp.maximum(variance, LEAST_VARIANCE).reshape(1, 1, -1), mean.shape),
    )
