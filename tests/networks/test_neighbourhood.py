"""The network of neighbourhoods: its squares, where it starts, and that it learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dpm_jax import models, schedule
from dpm_jax.evaluation.likelihood import evaluate
from dpm_jax.levels import Grid
from dpm_jax.mixture import Components
from dpm_jax.process import bind, init
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.loop import fit
from dpm_jax.wiener import squares

GRID = Grid(np.array([-0.4], np.float32), 1 / 70, 256)
PARTS = Components((0.0, 255.0), (60.0, 128.0, 190.0), (30.0,) * 3, (0.6, 0.2, 0.05, 0.1, 0.05))


def model(height=5, width=4):
    return models.gaussian_neighbourhood(
        (height, width, 1),
        schedule.learned(30, 2e-6, spacing=0.0, knots=6),
        grid=GRID,
        parts=PARTS,
        side=3,
        dense=(8,),
        dense_maps=2,
        upper=(6,),
        bumps=5,
    )


def test_squares_are_what_lies_around_each_pixel():
    x = np.random.default_rng(0).normal(size=(6, 5, 2)).astype(np.float32)
    found = np.asarray(squares(jnp.asarray(x), 3)).reshape(6, 5, 3, 3, 2)
    for row, column in np.ndindex(6, 5):
        for i, j in np.ndindex(3, 3):
            there = row + i - 1, column + j - 1
            inside = 0 <= there[0] < 6 and 0 <= there[1] < 5
            expected = x[there] if inside else np.zeros(2)
            np.testing.assert_array_equal(found[row, column, i, j], expected)


@pytest.mark.parametrize("log_snr", [-np.inf, -3.0, 2.0, 13.0, 40.0])
def test_it_starts_at_no_opinion_and_is_finite_at_any_noise(log_snr):
    made = model()
    params = made.network.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (5, 4, 1))

    def out(params):
        return made.network.apply(params, x, jnp.float32(log_snr))

    np.testing.assert_array_equal(out(params), np.zeros((5, 4, 1, 5)))
    moved = jax.tree.map(lambda p: p + 0.1, params)
    slopes = jax.grad(lambda p: (out(p) ** 2).sum())(moved)
    for slope in jax.tree.leaves(slopes):
        assert np.isfinite(slope).all()


def test_every_pixel_sees_the_whole_image_and_more_of_its_surroundings():
    made = model()
    params = made.network.init(jax.random.key(0))
    params = jax.tree.map(
        lambda p: p + 0.3 * jax.random.normal(jax.random.key(p.size), p.shape), params
    )
    x = jax.random.normal(jax.random.key(1), (5, 4, 1))
    slope = jax.jacobian(lambda x: made.network.apply(params, x, jnp.float32(2.0))[2, 2, 0, 1])(x)
    assert (np.asarray(slope) != 0).all()


@pytest.mark.slow
def test_it_learns_that_neighbours_are_alike():
    rng = np.random.default_rng(0)
    # One bright half, left or right: a pixel says what its neighbours are.
    side = rng.random(600) < 0.5
    bright = np.where(side[:, None], [255, 255, 0, 0], [0, 0, 255, 255])
    image = np.broadcast_to(bright[:, None], (600, 5, 4))[..., None]
    data = (GRID.lowest[0] + GRID.width * image).astype(np.float32)
    made = model()
    config = TrainConfig(
        steps=300, batch_size=64, times_per_batch=8, learning_rate=1e-2, warmup_steps=20
    )
    fitted = fit(made, data[:500], config, progress=False)
    start = bind(made, init(made, jax.random.key(0)))
    key = jax.random.key(2)
    before, after = (
        evaluate(p, data[500:], key, progress=False).K for p in (start, fitted.process)
    )
    # Twenty pixels of one bit in all; at the start each has one of its own and more.
    assert np.mean(before) < -15
    assert np.mean(after) > -6
