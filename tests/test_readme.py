"""The README's examples run as printed, but for the number of steps and the run's folder."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_example_of_the_readme_runs():
    shorter = EXAMPLES[0].replace("steps=2_000", "steps=20")
    assert shorter != EXAMPLES[0]
    names = {}
    exec(shorter, names)
    assert names["samples"].shape == (1_000, 3)


def test_the_library_is_used_in_ten_lines_and_a_run_in_one():
    first, second = EXAMPLES
    assert len(first.strip().splitlines()) <= 10
    assert "partial" not in first
    assert second.count("load(") == 1


def test_a_run_is_loaded_as_the_readme_does(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "experiments"))
    from untrained import untrained

    run = untrained(tmp_path / "run", "swiss_roll")
    here = EXAMPLES[1].replace('"runs/swiss_roll"', repr(str(run)))
    assert here != EXAMPLES[1]
    names = {}
    exec(here, names)
    assert names["points"].shape == (1_000, 2)
    assert names["K"].shape == (1_000,)


def test_the_pictures_and_files_of_the_readme_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
