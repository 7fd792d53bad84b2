"""How images are split into training and held-out parts, and when they cannot be."""

import numpy as np
import pytest
from refusals import refusal

from dpm_jax.data import split


def unique(*shape) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("patch", [None, 3])
@pytest.mark.parametrize("count", [20, 21, 29, 30])
def test_many_images_are_split_by_image(count, patch):
    pixels = unique(count, 4, 5, 3)
    parts = split.split(pixels, patch=patch)
    np.testing.assert_array_equal(parts.heldout, pixels[9::10])
    assert len(parts.train) + len(parts.heldout) == count
    assert not np.isin(parts.train, parts.heldout).any()
    np.testing.assert_array_equal(parts.train, np.sort(parts.train, axis=0))


@pytest.mark.parametrize("patch", [None, 3])
@pytest.mark.parametrize(
    ("count", "heldout"), [(10, [4, 9]), (11, [4, 9]), (15, [6, 13]), (19, [8, 17])]
)
def test_of_few_images_two_are_held_out(count, heldout, patch):
    pixels = unique(count, 4, 5, 3)
    parts = split.split(pixels, patch=patch)
    np.testing.assert_array_equal(parts.heldout, pixels[heldout])
    np.testing.assert_array_equal(parts.train, np.delete(pixels, heldout, axis=0))


@pytest.mark.parametrize(
    ("height", "width", "patch", "train", "heldout"),
    [
        (40, 20, 4, (30, 20), (10, 20)),  # across the longer side
        (20, 40, 4, (20, 30), (20, 10)),
        (20, 20, 4, (15, 20), (5, 20)),  # bark grows upwards: the bottom is like the rest
        (40, 20, 15, (25, 20), (15, 20)),  # a quarter is too small: one patch
        (8, 9, 4, (8, 5), (8, 4)),
        (8, 8, 4, (4, 8), (4, 8)),
    ],
)
def test_few_images_are_split_by_region(height, width, patch, train, heldout):
    pixels = unique(2, height, width, 3)
    parts = split.split(pixels, patch=patch)
    assert np.shape(parts.train) == (2, *train, 3)
    assert np.shape(parts.heldout) == (2, *heldout, 3)
    # Every value occurs once: no pixel is in both parts, and none is lost.
    both = np.concatenate([np.ravel(parts.train), np.ravel(parts.heldout)])
    np.testing.assert_array_equal(np.sort(both), np.arange(pixels.size))
    assert all(len(split.heldout_patches(image, patch)) for image in parts.heldout)


def test_splits_that_cannot_be():
    message = refusal(split.split, unique(9, 8, 8, 1))
    assert "9 whole images are too few to hold some out, 10 are needed; use --patch" in message
    for count in (2, 20):
        message = refusal(split.split, unique(count, 8, 9, 1), patch=10)
        assert "patch is 10, but an image is only 9x8; use a --patch of at most 8" in message
    message = refusal(split.split, unique(2, 8, 9, 1), patch=5)
    assert "patch is 5, but images of 9x8 cannot be cut" in message
    assert "use a --patch of at most 4, or give 10 images or more" in message
    assert "at least 1, got 0" in refusal(split.split, unique(2, 8, 9, 1), patch=0)
    flat = np.zeros((1, 8, 8, 1), np.uint8)
    flat[0, -1] = 9
    assert "the training part is constant" in refusal(split.split, flat, patch=2)


def test_heldout_patches_are_the_grid_in_order():
    image = unique(7, 9, 3)
    patches = split.heldout_patches(image, 3)
    want = [image[row : row + 3, column : column + 3] for row in (0, 3) for column in (0, 3, 6)]
    np.testing.assert_array_equal(patches, want)
    np.testing.assert_array_equal(split.heldout_patches(patches[0], 3), patches[:1])
    assert "patch is 8" in refusal(split.heldout_patches, image, 8)
    assert "got -1" in refusal(split.heldout_patches, image, -1)
