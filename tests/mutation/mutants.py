"""Mutants of a file: one small change of meaning each, by its syntax tree."""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

OPERATORS = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
COMPARISONS = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
}
NAMES = {
    "log1p": "log",
    "expm1": "exp",
    "exp": "expm1",
    "log": "log1p",
    "log_sigmoid": "sigmoid",
    "sigmoid": "log_sigmoid",
    "minimum": "maximum",
    "maximum": "minimum",
    "min": "max",
    "max": "min",
    "sum": "mean",
    "mean": "sum",
    "var": "std",
    "zeros": "ones",
    "ones": "zeros",
    "zeros_like": "ones_like",
    "ones_like": "zeros_like",
    "argmin": "argmax",
    "argmax": "argmin",
    "log_alpha_bar_prev": "log_alpha_bar",
    "float64": "float32",
}
"""Names and attributes that are easily taken for each other."""
NO_NUMBER = ("progress", "label", "desc", "disable", "leave", "file", "chunk")
"""Arguments that decide what a person sees while waiting, or how much is done at once."""


class Mutant(NamedTuple):
    """A file with one change.

    Attributes:
        place: the function or class that holds it, or "" for the module.
        was: the expression or statement before.
        becomes: and after.
        nth: which of several such changes in one place it is, from 1.
        source: the whole changed file.
    """

    place: str
    was: str
    becomes: str
    nth: int
    source: str

    def __str__(self) -> str:
        return f"{self.place}: {self.was}  ->  {self.becomes}  #{self.nth}"


def mutants(source: str) -> Iterator[Mutant]:
    """All mutants of a file; docstrings, annotations, imports and messages stay."""
    tree = ast.parse(source)
    seen: Counter[tuple[str, str, str]] = Counter()
    for place, parent, field, index, node in list(_sites(tree)):
        for changed in _changes(node):
            _put(parent, field, index, changed)
            mutated = ast.unparse(ast.fix_missing_locations(tree))
            _put(parent, field, index, node)
            was, becomes = (" ".join(ast.unparse(n).split()) for n in (node, changed))
            seen[place, was, becomes] += 1
            yield Mutant(place, was, becomes, seen[place, was, becomes], mutated)


Site = tuple[str, ast.AST, str, int | None, ast.AST]


def _sites(node: ast.AST, place: str = "") -> Iterator[Site]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        place = f"{place}.{node.name}".lstrip(".")
    for field, value in ast.iter_fields(node):
        if _is_kept(node, field) or (isinstance(node, ast.keyword) and node.arg in NO_NUMBER):
            continue
        children = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
        if isinstance(node, ast.arguments) and field == "kw_defaults":
            children = [c for c in children if node.kwonlyargs[c[0]].arg not in NO_NUMBER]
        for index, child in children:
            if not isinstance(child, ast.AST) or _is_text(child):
                continue
            yield place, node, field, index, child
            yield from _sites(child, place)


def _is_kept(node: ast.AST, field: str) -> bool:
    return (
        field in ("annotation", "returns", "decorator_list", "bases", "ctx", "type_params")
        or isinstance(node, ast.Import | ast.ImportFrom | ast.JoinedStr)
        or (isinstance(node, ast.Raise) and field in ("exc", "cause"))
        or (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
        or (isinstance(node, ast.Call) and ast.unparse(node.func) == "print")
        # names of arrays and of types
        or (
            isinstance(node, ast.Assign)
            and ast.unparse(node.targets[0])[:1].isupper()
            and isinstance(node.value, ast.Subscript | ast.Call)
        )
    )


def _is_text(node: ast.AST) -> bool:
    value = node.value if isinstance(node, ast.Expr) else node
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _put(parent: ast.AST, field: str, index: int | None, node: ast.AST) -> None:
    if index is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[index] = node


def _changes(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in OPERATORS:
            yield _with(node, op=OPERATORS[type(op)]())
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert(), operand=operand):
            yield operand
        case ast.Compare(ops=[op]):
            for other in COMPARISONS[type(op)]:
                yield _with(node, ops=[other()])
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() as value):
            yield ast.Constant(value + 1)
        case ast.Constant(value=float() as value):
            yield ast.Constant(2 * value if value else 1.0)
        case ast.IfExp(body=body, orelse=orelse):
            yield _with(node, body=orelse, orelse=body)
        case ast.Call():
            yield from _calls(node)
        case ast.Attribute(attr=name) if name in NAMES:
            yield _with(node, attr=NAMES[name])
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield _with(node, id=NAMES[name])
        case ast.Raise() | ast.AugAssign():
            yield ast.Pass()
        case ast.Expr(value=ast.Call()):
            yield ast.Pass()
        case ast.If(test=test):
            yield _with(node, test=ast.UnaryOp(ast.Not(), test))


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    args, called = node.args, ast.unparse(node.func)
    numeric = called.split(".")[0] in ("jnp", "np", "jax", "log_sigmoid", "sigmoid", "abs", "float")
    if numeric and len(args) == 1 and not node.keywords:
        yield args[0]  # f(x) -> x
    if called.endswith(".where"):
        yield _with(node, args=[args[0], args[2], args[1]])
    for i, keyword in enumerate(node.keywords):
        if keyword.arg in NO_NUMBER:
            continue
        yield _with(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed
