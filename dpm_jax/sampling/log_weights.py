"""Logarithms of weights, nats: their mean, and how many of them count."""

import jax.numpy as jnp
from jax.nn import logsumexp

from dpm_jax.array_types import Array, Float, Scalar


def log_mean(log_weight: Float[Array, " N"]) -> Scalar:
    """Log of the mean of exp(log_weight)."""
    return logsumexp(log_weight) - jnp.log(len(log_weight))


def alive(log_weight: Float[Array, " N"]) -> Float[Array, " N"]:
    """-inf in place of NaN: a particle of weight 0 has no twist to be divided by."""
    return jnp.where(jnp.isnan(log_weight), -jnp.inf, log_weight)


def effective_size(log_weight: Float[Array, " N"]) -> Scalar:
    """(Σ w)² / Σ w²; 0 where no weight is left."""
    top = log_weight.max()
    weight = jnp.where(top > -jnp.inf, jnp.exp(log_weight - jnp.maximum(top, -1e30)), 0.0)
    return weight.sum() ** 2 / jnp.maximum((weight**2).sum(), 1e-30)
