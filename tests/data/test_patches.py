"""Images on the device: every patch where it should be, each as often, and units that hold."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import jit

from dpm_jax import scaling
from dpm_jax.data import patches
from dpm_jax.data.dataset import Images
from dpm_jax.data.patches import layout, pixel_numbers, prepare
from dpm_jax.data.split import split

RNG = np.random.default_rng(0)
SIZES = [(5, 7), (3, 4), (9, 3)]


def levels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def assert_levels(data, levels):
    """Held-out examples are these grey levels plus less than one."""
    u = scaling.invert(data.scaling, data.dataset.heldout) - levels
    assert (u.min() > -1e-3) & (u.max() < 1 + 1e-3)
    assert abs(u.mean() - 0.5) < 5 * np.sqrt(1 / 12 / u.size)


def test_every_patch_of_images_of_any_sizes_once():
    images = [levels(*size, 3) for size in SIZES]
    size = (3, 2)
    expected = [
        image[i : i + 3, j : j + 2]
        for image in images
        for i in range(image.shape[0] - 2)
        for j in range(image.shape[1] - 1)
    ]
    row = np.concatenate([image.reshape(-1, 3) for image in images])
    where = layout(images, size)
    assert where.last[-1] == len(expected)
    index = pixel_numbers(where, size, jnp.arange(len(expected)))
    np.testing.assert_array_equal(row[index], expected)


def test_a_batch_is_uniform_over_patches_and_dequantised():
    # Levels far enough apart to tell which pixel was drawn whatever the noise.
    image = (np.arange(12, dtype=np.uint8) * 20).reshape(3, 4, 1)
    data = prepare(Images([image], [image, image]), 2, seed=0)
    x = jit(lambda row, key: data.dataset.batch(row, key, 6_000))(
        jnp.asarray(data.dataset.train), jax.random.key(1)
    )
    assert x.shape == (6_000, 2, 2, 1)
    back = scaling.invert(data.scaling, np.asarray(x))
    corner, noise = np.divmod(back[:, 0, 0, 0], 20)
    places, counts = np.unique(corner, return_counts=True)
    np.testing.assert_array_equal(places, [0, 1, 2, 4, 5, 6])
    assert (np.abs(counts - 1000) < 5 * np.sqrt(6_000 * 5 / 36)).all()
    assert noise.min() > -1e-3
    assert noise.max() < 1 + 1e-3
    assert abs(noise.mean() - 0.5) < 5 * np.sqrt(1 / 12 / 6_000)
    np.testing.assert_allclose(back[:, 1, 1, 0] - back[:, 0, 0, 0], 100, atol=1 + 1e-3)


def test_units_are_those_of_dequantised_pixels():
    train, heldout = levels(40, 6, 5, 3), levels(30, 6, 5, 3)
    data = prepare(Images(train, heldout), None, seed=0)
    noisy = train[None] + RNG.random((50, *train.shape))
    np.testing.assert_allclose(data.scaling.mean[0, 0], noisy.mean((0, 1, 2, 3)), rtol=1e-3)
    centred = noisy - noisy.mean((0, 1, 2, 3))
    np.testing.assert_allclose(data.scaling.scale, np.sqrt((centred**2).mean()), rtol=1e-3)
    x0 = data.dataset.heldout
    assert (x0.shape, x0.dtype) == ((30, 6, 5, 3), np.float32)
    assert_levels(data, heldout)
    np.testing.assert_allclose(data.finest * data.scaling.scale, 1.0)


def test_grey_levels_that_are_not_dequantised_lie_in_their_middle():
    train, heldout = levels(40, 6, 5, 3), levels(30, 6, 5, 3)
    data = prepare(Images(train, heldout), None, seed=0, dequantise=False)
    noisy = prepare(Images(train, heldout), None, seed=0)
    assert data.scaling.scale == noisy.scaling.scale
    back = scaling.invert(data.scaling, data.dataset.heldout)
    np.testing.assert_allclose(back, heldout + 0.5, atol=1e-4)
    row = jnp.asarray(data.dataset.train)
    batch = scaling.invert(data.scaling, data.dataset.batch(row, jax.random.key(0), 50))
    np.testing.assert_allclose(batch % 1, 0.5, atol=1e-4)
    distance = np.abs(batch.reshape(50, 1, -1) - train.reshape(1, 40, -1) - 0.5).max(-1).min(1)
    assert distance.max() < 1e-3
    # For a density they are spread over it all the same.
    spread = scaling.invert(data.scaling, data.dequantised(row, jax.random.key(0), 50)) % 1
    assert abs(spread.mean() - 0.5) < 5 * np.sqrt(1 / 12 / spread.size)
    assert abs(spread.std() - 12**-0.5) < 0.01


def test_real_numbers_have_no_grain():
    train = RNG.normal(size=(20, 4, 4, 1)).astype(np.float32)
    data = prepare(Images(train, train[:5]), None, seed=0)
    np.testing.assert_allclose(
        scaling.invert(data.scaling, data.dataset.heldout), train[:5], atol=1e-6
    )
    assert data.grain == 0
    np.testing.assert_allclose(data.finest, np.ptp(train) / 256 / train.std(), rtol=1e-5)
    batch = data.dataset.batch(jnp.asarray(data.dataset.train), jax.random.key(0), 50)
    found = scaling.invert(data.scaling, np.asarray(batch)).reshape(50, -1)
    distance = np.abs(found[:, None] - train.reshape(1, 20, -1)).max(-1).min(1)
    assert distance.max() < 1e-5


def test_heldout_examples_are_spread_and_counted():
    images = levels(20, 4, 4, 1)
    data = prepare(Images(images, images), None, seed=0, heldout=5)
    assert_levels(data, images[[0, 5, 10, 14, 19]])
    for wrong in (21, 1, -1):
        says = f"at least 2 and at most the 20 that there are, or 0 for all, got {wrong}"
        with pytest.raises(ValueError, match=f"^heldout_examples must be {says}$"):
            prepare(Images(images, images), None, seed=0, heldout=wrong)
    grid = prepare(Images([levels(9, 9, 1)], [levels(7, 9, 1), levels(5, 4, 1)]), 3, seed=0)
    assert len(grid.dataset.heldout) == 2 * 3 + 1


def test_pixels_are_different_patches_as_stored():
    image = np.arange(30, dtype=np.uint8).reshape(5, 6, 1)
    data = prepare(Images([image], [image]), 2, seed=0)
    assert data.patches == 20
    for count, drawn in ((7, 7), (100, 20)):
        pixels = data.pixels(count, seed=1)
        assert pixels.shape == (drawn, 2, 2, 1)
        assert len(np.unique(pixels[:, 0, 0, 0])) == drawn


def test_one_heldout_example_has_no_standard_error():
    image = levels(8, 5, 1)
    parts = split(image[None], patch=4)
    says = "held-out part has 1 example, but a standard error needs 2; give more or larger images"
    with pytest.raises(ValueError, match=says):
        prepare(parts, 4, seed=0)
    assert len(prepare(split(image[None], patch=2), 2, seed=0).dataset.heldout) == 2


@pytest.mark.parametrize(("count", "heldout"), [(10, 2), (11, 2), (19, 2), (20, 2), (30, 3)])
def test_whole_images_that_can_be_split_can_be_measured(count, heldout):
    images = levels(count, 4, 4, 1)
    data = prepare(split(images), None, seed=0)
    assert (data.patches, len(data.dataset.heldout)) == (count - heldout, heldout)
    assert len(prepare(split(images), None, seed=0, heldout=2).dataset.heldout) == 2
    with pytest.raises(ValueError, match=f"at most the {heldout} that there are"):
        prepare(split(images), None, seed=0, heldout=heldout + 1)


def test_components_that_never_vary_are_counted():
    train = RNG.normal(size=(20, 4, 3, 3)).astype(np.float32)
    train[:, 0, 1, 2] = 0.5
    train[:, 3] = -1
    assert prepare(Images(train, train), None, seed=0).constant_components == 1 + 3 * 3
    train[-1, 0, 1, 2] = 0.25  # varies once
    assert prepare(Images(train, train), None, seed=0).constant_components == 3 * 3
    # Patches lie everywhere, and noise makes levels vary.
    square = RNG.normal(size=(20, 5, 5, 3)).astype(np.float32)
    assert prepare(Images(square, square), 2, seed=0).constant_components == 0
    black = np.concatenate([levels(20, 4, 3, 3), np.zeros((20, 1, 3, 3), np.uint8)], axis=1)
    assert prepare(Images(black, black), None, seed=0).constant_components == 0


def test_too_many_pixels_are_refused(monkeypatch):
    monkeypatch.setattr(patches, "INDEX_LIMIT", 35)
    with pytest.raises(ValueError, match="fewer than 35 pixels in all, got 36"):
        layout([levels(6, 6, 1)], (2, 2))
