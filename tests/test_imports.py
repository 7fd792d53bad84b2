"""Imports go down the list of rooms in ``dpm_jax.__doc__``; each dependency stays in its own."""

import ast
import re
from pathlib import Path

import pytest

import dpm_jax

PACKAGE = Path(dpm_jax.__file__).parent
ROOMS = re.findall(r"^ {4}(\w+) {2,}\S", dpm_jax.__doc__, re.MULTILINE)
FILES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))


def imports(file: str) -> set[str]:
    """Dotted names of all that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: import by the full name, not relatively"
            # `from dpm_jax import bound` names a room; `from flax import linen` does no harm.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def room(file: str) -> str:
    return file.split("/")[0].removesuffix(".py")


def test_every_room_is_on_the_list():
    assert ROOMS[:3] == ["array_types", "kernels", "schedule"]
    assert len(set(ROOMS)) == len(ROOMS)
    assert {room(f) for f in FILES if f != "__init__.py"} == set(ROOMS)


def test_imports_only_go_down_the_list():
    wrong = []
    for file in FILES:
        reached = {name.split(".")[1] for name in imports(file) if name.startswith("dpm_jax.")}
        for other in reached & set(ROOMS) - {room(file)}:
            if ROOMS.index(other) > ROOMS.index(room(file)):
                wrong.append(f"{file} may not import {other}")
    assert not wrong


@pytest.mark.parametrize(
    ("dependency", "where"),
    [
        ("flax", ["networks/"]),
        ("matplotlib", ["evaluation/figures.py", "evaluation/image_figures.py"]),
        ("optax", ["training/"]),
        ("orbax", ["training/"]),
        ("tyro", []),
    ],
)
def test_each_dependency_stays_in_its_room(dependency, where):
    users = [f for f in FILES if any(n.split(".")[0] == dependency for n in imports(f))]
    strays = [f for f in users if not any(f.startswith(place) for place in where)]
    assert not strays


@pytest.mark.parametrize(
    "core", ["kernels", "reverse", "process", "bound", "entropy", "perturb", "trajectory"]
)
def test_the_core_needs_jax_alone(core):
    needs = {n.split(".")[0] for f in FILES if room(f) == core for n in imports(f)}
    assert needs <= {"collections", "dpm_jax", "functools", "jax", "math", "typing"}
