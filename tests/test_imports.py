"""Imports go down the list of rooms in ``dpm_jax.__doc__``; each dependency stays in its own."""

import ast
import re
import subprocess
import sys
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dpm_jax

PACKAGE = Path(dpm_jax.__file__).parent
ROOMS = re.findall(r"^ {4}(\w+) {2,}\S", dpm_jax.__doc__, re.MULTILINE)
FILES = sorted(p.relative_to(PACKAGE).as_posix() for p in PACKAGE.rglob("*.py"))
LONGEST = 250  # lines of a file


def imports(file: str, *, types: bool = True) -> set[str]:
    """Dotted names of all that a file imports, wherever in the file.

    Without ``types``, but for what only a type checker reads.
    """
    return imported_by((PACKAGE / file).read_text(), types=types)


def imported_by(text: str, *, types: bool) -> set[str]:
    names = set()
    for node in nodes(ast.parse(text), types):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"import {node.module} by the full name, not relatively"
            # `from dpm_jax import bound` names a room; `from flax import linen` does no harm.
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def nodes(tree: ast.AST, types: bool):
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not types:
            continue
        yield node
        yield from nodes(node, types)


def room(file: str) -> str:
    return file.split("/")[0].removesuffix(".py")


def module(file: str) -> str:
    """The dotted name of a file."""
    parts = ["dpm_jax", *file.removesuffix(".py").split("/")]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def reached(file: str, modules: set[str]) -> set[str]:
    """The modules of this project that importing ``file`` imports."""
    found = set()
    for name in imports(file, types=False):
        # A name in a module is that module's.
        owner = name if name in modules else name.rpartition(".")[0]
        found |= {owner} & modules
    return found - {module(file)}


def test_every_room_is_on_the_list():
    assert ROOMS[:3] == ["array_types", "errors", "kernels"]
    assert len(set(ROOMS)) == len(ROOMS)
    assert {room(f) for f in FILES if f != "__init__.py"} == set(ROOMS)


def test_imports_only_go_down_the_list():
    wrong = []
    for file in set(FILES) - {"__init__.py"}:
        rooms = {name.split(".")[1] for name in imports(file) if name.startswith("dpm_jax.")}
        for other in rooms & set(ROOMS) - {room(file)}:
            if ROOMS.index(other) > ROOMS.index(room(file)):
                wrong.append(f"{file} may not import {other}")
    assert not wrong


def test_no_file_imports_itself_through_others():
    modules = {module(f) for f in FILES}
    graph = {module(f): reached(f, modules) for f in FILES}
    assert sum(map(len, graph.values())) > 100
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_what_a_type_checker_alone_imports_is_told_apart():
    text = "if TYPE_CHECKING:\n    import a\nelse:\n    pass\ndef f():\n    from b import c\n"
    assert imported_by(text, types=True) == {"a", "b.c"}
    assert imported_by(text, types=False) == {"b.c"}


@pytest.mark.parametrize(
    ("dependency", "where"),
    [
        ("flax", ["networks/*"]),
        (
            "matplotlib",
            # Measurements return figures, and so name their type.
            [
                "evaluation/figures.py",
                *(
                    f"experiments/*/{name}.py"
                    for name in ("figures", "measure", "rates", "restored")
                ),
            ],
        ),
        ("blackjax", ["sampling/particles.py", "sampling/gibbs.py"]),
        ("optax", ["training/*"]),
        ("orbax", ["training/*"]),
        ("tyro", ["experiments/command_line.py"]),
    ],
)
def test_each_dependency_stays_in_its_room(dependency, where):
    users = [
        f for f in FILES if any(n.split(".")[0] == dependency for n in imports(f, types=False))
    ]
    assert users
    assert not [f for f in users if not any(fnmatch(f, place) for place in where)]


@pytest.mark.parametrize(
    "core",
    [
        "kernels",
        "schedule",
        "scaling",
        "reverse",
        "process",
        "levels",
        "lattice",
        "mixture",
        "wiener",
        "foreign",
        "bound",
        "entropy",
        "sampling",
        "laws",
    ],
)
def test_the_core_needs_jax_and_numpy_alone(core):
    needs = {n.split(".")[0] for f in FILES if room(f) == core for n in imports(f)}
    # The best schedule takes its time; particles are resampled.
    more = {"laws": {"tqdm"}, "sampling": {"blackjax"}}.get(core, set())
    assert needs - sys.stdlib_module_names <= {"dpm_jax", "jax", "numpy"} | more


def test_the_laboratory_needs_numpy_alone_and_no_other_room():
    names = {n for f in FILES if room(f) == "laboratory" for n in imports(f)}
    needs = {n.split(".")[0] for n in names}
    assert needs - sys.stdlib_module_names == {"dpm_jax", "jaxtyping", "numpy"}
    assert {n.split(".")[1] for n in names if n.startswith("dpm_jax.")} == {"laboratory"}


def test_the_laboratory_starts_without_jax():
    found = "import sys, dpm_jax.laboratory.account, dpm_jax.laboratory.markov; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", found], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "numpy" in modules
    assert "jax" not in modules


def test_only_what_draws_it_imports_the_laboratory():
    users = {room(f) for f in FILES if any("dpm_jax.laboratory" in n for n in imports(f))}
    assert users <= {"laboratory", "course", "experiments"}


def test_the_course_needs_numpy_alone_and_the_laboratory():
    names = {n for f in FILES if room(f) == "course" for n in imports(f)}
    needs = {n.split(".")[0] for n in names}
    assert needs - sys.stdlib_module_names == {"dpm_jax", "jaxtyping", "numpy"}
    rooms = {n.split(".")[1] for n in names if n.startswith("dpm_jax.")}
    assert rooms <= {"course", "laboratory", "laws"}


def test_the_course_starts_without_jax():
    found = "import sys, dpm_jax.course.build as b; next(b.pages()); print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", found], check=True, capture_output=True, text=True
    ).stdout.split()
    assert "jax" not in modules


def test_errors_need_the_standard_library_alone():
    needs = {n.split(".")[0] for n in imports("errors.py")}
    assert needs <= sys.stdlib_module_names


@pytest.mark.parametrize("file", FILES)
def test_a_file_can_be_read_in_one_go(file):
    assert len((PACKAGE / file).read_text().splitlines()) <= LONGEST
