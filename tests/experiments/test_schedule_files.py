"""A schedule file is a regular file of numbers; nothing else is opened, or read to its end."""

import os
import socket

import numpy as np
import pytest

from dpm_jax import files
from dpm_jax.experiments.schedules import RATE, schedule_family


def refusal(path, steps=3) -> str:
    with pytest.raises(ValueError) as refused:  # noqa: PT011  # each test reads the message
        schedule_family(str(path), steps)
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device", "socket", "nothing", "null\0byte"])
def test_what_is_no_regular_file_is_not_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        {
            "pipe": lambda: os.mkfifo("pipe"),
            "folder": lambda: os.mkdir("folder"),
            "device": lambda: os.symlink("/dev/zero", "device"),
            "socket": lambda: listening.bind("socket"),
        }.get(kind, lambda: None)()
        said = "schedule must be learned, fixed, linear, cosine or a readable file, got"
        assert refusal(kind) == f"{said} {kind}"


def test_ten_gibibytes_are_refused_at_once(tmp_path):
    with (tmp_path / "rates.txt").open("wb") as file:
        file.truncate(10 * 2**30)
    said = refusal(tmp_path / "rates.txt")
    assert "must hold numbers, one per line: larger than 1048576 bytes" in said


def test_many_steps_may_take_more_room(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST", 100)
    rates = np.linspace(0.1, 0.9, 20)
    np.savetxt(tmp_path / "rates.txt", rates)
    assert 100 < (tmp_path / "rates.txt").stat().st_size < 20 * RATE
    assert schedule_family(str(tmp_path / "rates.txt"), 20)[0].steps == 20
    assert "larger than 100 bytes" in refusal(tmp_path / "rates.txt", steps=1)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"much " * 100, b"0.1 0x1", b"9" * 10**6, b"\0"])
def test_what_holds_no_numbers_is_one_short_line(tmp_path, content):
    (tmp_path / "rates.txt").write_bytes(content)
    assert len(refusal(tmp_path / "rates.txt")) < len(str(tmp_path)) + 300


def test_a_name_cannot_steer_the_terminal(refuse):
    said = refuse("--schedule a\x1b[2Jb")
    assert said == "schedule must be learned, fixed, linear, cosine or a readable file, got a�[2Jb"
