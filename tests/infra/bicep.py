"""Bicep files as values. There is no compiler on PyPI or npm, so the checks read the syntax tree themselves.

Objects are resolved as far as their names go: through variables, conditions, loops, lists and `union`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import tree_sitter
import tree_sitter_bicep

from tests.conftest import REPOSITORY

type Node = tree_sitter.Node

INFRA: Final = REPOSITORY / "infra"
FILES: Final = sorted(INFRA.rglob("*.bicep"))
_LANGUAGE: Final = tree_sitter.Language(tree_sitter_bicep.language())
_DECLARATIONS: Final = {
    "parameter_declaration": "param",
    "variable_declaration": "var",
    "resource_declaration": "resource",
    "module_declaration": "module",
    "output_declaration": "output",
}


@dataclass(frozen=True)
class Declared:
    """`target` is a resource's type or a module's path; `body` what comes last: value, default or object."""

    kind: str
    name: str
    target: str
    existing: bool
    body: Node | None
    decorators: tuple[str, ...]
    node: Node


@dataclass(frozen=True)
class Bicep:
    path: Path
    root: Node
    declared: tuple[Declared, ...]

    def of(self, kind: str) -> dict[str, Declared]:
        named = [one for one in self.declared if one.kind == kind]
        assert len({one.name for one in named}) == len(named), f"{self.path}: a name stands for two things"
        return {one.name: one for one in named}

    def objects(self, node: Node | None) -> Iterator[Node]:
        """Every object that the expression may become."""
        match node.type if node else "":
            case "object":
                yield some(node)
            case "identifier":
                found = self.of("var").get(text(node))
                yield from self.objects(found.body if found else None)
            case "for_statement" | "if_statement":
                yield from self.objects(some(node).named_children[-1])
            case "ternary_expression" | "array" | "parenthesized_expression":
                for child in some(node).named_children:
                    yield from self.objects(child)
            case "call_expression" if text(some(node).named_children[0]) == "union":
                for child in some(node).named_children[1].named_children:
                    yield from self.objects(child)
            case _:
                return

    def properties(self, node: Node | None) -> Iterator[tuple[str, Node]]:
        """Names and values of every object that the expression may become."""
        for each in self.objects(node):
            for one in each.named_children:
                if one.type == "object_property" and one.named_children[0].type != "resource_declaration":
                    yield key(one.named_children[0]), one.named_children[-1]

    def value(self, node: Node | None, *names: str) -> str:
        """The text of the one value at this path, without quotes; empty where there is none."""
        for name in names:
            node = next((value for found, value in self.properties(node) if found == name), None)
        return text(node).strip("'") if node else ""

    def paths(self, node: Node | None) -> Iterator[str]:
        """The paths of all names below, with a full stop between."""
        for name, value in self.properties(node):
            yield name
            yield from (f"{name}.{path}" for path in self.paths(value))


@cache
def read(path: Path) -> Bicep:
    root = tree_sitter.Parser(_LANGUAGE).parse(path.read_bytes()).root_node
    return Bicep(path, root, tuple(_declared(root)))


def _declared(root: Node) -> Iterator[Declared]:
    """Those of the file, and resources inside of resources."""
    decorators: tuple[str, ...] = ()
    for node in root.named_children:
        if node.type == "decorators":
            decorators = tuple(text(one).removeprefix("@") for one in node.named_children)
        elif node.type in _DECLARATIONS:
            yield _one(node, decorators)
            yield from (_one(inner, ()) for inner in walk(node, "resource_declaration") if inner.id != node.id)
            decorators = ()


def _one(node: Node, decorators: tuple[str, ...]) -> Declared:
    kind = _DECLARATIONS[node.type]
    parts = [one for one in node.named_children if one.type != "comment"]
    typed = kind in ("resource", "module")
    after = parts[2:] if kind in ("resource", "module", "param", "output") else parts[1:]
    existing = any(not child.is_named and text(child) == "existing" for child in node.children)
    target = text(parts[1]).strip("'") if typed else ""
    return Declared(kind, text(parts[0]), target, existing, after[-1] if after else None, decorators, node)


def walk(node: Node, *kinds: str) -> Iterator[Node]:
    """The node and all below of these kinds; of every kind if none is named."""
    if not kinds or node.type in kinds:
        yield node
    for child in node.children:
        yield from walk(child, *kinds)


def text(node: Node | None) -> str:
    return node.text.decode() if node is not None and node.text is not None else ""


def key(node: Node) -> str:
    return text(node).strip("'")


def some(node: Node | None) -> Node:
    assert node is not None
    return node
