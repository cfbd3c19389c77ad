"""What a compiler would find, as far as names go: syntax, names that nobody declared, parameters that no module has."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.infra.bicep import FILES, INFRA, Bicep, Declared, Node, key, read, text, walk

KNOWN: Final[dict[str, dict[str, Any]]] = tomllib.loads(
    (Path(__file__).parent / "interfaces.toml").read_text(encoding="utf-8")
)

# learn.microsoft.com/azure/azure-resource-manager/bicep/bicep-functions: those that are in use here.
FUNCTIONS: Final = frozenset(
    {
        *("concat", "contains", "empty", "environment", "guid", "join", "json", "last", "length", "loadJsonContent"),
        *("loadTextContent", "map", "range", "replace", "resourceGroup", "resourceId", "split", "string"),
        *("subscription", "subscriptionResourceId", "take", "tenant", "toLower", "union", "uniqueString"),
    }
)

# Where a resource's own attributes stand beside its properties.
META: Final = frozenset({"name", "scope", "parent", "dependsOn"})

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(INFRA)))


@every_file
def test_the_syntax_is_right(path: Path) -> None:
    wrong = [
        f"line {node.start_point.row + 1}: {text(node)[:60]!r}"
        for node in walk(read(path).root)
        if node.type == "ERROR" or node.is_missing
    ]
    assert not wrong


@every_file
def test_every_name_is_declared_and_every_declaration_used(path: Path) -> None:
    bicep = read(path)
    used = {text(node) for node in _references(bicep.root)}
    declared = {one.name for one in bicep.declared if one.kind != "output"}
    assert used - declared - _bound(bicep.root) == set()
    unused = {one.name for one in bicep.declared if one.kind in ("param", "var")} - used - _interpolated(bicep.root)
    assert unused == set()


@every_file
def test_every_function_is_one_that_bicep_has(path: Path) -> None:
    called = {text(node.named_children[0]) for node in walk(read(path).root, "call_expression")}
    decorators = {"description", "minLength", "maxLength", "minValue", "maxValue", "allowed", "batchSize"}
    assert called - FUNCTIONS - decorators == set()


@every_file
def test_modules_are_given_what_they_know_and_what_they_need(path: Path) -> None:
    bicep = read(path)
    for module in bicep.of("module").values():
        known, required, _ = _interface(path, module.target)
        given = set(bicep.paths(_part(bicep, module, "params")))
        assert _unknown(given, known) == set(), module.target
        assert required - given == set(), module.target


@every_file
def test_outputs_of_modules_exist(path: Path) -> None:
    bicep = read(path)
    modules = bicep.of("module")
    asked = re.findall(r"\b(\w+)(?:\[\w+\])?!?\.outputs\.(\w+)", text(bicep.root))
    for name, output in asked:
        assert output in _interface(path, modules[name].target)[2], f"{name}.outputs.{output}"


@every_file
def test_resources_have_properties_that_their_type_knows(path: Path) -> None:
    bicep = read(path)
    for resource in (one for one in bicep.of("resource").values() if not one.existing):
        known = set(KNOWN["resources"][resource.target]["names"].split())
        assert _unknown(set(bicep.paths(resource.body)) - META, known) == set(), resource.target


def test_every_version_of_a_module_that_is_written_down_is_in_use() -> None:
    used = {one.target.removeprefix("br/public:") for path in FILES for one in read(path).of("module").values()}
    assert {name for name in used if name.startswith("avm/")} == set(KNOWN["modules"])


def _references(root: Node) -> Iterator[Node]:
    """Identifiers that stand for a declared thing: no keys, no functions, no members, no names of declarations."""
    for node in walk(root, "identifier"):
        parent = node.parent
        if parent is None or node.id == parent.named_children[0].id:
            if (
                parent is None
                or parent.type.endswith("_declaration")
                or parent.type in ("call_expression", "decorator")
            ):
                continue
            if parent.type == "object_property":
                continue
        if parent.type == "resource_expression" and node.id != parent.named_children[0].id:
            continue  # a resource inside of another, a::b
        yield node


def _bound(root: Node) -> set[str]:
    """Names that loops and lambdas bind."""
    loops = {text(node) for node in walk(root, "loop_variable", "loop_enumerator")}
    plain = {text(node.named_children[0]) for node in walk(root, "for_statement", "lambda_expression")}
    return loops | plain


def _interpolated(root: Node) -> set[str]:
    return {name for node in walk(root, "interpolation") for name in re.findall(r"\w+", text(node))}


def _part(bicep: Bicep, declared: Declared, name: str) -> Node | None:
    return next((value for found, value in bicep.properties(declared.body) if found == name), None)


def _interface(path: Path, target: str) -> tuple[set[str], set[str], set[str]]:
    """What the module knows, what it needs, and what it gives."""
    if target.startswith("br/public:"):
        found = KNOWN["modules"][target.removeprefix("br/public:")]
        return set(found["names"].split()), set(found["required"].split()), set(found["outputs"].split())
    local = read((path.parent / target).resolve())
    params = local.of("param")
    return set(params), {name for name, one in params.items() if one.body is None}, set(local.of("output"))


def _unknown(given: set[str], known: set[str]) -> set[str]:
    """Paths that neither are known, nor lead to a known one, nor go on below one whose parts are free."""
    leads = {name[:end] for name in known for end in range(len(name)) if name[end] == "."}
    free = {name.removesuffix("*") for name in known if name.endswith("*")}
    leaves = known - leads
    return {
        one
        for one in given
        if one not in known | leads
        and not any(one.startswith(begin) for begin in free)
        and not any(one.startswith(f"{leaf}.") for leaf in leaves)
    }


def test_the_check_itself_sees_a_name_that_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.bicep"
    wrong.write_text("param a string\nvar b = c\nmodule m 'x.bicep' = { params: { d: e(a) } }\n", encoding="utf-8")
    bicep = read(wrong)
    assert {text(node) for node in _references(bicep.root)} - {one.name for one in bicep.declared} == {"c"}
    assert key(bicep.of("module")["m"].node.named_children[1]) == "x.bicep"
    assert _unknown({"a", "b.c", "d.e", "f.g"}, {"a", "b.d", "d.*", "f"}) == {"b.c"}
