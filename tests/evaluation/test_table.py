"""The paper's Table 1 beside ours, from run folders."""

import json
import os
import subprocess
import sys

import pytest

from dpm_jax.evaluation import table

RESULT = {
    "experiment": "swiss_roll",
    "variant": ", noise 0.25, T = 40",
    "K_bits": -1.0312,
    "K_bits_se": 0.0041,
    "K_minus_L_null_bits": 3.0634,
    "K_minus_L_null_bits_se": 0.0042,
    "iw_bound_bits": -0.9012,
    "iw_bound_bits_se": 0.0201,
    "iw_samples": 64,
    "true_limit_bits": -0.9463,
}


@pytest.fixture
def runs(tmp_path):
    results = [RESULT, RESULT | {"experiment": "heartbeat", "variant": ", T = 2000"}]
    for result in results:
        folder = tmp_path / result["experiment"]
        folder.mkdir()
        (folder / "result.json").write_text(json.dumps(result))
    return [str(tmp_path / r["experiment"]) for r in results]


def test_both_forms_hold_our_numbers_and_the_papers(runs, capsys):
    assert table.main(runs) == 0
    text, markdown = capsys.readouterr().out.split("\n\n")
    for form in (text, markdown):
        header, *_, roll, heartbeat = form.strip().splitlines()
        assert "K (ours)" in header
        assert "K − L_null (paper)" in header
        for number in ("swiss roll, noise 0.25, T = 40", "-1.031 ± 0.004 bits", "3.063 ± 0.004"):
            assert number in roll
        for number in ("-0.901 ± 0.020 (N = 64)", "-0.946", "2.35", "6.45"):
            assert number in roll
        for number in ("binary heartbeat, T = 2000", "bits/seq", "-2.414", "12.024"):
            assert number in heartbeat


def test_columns_are_aligned_and_markdown_is_a_table(runs, capsys):
    table.main(runs)
    text, markdown = capsys.readouterr().out.split("\n\n")
    header, *rows = text.splitlines()
    for row, paper in zip(rows, ("2.35", "-2.414"), strict=True):
        assert row.index(paper) == header.index("K (paper)")
    lines = markdown.strip().splitlines()
    assert {line.count("|") for line in lines} == {len(table.COLUMNS) + 1}
    assert set(lines[1]) == set("| -")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (None, "cannot be read (No such file or directory); is it a finished run's folder?"),
        ("{", "does not hold a whole result of swiss_roll or heartbeat"),
        ("[1]", "does not hold a whole result"),
        ("{}", "does not hold a whole result"),
        (json.dumps(RESULT | {"experiment": "imagenet"}), "does not hold a whole result"),
        (json.dumps(RESULT | {"K_bits": None}), "does not hold a whole result"),
        (json.dumps(RESULT | {"K_bits": "much"}), "K_bits is 'much', not a number"),
        (json.dumps(RESULT | {"K_bits": True}), "K_bits is True, not a number"),
        (json.dumps(RESULT | {"K_bits_se": [1.0]}), "K_bits_se is [1.0], not a number"),
        (json.dumps(RESULT | {"K_bits": 10**400}), "K_bits is a number of too many digits"),
        (json.dumps(RESULT | {"iw_samples": "64"}), "iw_samples is '64', not a number"),
        (json.dumps(RESULT | {"true_limit_bits": {}}), "true_limit_bits is {}, not a number"),
        (json.dumps(RESULT | {"variant": 3}), "variant is 3, not a text"),
        (json.dumps(RESULT | {"experiment": ["heartbeat"]}), "experiment is ['heartbeat'], not a"),
        (
            json.dumps(RESULT | {"experiment": "\ud800"}),
            "experiment is '\N{REPLACEMENT CHARACTER}'",
        ),
        (json.dumps(RESULT)[:-1] + ', "seed": 1, "seed": 2}', "an object has a key twice"),
        ("[" * 10**5, "nested deeper than"),
        ('{"a":' + "[" * 20 + "]" * 20 + "}", "nested deeper than"),
        (" " * 2**20 + "{}", "larger than 1048576 bytes"),
        ('{"a": ' + "9" * 5_000 + "}", "digits"),
    ],
)
def test_a_folder_without_a_whole_result_is_one_line_and_hides_no_other(
    runs, tmp_path, capsys, text, wrong
):
    table.main(runs)
    good = capsys.readouterr().out
    bad = tmp_path / "bad"
    bad.mkdir()
    if text is not None:
        (bad / "result.json").write_text(text)
    assert table.main([runs[0], str(bad), runs[1]]) == 2
    out, err = capsys.readouterr()
    assert out == good
    assert err.startswith(f"error: {bad}/result.json ")
    assert wrong in err
    assert err.count("\n") == 1


def test_what_is_no_regular_file_is_not_opened(tmp_path, capsys):
    (tmp_path / "folder" / "result.json").mkdir(parents=True)
    for name, make in (("pipe", os.mkfifo), ("device", lambda p: p.symlink_to("/dev/zero"))):
        (tmp_path / name).mkdir()
        make(tmp_path / name / "result.json")
    names = ("folder", "pipe", "device")
    assert table.main([str(tmp_path / name) for name in names]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.count("(not a regular file); is it a finished") for line in err.splitlines()] == [
        1,
        1,
        1,
    ]


def test_a_title_stays_one_cell_whatever_a_file_is_called(runs, tmp_path, capfd):
    folder = tmp_path / "mine"
    folder.mkdir()
    strange = ", a|b\n\x1b[2J\udcff.npy"
    (folder / "result.json").write_text(json.dumps(RESULT | {"variant": strange}))
    assert table.main([*runs, str(folder)]) == 0
    text, markdown = capfd.readouterr().out.split("\n\n")
    assert "swiss roll, a|b �[2J�.npy" in text
    assert "| swiss roll, a\\|b �[2J�.npy |" in markdown
    assert len(text.splitlines()) == 4


def test_a_result_that_is_not_finite_is_shown_as_it_is(runs, tmp_path, capsys):
    folder = tmp_path / "diverged"
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(RESULT | {"K_bits": float("nan")}))
    assert table.main([str(folder)]) == 0
    assert "nan ± 0.004 bits" in capsys.readouterr().out


def test_without_folders_the_usage_is_said():
    done = subprocess.run(
        [sys.executable, "-m", "dpm_jax.evaluation.table"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: dpm table RUN...\n"
