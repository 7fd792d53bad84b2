"""Which steps t a batch is estimated from: in proportion to the root-mean-square of their loss.

That is the density with the least variance (Nichol & Dhariwal 2021, §3.3), learned as training
goes: means of squares are kept for equal parts of 2..T, far fewer than T, so that every part is
seen in almost every batch.
"""

import jax
import jax.numpy as jnp

from dpm_jax import bound
from dpm_jax.array_types import Array, Float, Int, PRNGKey

PARTS = 32
DECAY = 0.9  # of the running mean, for every batch that has drawn from a part
UNIFORM = 0.1  # share of the draws that are uniform: no part is ever lost from sight

MeanSquare = Float[Array, " parts"]


def start(steps: int) -> MeanSquare:
    """What is known before the first batch: nothing, so that all t are alike."""
    return jnp.ones(min(PARTS, steps - 1))


def of_every_step(square: Float[Array, " steps"]) -> MeanSquare:
    """What would be known if the mean squared loss of every step t = 2..T were."""
    steps = len(square) + 1
    parts = len(start(steps))
    part = _part(jnp.arange(2, steps + 1), parts, steps)
    many = jax.ops.segment_sum(jnp.ones_like(square), part, parts)
    return jax.ops.segment_sum(square, part, parts) / many


def probabilities(mean_square: MeanSquare, steps: int) -> Float[Array, " steps"]:
    """Of t = 2..T."""
    rms = jnp.sqrt(mean_square)[_part(jnp.arange(2, steps + 1), len(mean_square), steps)]
    return (1 - UNIFORM) * rms / rms.sum() + UNIFORM / (steps - 1)


def draw(key: PRNGKey, count: int, probability: Float[Array, " steps"]) -> Int[Array, " count"]:
    """``count`` steps t = 2..T of these probabilities, stratified, in random order."""
    points = bound.stratified_points(key, count)
    t = 2 + jnp.searchsorted(jnp.cumsum(probability), points, side="right")
    # The probabilities may add up to a little less than 1 in float32.
    return jnp.minimum(t, len(probability) + 1).astype(int)


def updated(
    mean_square: MeanSquare,
    t: Int[Array, " count"],
    square: Float[Array, " count"],
    steps: int,
) -> MeanSquare:
    """``mean_square`` after the squared losses of steps t; where none was drawn, as before."""
    parts = len(mean_square)
    part = _part(t, parts, steps)
    drawn = jax.ops.segment_sum(jnp.ones_like(square), part, parts)
    mean = jax.ops.segment_sum(square, part, parts) / jnp.maximum(drawn, 1.0)
    moved = DECAY * mean_square + (1 - DECAY) * mean
    return jnp.where(drawn > 0, moved, mean_square)


def _part(t: Int[Array, " n"], parts: int, steps: int) -> Int[Array, " n"]:
    return (t - 2) * parts // (steps - 1)
