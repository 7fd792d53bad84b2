"""Arrays of images: what is read, and every refusal in one line; nothing is ever unpickled."""

import io
import zipfile

import numpy as np
import pytest
from pictures import picture
from refusals import refusal

from dpm_jax.data import dataset
from dpm_jax.data.image_files import read


@pytest.fixture(params=["a.npy", "a.npz", "a.NPZ"])
def path(request, tmp_path):
    return tmp_path / request.param


def save_array(path, array):
    with path.open("wb") as file:
        if path.suffix == ".npy":
            np.save(file, array, allow_pickle=array.dtype == object)
        else:
            np.savez_compressed(file, whatever=array)
    return path


def test_grey_and_colour_arrays(path):
    grey = np.moveaxis(picture(0, 5, 4, 3), -1, 0)  # three images of 5x4
    pixels = read(save_array(path, grey))
    np.testing.assert_array_equal(pixels, grey[..., None])
    assert pixels.dtype == np.uint8
    for dtype in (np.float32, np.float64, ">f4"):
        colour = np.random.default_rng(0).normal(size=(3, 5, 4, 3)).astype(dtype)
        pixels = read(save_array(path, colour))
        assert pixels.dtype == np.float32
        np.testing.assert_array_equal(pixels, colour.astype(np.float32))


def test_reading_leaves_no_handle_on_the_file(path):
    pixels = read(save_array(path, picture(0)[None]))
    assert not isinstance(pixels, np.memmap)
    assert pixels.base is None or not isinstance(pixels.base, np.memmap)
    pixels[...] = 0
    assert read(path).any()


def header_alone(shape) -> bytes:
    file = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + bytes(1000)


def write(path, content: bytes, member="a.npy"):
    """The content of an array file, in an archive if it is one."""
    if path.suffix == ".npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(member, content)


def test_a_header_that_promises_too_much(path):
    write(path, header_alone((10**9, 10**4, 10**4)))
    assert f"{path.name} cannot be read as an array" in refusal(read, path)
    write(path, header_alone((10**3, 10**2, 10**2)))
    assert f"{path.name} cannot be read as an array" in refusal(read, path)


def test_too_many_bytes_are_refused_before_an_archive_is_unpacked(path, monkeypatch):
    monkeypatch.setattr(dataset, "MAX_BYTES", 10_000)
    save_array(path, np.zeros((99, 10, 10), np.float64))
    assert "GiB that are held in memory; give fewer or smaller" in refusal(read, path)
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda *_: pytest.fail("unpacked"))
    assert f"{path} has" in refusal(read, path)


def test_float64_counts_as_the_float32_that_it_becomes(path, monkeypatch):
    monkeypatch.setattr(dataset, "MAX_BYTES", 10_000)
    array = np.random.default_rng(0).normal(size=(24, 10, 10))
    assert read(save_array(path, array)).shape == (24, 10, 10, 1)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint16, np.int64, np.float16, np.complex64])
def test_other_types_are_refused_by_name(path, dtype):
    save_array(path, np.ones((2, 4, 4), dtype))
    assert f"{path} has type {np.dtype(dtype)}, but images are uint8" in refusal(read, path)


class Trap:
    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_pickles_are_never_loaded(path):
    save_array(path, np.array([Trap()], object))
    assert f"{path} cannot be read as an array" in refusal(read, path)


def test_what_is_no_array_is_told_how_to_write_one(path):
    writer = "numpy.save," if path.suffix == ".npy" else "numpy.savez,"
    for content in (b"", b"\x80\x04.", b"no array", b"\x93NUMPY\x01\x00", b"PK\x03\x04 no archive"):
        path.write_bytes(content)
        assert f"write it with {writer} uint8 or float32" in refusal(read, path)


def test_an_archive_must_hold_one_array(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, train=picture(0)[None], test=picture(1)[None])
    assert f"{path} holds 2 arrays (train, test), not one; save one array" in refusal(read, path)
    np.savez(path, *range(7))
    said = refusal(read, path)
    assert "a.npz holds 7 arrays (arr_0, arr_1, arr_2, arr_3, arr_4, ...), not one" in said
    np.savez(path)
    assert "a.npz holds 0 arrays (none), not one" in refusal(read, path)
    write(path, b"some notes", member="notes.txt")
    assert "a.npz holds no array; write it with numpy.savez" in refusal(read, path)


def test_damaged_archives_are_named(tmp_path):
    path = tmp_path / "a.npz"
    whole = save_array(path, picture(0, 20, 20)[None]).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "a.npz cannot be read as an array" in refusal(read, path)
    spoilt = bytearray(whole)
    spoilt[len(whole) // 2] ^= 1  # one bit: only the checksum knows
    path.write_bytes(spoilt)
    assert "a.npz cannot be read as an array" in refusal(read, path)


@pytest.mark.parametrize("shape", [(), (5,), (5, 4), (5, 4, 4, 1, 1), (0, 4, 4), (5, 0, 4, 3)])
def test_wrong_ranks_and_empty_arrays(path, shape):
    save_array(path, np.ones(shape, np.uint8))
    message = refusal(read, path)
    assert f"{path} has shape {shape}, but images are [n, height, width]" in message


def test_channels_are_on_the_last_axis(path):
    save_array(path, np.ones((5, 3, 8, 8), np.uint8))
    assert "so 8 channels, but images have 1 or 3, on the last axis" in refusal(read, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_must_be_finite(path, value):
    array = np.random.default_rng(0).normal(size=(3, 4, 4))
    array[1, 2, 3] = value
    save_array(path, array)
    assert f"{path} has NaN or infinity" in refusal(read, path)


def test_constant_arrays_are_refused(path):
    save_array(path, np.full((2, 4, 4), 0.5))
    assert f"{path} is constant: every pixel is 0.5" in refusal(read, path)


@pytest.mark.parametrize("name", ["resize", "crop"])
def test_arrays_are_not_cut_to_size(path, name):
    save_array(path, picture(0)[None])
    said = refusal(read, path, **{name: 4})
    assert f"{name} is 4, but {path} is an array, and only image files are cut to size" in said
