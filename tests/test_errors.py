"""Any exception in one short line."""

import errno

import pytest

from dpm_jax.errors import printable, reason


class WrappedError(Exception):
    """A library's own type around the system's error."""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOENT, "No such file or directory", "a.png"), "No such file or directory"),
        (OSError("broken data stream"), "broken data stream"),
        (OSError(errno.ENOSPC, "Kein Platz", "a.png"), "no space left on the disk"),
        (WrappedError("write: a.png: No space left on device [x]"), "no space left on the disk"),
        (ValueError("\n  first\nsecond"), "first"),
        (ValueError("one\rtwo\x0bthree\u2028four"), "one"),
        (EOFError(), "EOFError"),
        (RuntimeError(" \n\t"), "RuntimeError"),
        (ValueError("x" * 1000), "x" * 200),
    ],
)
def test_the_reason_is_one_short_line(error, said):
    assert reason(error) == said


def test_what_would_break_a_line_or_steer_a_terminal_is_replaced():
    assert printable("a\nb\x1b[2J\udcff\u202e|β é") == "a b�[2J��|β é"
