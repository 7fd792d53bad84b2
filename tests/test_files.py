"""Only regular files of bounded size are read, and JSON that is one plain object."""

import os
import socket

import pytest

from dpm_jax import files
from dpm_jax.files import parse_object, read_bytes, read_object, regular_size


def test_what_a_file_holds(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    assert regular_size(tmp_path / "a") == 5
    assert read_bytes(tmp_path / "a", most=5) == b"12345"
    with pytest.raises(ValueError, match="larger than 4 bytes"):
        read_bytes(tmp_path / "a", most=4)


@pytest.fixture
def others(tmp_path):
    """A folder, a pipe, a socket, a device, and links to them."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(tmp_path)  # the path of a socket must be short
        listening.bind("socket")
        os.chdir(here)
        for name in ("folder", "pipe", "socket", "/dev/zero"):
            (tmp_path / f"to {name.strip('/').replace('/', ' ')}").symlink_to(name)
        yield [*tmp_path.iterdir()]


def test_what_is_no_regular_file_is_refused_unopened(others):
    assert len(others) == 7
    for path in others:
        for read in (regular_size, read_object, lambda p: read_bytes(p, most=9)):
            with pytest.raises(OSError, match="not a regular file"):
                read(path)


def test_a_large_file_is_not_read_to_its_end(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10 * 2**30)
    with pytest.raises(ValueError, match="larger than 1048576 bytes"):
        read_object(tmp_path / "sparse")


@pytest.mark.parametrize("name", ["nowhere", "a\0b", "\ud800", "x" * 300])
def test_names_that_no_file_has(tmp_path, name):
    with pytest.raises(OSError):  # noqa: PT011  # in the system's words
        read_object(tmp_path / name)


def test_an_object_comes_back_as_it_was_written():
    assert parse_object('{"β": [1, 2.5, null, {"a": "\\udcff"}]}'.encode()) == {
        "β": [1, 2.5, None, {"a": "\udcff"}]
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "Expecting value"),
        (b"[1]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"a": 1, "a": 2}', "an object has a key twice"),
        (b'{"a": [{"b": 1, "b": 1}]}', "an object has a key twice"),
        (b"\xff{}", "can't decode"),
        (b'{"a": ' + b"1" * 5_000 + b"}", "digits"),
        (b'{"a":' * 10**5, "nested deeper than 16"),
        (b"[" * 10**6, "nested deeper than 16"),
    ],
)
def test_anything_else_is_refused_in_one_line(content, said):
    with pytest.raises(ValueError, match=said) as refused:
        parse_object(content)
    assert "\n" not in str(refused.value)


def test_as_deep_as_may_be_and_deeper():
    def nested(depth):
        return b'{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    assert parse_object(nested(files.DEEPEST))
    with pytest.raises(ValueError, match="nested deeper than 16"):
        parse_object(nested(files.DEEPEST + 1))
