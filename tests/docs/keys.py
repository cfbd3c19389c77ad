"""Which keys `shared/profiles.py` reads, found in its source: each under its path, with its type and its default.

The source is followed from `load` on: a table that is handed to another function has its path there. So no branch is
missed, whichever profile takes it.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from shared import profiles
from tests.conftest import REPOSITORY

SOURCE: Final = REPOSITORY / "shared" / "profiles.py"
READS: Final = ("take", "number", "table", "optional_table", "choice", "strings", "url", "secret")
# What a table is asked for by a variable is one of the labels.
VARIABLE: Final = "LABEL"
_KINDS: Final = {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}
_METHODS: Final = {"url": "address", "secret": "name of a secret", "number": "whole number"}


@dataclass(frozen=True)
class Key:
    """`default` is None for a key that must be there, `allowed` empty where the configuration decides."""

    table: str
    name: str
    kind: str
    default: object
    allowed: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return f"{self.table}.{self.name}" if self.table else self.name

    @property
    def is_table(self) -> bool:
        return self.kind == "table"


def read() -> list[Key]:
    """Every key once, in the order of the tables, and inside of each in the order of the source."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    functions = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
    found = list(_followed(functions, functions["load"], {}))
    once = {one.path: one for one in found if one.name != VARIABLE}
    tables = list(dict.fromkeys(one.table for one in once.values()))
    return sorted(once.values(), key=lambda one: tables.index(one.table))


def _followed(
    functions: Mapping[str, ast.FunctionDef], function: ast.FunctionDef, known: Mapping[str, str]
) -> Iterator[Key]:
    """The reads of a function, of which `known` are the paths of its parameters, and of those that it calls."""
    paths = dict(known)
    calls = sorted(
        (one for one in ast.walk(function) if isinstance(one, ast.Call)), key=lambda one: (one.lineno, one.col_offset)
    )
    for one in (one for one in ast.walk(function) if isinstance(one, ast.Assign)):
        target, path = one.targets[0], _path(one.value, paths)
        if path is not None and isinstance(target, ast.Name):
            paths[target.id] = path
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr in READS:
            table = _path(call.func.value, paths)
            if table is not None:
                yield _key(table, call.func.attr, call)
        elif isinstance(call.func, ast.Name) and call.func.id in functions:
            called = functions[call.func.id]
            names = [one.arg for one in called.args.args]
            handed = {name: _path(value, paths) for name, value in zip(names, call.args, strict=False)}
            tables = {name: path for name, path in handed.items() if path is not None}
            if tables:
                yield from _followed(functions, called, tables)


def _path(node: ast.expr, known: Mapping[str, str]) -> str | None:
    """The path of the table that the expression gives; None when it gives none."""
    match node:
        case ast.Name(id=name):
            return known.get(name)
        case ast.Call(func=ast.Name(id="Table"), args=[ast.Constant(value=str(path)), *_]):
            return path
        case ast.Call(func=ast.Attribute(value=owner, attr="table" | "optional_table"), args=[key, *_]):
            above = _path(owner, known)
            return None if above is None else f"{above}.{_name(key)}".lstrip(".")
        case _:
            return None


def _key(table: str, method: str, call: ast.Call) -> Key:
    given: dict[str, ast.expr] = {one.arg: one.value for one in call.keywords if one.arg}
    order = {
        "take": ("kind", "otherwise"),
        "number": ("otherwise",),
        "choice": ("allowed", "otherwise"),
        "strings": ("allowed", "otherwise"),
        "table": ("otherwise",),
    }
    given |= dict(zip(order.get(method, ()), call.args[1:], strict=False))
    default: Any = _value(given["otherwise"]) if "otherwise" in given else None
    if method == "optional_table":
        default = {}
    allowed = _value(given["allowed"]) if "allowed" in given else ()
    return Key(table, _name(call.args[0]), _kind(method, given), default, tuple(map(str, allowed or ())))


def _name(key: ast.expr) -> str:
    return str(key.value) if isinstance(key, ast.Constant) else VARIABLE


def _kind(method: str, given: Mapping[str, ast.expr]) -> str:
    if method in ("table", "optional_table"):
        return "table"
    if method in ("choice", "strings"):
        return "one of" if method == "choice" else "list of"
    if method in _METHODS:
        return _METHODS[method]
    kind = ast.unparse(given["kind"])
    return "table" if kind == "dict" else "list of" if kind == "list" else _KINDS[kind]


def _value(node: ast.expr) -> Any:  # noqa: ANN401 - a constant of any type
    """What the expression is in the module; None where it hangs on what a function was given."""
    try:
        return eval(compile(ast.Expression(node), str(SOURCE), "eval"), dict(vars(profiles)))  # noqa: S307 - our source
    except NameError:
        return None
