"""The README's example runs as printed, but for its number of steps."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parent.parent / "README.md"


@pytest.mark.slow
def test_the_example_of_the_readme_runs():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    shorter = example.replace("steps=2_000", "steps=20")
    assert shorter != example
    names = {}
    exec(shorter, names)
    assert names["samples"].shape == (1_000, 3)
    assert names["held_out"].K.shape == (5_000,)


def test_the_pictures_and_files_of_the_readme_exist():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README.read_text()):
        assert (README.parent / target).exists(), target
