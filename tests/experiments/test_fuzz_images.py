"""Whatever an image or array file holds: pixels as they should be, or one line that names it."""

import io
import struct
import zipfile
import zlib

import numpy as np
import pytest
from hostile import cases, contents, mutated, outcome
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dpm_jax.data import dataset, dead_leaves
from dpm_jax.data.image_files import read
from dpm_jax.experiments.exits import Refused

pytestmark = pytest.mark.slow
RNG = np.random.default_rng(0)
LEVELS = RNG.integers(0, 256, (14, 9, 3), np.uint8)


def encoded(kind: str, mode: str, **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(LEVELS).convert(mode).save(file, kind, **options)
    return file.getvalue()


def array_file(array: np.ndarray, save=np.save, **options) -> bytes:
    file = io.BytesIO()
    save(file, array, **options)
    return file.getvalue()


PNGS = [encoded("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
PHOTOS = [encoded("JPEG", mode) for mode in ("L", "RGB", "CMYK")]
PHOTOS += [encoded("JPEG", "RGB", progressive=True, exif=b"Exif\0\0II*\0\x08\0\0\0")]
PHOTOS += [
    encoded("WEBP", mode, lossless=lossless) for mode in ("RGB", "RGBA") for lossless in (0, 1)
]
STACK = RNG.integers(0, 256, (12, 5, 4, 3), np.uint8)
ARRAYS = [STACK, STACK[..., 0], STACK.astype(np.float32), np.asfortranarray(STACK.astype(float))]
NPYS = [array_file(array) for array in ARRAYS]
NPYS += [array_file(np.array([{"a": 1}], object), allow_pickle=True)]
NPZS = [array_file(array, save) for array in ARRAYS for save in (np.savez, np.savez_compressed)]


def check(folder, name: str, content: bytes) -> None:
    (folder / name).write_bytes(content)
    pixels = outcome(lambda: read(folder / name))
    assert contents(folder) == {name: content}
    if isinstance(pixels, Refused):
        assert str(folder / name) in str(pixels)
        return
    assert sum(image.nbytes for image in pixels) <= dataset.MAX_BYTES
    for image in pixels:
        assert image.ndim == 3
        assert image.shape[-1] in (1, 3)
        assert image.dtype in (np.uint8, np.float32)
        assert np.isfinite(image).all()


@pytest.fixture
def small_limit(monkeypatch):
    monkeypatch.setattr(dataset, "MAX_BYTES", 2**20)


@cases(150)
@given(mutated(PNGS + PHOTOS), st.sampled_from(["a.png", "a.jpg", "a.webp"]))
def test_image_files(tmp_path_factory, content, name):
    check(tmp_path_factory.mktemp("image"), name, content)


def chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, at = [], 8
    while at < len(png):
        length, kind = struct.unpack_from(">I4s", png, at)
        found.append((kind, png[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def joined(found: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in found
    )


@cases(150)
@given(data=st.data())
def test_pngs_whose_checksums_are_right(tmp_path_factory, small_limit, data):
    found = chunks(data.draw(st.sampled_from(PNGS)))
    at = data.draw(st.integers(0, len(found) - 1))
    kind, body = found[at]
    if kind == b"IDAT" and data.draw(st.booleans()):  # other rows, soundly packed
        rows = zlib.decompress(body)
        rows = data.draw(mutated([rows, rows[: len(rows) // 2], rows + bytes(2**22)]))
        found[at] = kind, zlib.compress(rows)
    else:
        kinds = st.sampled_from([b"IDAT", b"IEND", b"PLTE", b"tRNS", b"zTXt", b"iCCP", b"acTL"])
        found[at] = data.draw(st.just(kind) | kinds), data.draw(mutated([body or b"\0"]))
    check(tmp_path_factory.mktemp("png"), "a.png", joined(found))


LAW = dead_leaves.law(size=6, radius_max=6.0)


@cases(100)
@given(data=st.data())
def test_a_cache_of_dead_leaves(tmp_path, data):
    def load():
        return dead_leaves.load(LAW, train=5, heldout=2, seed=0, cache=tmp_path)

    sound = load()
    (train, *_) = sorted(tmp_path.glob("*train5.npy"))
    train.write_bytes(data.draw(mutated([train.read_bytes(), *NPYS, *NPZS])))
    found = outcome(load)
    assert found.train.shape == sound.train.shape
    np.testing.assert_array_equal(np.load(train), found.train)  # drawn and written anew, if need be
    train.unlink()


@cases(150)
@given(mutated(NPYS + NPZS), st.sampled_from(["a.npy", "a.npz"]))
def test_array_files(tmp_path_factory, small_limit, content, name):
    check(tmp_path_factory.mktemp("array"), name, content)


headers = st.one_of(
    st.builds(
        lambda descr, order, shape: repr(
            {"descr": descr, "fortran_order": order, "shape": tuple(shape)}
        ),
        st.sampled_from(["|u1", "<f4", ">f8", "<f2", "|O", "|S0", "<U3", "|V0", "<c8", "<M8[s]"])
        | st.just([("a", "<f4", (2,))])
        | st.text(max_size=5),
        st.booleans(),
        st.one_of(
            st.lists(st.integers(1, 4), min_size=3, max_size=3),
            st.lists(st.integers(-2, 2**40) | st.integers(0, 9), max_size=5),
        ),
    ),
    st.sampled_from(["[" * 9_000, "-" * 9_000, "{}", "()", "__import__('os')", "9" * 9_000]),
    st.text(max_size=100),
)


bodies = st.one_of(st.just(b"\xff"), st.binary(min_size=1, max_size=16)).map(
    lambda few: few * 1_000
)
versions = st.sampled_from([b"\1\0", b"\2\0", b"\3\0", b"\7\7"])


@cases(300)
@given(headers, bodies, versions)
def test_headers_of_arrays(tmp_path_factory, small_limit, text, body, version):
    header = text.encode("utf-8", "surrogatepass")
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(header))
    content = b"\x93NUMPY" + version + size + header + body
    folder = tmp_path_factory.mktemp("header")
    check(folder, "a.npy", content)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.npy", content)
    (folder / "a.npy").unlink()
    check(folder, "a.npz", file.getvalue())


@cases(40)
@given(
    st.sampled_from([zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    st.integers(10, 24),
    st.sampled_from([np.uint8, np.float32, np.float64]),
)
def test_archives_that_unpack_to_more_than_there_may_be(
    tmp_path_factory, small_limit, packing, power, dtype
):
    side = max(1, 2**power // 64 // dtype().nbytes)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", packing) as archive, archive.open("a.npy", "w") as member:
        np.lib.format.write_array(member, np.broadcast_to(dtype(7), (side, 8, 8)))
    check(tmp_path_factory.mktemp("bomb"), "a.npz", content.getvalue())
