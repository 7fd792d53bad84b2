"""Any folder or array as data: what is read, how it is split, and every refusal in one line."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from dpm_jax.data import images


def picture(seed: int, height=6, width=8, channels=3) -> np.ndarray:
    return np.random.default_rng(seed).integers(256, size=(height, width, channels), dtype=np.uint8)


def save(path, array, **options):
    Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array).save(path, **options)
    return path


def save_array(path, array):
    np.save(path, array, allow_pickle=array.dtype == object)
    return path


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  # each test reads the message
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_is_read_in_the_order_of_names(tmp_path, channels):
    for name, seed in (("b.png", 1), ("c.PNG", 2), ("a.png", 0)):
        save(tmp_path / name, picture(seed, channels=channels), format="PNG")
    # Neither hidden files, nor other files, nor subfolders are images.
    (tmp_path / "._a.png").write_bytes(b"resource fork")
    (tmp_path / "notes.txt").write_text("bark")
    (tmp_path / "folder.png").mkdir()
    pixels = np.stack(images.read(tmp_path))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, [picture(k, channels=channels) for k in range(3)])


def test_jpeg_and_png_go_together(tmp_path):
    smooth = np.tile(np.arange(0, 240, 10, dtype=np.uint8)[:, None], (1, 16))[..., None]
    save(tmp_path / "a.jpg", smooth, quality=95)
    save(tmp_path / "b.JPEG", smooth, quality=95, format="JPEG")
    save(tmp_path / "c.png", smooth)
    pixels = np.stack(images.read(tmp_path))
    assert pixels.shape == (3, 24, 16, 1)
    assert np.abs(pixels.astype(int) - smooth).max() <= 3


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("1", "L"), ("L", "L"), ("LA", "L"), ("P", "RGB"), ("RGB", "RGB"), ("RGBA", "RGB")],
)
def test_one_file_of_any_mode(tmp_path, mode, expected):
    image = Image.fromarray(picture(0)).convert(mode)
    image.save(tmp_path / "a.png")
    want = np.asarray(image.convert(expected)).reshape(1, 6, 8, -1)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png"), want)


def test_transparency_is_dropped_not_blended(tmp_path):
    pixels = picture(0, channels=4)
    save(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png")[0], pixels[..., :3])


def test_photos_are_turned_upright(tmp_path):
    smooth = np.add.outer(np.arange(16) * 10, np.arange(8) * 9).astype(np.uint8)[..., None]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    save(tmp_path / "a.jpg", smooth, exif=exif, quality=95)
    save(tmp_path / "b.png", np.rot90(smooth, -1))
    first, second = np.stack(images.read(tmp_path)).astype(int)
    assert first.shape == (8, 16, 1)
    assert np.abs(first - second).max() <= 4


def test_arrays(tmp_path):
    grey = picture(0, 5, 4, 3)  # three images of 5x4 here
    grey = np.moveaxis(grey, -1, 0)
    read = images.read(save_array(tmp_path / "grey.npy", grey))
    np.testing.assert_array_equal(read, grey[..., None])
    assert read.dtype == np.uint8
    for dtype in (np.float32, np.float64, ">f4"):
        colour = np.random.default_rng(0).normal(size=(3, 5, 4, 3)).astype(dtype)
        read = images.read(save_array(tmp_path / "colour.npy", colour))
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, colour.astype(np.float32))


def test_reading_leaves_no_handle_on_the_file(tmp_path):
    path = save_array(tmp_path / "a.npy", picture(0)[None])
    pixels = images.read(path)
    assert not isinstance(pixels, np.memmap)
    assert pixels.base is None or not isinstance(pixels.base, np.memmap)
    pixels[...] = 0
    assert np.load(path).any()


def test_missing_or_empty(tmp_path):
    assert "nowhere does not exist; give a folder" in refusal(images.read, tmp_path / "nowhere")
    assert "does not exist" in refusal(images.read, tmp_path / "a.npy")
    (tmp_path / "notes.txt").write_text("bark")
    message = refusal(images.read, tmp_path)
    assert f"folder {tmp_path} holds no images; put PNG or JPEG files into it" in message
    assert "notes.txt is not a PNG" in refusal(images.read, tmp_path / "notes.txt")


def cut(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.9])
def test_truncated_images_are_named(tmp_path, suffix, keep):
    save(tmp_path / f"a.{suffix}", picture(0, 64, 64))
    save(tmp_path / f"b.{suffix}", picture(1, 64, 64))
    cut(tmp_path / f"b.{suffix}", keep)
    message = refusal(images.read, tmp_path)
    assert f"b.{suffix} cannot be read as a PNG or JPEG image" in message
    assert "replace or remove it" in message


def test_corrupt_images_are_named(tmp_path):
    path = save(tmp_path / "a.png", picture(0, 64, 64))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # one bit: only the checksum knows
    path.write_bytes(data)
    assert "a.png cannot be read as a PNG or JPEG image" in refusal(images.read, tmp_path)
    path.write_bytes(b"not an image at all")
    assert "a.png cannot be read as a PNG or JPEG image" in refusal(images.read, tmp_path)
    # Another format under that name is not decoded either.
    save(path, picture(0), format="GIF")
    assert "a.png cannot be read as a PNG or JPEG image" in refusal(images.read, tmp_path)


def test_mixed_images_are_both_named(tmp_path):
    save(tmp_path / "a.png", picture(0, 6, 8))
    save(tmp_path / "b.png", picture(1, 6, 9))
    message = refusal(images.read, tmp_path)
    assert f"{tmp_path / 'a.png'} is 8x6 colour" in message
    assert f"{tmp_path / 'b.png'} is 9x6 colour" in message
    save(tmp_path / "b.png", picture(1, 6, 8, 1))
    assert "a.png is 8x6 colour" in refusal(images.read, tmp_path)
    assert "b.png is 8x6 grey" in refusal(images.read, tmp_path)
    assert "b.png is 8x6 grey; convert them" in refusal(images.read, tmp_path, any_size=True)


def test_patches_may_come_from_images_of_any_size(tmp_path):
    pictures = picture(0, 6, 8), picture(1, 12, 9)
    save(tmp_path / "a.png", pictures[0])
    save(tmp_path / "b.png", pictures[1])
    read = images.read(tmp_path, any_size=True)
    for image, expected in zip(read, pictures, strict=True):
        np.testing.assert_array_equal(image, expected)
    parts = images.split(read, patch=3)
    assert [image.shape for image in parts.train] == [(6, 5, 3), (9, 9, 3)]
    assert [image.shape for image in parts.heldout] == [(6, 3, 3), (3, 9, 3)]


def test_sixteen_bits_are_refused_not_cut(tmp_path):
    wide = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    Image.fromarray(wide).save(tmp_path / "a.png")
    message = refusal(images.read, tmp_path)
    assert "a.png has more than 8 bits a channel; convert it to 8 bits" in message
    (tmp_path / "a.png").write_bytes(png(4, 3, depth=16, colour=2, row=bytes(range(24))))
    assert "a.png has more than 8 bits a channel" in refusal(images.read, tmp_path)


def png(width, height, *, depth=8, colour=0, row=None) -> bytes:
    """A PNG by hand: a header that may lie, and rows of data, or none."""

    def chunk(kind, body):
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    data = zlib.compress((b"\0" + row) * height if row else b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [chunk(b"IHDR", header), chunk(b"IDAT", data), chunk(b"IEND", b"")]
    )


@pytest.mark.parametrize(("width", "height"), [(8193, 8192), (12_000, 10_000), (10**5, 10**5)])
def test_absurd_dimensions_are_refused_before_decoding(
    tmp_path, monkeypatch, recwarn, width, height
):
    (tmp_path / "a.png").write_bytes(png(width, height))
    monkeypatch.setattr(images, "decode", lambda _: pytest.fail("decoded"))
    message = refusal(images.read, tmp_path)
    assert "a.png has" in message
    assert "more than 67108864 in all; crop or scale it" in message
    assert not recwarn.list


def test_too_many_bytes_are_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MAX_BYTES", 2 * 6 * 8 * 3)
    for k in range(2):
        save(tmp_path / f"{k}.png", picture(k))
    assert len(images.read(tmp_path)) == 2
    save(tmp_path / "2.png", picture(2))
    monkeypatch.setattr(images, "decode", lambda _: pytest.fail("decoded"))
    assert "GiB that are held in memory; give fewer" in refusal(images.read, tmp_path)
    array = save_array(tmp_path / "a.npy", np.zeros((3, 6, 8, 3), np.float32))
    assert "a.npy has" in refusal(images.read, array)


def test_an_array_header_that_promises_too_much(tmp_path):
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (10**9, 10**4, 10**4)}
        np.lib.format.write_array_header_1_0(file, header)
        file.write(bytes(1000))
    assert "a.npy cannot be read as an array" in refusal(images.read, path)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.float16, np.complex64])
def test_other_types_are_refused_by_name(tmp_path, dtype):
    path = save_array(tmp_path / "a.npy", np.ones((2, 4, 4), dtype))
    assert f"a.npy has type {np.dtype(dtype)}, but images are uint8" in refusal(images.read, path)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_pickles_are_never_loaded(tmp_path):
    path = save_array(tmp_path / "a.npy", np.array([Trap()], object))
    assert "a.npy cannot be read as an array" in refusal(images.read, path)
    for content in (b"", b"\x80\x04.", b"no array", b"\x93NUMPY\x01\x00"):
        path.write_bytes(content)
        assert "write it with numpy.save" in refusal(images.read, path)
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))
    assert "a.npy is an archive of arrays" in refusal(images.read, path)


@pytest.mark.parametrize("shape", [(), (5,), (5, 4), (5, 4, 4, 1, 1), (0, 4, 4), (5, 0, 4, 3)])
def test_wrong_ranks_and_empty_arrays(tmp_path, shape):
    path = save_array(tmp_path / "a.npy", np.ones(shape, np.uint8))
    message = refusal(images.read, path)
    assert f"a.npy has shape {shape}, but images are [n, height, width]" in message


def test_channels_are_on_the_last_axis(tmp_path):
    path = save_array(tmp_path / "a.npy", np.ones((5, 3, 8, 8), np.uint8))
    assert "so 8 channels, but images have 1 or 3, on the last axis" in refusal(images.read, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_must_be_finite(tmp_path, value):
    array = np.random.default_rng(0).normal(size=(3, 4, 4))
    array[1, 2, 3] = value
    path = save_array(tmp_path / "a.npy", array)
    assert "a.npy has NaN or infinity" in refusal(images.read, path)


def test_constant_images_are_refused(tmp_path):
    save(tmp_path / "a.png", np.full((6, 8, 1), 7, np.uint8))
    save(tmp_path / "b.png", np.full((6, 8, 1), 7, np.uint8))
    message = refusal(images.read, tmp_path)
    assert f"{tmp_path} is constant: every pixel is 7, so the variance is 0" in message
    save(tmp_path / "b.png", np.full((6, 8, 1), 8, np.uint8))
    assert np.shape(images.read(tmp_path)) == (2, 6, 8, 1)
    path = save_array(tmp_path / "a.npy", np.full((2, 4, 4), 0.5))
    assert "a.npy is constant: every pixel is 0.5" in refusal(images.read, path)


def unique(*shape) -> np.ndarray:
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


@pytest.mark.parametrize("patch", [None, 3])
@pytest.mark.parametrize("count", [10, 29, 30])
def test_many_images_are_split_by_image(count, patch):
    pixels = unique(count, 4, 5, 3)
    parts = images.split(pixels, patch=patch)
    np.testing.assert_array_equal(parts.heldout, pixels[9::10])
    assert len(parts.train) + len(parts.heldout) == count
    assert not np.isin(parts.train, parts.heldout).any()
    np.testing.assert_array_equal(parts.train, np.sort(parts.train, axis=0))


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
    parts = images.split(pixels, patch=patch)
    assert np.shape(parts.train) == (2, *train, 3)
    assert np.shape(parts.heldout) == (2, *heldout, 3)
    # Every value occurs once: no pixel is in both parts, and none is lost.
    both = np.concatenate([np.ravel(parts.train), np.ravel(parts.heldout)])
    np.testing.assert_array_equal(np.sort(both), np.arange(pixels.size))
    assert all(len(images.heldout_patches(image, patch)) for image in parts.heldout)


def test_splits_that_cannot_be():
    message = refusal(images.split, unique(9, 8, 8, 1))
    assert "9 whole images are too few to hold some out, 10 are needed; use --patch" in message
    for count in (2, 20):
        message = refusal(images.split, unique(count, 8, 9, 1), patch=10)
        assert "patch is 10, but an image is only 9x8; use a --patch of at most 8" in message
    message = refusal(images.split, unique(2, 8, 9, 1), patch=5)
    assert "patch is 5, but images of 9x8 cannot be cut" in message
    assert "use a --patch of at most 4, or give 10 images or more" in message
    assert "at least 1, got 0" in refusal(images.split, unique(2, 8, 9, 1), patch=0)
    flat = np.zeros((1, 8, 8, 1), np.uint8)
    flat[0, -1] = 9
    assert "the training part is constant" in refusal(images.split, flat, patch=2)


def test_heldout_patches_are_the_grid_in_order():
    image = unique(7, 9, 3)
    patches = images.heldout_patches(image, 3)
    want = [image[row : row + 3, column : column + 3] for row in (0, 3) for column in (0, 3, 6)]
    np.testing.assert_array_equal(patches, want)
    np.testing.assert_array_equal(images.heldout_patches(patches[0], 3), patches[:1])
    assert "patch is 8" in refusal(images.heldout_patches, image, 8)
    assert "got -1" in refusal(images.heldout_patches, image, -1)
