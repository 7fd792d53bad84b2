"""Millions of small images in one array stay one array, from the file to what training gets."""

import tracemalloc

import numpy as np
import pytest

from dpm_jax.data import arrays, patches
from dpm_jax.data.dataset import Images, check_varied
from dpm_jax.data.image_files import read
from dpm_jax.data.split import heldout_patches, split

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_memory_is_at_most_twice_the_file_and_some_chunks(tmp_path, dtype):
    size = 2**26  # bytes
    array = RNG.integers(0, 256, (size // 64 // dtype().nbytes, 8, 8), np.uint8).astype(dtype)
    np.save(tmp_path / "a.npy", array)
    del array
    tracemalloc.start()
    data = patches.prepare(split(read(tmp_path / "a.npy")), None, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.patches > 0.8 * size / 64 / dtype().nbytes
    assert peak < 2.5 * size


class NeverListed(np.ndarray):
    """Images that may be millions: none is taken out on its own."""

    def __iter__(self):
        assert len(self) <= 3, "taken one by one"
        return super().__iter__()


@pytest.mark.parametrize("patch", [None, 3])
def test_nothing_on_the_way_takes_images_one_by_one(patch):
    images = RNG.integers(0, 256, (40, 4, 5, 1), np.uint8).view(NeverListed)
    with pytest.raises(AssertionError, match="one by one"):
        list(images)
    check_varied(images, "images")
    parts = split(images, patch=patch)
    assert {type(part) for part in parts} == {NeverListed}
    assert len(patches.prepare(parts, patch, seed=0).where.last) == 36


@pytest.mark.parametrize("patch", [None, 3])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_array_is_split_and_prepared_as_its_images_are(patch, dtype):
    array = RNG.integers(0, 256, (25, 7, 9, 3)).astype(dtype)
    parts, listed = split(array, patch=patch), split(list(array), patch=patch)
    for part in parts:
        assert isinstance(part, np.ndarray)
        assert part.base is None  # the whole array can go
    data, expected = (patches.prepare(p, patch, seed=1) for p in (parts, listed))
    np.testing.assert_array_equal(data.dataset.train, expected.dataset.train)
    np.testing.assert_array_equal(data.dataset.heldout, expected.dataset.heldout)
    np.testing.assert_array_equal(data.scaling.mean, expected.scaling.mean)
    np.testing.assert_array_equal(np.stack(data.where), np.stack(expected.where))


def test_patches_of_an_array_are_those_of_its_images_one_after_the_other():
    array = RNG.integers(0, 256, (4, 7, 9, 3))
    expected = np.concatenate([heldout_patches(image, 3) for image in array])
    np.testing.assert_array_equal(heldout_patches(array, 3), expected)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_what_is_read_chunk_by_chunk_is_the_array(tmp_path, monkeypatch, order, dtype):
    array = RNG.integers(0, 256, (11, 4, 5, 3)).astype(dtype, order=order)
    np.save(tmp_path / "a.npy", array)
    monkeypatch.setattr(arrays, "CHUNK", 3 * 4 * 5 * 3 * 4)
    pixels = read(tmp_path / "a.npy")
    np.testing.assert_array_equal(pixels, array)
    assert pixels.flags.c_contiguous
    if dtype != np.uint8:
        array[-1, -1, -1, -1] = np.nan
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(ValueError, match="has NaN or infinity"):
            read(tmp_path / "a.npy")


def test_noise_drawn_chunk_by_chunk_is_the_noise(monkeypatch):
    images = Images(*(RNG.integers(0, 256, (30, 3, 3, 1), np.uint8) for _ in range(2)))
    whole = patches.prepare(images, None, seed=0).dataset.heldout
    monkeypatch.setattr(patches, "CHUNK", 7 * 9)
    np.testing.assert_array_equal(patches.prepare(images, None, seed=0).dataset.heldout, whole)
