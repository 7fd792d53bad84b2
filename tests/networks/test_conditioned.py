"""The residual network and the U-Net: any size, where they start, what they see and learn."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import jit, process_of

from dpm_jax import beliefs, models, schedule
from dpm_jax.bound import all_steps
from dpm_jax.evaluation.likelihood import evaluate
from dpm_jax.kernels import gaussian
from dpm_jax.levels import LAST_STEPS, Grid
from dpm_jax.mixture import Components
from dpm_jax.networks.conditioned import Attention, Block, Conditioned, normalised
from dpm_jax.networks.residual import Residual
from dpm_jax.networks.temporal import as_network
from dpm_jax.process import FIXED, bind, init, log_snr
from dpm_jax.training.config import TrainConfig
from dpm_jax.training.loop import fit

GRID = Grid(np.array([-0.4], np.float32), 1 / 70, 256)
PARTS = Components((0.0, 255.0), (60.0, 190.0), (40.0,) * 2, (0.6, 0.2, 0.1, 0.1))
FAMILY = schedule.learned(6, 1e-3)
BELIEFS = {
    "normal": beliefs.normal(1 / 70, octaves=2),
    "mixture": beliefs.mixed(GRID, PARTS),
}
WIDTHS = (3, 4)

each = pytest.mark.parametrize("trunk", models.TRUNKS)


def model(trunk, shape=(5, 6, 1), belief="normal", family=FAMILY, last_step=FIXED, **kwargs):
    return models.gaussian_convolutional(
        shape,
        family,
        BELIEFS[belief],
        trunk,
        convolutions=WIDTHS,
        bumps=5,
        last_step=last_step,
        **kwargs,
    )


def randomised(params, seed=1):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda a: jnp.asarray(0.4 * rng.normal(size=a.shape), a.dtype), params)


def start(made):
    return jit(made.network.init)(jax.random.key(0))


@each
@pytest.mark.parametrize(
    ("belief", "shape"), [("normal", (8, 8, 1)), ("mixture", (7, 5, 3)), ("normal", (1, 2, 3))]
)
def test_it_starts_at_no_opinion_on_images_of_any_size(trunk, belief, shape):
    made = model(trunk, shape, belief)
    x = jax.random.normal(jax.random.key(1), shape)
    out = jit(made.network.apply)(start(made), x, jnp.float32(2.0))
    np.testing.assert_array_equal(out, np.zeros((*shape, BELIEFS[belief].channels)))


@each
def test_the_parameters_of_one_size_serve_another(trunk):
    made = model(trunk, (8, 8, 1))
    params = randomised(start(made))
    x = jax.random.normal(jax.random.key(1), (13, 9, 1))
    assert jit(made.network.apply)(params, x, jnp.float32(2.0)).shape == (13, 9, 1, 2)


@each
def test_it_is_finite_with_its_gradients_at_any_noise(trunk):
    made = model(trunk, belief="mixture")

    def size(params, x, noise):
        return (made.network.apply(params, x, noise) ** 2).sum()

    # Compiled as it is in use: unoptimised, XLA's quotients overflow where these do not.
    found = jax.jit(jax.value_and_grad(size, (0, 1)))
    params, x = randomised(start(made)), jax.random.normal(jax.random.key(1), (5, 6, 1))
    # A black image, whose features are all alike, and one of nothing.
    for image in (x, jnp.full((5, 6, 1), -0.4), jnp.zeros((5, 6, 1))):
        for noise in (-jnp.inf, -3.0, 13.0, 40.0):
            leaves = jax.tree.leaves(found(params, image, jnp.float32(noise)))
            assert all(np.isfinite(leaf).all() for leaf in leaves)


@each
def test_every_read_out_depends_on_every_pixel_and_on_the_noise(trunk):
    made = model(trunk, (13, 17, 1))
    params, x = randomised(start(made)), jax.random.normal(jax.random.key(1), (13, 17, 1))

    def corner(x, noise):
        return made.network.apply(params, x, noise)[0, 0, 0, 1]

    by_pixel, by_noise = jit(jax.grad(corner, (0, 1)))(x, jnp.float32(2.0))
    assert (np.asarray(by_pixel) != 0).all()
    assert abs(by_noise) > 1e-4


def test_without_attention_a_residual_network_sees_only_what_is_near():
    """What the test above holds to be the attention's doing."""
    made = model("residual", (13, 17, 1))
    params = randomised(start(made))
    params["trunk"]["Attention_0"]["out"] = jax.tree.map(
        jnp.zeros_like, params["trunk"]["Attention_0"]["out"]
    )
    x = jax.random.normal(jax.random.key(1), (13, 17, 1))
    slope = jit(jax.grad(lambda x: made.network.apply(params, x, jnp.float32(2.0))[0, 0, 0, 1]))(x)
    reach = 1 + 2 * len(WIDTHS)
    assert (np.asarray(slope)[: reach + 1, : reach + 1] != 0).all()
    assert (np.asarray(slope)[reach + 1 :] == 0).all()
    assert (np.asarray(slope)[:, reach + 1 :] == 0).all()


def test_a_block_is_its_input_at_the_start_and_its_features_may_grow():
    h, g = jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 5))), jnp.full(2, 0.5)
    for features in (5, 7):
        block = Block(features)
        params = block.init(jax.random.key(0), h, g)
        out = block.apply(params, h, g)
        assert out.shape == (4, 3, features)
        if features == 5:
            np.testing.assert_array_equal(out, h)


def test_attention_is_a_softmax_over_all_pixels_by_loops():
    h = jnp.asarray(np.random.default_rng(0).normal(size=(3, 2, 4)), jnp.float32)
    params = randomised(Attention().init(jax.random.key(0), h))
    weights = {name: np.asarray(layer["kernel"]) for name, layer in params["params"].items()}
    pixels = np.asarray(normalised(h), np.float64).reshape(-1, 4)
    np.testing.assert_allclose((pixels**2).mean(1), 1, rtol=1e-4)
    expected = []
    for pixel in pixels:
        match = np.exp((pixel @ weights["queries"]) @ (pixels @ weights["keys"]).T / np.sqrt(4))
        expected.append(match @ (pixels @ weights["values"]) / match.sum() @ weights["out"])
    expected = np.array(expected) + np.asarray(params["params"]["out"]["bias"])
    change = np.asarray(Attention().apply(params, h) - h).reshape(-1, 4)
    np.testing.assert_allclose(change, expected, rtol=1e-4, atol=1e-5)


@each
@pytest.mark.parametrize("belief", BELIEFS)
def test_an_untrained_model_is_the_one_whose_read_out_is_zero(trunk, belief):
    """K on the same noise; for the normal belief that is K of the forward kernel."""
    made = model(trunk, belief=belief)
    x, noise = jax.random.normal(jax.random.key(1), (5, 6, 1)), jnp.ones((6, 5, 6, 1))

    def silent(xt, t, c):
        form, channels, _ = BELIEFS[belief]
        return form(gaussian.KERNEL, jnp.zeros((*xt.shape, channels)), xt, c)

    def forward(xt, t, c):
        return gaussian.KERNEL.step(xt, c.beta)

    ours = bind(made, init(made, jax.random.key(0)))
    K = jit(partial(all_steps, ours))(x, noise).K
    assert np.isfinite(K)
    for reverse in (silent, forward)[: 2 if belief == "normal" else 1]:
        other = process_of(gaussian.KERNEL, ours.schedule, reverse, (5, 6, 1))
        np.testing.assert_allclose(K, jit(partial(all_steps, other))(x, noise).K, rtol=1e-4)


@each
def test_half_precision_is_close_and_reads_out_float32(trunk):
    x = jax.random.normal(jax.random.key(1), (5, 6, 1))
    params = randomised(start(model(trunk)))
    full, half = (
        jit(model(trunk, dtype=dtype).network.apply)(params, x, jnp.float32(2.0))
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert half.dtype == jnp.float32
    assert 0 < np.abs(full - half).max() < 0.1 * np.abs(full).max()


@each
def test_one_training_serves_any_number_of_steps(trunk):
    longer = model(trunk, family=schedule.learned(11, 1e-3))
    params = {"network": randomised(start(model(trunk))), "schedule": longer.schedule.init()}
    x, noise = jax.random.normal(jax.random.key(1), (5, 6, 1)), jnp.ones((11, 5, 6, 1))
    assert np.isfinite(jit(lambda p: all_steps(bind(longer, p), x, noise).K)(params))


def test_it_is_told_the_log_snr():
    module = Conditioned(2, BELIEFS["normal"].seen, 4, Residual((4,)), 3)
    assert as_network(module, (5, 6, 1), log_snr).clock is log_snr
    assert model("residual").network.clock is log_snr


@pytest.mark.slow
@each
def test_it_learns_that_one_side_tells_of_the_other(trunk):
    rng = np.random.default_rng(0)
    # One bright half, left or right: any pixel says what all others are.
    side = rng.random(600) < 0.5
    bright = np.where(side[:, None], [255, 255, 0, 0], [0, 0, 255, 255])
    image = np.broadcast_to(bright[:, None], (600, 5, 4))[..., None]
    data = (GRID.lowest[0] + GRID.width * image).astype(np.float32)
    family = schedule.learned(30, 2e-6, spacing=0.0, knots=6)
    made = model(trunk, (5, 4, 1), "mixture", family, LAST_STEPS["levels"](GRID))
    config = TrainConfig(
        steps=300, batch_size=64, times_per_batch=8, learning_rate=1e-2, warmup_steps=20
    )
    fitted = fit(made, data[:500], config, progress=False)
    start = bind(made, init(made, jax.random.key(0)))
    measured = partial(evaluate, key=jax.random.key(2), progress=False)
    before, after = (measured(p, data[500:]).K for p in (start, fitted.process))
    assert np.mean(before) < -15
    assert np.mean(after) > -6
