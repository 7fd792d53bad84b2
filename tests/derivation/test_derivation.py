"""The derivation's page: every equation has a name, a test of it, and functions that are it."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import cases
import numpy as np
import pytest
from chains import BETA

from dpm_jax.laboratory import chain
from dpm_jax.laboratory.space import bits

HERE = Path(__file__).parent
PAGE = (HERE.parent.parent / "docs" / "derivation.md").read_text()
EQUATION = re.compile(r"^\$\$\n(.*?)^\$\$([^\n]*)$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\{py:\w+\}`[^`<>]+ <(dpm_jax\.[\w.]+)>`")
NAME = re.compile(r" \((\w+)\)")


def equations() -> Iterator[tuple[str, str]]:
    """The name of every displayed equation, and the text below it, up to the next."""
    parts = EQUATION.split(PAGE)  # text, then formula, what follows its end, and text, again
    for after, text in zip(parts[2::3], parts[3::3], strict=True):
        yield after, text.split("\n## ")[0]


NAMED = {match[1]: text for after, text in equations() if (match := NAME.fullmatch(after))}
TESTS = {
    node.name.removeprefix("test_"): ast.unparse(node)
    for file in sorted(HERE.glob("test_derived_*.py"))
    for node in ast.parse(file.read_text()).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
}


def found(dotted: str):
    """The object that a dotted name leads to."""
    parts = dotted.split(".")
    for i in range(len(parts) - 1, 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            value = getattr(value, part)
        return value
    raise AssertionError(dotted)


def test_every_displayed_equation_has_a_name_of_its_own():
    assert len(NAMED) > 30
    assert len(NAMED) == len(list(equations()))
    assert PAGE.count("$$") == 2 * len(NAMED)


def test_every_equation_is_a_test_and_every_test_an_equation():
    assert sorted(NAMED) == sorted(TESTS)


@pytest.mark.parametrize("name", NAMED)
def test_every_equation_leads_to_functions_that_are_there_and_are_tested(name):
    links = LINK.findall(NAMED[name])
    assert links
    for link in links:
        assert found(link).__doc__, link
    # Its test calls at least one of them, by itself and not only through helpers.
    assert any(re.search(rf"\b{link.rpartition('.')[2]}\b", TESTS[name]) for link in links)


@pytest.mark.parametrize("name", ["three bits", "a real number"])
def test_the_laboratory_has_the_same_laws_of_every_step(name):
    diffusion = cases.CHAINS[name]
    data = np.exp(diffusion.data) * diffusion.weight
    space, order = cases.LINE, slice(None)
    if name == "three bits":
        space = bits(3, cases.ACTIVITY)
        order = np.lexsort(diffusion.points.T[::-1])  # the laboratory's first bit is the highest
    laws = chain.forward(space, data[order], 1 - np.array(BETA[: diffusion.T]))
    for t, found in enumerate(laws):
        wanted = diffusion.law(t)[order] * diffusion.weight
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_every_reference_is_to_an_equation():
    assert set(re.findall(r"\{eq\}`([^`]*)`", PAGE)) <= set(NAMED)
    assert PAGE.count("{eq}") > 5
