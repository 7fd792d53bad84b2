"""A digest tells apart all that training could tell apart, and nothing else."""

import numpy as np
import pytest

from dpm_jax.data.dataset import digest

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 4, 5, 3), np.uint8)


def one_level(images):
    changed = images.copy()
    changed[5, 3, 4, 2] ^= 1
    return changed


@pytest.mark.parametrize(
    "parts",
    [
        [one_level(IMAGES)],
        [IMAGES[::-1]],
        [IMAGES[:5]],
        [IMAGES.astype(np.float32)],
        [IMAGES.reshape(6, 5, 4, 3)],
        [IMAGES.reshape(3, 8, 5, 3)],
        [IMAGES[:3], IMAGES[3:]],
        [IMAGES, IMAGES[:0]],
        [IMAGES.view(np.int8)],
    ],
)
def test_what_differs_in_anything_has_another_digest(parts):
    assert digest(*parts) != digest(IMAGES)


def test_the_same_images_have_one_digest_however_they_lie_in_memory():
    assert digest(list(IMAGES)) == digest(IMAGES)
    assert digest(np.asfortranarray(IMAGES)) == digest(IMAGES)
    wide = np.concatenate([IMAGES, IMAGES], axis=2)
    assert digest([image[:, :5] for image in wide]) == digest(IMAGES)
    # Runs that are saved rely on it.
    known = "bed330b03430bf5d55e9c606c52cc1f3"
    assert digest(np.arange(6, dtype=np.uint8).reshape(1, 1, 2, 3)).startswith(known)
