"""Convolution of one image, with a gradient that stays fast inside a compiled loop on CPU."""

import jax
import jax.numpy as jnp
from jax import lax

from dpm_jax.array_types import Array, Float

Image = Float[Array, "height width channels"]
Kernel = Float[Array, "rows columns channels features"]
Features = Float[Array, "height width features"]


def convolve(x: Image, kernel: Kernel) -> Features:
    """Y = kernel ∗ x, zeros beyond the border; the kernel's sides are odd.

    The gradient is XLA's own, except on CPU: there XLA's gradient by the kernel runs at a
    tenth of the speed inside a loop, and a sum of matrix products takes its place.
    """
    # The whole is chosen, not its gradient alone: only XLA's own gradient sums over a batch in one
    # convolution; any other is a group of its own for each image, and a kernel's gradient for each.
    return lax.platform_dependent(x, kernel, cpu=_with_products, default=_by_xla)


def _by_xla(x: Image, kernel: Kernel) -> Features:
    batched = (x[None], kernel)
    return lax.conv_general_dilated(
        *batched, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]


@jax.custom_vjp
def _with_products(x: Image, kernel: Kernel) -> Features:
    return _by_xla(x, kernel)


def _forward(x: Image, kernel: Kernel) -> tuple[Features, tuple[Image, Kernel]]:
    return _by_xla(x, kernel), (x, kernel)


def _backward(residuals: tuple[Image, Kernel], grad: Features) -> tuple[Image, Kernel]:
    x, kernel = residuals
    # By the image: the adjoint of a convolution is one with the kernel turned around.
    by_image = _by_xla(grad, jnp.swapaxes(kernel[::-1, ::-1], 2, 3))
    # dy/dkernel[i, j]: the image moved by (i, j), times the gradient, summed over pixels. Columns
    # move in the image and rows in the gradient, so that a row of the kernel is one wide product.
    rows, columns = kernel.shape[:2]
    height, width = x.shape[:2]
    wide = jnp.pad(x, ((0, 0), (columns // 2,) * 2, (0, 0)))
    high = jnp.pad(grad, ((rows // 2,) * 2, (0, 0), (0, 0)))
    moved = jnp.stack([wide[:, j : j + width] for j in range(columns)])
    products = [
        jnp.tensordot(moved, high[i : i + height], axes=((1, 2), (0, 1)))
        for i in reversed(range(rows))
    ]
    return by_image, jnp.stack(products)


_with_products.defvjp(_forward, _backward)
