"""The image network: convolution and its gradient by loops, edges, any size, any scales."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import jit

from dpm_jax import models, schedule
from dpm_jax.networks.convolution import _by_xla, convolve
from dpm_jax.networks.fourier import waves
from dpm_jax.networks.multiscale import (
    MultiScale,
    MultiScaleConvolution,
    pool,
    softplus,
    upsample,
)
from dpm_jax.networks.temporal import as_network
from dpm_jax.process import init

RNG = np.random.default_rng(0)


def normal(*shape):
    return jnp.asarray(RNG.normal(size=shape))


def slow_convolve(x, kernel):
    """Σ over offsets and channels, pixel by pixel, zeros beyond the border; float64."""
    rows, columns, _, features = kernel.shape
    height, width, _ = x.shape
    y = np.zeros((height, width, features))
    for i, j in np.ndindex(height, width):
        for a, b in np.ndindex(rows, columns):
            k, m = i + a - rows // 2, j + b - columns // 2
            if 0 <= k < height and 0 <= m < width:
                y[i, j] += x[k, m] @ kernel[a, b]
    return y


@pytest.mark.parametrize(
    ("size", "kernel_size"), [((5, 7), (3, 3)), ((1, 2), (3, 3)), ((6, 4), (1, 5))]
)
def test_convolution_and_both_gradients_by_loops(size, kernel_size, float64):
    x, kernel = normal(*size, 2), normal(*kernel_size, 2, 3)
    np.testing.assert_allclose(convolve(x, kernel), slow_convolve(x, kernel), atol=1e-12)
    weight = RNG.normal(size=(*size, 3))  # of a loss that is linear, so differences are exact

    def loss(x, kernel):
        return jnp.sum(weight * convolve(x, kernel))

    by_x, by_kernel = jit(jax.grad(loss, (0, 1)))(x, kernel)
    for gradient, argument, other in ((by_x, x, kernel), (by_kernel, kernel, x)):
        for index in np.ndindex(argument.shape):
            unit = np.zeros(argument.shape)
            unit[index] = 1.0
            moved = slow_convolve(unit, other) if argument is x else slow_convolve(other, unit)
            np.testing.assert_allclose(gradient[index], (weight * moved).sum(), atol=1e-10)


def test_an_accelerator_has_the_same_gradient_and_sums_it_over_a_batch_in_one_convolution():
    x, kernel, weight = normal(4, 6, 5, 2), normal(3, 3, 2, 4), normal(4, 6, 5, 4)

    def loss(convolve, x, kernel):
        return (weight * jax.vmap(convolve, (0, None))(x, kernel)).sum()

    ours, theirs = (
        jit(jax.grad(partial(loss, by), (0, 1)))(x, kernel) for by in (convolve, _by_xla)
    )
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)
    traced = jax.jit(jax.grad(partial(loss, convolve), (0, 1))).trace(x, kernel)
    for platform in ("cuda", "tpu"):
        text = traced.lower(lowering_platforms=(platform,)).as_text()
        assert text.count("stablehlo.convolution(") == 2  # of a linear loss: the two gradients
        assert "feature_group_count = 1" in text
        assert "feature_group_count = 4" not in text


def test_pooling_of_odd_sides_repeats_the_edge():
    x = normal(3, 5, 2)
    expected = np.zeros((2, 3, 2))
    for i, j in np.ndindex(2, 3):
        cells = [x[min(2 * i + a, 2), min(2 * j + b, 4)] for a in (0, 1) for b in (0, 1)]
        expected[i, j] = np.mean(cells, axis=0)
    np.testing.assert_allclose(pool(x), expected, rtol=1e-6)
    # A constant image is constant at every scale, whatever its size.
    np.testing.assert_allclose(pool(pool(jnp.full((7, 3, 1), 2.5))), 2.5)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 4), (28, 28)])
def test_upsampling_gives_back_what_pooling_took(size):
    small = normal(-(-size[0] // 2), -(-size[1] // 2), 3)
    large = upsample(small, *size)
    assert large.shape == (*size, 3)
    np.testing.assert_allclose(pool(large), small, rtol=1e-6)


@pytest.mark.parametrize("scales", [1, 2, 5])
@pytest.mark.parametrize("size", [(1, 1), (5, 9), (28, 28)])
def test_scales_are_pooled_convolved_brought_back_and_summed(scales, size):
    x = normal(*size, 2)
    module = MultiScaleConvolution(3, scales)
    params = module.init(jax.random.key(0), x)
    bias = params["params"]["bias"] + 0.5
    params["params"]["bias"] = bias
    expected = np.full((*size, 3), 0.5)
    for s in range(scales):
        level, sizes = x, []
        for _ in range(s):
            sizes.append(level.shape[:2])
            level = pool(level)
        y = slow_convolve(np.asarray(level), np.asarray(params["params"][f"scale_{s}"]))
        for height, width in reversed(sizes):
            y = y.repeat(2, 0).repeat(2, 1)[:height, :width]
        expected += y
    np.testing.assert_allclose(module.apply(params, x), expected, rtol=1e-4, atol=1e-5)


def test_waves_have_the_wavelengths_they_promise():
    finest, octaves = 0.25, 3
    x = normal(2, 2, 1)
    base = waves(x, finest=finest, octaves=octaves)
    assert base.shape == (2, 2, 2 * octaves)
    for k in range(octaves):
        channels = np.array([k, octaves + k])  # sin and cos
        again = waves(x + finest * 2**k, finest=finest, octaves=octaves)
        np.testing.assert_allclose(again[..., channels], base[..., channels], atol=1e-4)
        half = waves(x + finest * 2**k / 2, finest=finest, octaves=octaves)
        np.testing.assert_allclose(half[..., channels], -base[..., channels], atol=1e-4)


def test_softplus_is_the_integral_of_the_sigmoid_far_out_too():
    x = np.array([-80.0, -20, -1, -1e-6, 0, 1e-6, 1, 20, 200])
    image = jnp.asarray(x, jnp.float32).reshape(1, -1, 1)
    np.testing.assert_allclose(softplus(image).ravel(), np.logaddexp(0, x), rtol=3e-7)
    slope = jit(jax.grad(lambda x: softplus(x).sum()))(image)
    np.testing.assert_allclose(slope.ravel(), 1 / (1 + np.exp(-x)), rtol=3e-7)


FAMILY = schedule.learned(5, 1e-3)
SMALL = partial(
    models.gaussian_multiscale, finest=0.1, convolutions=(3,), scales=2, upper=(4,), bumps=2
)


def randomised(params):
    rng = np.random.default_rng(1)
    return jax.tree.map(lambda a: jnp.asarray(0.3 * rng.normal(size=a.shape), a.dtype), params)


@pytest.mark.parametrize("dense", [(), (6,)])
def test_an_image_network_starts_at_zero_and_depends_on_t(dense):
    model = SMALL((5, 7, 3), FAMILY, dense=dense, octaves=2)
    params = jit(partial(init, model))(jax.random.key(0))["network"]
    x, apply = normal(5, 7, 3), jit(model.network.apply)
    np.testing.assert_array_equal(apply(params, x, jnp.asarray(2)), np.zeros((5, 7, 3, 2)))
    params = randomised(params)
    early, late = (apply(params, x, jnp.asarray(t)) for t in (2, 5))
    assert np.abs(early - late).max() > 1e-3


def test_without_a_dense_path_the_parameters_fit_any_size_and_shifts_are_followed():
    """Far from the borders, an image shifted by the coarsest pixel gives a shifted read-out."""
    model = SMALL((8, 8, 1), FAMILY, dense=(), octaves=2)
    params = randomised(jit(partial(init, model))(jax.random.key(0))["network"])
    image = np.zeros((26, 31, 1), np.float32)
    image[10:14, 10:14] = RNG.normal(size=(4, 4, 1))
    apply = jit(model.network.apply)
    out = np.asarray(apply(params, jnp.asarray(image), jnp.asarray(3)))
    assert out.shape == (26, 31, 1, 2)
    shifted = np.asarray(apply(params, jnp.roll(image, (2, 4), (0, 1)), jnp.asarray(3)))
    np.testing.assert_allclose(shifted[8:20, 8:24], out[6:18, 4:20], rtol=1e-4, atol=1e-5)


def test_the_dense_path_sees_the_whole_image():
    with_dense = SMALL((9, 9, 1), FAMILY, dense=(6,), octaves=2)
    params = randomised(jit(partial(init, with_dense))(jax.random.key(0))["network"])
    x = normal(9, 9, 1)
    far = x.at[0, 0].add(1.0)
    apply = jit(with_dense.network.apply)
    t = jnp.asarray(3)
    assert np.abs(np.asarray(apply(params, x, t) - apply(params, far, t))[8, 8]).max() > 1e-4


def test_half_precision_is_close_and_reads_out_float32():
    module = {
        dtype: as_network(
            MultiScale(5, 2, (3,), 2, (6,), 2, (4,), 2, 0.1, 2, dtype=dtype), (6, 6, 1)
        )
        for dtype in (jnp.float32, jnp.bfloat16)
    }
    x = normal(6, 6, 1)
    params = randomised(module[jnp.float32].init(jax.random.key(0)))
    full, half = (jit(m.apply)(params, x, jnp.asarray(3)) for m in module.values())
    assert half.dtype == jnp.float32
    assert 0 < np.abs(full - half).max() < 0.05 * np.abs(full).max()
