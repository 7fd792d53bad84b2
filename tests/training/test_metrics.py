"""metrics.jsonl after damage: whole records stay, the rest is kept aside, and nothing is lost."""

import json
import logging
import os

import numpy as np
import pytest

from dpm_jax.evaluation import figures
from dpm_jax.training import metrics
from dpm_jax.training.clearing import FOLDERS
from dpm_jax.training.metrics import MetricsWriter


def line(step, **more) -> bytes:
    return json.dumps({"step": step, "K_bits": 0.1 * step, "gradient_norm": 1.0} | more).encode()


def whole(count) -> bytes:
    return b"".join(line(step) + b"\n" for step in range(1, count + 1))


def resume(path, after, caplog) -> list[str]:
    """Opens the file as a resumed run does; returns what that says."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, "dpm_jax"):
        MetricsWriter(path, after=after).close()
    return [record.getMessage() for record in caplog.records]


DAMAGE = {
    "empty": b"",
    "blank": b"  ",
    "half": line(7)[:20],
    "not UTF-8": b'{"step": 7, "K_bits\xff": 1.0}',
    "zeros, as a power cut leaves": bytes(4096),
    "null": b"null",
    "a list": b"[1]",
    "a number": b"7",
    "no step": b'{"K_bits": 1.0}',
    "nothing at all": b"{}",
    "step of text": b'{"step": "7"}',
    "step NaN": b'{"step": NaN}',
    "step true": b'{"step": true}',
    "step null": b'{"step": null}',
    "step 7.5": b'{"step": 7.5}',
    "step -1": b'{"step": -1}',
    "step of no int32": b'{"step": 2147483648}',
    "step of 400 digits": b'{"step": ' + b"7" * 400 + b"}",
    "step of 5000 digits": b'{"step": ' + b"7" * 5000 + b"}",
    "value of text": b'{"step": 7, "K_bits": "high"}',
    "value of 400 digits": b'{"step": 7, "K_bits": ' + b"7" * 400 + b"}",
    "value out of range": b'{"step": 7, "K_bits": 1e300}',
    "value true": b'{"step": 7, "K_bits": true}',
    "value a list": b'{"step": 7, "K_bits": [1.0]}',
    "deep": b"[" * 100_000,
    "deep and long": b'{"a":' * 100_000,
    "two in one": line(7) + line(8),
}


@pytest.mark.parametrize("place", [0, 3, 10])
@pytest.mark.parametrize("how", DAMAGE)
def test_whole_records_stay_and_a_damaged_line_is_kept_aside_and_said(tmp_path, caplog, how, place):
    path = tmp_path / "metrics.jsonl"
    records = whole(10).splitlines(keepends=True)
    damaged = b"".join([*records[:place], DAMAGE[how] + b"\n", *records[place:]])
    path.write_bytes(damaged)
    assert [record["step"] for record in metrics.read(path)] == [*range(1, 11)]
    [said] = resume(path, 8, caplog)
    aside = tmp_path / "unreadable_metrics/metrics.jsonl"
    assert said == f"{path}: 1 line is no record, left out; the file as it was is kept as {aside}"
    assert path.read_bytes() == whole(8)
    assert aside.read_bytes() == damaged
    assert aside.parent.name in FOLDERS
    assert resume(path, 8, caplog) == []


def test_one_damaged_line_costs_no_other(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    first, rest = line(1) + b"\n", whole(1200).split(b"\n", 1)[1]
    path.write_bytes(first + b"\n" + rest)
    assert len(resume(path, 1200, caplog)) == 1
    assert path.read_bytes() == whole(1200)


def test_lines_are_counted_and_an_earlier_accident_is_not_overwritten(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"null\n" + whole(3))
    resume(path, 3, caplog)
    path.write_bytes(whole(3) + b"\n[]\n")
    [said] = resume(path, 3, caplog)
    assert "2 lines are no records" in said
    assert said.endswith("/unreadable_metrics/metrics.jsonl.2")
    asides = [path.read_bytes() for path in sorted((tmp_path / "unreadable_metrics").iterdir())]
    assert asides == [b"null\n" + whole(3), whole(3) + b"\n[]\n"]


def test_a_crash_between_the_two_writes_loses_nothing(tmp_path, caplog, monkeypatch):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"null\n" + whole(3))
    write = metrics.write_whole

    def crash(place, content):
        if place == path:
            raise KeyboardInterrupt
        write(place, content)

    with monkeypatch.context() as patch:
        patch.setattr(metrics, "write_whole", crash)
        with pytest.raises(KeyboardInterrupt):
            MetricsWriter(path, after=3)
    resume(path, 3, caplog)
    assert path.read_bytes() == whole(3)


@pytest.mark.parametrize("length", range(len(line(4))))
def test_a_last_line_that_a_kill_cut_short_goes_silently(tmp_path, caplog, length):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(whole(3) + line(4)[:length])
    assert [record["step"] for record in metrics.read(path)] == [1, 2, 3]
    assert resume(path, 3, caplog) == []
    assert path.read_bytes() == whole(3)


def test_a_whole_last_record_without_its_newline_stays(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(whole(3).rstrip())  # as an editor may leave it
    assert resume(path, 3, caplog) == []
    assert path.read_bytes() == whole(3)


@pytest.mark.parametrize("rest", [b"\x00" * 5000, b"PK\x03\x04 not ours", b"{}", b'{"step": "a"}'])
def test_a_last_line_that_no_kill_leaves_is_kept_aside(tmp_path, caplog, rest):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(whole(3) + rest)
    assert len(resume(path, 3, caplog)) == 1
    assert path.read_bytes() == whole(3)


def test_only_records_after_the_checkpoint_are_dropped_and_every_byte_before_it_stays(
    tmp_path, caplog
):
    path = tmp_path / "metrics.jsonl"
    odd = b'{"K_bits":-Infinity , "step":2, "heldout_K_bits": NaN}\r\n'
    path.write_bytes(odd + line(9) + b"\n" + line(1) + b"\n" + line(5) + b"\n")
    assert resume(path, 4, caplog) == []
    assert path.read_bytes() == odd + line(1) + b"\n"


def test_a_line_of_a_hundred_megabytes_is_damage_like_any_other(tmp_path, caplog):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(
        whole(3) + b'{"step": 3, "' + b"a" * 100_000_000 + b'": 1}\n' + line(4) + b"\n"
    )
    assert len(resume(path, 4, caplog)) == 1
    assert path.read_bytes() == whole(4)


def test_the_training_figure_leaves_out_damage_and_records_without_finite_curves(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        *DAMAGE.values(),
        b'{"step": 1}',
        line(2, K_bits=float("nan")),
        line(3, gradient_norm=float("inf")),
    ]
    path.write_bytes(b"\n".join([*lines, line(4, heldout_K_bits=-np.inf), line(5)]) + b"\n")
    drawn = metrics.read(path, "K_bits", "gradient_norm")
    assert [record["step"] for record in drawn] == [4, 5]
    figures.pixels(figures.training(drawn))


def test_without_a_file_there_are_no_records(tmp_path):
    assert metrics.read(tmp_path / "metrics.jsonl", "K_bits") == []


def huge(path):
    with path.open("wb") as file:
        file.truncate(10 * 2**30)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (os.mkfifo, "not a regular file"),
        (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
        (lambda path: path.mkdir(), "not a regular file"),
        (huge, "larger than"),
    ],
)
def test_what_is_no_metrics_file_is_not_read(tmp_path, make, said):
    make(tmp_path / "metrics.jsonl")
    with pytest.raises(OSError, match=said):
        MetricsWriter(tmp_path / "metrics.jsonl", after=0)
    with pytest.raises(OSError, match=said):
        metrics.read(tmp_path / "metrics.jsonl")
