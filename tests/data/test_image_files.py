"""Any folder of images as data: what is read, and every refusal in one line."""

import struct
import zlib

import numpy as np
import pytest
from pictures import picture, save
from PIL import Image
from refusals import refusal

from dpm_jax.data import dataset, image_files, split
from dpm_jax.data.image_files import read


def test_jpeg_and_png_go_together(tmp_path):
    smooth = np.tile(np.arange(0, 240, 10, dtype=np.uint8)[:, None], (1, 16))[..., None]
    save(tmp_path / "a.jpg", smooth, quality=95)
    save(tmp_path / "b.JPEG", smooth, quality=95, format="JPEG")
    save(tmp_path / "c.png", smooth)
    pixels = np.stack(read(tmp_path))
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
    np.testing.assert_array_equal(read(tmp_path / "a.png"), want)


def test_transparency_is_dropped_not_blended(tmp_path):
    pixels = picture(0, channels=4)
    save(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(read(tmp_path / "a.png")[0], pixels[..., :3])


def test_photos_are_turned_upright(tmp_path):
    smooth = np.add.outer(np.arange(16) * 10, np.arange(8) * 9).astype(np.uint8)[..., None]
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    save(tmp_path / "a.jpg", smooth, exif=exif, quality=95)
    save(tmp_path / "b.png", np.rot90(smooth, -1))
    first, second = np.stack(read(tmp_path)).astype(int)
    assert first.shape == (8, 16, 1)
    assert np.abs(first - second).max() <= 4


def test_missing_or_empty(tmp_path):
    assert "nowhere does not exist; give a folder" in refusal(read, tmp_path / "nowhere")
    assert "does not exist" in refusal(read, tmp_path / "a.npy")
    (tmp_path / "notes.txt").write_text("bark")
    message = refusal(read, tmp_path)
    assert f"folder {tmp_path} holds no images; put PNG, JPEG or WebP files into it" in message
    assert (
        "notes.txt is not a PNG, JPEG or WebP image, a .npy or .npz array, or a folder"
        in refusal(read, tmp_path / "notes.txt")
    )


def cut(path, keep):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
@pytest.mark.parametrize("keep", [0.0, 0.01, 0.5, 0.9])
def test_truncated_images_are_named(tmp_path, suffix, keep):
    save(tmp_path / f"a.{suffix}", picture(0, 64, 64))
    save(tmp_path / f"b.{suffix}", picture(1, 64, 64))
    cut(tmp_path / f"b.{suffix}", keep)
    message = refusal(read, tmp_path)
    assert f"b.{suffix} cannot be read as a PNG, JPEG or WebP image" in message
    assert "replace or remove it" in message


def test_corrupt_images_are_named(tmp_path):
    path = save(tmp_path / "a.png", picture(0, 64, 64))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # one bit: only the checksum knows
    path.write_bytes(data)
    assert "a.png cannot be read as a PNG, JPEG or WebP image" in refusal(read, tmp_path)
    path.write_bytes(b"not an image at all")
    assert "a.png cannot be read as a PNG, JPEG or WebP image" in refusal(read, tmp_path)
    # Another format under that name is not decoded either.
    save(path, picture(0), format="GIF")
    assert "a.png cannot be read as a PNG, JPEG or WebP image" in refusal(read, tmp_path)


def test_mixed_images_are_both_named(tmp_path):
    save(tmp_path / "a.png", picture(0, 6, 8))
    save(tmp_path / "b.png", picture(1, 6, 9))
    message = refusal(read, tmp_path)
    assert f"{tmp_path / 'a.png'} is 8x6 colour" in message
    assert f"{tmp_path / 'b.png'} is 9x6 colour" in message
    save(tmp_path / "b.png", picture(1, 6, 8, 1))
    assert "a.png is 8x6 colour" in refusal(read, tmp_path)
    assert "b.png is 8x6 grey" in refusal(read, tmp_path)
    assert "b.png is 8x6 grey; convert them" in refusal(read, tmp_path, any_size=True)


def test_patches_may_come_from_images_of_any_size(tmp_path):
    pictures = picture(0, 6, 8), picture(1, 12, 9)
    save(tmp_path / "a.png", pictures[0])
    save(tmp_path / "b.png", pictures[1])
    pixels = read(tmp_path, any_size=True)
    for image, expected in zip(pixels, pictures, strict=True):
        np.testing.assert_array_equal(image, expected)
    parts = split.split(pixels, patch=3)
    assert [image.shape for image in parts.train] == [(6, 5, 3), (9, 9, 3)]
    assert [image.shape for image in parts.heldout] == [(6, 3, 3), (3, 9, 3)]


def test_sixteen_bits_are_refused_not_cut(tmp_path):
    wide = np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000
    Image.fromarray(wide).save(tmp_path / "a.png")
    message = refusal(read, tmp_path)
    assert "a.png has more than 8 bits a channel; convert it to 8 bits" in message
    (tmp_path / "a.png").write_bytes(png(4, 3, depth=16, colour=2, row=bytes(range(24))))
    assert "a.png has more than 8 bits a channel" in refusal(read, tmp_path)


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
    monkeypatch.setattr(image_files, "decode", lambda _: pytest.fail("decoded"))
    message = refusal(read, tmp_path)
    assert "a.png has" in message
    assert "more than 67108864 in all; crop or scale it" in message
    assert not recwarn.list


def test_too_many_bytes_are_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(dataset, "MAX_BYTES", 2 * 6 * 8 * 3)
    for k in range(2):
        save(tmp_path / f"{k}.png", picture(k))
    assert len(read(tmp_path)) == 2
    save(tmp_path / "2.png", picture(2))
    monkeypatch.setattr(image_files, "decode", lambda _: pytest.fail("decoded"))
    assert "GiB that are held in memory; give fewer" in refusal(read, tmp_path)
    # Only what is kept counts.
    monkeypatch.undo()
    monkeypatch.setattr(dataset, "MAX_BYTES", 3 * 4 * 4 * 3)
    assert np.shape(read(tmp_path, crop=4)) == (3, 4, 4, 3)
    assert "GiB that are held" in refusal(read, tmp_path, resize=5)


def test_constant_images_are_refused(tmp_path):
    save(tmp_path / "a.png", np.full((6, 8, 1), 7, np.uint8))
    save(tmp_path / "b.png", np.full((6, 8, 1), 7, np.uint8))
    message = refusal(read, tmp_path)
    assert f"{tmp_path} is constant: every pixel is 7, so the variance is 0" in message
    save(tmp_path / "b.png", np.full((6, 8, 1), 8, np.uint8))
    assert np.shape(read(tmp_path)) == (2, 6, 8, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_webp_is_read_beside_the_others_always_in_colour(tmp_path, channels):
    pixels = picture(0, channels=channels)
    save(tmp_path / "a.webp", pixels, lossless=True)
    save(tmp_path / "b.png", picture(1))
    first, second = read(tmp_path)
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, np.broadcast_to(pixels, (6, 8, 3)))
    np.testing.assert_array_equal(second, picture(1))


def test_transparent_and_turned_webp(tmp_path):
    pixels = picture(0, channels=4)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    save(tmp_path / "a.webp", pixels, lossless=True, exact=True, exif=exif)
    np.testing.assert_array_equal(read(tmp_path)[0], np.rot90(pixels[..., :3], -1))


def test_a_webp_of_absurd_dimensions_is_refused_before_decoding(tmp_path, monkeypatch, recwarn):
    path = save(tmp_path / "a.webp", picture(0, 16, 16), lossless=True)
    data = bytearray(path.read_bytes())
    assert data[12:16] == b"VP8L"
    for width, height in ((8193, 8192), (16383, 16383)):
        size = (width - 1) | (height - 1) << 14 | int.from_bytes(data[21:25], "little") >> 28 << 28
        data[21:25] = size.to_bytes(4, "little")
        path.write_bytes(data)
        monkeypatch.setattr(image_files, "_read_image", lambda *_: pytest.fail("decoded"))
        assert "more than 67108864 in all; crop or scale it" in refusal(read, tmp_path)
    assert not recwarn.list
