"""docs/configuration.md says of every setting and key what it is and what it means, and of nothing else."""

import re
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox import pki
from shared.core.errors import Misconfigured
from shared.profiles import load
from shared.settings import Monitoring, Settings
from tests.configuration.test_settings import GOOD
from tests.conftest import REPOSITORY
from tests.docs.configuration import FILE, WORDS, document
from tests.docs.keys import Key, read
from tests.fakes.profiles import FACTORY
from tests.infra.test_settings import HOST, read_by_code, read_by_triggers

KEYS = {one.path: one for one in read()}
OPTIONAL = {name: words["default"] for name, words in WORDS["settings"].items() if "default" in words}
# Of the worker's own settings those that a deployment leaves alone.
SAMPLER = {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}


def test_the_page_is_the_one_that_is_generated() -> None:
    """Run `python -m tests.docs.configuration > docs/configuration.md` after a change."""
    assert FILE.read_text(encoding="utf-8") == document()


def test_every_setting_that_is_read_has_its_words_and_no_other() -> None:
    assert set(WORDS["settings"]) == read_by_code()
    assert set(WORDS["connections"]) == read_by_triggers() - read_by_code()
    assert set(WORDS["host"]) == set(HOST) | SAMPLER


def test_every_key_of_the_profiles_has_its_words_and_no_other() -> None:
    assert set(WORDS["keys"]) == set(KEYS)
    tables = {one.path for one in KEYS.values() if one.is_table} - {"profiles"}
    assert set(WORDS["tables"]) == tables | {"", "profiles.LABEL"}


def test_the_settings_without_a_default_are_those_that_are_missed() -> None:
    with pytest.raises(Misconfigured) as refused:
        Settings.from_environment({})
    missed = {line.partition(":")[0] for line in refused.value.cause.splitlines()}
    assert set(WORDS["settings"]) - set(OPTIONAL) == missed


def settings(environment: dict[str, str]) -> tuple[Settings, Monitoring]:
    made = Settings.from_environment(environment)
    made = replace(made, profiles_path=made.profiles_path.resolve())
    return made, Monitoring.from_environment(environment)


@pytest.mark.parametrize("name", OPTIONAL)
def test_to_write_a_default_down_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)
    assert settings({**GOOD, name: OPTIONAL[name]}) == settings(GOOD)


def loaded(folder: Path, content: dict[str, Any]) -> str:
    """All that was read, as text: a trust store equals no other."""
    (folder / "factory-ca.pem").write_text(pki.certificate_pem(FACTORY.certificate))
    (folder / "profiles.toml").write_text("\n".join(lines(content, "")), encoding="utf-8")
    return re.sub(r" at 0x\w+", "", repr(load(folder / "profiles.toml", {"hub-1": "hub-1.azure-devices.net"})))


def lines(content: dict[str, Any], path: str) -> list[str]:
    """As TOML: what is no table first."""
    plain = {key: value for key, value in content.items() if not isinstance(value, dict)}
    found = [f"[{path}]"] if path else []
    found += [
        f"{key} = {str(value).lower() if isinstance(value, bool) else repr(value)}" for key, value in plain.items()
    ]
    for key, value in content.items():
        if isinstance(value, dict):
            found += lines(value, f"{path}.{key}".lstrip("."))
    return found


def example() -> dict[str, Any]:
    """profiles.toml with what stands there as a comment, and its one label called as in the page."""
    content = tomllib.loads((REPOSITORY / "profiles.toml").read_text(encoding="utf-8"))
    label = content["profiles"]["devices"]
    label["authentication"]["factory_certificate"] = {"anchors": ["factory-ca.pem"], "device_id": "san.dns"}
    label["revocation"] = {"crl_urls": ["http://crl.one.digicert.com/ca.crl"]}
    return {"default_profile": "LABEL", "profiles": {"LABEL": label}}


def within(content: dict[str, Any], table: str) -> dict[str, Any]:
    """The table of that path; an empty one where there is none."""
    for part in filter(None, table.split(".")):
        content = content.get(part, {})
    return content


def problems(folder: Path, content: dict[str, Any]) -> str:
    with pytest.raises(Misconfigured) as refused:
        loaded(folder, content)
    return refused.value.cause


BY_DEFAULT = [one for one in KEYS.values() if one.default is not None and not one.is_table]


@pytest.mark.parametrize("key", BY_DEFAULT, ids=lambda one: one.path)
def test_to_leave_a_key_out_means_its_default(tmp_path: Path, key: Key) -> None:
    left_out, written = example(), example()
    within(left_out, key.table).pop(key.name, None)
    within(written, key.table)[key.name] = key.default
    assert loaded(tmp_path, left_out) == loaded(tmp_path, written)


IN_EXAMPLE = [one for one in KEYS.values() if one.name in within(example(), one.table)]
REQUIRED = [one for one in IN_EXAMPLE if one.default is None]


@pytest.mark.parametrize("key", REQUIRED, ids=lambda one: one.path)
def test_a_required_key_is_missed_under_its_path(tmp_path: Path, key: Key) -> None:
    content = example()
    within(content, key.table).pop(key.name)
    assert f"{key.path}: is missing" in problems(tmp_path, content)


CHOICES = [one for one in IN_EXAMPLE if one.allowed]


@pytest.mark.parametrize("key", CHOICES, ids=lambda one: one.path)
def test_what_is_not_among_the_named_values_is_a_problem_that_names_them(tmp_path: Path, key: Key) -> None:
    content = example()
    within(content, key.table)[key.name] = "other" if key.kind == "one of" else ["other"]
    assert f"{key.path}: 'other' is not one of {', '.join(key.allowed)}" in problems(tmp_path, content)
