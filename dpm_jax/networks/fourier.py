"""Sines and cosines of an input, in which fine detail shows."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from dpm_jax.array_types import Array, Float
from dpm_jax.networks.convolution import Features, Image

# Taylor's coefficients, of odd and of even powers
SINE = tuple((-1) ** k / math.factorial(2 * k + 1) for k in range(5))
COSINE = tuple((-1) ** k / math.factorial(2 * k) for k in range(6))


def _series(coefficients: Sequence[float], x: Array) -> Array:
    total = jnp.full_like(x, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * x + coefficient
    return total


@jax.custom_jvp
def sine_and_cosine(turns: Array) -> tuple[Array, Array]:
    """Sine and cosine of ``turns`` quarter turns, π/2 each, to float32's last bits.

    XLA's own are a call for every single number on CPU. These are products and sums, which it
    does many at a time: Taylor's series of at most half a quarter turn, whose remainder is 2e-9.
    """
    nearest = jnp.round(turns)
    angle = 0.5 * jnp.pi * (turns - nearest)  # exact before the product: no digits are lost
    square = angle * angle
    sin, cos = angle * _series(SINE, square), _series(COSINE, square)
    quarter = nearest - 4 * jnp.floor(0.25 * nearest)
    odd = (quarter == 1) | (quarter == 3)
    sin, cos = jnp.where(odd, cos, sin), jnp.where(odd, sin, cos)
    return (
        jnp.where(quarter >= 2, -sin, sin),
        jnp.where((quarter == 1) | (quarter == 2), -cos, cos),
    )


@sine_and_cosine.defjvp
def _derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Any, Any]:
    sin, cos = sine_and_cosine(*primals)
    rate = 0.5 * jnp.pi * tangents[0]
    return (sin, cos), (cos * rate, -sin * rate)


def fourier_features(x: Float[Array, " d"], *, octaves: int) -> Float[Array, " features"]:
    """x, sin(2^k π x/2), cos(2^k π x/2) for k = 0..octaves-1: finer detail than x alone shows."""
    sin, cos = sine_and_cosine(jnp.outer(2.0 ** jnp.arange(octaves), x).reshape(-1))
    return jnp.concatenate([x, sin, cos])


def waves(x: Image, *, finest: float, octaves: int) -> Features:
    """Sin and cos of every pixel at wavelengths ``finest`` · 2^k, k = 0..octaves-1."""
    turns = jnp.multiply.outer(x, 4 / finest * 0.5 ** jnp.arange(octaves))
    return jnp.concatenate(sine_and_cosine(turns), -1).reshape(*x.shape[:2], -1)
