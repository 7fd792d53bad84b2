"""Files against what they decode to, and against the entropy of what they hold."""

import io

import numpy as np
import pytest
from PIL import Image

from dpm_jax.evaluation import codecs


def uniform(count, height, width, channels, levels=256):
    return np.random.default_rng(0).integers(0, levels, (count, height, width, channels), np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("codec", codecs.CODECS)
def test_a_file_gives_back_every_level(codec, channels):
    (image,) = uniform(1, 5, 7, channels)
    file = io.BytesIO(codecs.encoded(image, codec))
    with Image.open(file) as picture:
        assert picture.format.lower() == codec
        held = np.asarray(picture)
    held = held if held.ndim == 3 else held[..., None]
    np.testing.assert_array_equal(held, np.broadcast_to(image, held.shape))
    assert codecs.file_bits(image, codec) == 8 * len(file.getvalue())


@pytest.mark.parametrize(("levels", "entropy"), [(256, 8.0), (2, 1.0)])
@pytest.mark.parametrize("channels", [1, 3])
def test_no_file_is_smaller_than_the_entropy_and_a_sheet_comes_near(levels, entropy, channels):
    found = codecs.bits_per_dimension(uniform(64, 16, 16, channels, levels))
    assert (found["images"], found["sheet_images"]) == (64, 64)
    for codec in codecs.CODECS:
        alone, sheet = (found[f"{codec}{s}_bits_per_dimension"] for s in ("", "_sheet"))
        assert entropy < sheet < alone
        assert sheet < entropy + 1


def test_each_image_pays_for_a_header_and_the_error_is_of_the_images():
    images = np.zeros((100, 8, 8, 1), np.uint8)
    images[:50] = uniform(50, 8, 8, 1)
    found = codecs.bits_per_dimension(images)
    # By the format: signature and IHDR, IDAT's and IEND's frames, the stream's head and end.
    header = 8 * (8 + 25 + 12 + 12 + 6) / 64
    noise, flat = (8 * len(codecs.encoded(images[i], "png")) / 64 for i in (0, 99))
    assert header < flat < header + 3
    assert header + 8 < noise < header + 10
    assert found["png_bits_per_dimension"] == pytest.approx((noise + flat) / 2, abs=0.5)
    # A fair coin between two values has half their distance for its standard deviation.
    error = (noise - flat) / 2 / np.sqrt(99)
    assert found["png_bits_per_dimension_se"] == pytest.approx(error, rel=0.05)


def test_a_sheet_holds_the_images_row_by_row():
    images = uniform(5, 2, 3, 3)
    sheet, held = codecs.sheet(images)
    assert (sheet.shape, held) == ((4, 9, 3), 5)
    np.testing.assert_array_equal(sheet[:2, 3:6], images[1])
    np.testing.assert_array_equal(sheet[2:, :3], images[3])
    assert not sheet[2:, 6:].any()


def test_a_sheet_is_no_larger_than_a_webp_can_be():
    sheet, held = codecs.sheet(np.zeros((9, 1, 8000, 1), np.uint8))
    assert (sheet.shape, held) == ((5, 16_000, 1), 9)
    sheet, held = codecs.sheet(np.zeros((2, 9000, 16_000, 1), np.uint8))
    assert (sheet.shape, held) == ((9000, 16_000, 1), 1)


def test_so_many_images_are_enough_that_their_pixels_take_seconds():
    assert codecs.enough(28, 28) == 2000
    assert codecs.enough(64, 128) == 256
    assert codecs.enough(8192, 8192) == 2


def test_one_image_has_no_standard_error():
    with pytest.raises(ValueError, match="images must be at least 2, got 1"):
        codecs.bits_per_dimension(uniform(1, 4, 4, 1))
