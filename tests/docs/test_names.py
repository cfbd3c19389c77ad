"""What the pages call by name exists: settings, ports, targets, commands, options, routes, files, keys of profiles."""

import importlib.util
import json
import re
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Final, get_args

import pytest

from sandbox import ports
from shared.core.lifecycle import Kind
from tests.conftest import REPOSITORY
from tests.docs.keys import read
from tests.docs.pages import PAGES, prose, spans, text

HISTORY: Final = REPOSITORY / "docs" / "adr"
# Pages that speak of what is; a decision record speaks of its day.
TODAY: Final = tuple(page for page in PAGES if not page.is_relative_to(HISTORY))
CODE: Final = ("*.py", "*.bicep", "*.json", "*.toml", "*.sh", "*.ps1", "*.mjs", "*.kql", "Makefile", "azure.yaml")
LEFT_OUT: Final = (".venv", ".venv-checkov", ".sandbox", ".bench", "node_modules", ".git", "docs")
SETTING: Final = re.compile(r"^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+(__\w+)?$|^[A-Za-z]+__\w+$")
# Of other people's, and of which we say when to set them, or that they must not be set.
NOT_OURS: Final = ("OTEL_TRACES_SAMPLER_ARG", "PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY")
KNOWN_KEYS: Final = {one.name for one in read()} | {one.path for one in read()}


@cache
def code() -> str:
    """All of it but the documents: what stands only in those exists nowhere."""
    files = (
        path
        for pattern in CODE
        for path in REPOSITORY.rglob(pattern)
        if path.is_file() and not set(path.relative_to(REPOSITORY).parts) & set(LEFT_OUT)
    )
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def each_page(pages: tuple[Path, ...] = TODAY) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda one: str(one.relative_to(REPOSITORY)))


@each_page()
def test_settings_and_variables(page: Path) -> None:
    names = {name for span in spans(page) for name in re.split(r"[=\s,]", span)[:1] if SETTING.match(name)}
    assert {name for name in names if name not in code() and name not in NOT_OURS} == set()


@each_page()
def test_ports_of_the_sandbox(page: Path) -> None:
    found = {int(port) for port in re.findall(r"(?:127\.0\.0\.1|localhost):(\d+)", text(page))}
    assert found <= set(ports.ALL.values())


@each_page()
def test_targets_of_make(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    found = {name for span in spans(page) for name in re.findall(r"^make ([a-z]+)$", span)}
    assert found <= targets


def module_exists(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


@each_page(PAGES)
def test_commands_of_python(page: Path) -> None:
    found = set(re.findall(r"python -m ([\w.]+)", text(page)))
    assert {name for name in found if not module_exists(name)} == set()


COMMANDS: Final = sorted({name for page in TODAY for name in re.findall(r"python -m (tools\.\w+)", text(page))})


@pytest.mark.parametrize("name", COMMANDS)
def test_options_of_our_tools(name: str) -> None:
    """Every `--option` of a line, and of those that continue it."""
    help_text = subprocess.run(
        [sys.executable, "-m", name, "--help"], cwd=REPOSITORY, capture_output=True, text=True, timeout=30, check=True
    ).stdout
    used = {
        option
        for page in TODAY
        for line in re.findall(rf"python -m {re.escape(name)}\b((?:[^\n`]|\\\n)*)", text(page))
        for option in re.findall(r"--[a-z][a-z-]*", line)
    }
    assert {option for option in used if option not in help_text} == set()


@cache
def routes() -> set[tuple[str, str]]:
    """Method and path, each placeholder as `{}`."""
    document = json.loads((REPOSITORY / "docs" / "openapi.json").read_text(encoding="utf-8"))
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    bindings = json.loads((REPOSITORY / "tests" / "functions" / "bindings.json").read_text(encoding="utf-8"))
    bound = {
        (method, f"/{one['route']}")
        for every in bindings.values()
        for one in every
        if "route" in one
        for method in one.get("methods", ["GET"])
    }
    return {(method, shape(path)) for method, path in described | bound}


def shape(path: str) -> str:
    return re.sub(r"(?<=/)(\{\w+\}|[A-Z][A-Z0-9-]*)(?=/|$)", "{}", path.partition("?")[0])


@each_page()
def test_routes_of_the_api(page: Path) -> None:
    found = {(method, shape(path)) for method, path in re.findall(r"`(GET|POST|PUT) (/\w[^\s`]*)`", prose(page))}
    assert found - routes() == set()


def test_a_route_that_does_not_exist_would_be_found() -> None:
    assert ("POST", shape("/api/devices/{id}/hold")) in routes()
    assert ("POST", shape("/api/devices/ID/destroy")) not in routes()
    assert ("DELETE", shape("/api/devices/ID")) not in routes()


TOP: Final = {path.name for path in REPOSITORY.iterdir() if path.is_dir() and not path.name.startswith(".")}


@each_page()
def test_files_and_folders(page: Path) -> None:
    paths = {span.rstrip("/") for span in spans(page) if re.fullmatch(r"[\w.-]+(/[\w.-]+)+/?|[\w.-]+/", span)}
    ours = {path for path in paths if path.partition("/")[0] in TOP}
    assert {path for path in ours if not (REPOSITORY / path).exists()} == set()


@each_page()
def test_keys_of_the_profiles(page: Path) -> None:
    """`key = value`, as one writes it into profiles.toml."""
    found = {key for span in spans(page) for key in re.findall(r"^([a-z_]+(?:\.[a-z_]+)*) = ", span)}
    assert {key for key in found if key not in KNOWN_KEYS} == set()


ARCHITECTURE: Final = REPOSITORY / "docs" / "architecture.md"


def test_the_published_events_are_all_there() -> None:
    row = next(line for line in text(ARCHITECTURE).splitlines() if line.startswith("| `Birthcert.Device."))
    named = re.findall(r"`(?:Birthcert\.Device)?\.(\w+)`", row)
    assert sorted(name.lower() for name in named) == sorted(get_args(Kind.__value__))


def test_the_queues_and_timers_are_all_there() -> None:
    bindings = json.loads((REPOSITORY / "tests" / "functions" / "bindings.json").read_text(encoding="utf-8"))
    queues = {one["queueName"] for every in bindings.values() for one in every if one["type"] == "queueTrigger"}
    timers = {name for name, every in bindings.items() for one in every if one["type"] == "timerTrigger"}
    chapter = text(ARCHITECTURE).partition("\n## Events and queues\n")[2].partition("\n## ")[0]
    row = next(line for line in chapter.splitlines() if line.startswith("| queues "))
    assert set(re.findall(r"`([\w-]+)`", row)) | {"hub-events"} == queues
    assert {timer for timer in timers if timer.replace("_", " ") not in chapter} == set()
