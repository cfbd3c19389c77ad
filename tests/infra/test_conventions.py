"""What every file keeps to, so that no key and no surprise gets into a deployment."""

import json
import re
from pathlib import Path
from typing import Final

import pytest

from tests.infra.bicep import FILES, INFRA, read, text, walk

every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(INFRA)))

# Addresses, and an id with which nobody can write, because local authentication is off: observability.bicep.
NO_SECRET: Final = re.compile(r"applicationInsightsConnection|APPLICATIONINSIGHTS_CONNECTION_STRING|connectionString$")


@every_file
def test_every_parameter_is_described(path: Path) -> None:
    bare = [
        one.name
        for one in read(path).of("param").values()
        if not any(decorator.startswith("description(") for decorator in one.decorators)
    ]
    assert not bare


@every_file
def test_no_key_is_listed_and_no_connection_string_made(path: Path) -> None:
    bicep = read(path)
    called = {text(node.named_children[0]) for node in walk(bicep.root, "call_expression")}
    assert not {name for name in called if name.lower().startswith("list")}
    words = {text(node) for node in walk(bicep.root, "identifier", "property_identifier", "string_content")}
    keyed = re.compile(r"accountkey|sharedaccesskey|connectionstring|connection_string|primarykey", re.IGNORECASE)
    assert not {word for word in words if keyed.search(word) and not NO_SECRET.search(word)}


@every_file
def test_no_output_is_a_secret(path: Path) -> None:
    secret = re.compile(r"key|secret|password|token|passcode|connection", re.IGNORECASE)
    suspects = {name for name in read(path).of("output") if secret.search(name) and not NO_SECRET.search(name)}
    assert suspects <= {"KEY_VAULT_URL"}  # an address


@every_file
def test_a_preview_version_says_why(path: Path) -> None:
    """A comment that begins with "Preview" stands right above it."""
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if re.search(r"@\d{4}-\d\d-\d\d-preview'", line):
            assert lines[number - 1].startswith("// Preview"), f"line {number + 1}"


@every_file
def test_modules_of_microsoft_do_not_phone_home_and_have_versions(path: Path) -> None:
    bicep = read(path)
    for module in bicep.of("module").values():
        if module.target.startswith("br/"):
            assert re.fullmatch(r"br/public:avm/res/[a-z/-]+:\d+\.\d+\.\d+", module.target)
            assert bicep.value(module.body, "params", "enableTelemetry") == "false", module.name


@every_file
def test_a_file_can_be_read_at_once(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("// ")  # says why the file exists
    assert max(map(len, lines)) <= 120
    declarations = sum(line.startswith(("param ", "output ", "@")) for line in lines)
    assert len(lines) - declarations <= 250


def test_down_deletes_no_resource_group_of_others() -> None:
    """`azd down` deletes what the deployment declares, so an existing hub's or DPS's group must never be declared."""
    groups = [
        (path.name, one.name)
        for path in FILES
        for one in read(path).of("resource").values()
        if one.target.startswith("Microsoft.Resources/resourceGroups")
    ]
    assert groups == [("main.bicep", "group")]


def test_every_parameter_can_be_set_by_an_environment_variable_of_azd() -> None:
    file = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    azd = {"environmentName": "AZURE_ENV_NAME", "location": "AZURE_LOCATION"}
    azd |= {"principalId": "AZURE_PRINCIPAL_ID", "principalType": "AZURE_PRINCIPAL_TYPE"}
    params = read(INFRA / "main.bicep").of("param")
    expected = {name: azd.get(name, "BIRTHCERT_" + re.sub(r"([A-Z])", r"_\1", name).upper()) for name in params}
    assert {name: entry["value"] for name, entry in file.items()} == {n: f"${{{v}}}" for n, v in expected.items()}


def test_the_guide_tells_of_every_parameter() -> None:
    guide = (INFRA / "README.md").read_text(encoding="utf-8")
    file = json.loads((INFRA / "main.parameters.json").read_text(encoding="utf-8"))["parameters"]
    assert [entry["value"][2:-1] for entry in file.values() if f"`{entry['value'][2:-1]}`" not in guide] == []
