"""The API's pages: one for each room of ``dpm_jax.__doc__``, with every public name of its modules.

They are written before every build, from the source alone, so that a new module or function needs
no line by hand.
"""

import ast
import re
import shutil
from collections.abc import Iterator
from inspect import cleandoc
from itertools import pairwise
from pathlib import Path
from textwrap import indent

PACKAGE = Path(__file__).parent.parent / "dpm_jax"
WIDTH = 80  # of a constant's value that is worth showing


def write(folder: Path) -> None:
    """Fill ``folder`` with the pages and their index, and with nothing else."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, text in pages().items():
        (folder / f"{name}.md").write_text(text)


def pages() -> dict[str, str]:
    """MyST by name of page; the rooms in their order, "index" first."""
    listed = rooms()
    return {"index": _index(listed)} | {room: _page(room, what) for room, what in listed.items()}


def rooms() -> dict[str, str]:
    """What the package's docstring says of each room."""
    doc = ast.get_docstring(ast.parse((PACKAGE / "__init__.py").read_text())) or ""
    return dict(re.findall(r"^ {4}(\w+) {2,}(\S.*)", doc, re.MULTILINE))


def modules(room: str) -> dict[str, Path]:
    """The files of a room by the module's dotted name, the package itself first."""
    files = [PACKAGE / f"{room}.py", *sorted((PACKAGE / room).rglob("*.py"))]
    return {_dotted(file): file for file in files if file.exists()}


def _dotted(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def _index(listed: dict[str, str]) -> str:
    rows = [
        f"| [{room}]({room}.md) | {what.replace('|', '&#124;')} |" for room, what in listed.items()
    ]
    return "\n".join(
        [
            "# API",
            "",
            "Room by room, in the order in which they may import each other: a room uses only",
            "those above it.",
            "",
            "| room | |",
            "|---|---|",
            *rows,
            "",
            "The names that `dpm_jax` itself has, and where they live:",
            "",
            *(f"- {{py:obj}}`dpm_jax.{name} <{home}.{name}>`" for name, home in _short_names()),
            "",
            "```{toctree}",
            ":hidden:",
            "",
            *listed,
            "```",
            "",
        ]
    )


def _short_names() -> Iterator[tuple[str, str]]:
    for node in ast.parse((PACKAGE / "__init__.py").read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_HOMES":
            for name, home in ast.literal_eval(node.value).items():
                yield name, f"dpm_jax.{home}"


def _page(room: str, what: str) -> str:
    sections = (_section(name, file) for name, file in modules(room).items())
    return "\n".join([f"# {room}", "", f"{what[0].upper()}{what[1:]}.", "", *sections])


def _section(module: str, file: Path) -> str:
    source = file.read_text()
    body = "\n\n".join(_directives(source))
    return f"## {module}\n\n```{{eval-rst}}\n.. automodule:: {module}\n\n{body}\n```\n"


def _directives(source: str) -> Iterator[str]:
    statements = ast.parse(source).body
    for node, after in pairwise([*statements, ast.Pass()]):
        match node:
            case ast.FunctionDef(name=name):
                directive = f".. autofunction:: {name}"
            case ast.ClassDef(name=name):
                directive = f".. autoclass:: {name}\n   :members:"
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                directive = _constant(name, node, after, source)
            case _:
                continue
        if not name.startswith("_") and not _is_type_variable(node):
            yield directive


def _is_type_variable(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("TypeVar(")


def _constant(name: str, node: ast.Assign | ast.AnnAssign, after: ast.stmt, source: str) -> str:
    """A constant with its value, if short, and the string below it or the comment beside it.

    Not autodata's: that would show the docstring of the value's type.
    """
    assert node.value
    value = ast.unparse(node.value)
    shown = [f"   :value: {value}"] if len(value) <= WIDTH else []
    comment = re.search(r"  # (.*)", source.splitlines()[(node.end_lineno or 0) - 1])
    match after:
        case ast.Expr(value=ast.Constant(value=str(doc))):
            said = cleandoc(doc)
        case _:
            said = comment[1] if comment else ""
    return "\n".join([f".. py:data:: {name}", *shown, "", indent(said, "   ")])
