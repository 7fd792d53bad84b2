"""Which files of a folder are read, and which are never opened."""

import errno
import os
import signal
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import picture, save
from real_data import BARK, needs_bark
from refusals import refusal

from dpm_jax.data.image_files import read


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_is_read_in_the_order_of_names(tmp_path, channels):
    for name, seed in (("b.png", 1), ("c.PNG", 2), ("a.png", 0)):
        save(tmp_path / name, picture(seed, channels=channels), format="PNG")
    # Neither hidden files, nor other files, nor folders are images.
    (tmp_path / "._a.png").write_bytes(b"resource fork")
    (tmp_path / "notes.txt").write_text("bark")
    (tmp_path / "folder.png").mkdir()
    pixels = np.stack(read(tmp_path))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, [picture(k, channels=channels) for k in range(3)])


@pytest.fixture
def at_once():
    """Ends a test that waits for a pipe or walks in a circle, and would never end."""

    def fail(*_):
        raise TimeoutError("not done at once")

    before = signal.signal(signal.SIGALRM, fail)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def test_subfolders_are_searched_in_the_order_of_paths(tmp_path, at_once):
    names = ["a/x.png", "a/y/b.png", "b.png", "c/a.png"]
    for k in (2, 0, 3, 1):
        (tmp_path / names[k]).parent.mkdir(parents=True, exist_ok=True)
        save(tmp_path / names[k], picture(k))
    # Hidden folders are passed over; so are links to folders, which may lead in a circle.
    (tmp_path / ".cache/deep").mkdir(parents=True)
    save(tmp_path / ".cache/deep/a.png", picture(9, 3, 3))
    (tmp_path / "a/y/up").symlink_to(tmp_path)
    (tmp_path / "again").symlink_to(tmp_path / "a")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
    np.testing.assert_array_equal(read(tmp_path), [picture(k) for k in range(4)])
    # The folder itself may be a link, or hidden.
    (tmp_path / "link").symlink_to(tmp_path / "c")
    np.testing.assert_array_equal(read(tmp_path / "link"), [picture(3)])
    assert np.shape(read(tmp_path / ".cache")) == (1, 3, 3, 3)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    save(tmp_path / "a.png", picture(0))
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if os.path.basename(path) == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    said = refusal(read, tmp_path)
    assert said == f"folder {tmp_path / 'locked'} cannot be read: Permission denied"


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npz", "a"])
def test_a_pipe_is_refused_and_never_opened(tmp_path, at_once, name):
    os.mkfifo(tmp_path / name)
    assert f"{tmp_path / name} is a pipe, a socket or a device; give" in refusal(
        read, tmp_path / name
    )
    assert "holds no images" in refusal(read, tmp_path)
    save(tmp_path / "b.png", picture(0))
    (tmp_path / "c.png").symlink_to(tmp_path / name)
    np.testing.assert_array_equal(read(tmp_path), [picture(0)])


def test_sockets_and_devices_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.png")
        assert "a.png is a pipe, a socket or a device" in refusal(read, tmp_path / "a.png")
        assert "holds no images" in refusal(read, tmp_path)
    assert "/dev/zero is a pipe, a socket or a device" in refusal(read, Path("/dev/zero"))


@needs_bark
def test_the_folder_of_bark_is_enough():
    pixels = read(BARK, any_size=True)
    assert [image.shape for image in pixels] == [(640, 640, 1), (640, 480, 1)]
    # Brightness changes slowly along a trunk, next to what it spans.
    assert all(np.diff(image.astype(int), axis=0).std() < image.std() / 2 for image in pixels)
    assert np.shape(read(BARK, resize=64)) == (2, 64, 64, 1)


def test_a_bar_shows_on_a_terminal_alone(tmp_path, capsys, monkeypatch):
    for k in range(3):
        save(tmp_path / f"{k}.png", picture(k))
    read(tmp_path)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    read(tmp_path)
    assert "decoding" in capsys.readouterr().err
