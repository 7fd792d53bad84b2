"""docs/errata.md says what ``claims`` finds, number by number, and on which side of what."""

import re
from pathlib import Path

import pytest

from dpm_jax.laboratory import claims

PAGE = (Path(__file__).parents[2] / "docs" / "errata.md").read_text()


@pytest.fixture(scope="module")
def found():
    return {claim.__name__: claim() for claim in claims.CLAIMS}


def place(name):
    """Rows of a claim, and the table that a line announces."""
    lines = [line for line in PAGE.splitlines() if f"`{name}`" in line]
    assert lines, name
    tables = re.findall(rf"`{name}`:\n\n((?:\|.*\n)+)", PAGE)
    return "\n".join(lines + tables)


@pytest.mark.parametrize("name", [claim.__name__ for claim in claims.CLAIMS])
def test_the_page_has_every_number_of_a_claim(found, name):
    numbers = set(re.findall(r"-?\d[\d.]*(?:e[+-]\d+)?", place(name).replace("−", "-")))
    trimmed = {number.rstrip(".") for number in numbers}
    assert {claims.shown(value) for value in found[name].values()} <= trimmed


def test_every_claim_of_the_page_is_one():
    named = set(re.findall(r"\| `(\w+)` \|$", PAGE, re.MULTILINE))
    assert named == {claim.__name__ for claim in claims.CLAIMS}


def test_numbers_are_on_the_side_that_the_page_says(found):
    assert found["narrower"]["0.1"] < found["narrower"]["0.9"]
    assert found["condition"]["given x"] > found["condition"]["plain"]
    ends = found["any_end"]
    assert ends["ᾱ at 0.25"] < ends["ᾱ at 0.95"]
    assert ends["restored at 0.25"] < 1e-6 < ends["restored at 0.95"]
    assert found["closer"]["0.3"] < found["closer"]["0.9"] < found["closer"]["before"]
    assert found["outside"]["0.995"] < found["outside"]["0.5"] < found["outside"]["0.95"]
    assert found["pairs"]["near"] < found["pairs"]["λ₂"] < found["pairs"]["far"] / 2
    assert 0 < found["across"]["5σ"] < found["across"]["3σ"]
    assert 3 < found["radius"]["0.1"] < found["radius"]["0.9"]


def test_they_are_printed_one_claim_a_line(capsys, monkeypatch):
    monkeypatch.setattr(claims, "CLAIMS", (claims.radius,))
    claims.main()
    assert capsys.readouterr().out == "radius: 0.1: 4.1623, 0.5: 7.2426, 0.9: 18.487\n"
