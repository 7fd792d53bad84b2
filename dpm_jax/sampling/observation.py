"""What is known of x_0, from what a person has: seen under noise, known for certain, or any r(x_0).

All values are in the process's units; bits are 0 and 1.
"""

import math
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from dpm_jax.array_types import Event, Scalar
from dpm_jax.kernels.binomial import Bernoulli
from dpm_jax.kernels.gaussian import Normal
from dpm_jax.sampling.knowledge import Known, Likelihood, Product, Values


def noisy(y: Values, s: Values | float, mask: Values | None = None) -> Product:
    """Real numbers under normal noise, y = x_0 + s ε.

    Args:
        y: what was seen [*event].
        s: standard deviation of the noise, one or one for each component.
        mask: which components were seen; all, by default.

    Raises:
        ValueError: if y is not finite, s not positive and finite, or the mask of another shape,
            or without any component.
    """
    y = np.asarray(y, np.float32)
    seen, std = _mask(mask, y.shape), np.asarray(s, np.float64)
    if not (np.isfinite(std) & (std > 0)).all():
        raise ValueError(f"s must be positive and finite, got {s}")
    if std.shape not in ((), y.shape):
        raise ValueError(f"s must be one number or of the shape {y.shape}, got {std.shape}")
    y = _finite("y", y, seen)
    variance = np.broadcast_to(std**2, y.shape).astype(np.float32)
    return Product(Normal(jnp.asarray(y), jnp.asarray(variance)), seen)


def flipped(bits: Values, f: float, mask: Values | None = None) -> Product:
    """Bits that were each seen wrong with probability f.

    Args:
        bits: what was seen [*event], 0 or 1.
        f: how often a bit is seen wrong.
        mask: which bits were seen; all, by default.

    Raises:
        ValueError: if a bit is neither 0 nor 1, f not between 0 and ½, or the mask of another
            shape, or without any bit.
    """
    if not 0 < f < 0.5:
        raise ValueError(f"f must lie in (0, 1/2), got {f}: bits without errors are known")
    bits = np.asarray(bits, np.float32)
    seen = _mask(mask, bits.shape)
    bits = _finite("bits", bits, seen)
    strays = bits[(bits != 0) & (bits != 1)]
    if strays.size:
        raise ValueError(f"bits must be 0 or 1, got {strays.ravel()[0]}")
    logits = (2 * bits - 1) * np.float32(math.log((1 - f) / f))
    return Product(Bernoulli(jnp.asarray(logits)), seen)


def known(value: Values, mask: Values) -> Known:
    """Components of x_0 that are known for certain; the others of ``value`` are not read.

    Raises:
        ValueError: if the mask knows everything or nothing or is of another shape, or a known
            component is not finite.
    """
    value = np.asarray(value, np.float32)
    mask = _mask(mask, value.shape)
    if mask.all():
        raise ValueError("mask must leave a component unknown: log p(x_0) is evaluate's to bound")
    return Known(_finite("value", value, mask), mask)


def likelihood(log_r: Callable[[Event], Scalar]) -> Likelihood:
    """Any log r of one event, nats, differentiable where the process is Gaussian.

    It is also asked for the means of bits, in [0, 1].
    """
    return Likelihood(log_r)


def _mask(mask: Values | None, shape: tuple[int, ...]) -> np.ndarray:
    found = np.ones(shape, bool) if mask is None else np.asarray(mask)
    if found.shape != shape:
        raise ValueError(f"mask must have the shape of what is known, {shape}, got {found.shape}")
    if found.dtype != bool:
        raise ValueError(f"mask must be of true and false, got {found.dtype}")
    if not found.any():
        raise ValueError("mask must know a component: without one, draw from the process itself")
    return found


def _finite(name: str, values: np.ndarray, seen: np.ndarray) -> np.ndarray:
    if not np.isfinite(values[seen]).all():
        raise ValueError(
            f"{name} must be finite, got {values[seen][~np.isfinite(values[seen])][0]}"
        )
    return np.where(seen, values, np.float32(0))  # NaN in what is not read would still spread
