"""The paper's Table 1 beside ours, from run folders."""

import json
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
        (json.dumps(RESULT | {"K_bits": "much"}), "does not hold a whole result"),
    ],
)
def test_a_folder_without_a_whole_result_is_one_line(runs, tmp_path, capsys, text, wrong):
    bad = tmp_path / "bad"
    bad.mkdir()
    if text is not None:
        (bad / "result.json").write_text(text)
    assert table.main([*runs, str(bad)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {bad}/result.json ")
    assert wrong in err
    assert err.count("\n") == 1


def test_without_folders_the_usage_is_said():
    done = subprocess.run(
        [sys.executable, "-m", "dpm_jax.evaluation.table"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "usage: dpm table RUN...\n"
