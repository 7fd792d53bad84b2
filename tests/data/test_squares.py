"""Image files that are cut or scaled to one square."""

import numpy as np
import pytest
from pictures import picture, save
from PIL import Image
from refusals import refusal

from dpm_jax.data.image_files import read


@pytest.mark.parametrize(("height", "width"), [(6, 8), (9, 4), (5, 5), (4, 4)])
def test_crop_is_the_centre_as_it_is(tmp_path, height, width):
    pixels = picture(0, height, width)
    save(tmp_path / "a.png", pixels)
    top, left = (height - 4) // 2, (width - 4) // 2
    np.testing.assert_array_equal(read(tmp_path, crop=4), [pixels[top : top + 4, left : left + 4]])


def ramp(height, width) -> np.ndarray:
    """Levels that grow evenly from left to right and from top to bottom, 2 a pixel."""
    return np.add.outer(2 * np.arange(height), 2 * np.arange(width)).astype(np.uint8)[..., None]


@pytest.mark.parametrize(("height", "width"), [(40, 60), (60, 40), (40, 40)])
def test_resize_scales_the_shorter_side_and_cuts_the_centre(tmp_path, height, width):
    pixels = ramp(height, width)
    save(tmp_path / "a.png", pixels)
    (small,) = read(tmp_path, resize=10)
    assert small.shape == (10, 10, 1)
    top, left = (height - 40) // 2, (width - 40) // 2
    means = pixels[top : top + 40, left : left + 40].reshape(10, 4, 10, 4, 1).mean((1, 3))
    # A kernel in step with the pixels leaves a ramp a ramp; only the edges see one side alone.
    assert np.abs(small - means)[2:-2, 2:-2].max() < 1
    assert np.abs(small - means).max() < 4


def test_resize_is_free_of_aliases(tmp_path):
    # Stripes finer than the small image can show: grey, where leaving out pixels shows stripes.
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 200
    stripes[0, 0] = 1
    save(tmp_path / "a.png", stripes)
    (small,) = read(tmp_path, resize=24)
    assert np.abs(small.astype(int) - 100)[:, 2:-2].max() <= 6


def test_with_a_square_sizes_may_differ_but_not_kinds(tmp_path):
    for k, size in enumerate([(6, 8), (12, 5), (5, 5), (40, 300)]):
        save(tmp_path / f"{k}.png", picture(k, *size))
    assert np.shape(read(tmp_path, crop=5)) == (4, 5, 5, 3)
    assert np.shape(read(tmp_path, resize=7)) == (4, 7, 7, 3)  # smaller ones grow
    said = refusal(read, tmp_path, crop=6)
    assert f"crop is 6, but {tmp_path / '1.png'} is only 5x12 colour; use at most 5" in said
    save(tmp_path / "1.png", picture(1, 6, 8, 1))
    assert "1.png is 7x7 grey; convert them" in refusal(read, tmp_path, resize=7)


def test_colours_are_converted_before_they_are_mixed(tmp_path):
    flat = np.zeros((8, 8, 4), np.uint8)
    flat[..., 0] = 200
    flat[:, ::2, 3] = 255  # transparent and opaque: the colour is the same
    flat[..., 1] = np.arange(8)[:, None]
    save(tmp_path / "a.png", flat)
    (small,) = read(tmp_path, resize=4)
    assert (small[..., 0] == 200).all()
    Image.fromarray(flat[..., :3]).quantize(8).save(tmp_path / "a.png")
    (small,) = read(tmp_path, resize=4)
    assert np.abs(small[..., 0].astype(int) - 200).max() <= 1


def test_a_turned_photo_is_cut_upright(tmp_path):
    smooth = np.add.outer(np.arange(16) * 10, np.arange(8) * 9).astype(np.uint8)[..., None]
    exif = Image.Exif()
    exif[0x0112] = 6
    save(tmp_path / "a.jpg", smooth, exif=exif, quality=95)
    upright = np.rot90(smooth, -1)[1:7, 5:11]
    assert np.abs(read(tmp_path, crop=6)[0].astype(int) - upright).max() <= 4


def test_a_panorama_is_scaled_without_scaling_all_of_it(tmp_path, monkeypatch):
    asked = []
    resize = Image.Image.resize
    monkeypatch.setattr(
        Image.Image,
        "resize",
        lambda image, size, *rest: asked.append(size) or resize(image, size, *rest),
    )
    save(tmp_path / "a.png", picture(0, 2, 5000))
    assert np.shape(read(tmp_path, resize=16)) == (1, 16, 16, 3)
    assert asked == [(16, 16)]


@pytest.mark.parametrize(
    ("sides", "said"),
    [
        ({"resize": 4, "crop": 4}, "resize is 4 and crop is 4; give one of them"),
        ({"resize": 1}, "resize must be at least 2, got 1"),
        ({"crop": 0}, "crop must be at least 2, got 0"),
        ({"crop": -3}, "crop must be at least 2, got -3"),
    ],
)
def test_sides_that_cannot_be(tmp_path, sides, said):
    save(tmp_path / "a.png", picture(0))
    assert said in refusal(read, tmp_path, **sides)
