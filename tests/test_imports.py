"""Imports go down the list of rooms, and each dependency stays in its own."""

import ast
from pathlib import Path

import pytest

import dpm_jax

PACKAGE = Path(dpm_jax.__file__).parent
ROOMS = [
    "array_types",
    "kernels",
    "schedule",
    "scaling",
    "reverse",
    "process",
    "bound",
    "entropy",
    "perturb",
    "trajectory",
    "networks",
    "models",
    "data",
    "limits",
    "training",
    "evaluation",
]
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


@pytest.mark.parametrize("file", [f for f in FILES if f != "__init__.py"])
def test_imports_only_go_down_the_list_of_rooms(file):
    assert room(file) in ROOMS, f"{file}: give its room a place in the list"
    reached = {name.split(".")[1] for name in imports(file) if name.startswith("dpm_jax.")}
    above = {r for r in reached & set(ROOMS) if ROOMS.index(r) > ROOMS.index(room(file))}
    assert not above, f"{file} may not import {sorted(above)}"


@pytest.mark.parametrize(
    ("dependency", "where"),
    [
        ("flax", ["networks/"]),
        ("matplotlib", ["evaluation/figures.py"]),
        ("optax", ["training/"]),
        ("orbax", ["training/"]),
        ("tyro", []),
    ],
)
def test_each_dependency_stays_in_its_room(dependency, where):
    users = [f for f in FILES if any(n.split(".")[0] == dependency for n in imports(f))]
    strays = [f for f in users if not any(f.startswith(place) for place in where)]
    assert not strays


def test_kernels_need_jax_alone():
    allowed = {"collections", "dpm_jax", "functools", "jax", "math", "typing"}
    for file in FILES:
        if room(file) in ("kernels", "schedule", "reverse", "bound", "entropy", "trajectory"):
            needs = {name.split(".")[0] for name in imports(file)}
            assert needs <= allowed | {"numpy"} if room(file) == "schedule" else needs <= allowed
