"""`profiles.toml` is read whole: what is right becomes values, what is wrong is named by its path, all at once."""

import copy
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from sandbox.profiles import profiles as sandbox_profiles
from shared.core.errors import Misconfigured
from shared.core.profile import (
    CaManagerChain,
    CertificateUpstream,
    EstChain,
    FileChain,
    GroupEnrollment,
    IndividualEnrollment,
    PasscodeUpstream,
    Profiles,
    RenewalRules,
    RestUpstream,
)
from shared.profiles import load
from tests.conftest import REPOSITORY

HUBS = {"hub-a": "hub-a.azure-devices.net", "hub-b": "hub-b.azure-devices.net"}
NOW = datetime.now(UTC)
FACTORY = pki.factory_authority(NOW).certificate.public_bytes(Encoding.PEM)
HIERARCHY = pki.issuing_hierarchy(NOW)
CHAIN = b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (HIERARCHY.ica, HIERARCHY.root))


def written(value: Any) -> str:  # noqa: ANN401 - any value that TOML knows
    """The value in TOML; tables are written inline."""
    match value:
        case dict():
            return "{" + ", ".join(f'"{key}" = {written(one)}' for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(written, value)) + "]"
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case _:
            return str(value)


def save(directory: Path, content: dict[str, Any]) -> Path:
    (directory / "factory-ca.pem").write_bytes(FACTORY)
    (directory / "chain.pem").write_bytes(CHAIN)
    (directory / "leaf.pem").write_bytes(FACTORY)
    path = directory / "profiles.toml"
    path.write_text("".join(f'"{key}" = {written(value)}\n' for key, value in content.items()), encoding="utf-8")
    return path


def sandbox_content() -> dict[str, Any]:
    return copy.deepcopy(tomllib.loads(sandbox_profiles()))


def problems(directory: Path, content: dict[str, Any]) -> list[str]:
    """The problems without the file's name, which stands before each."""
    path = save(directory, content)
    with pytest.raises(Misconfigured) as refused:
        load(path, HUBS)
    assert refused.value.public == "the service is not set up correctly"
    return [line.removeprefix(f"{path}: ") for line in refused.value.cause.splitlines()]


def good(directory: Path, content: dict[str, Any]) -> Profiles:
    return load(save(directory, content), HUBS)


def test_the_profiles_of_the_sandbox_are_the_four_kinds(tmp_path: Path) -> None:
    found = good(tmp_path, sandbox_content()).by_label
    assert isinstance(found["est"].upstream, PasscodeUpstream)
    assert isinstance(found["rest"].upstream, RestUpstream)
    assert isinstance(found["unwrapped"].upstream, CertificateUpstream)
    assert isinstance(found["est"].chain, EstChain)
    assert isinstance(found["rest"].chain, CaManagerChain)
    assert found["est"].dps == GroupEnrollment("birthcert")
    assert found["individual"].dps == IndividualEnrollment()
    assert found["est"].base64_lines
    assert not found["unwrapped"].base64_lines


def test_the_file_that_ships_with_the_app_is_right() -> None:
    shipped = load(REPOSITORY / "profiles.toml", {"hub-1": "hub-1.azure-devices.net"})
    assert shipped.by_label[shipped.default].authentication.passcode is not None


def test_the_later_life_of_a_device_has_defaults_that_take_nothing_away(tmp_path: Path) -> None:
    content = sandbox_content()
    for key in ("renewal", "allocation", "deleted_devices", "maximum_age_days"):
        content["profiles"]["est"].pop(key, None)
    found = good(tmp_path, content).by_label["est"]
    assert found.renewal == RenewalRules(direct_method="", grace_hours=24, accept_expired_days=0, nudge_every_hours=24)
    assert (found.allocation, found.hub_weights) == ("hashed", ())
    assert (found.maximum_age_days, found.deleted_devices) == (0, "ignore")


def test_hubs_may_have_weights(tmp_path: Path) -> None:
    content = sandbox_content()
    content["profiles"]["est"] |= {"hubs": ["hub-a", "hub-b"], "allocation": "weighted", "hub_weights": [0, 3]}
    assert good(tmp_path, content).by_label["est"].hub_weights == (0, 3)


def test_passcodes_that_operators_make_are_a_way_of_birth_of_their_own(tmp_path: Path) -> None:
    content = sandbox_content()
    assert not good(tmp_path, content).by_label["est"].authentication.one_time_passcodes
    content["profiles"]["est"]["authentication"] = {"one_time_passcodes": True}
    found = good(tmp_path, content).by_label["est"].authentication
    assert (found.factory, found.passcode, found.one_time_passcodes) == (None, None, True)


def test_a_chain_may_stand_in_a_file(tmp_path: Path) -> None:
    content = sandbox_content()
    content["profiles"]["rest"]["ca"] = {"source": "file", "path": "chain.pem"}
    chain = good(tmp_path, content).by_label["rest"].chain
    assert isinstance(chain, FileChain)
    assert len(chain.certificates) == 2


CASES: list[tuple[str, Any, str]] = [
    ("default_profile", "nobody", "default_profile: there is no profile 'nobody'"),
    ("surprise", 1, "surprise: is not known here"),
    ("profiles.est.hubs", [], "profiles.est.hubs: must name at least one hub of IOT_HUBS"),
    ("profiles.est.hubs", ["hub-z"], "profiles.est.hubs: 'hub-z' is not one of hub-a, hub-b"),
    ("profiles.est.hubs", "hub-a", "profiles.est.hubs: must be a list"),
    ("profiles.est.daily_limit", 0, "profiles.est.daily_limit: must be at least 1"),
    ("profiles.est.daily_limit", True, "profiles.est.daily_limit: must be a whole number"),
    ("profiles.est.renewal_point", 1, "profiles.est.renewal_point: must be between 0.1 and 0.95 of the lifetime"),
    ("profiles.est.renewal_point", "80%", "profiles.est.renewal_point: must be a number"),
    ("profiles.est.allocation", "random", "profiles.est.allocation: 'random' is not one of"),
    ("profiles.est.allocation", "weighted", "profiles.est.hub_weights: must hold one weight for each hub"),
    ("profiles.est.hub_weights", [1], "profiles.est.hub_weights: must hold one weight for each hub"),
    ("profiles.est.hub_weights", [-1, 2], "profiles.est.hub_weights: must be whole numbers from 0 up"),
    ("profiles.est.hub_weights", [True, 2], "profiles.est.hub_weights: must be whole numbers from 0 up"),
    ("profiles.est.hub_weights", [0, 0], "profiles.est.hub_weights: must be whole numbers from 0 up, and not all"),
    ("profiles.est.maximum_age_days", -1, "profiles.est.maximum_age_days: must be at least 0"),
    ("profiles.est.deleted_devices", "forget", "profiles.est.deleted_devices: 'forget' is not one of revoke, ignore"),
    ("profiles.est.renewal", 1, "profiles.est.renewal: must be a table"),
    ("profiles.est.renewal", {"grace_hours": -1}, "profiles.est.renewal.grace_hours: must be at least 0"),
    ("profiles.est.renewal", {"accept_expired_days": "1"}, "profiles.est.renewal.accept_expired_days: must be a whole"),
    ("profiles.est.renewal", {"nudge_every_hours": 0}, "profiles.est.renewal.nudge_every_hours: must be at least 1"),
    ("profiles.est.renewal", {"direct_method": 1}, "profiles.est.renewal.direct_method: must be a string"),
    ("profiles.est.renewal", {"point": 0.8}, "profiles.est.renewal.point: is not known here"),
    ("profiles.est.unknown_devices", "deny", "profiles.est.unknown_devices: 'deny' is not one of accept, manifest"),
    ("profiles.est.surprise", 1, "profiles.est.surprise: is not known here"),
    ("profiles.est.upstream.protocol", "scep", "profiles.est.upstream.protocol: 'scep' is not one of est, rest"),
    ("profiles.est.upstream.url", "http://one.digicert.com", "profiles.est.upstream.url: must be an https://"),
    ("profiles.est.upstream.url", "https://x.example/?a=b", "profiles.est.upstream.url: must be an https://"),
    (
        "profiles.est.upstream.url",
        "https://clientauth.one.digicert.com/.well-known/est/IOT_1",
        "profiles.est.upstream.url: a client certificate, and nothing else, goes with",
    ),
    (
        "profiles.unwrapped.upstream.url",
        "https://one.digicert.com/.well-known/est/IOT_1",
        "profiles.unwrapped.upstream.url: a client certificate, and nothing else, goes with",
    ),
    ("profiles.est.upstream.passcode_secret", "user:pass", "passcode_secret: must be the name of a Key Vault secret"),
    ("profiles.est.upstream.lookup.surprise", 1, "profiles.est.upstream.lookup.surprise: is not known here"),
    ("profiles.rest.ca", {"source": "est"}, "profiles.rest.ca.source: a REST upstream has no cacerts"),
    ("profiles.est.ca", {"source": "file", "path": "none.pem"}, "profiles.est.ca.path: none.pem: "),
    ("profiles.est.ca", "est", "profiles.est.ca: must be a table"),
    ("profiles.est.authentication", {}, "profiles.est.authentication: needs factory_certificate, passcode or"),
    (
        "profiles.est.authentication.one_time_passcodes",
        "yes",
        "profiles.est.authentication.one_time_passcodes: must be a true or false",
    ),
    (
        "profiles.est.authentication.factory_certificate.anchors",
        [],
        "profiles.est.authentication.factory_certificate.anchors: must name at least one PEM file",
    ),
    (
        "profiles.est.authentication.factory_certificate.device_id",
        "subject.country",
        "factory_certificate.device_id: 'subject.country' is not one of",
    ),
    ("profiles.est.request.keys", [], "profiles.est.request.keys: must hold at least one kind of key"),
    ("profiles.est.request.keys", ["rsa-1024"], "profiles.est.request.keys: 'rsa-1024' is not one of"),
    ("profiles.est.request.hashes", ["sha1"], "profiles.est.request.hashes: 'sha1' is not one of"),
    ("profiles.est.request.hashes", [], "profiles.est.request.hashes: must hold at least one hash"),
    ("profiles.est.request.subject", ["organization"], "profiles.est.request.subject: must allow common_name"),
    ("profiles.est.request.challenge_password", "maybe", "challenge_password: 'maybe' is not one of reject, ignore"),
    ("profiles.est.dps", {"mode": "group"}, "profiles.est.dps.group: is missing"),
    ("profiles.est.dps", {"mode": "individual", "group": "g"}, "profiles.est.dps.group: is not known here"),
]


@pytest.mark.parametrize(("path", "value", "problem"), CASES, ids=[f"{path}={value}" for path, value, _ in CASES])
def test_each_mistake_is_named_by_its_path(tmp_path: Path, path: str, value: Any, problem: str) -> None:  # noqa: ANN401
    content = sandbox_content()
    *parents, key = path.split(".")
    table = content
    for parent in parents:
        table = table[parent]
    table[key] = value
    found = problems(tmp_path, content)
    assert any(problem in line for line in found), found


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    content = sandbox_content()
    content["profiles"]["est"]["daily_limit"] = 0
    content["profiles"]["rest"]["hubs"] = []
    del content["default_profile"]
    assert len(problems(tmp_path, content)) == 3


@pytest.mark.parametrize("label", ["cacerts", "simpleenroll", "a b", "..", "", "ä"])
def test_a_label_that_a_url_cannot_hold_is_refused(tmp_path: Path, label: str) -> None:
    content = sandbox_content()
    content["profiles"][label] = content["profiles"]["est"]
    assert any("cannot be a label" in line for line in problems(tmp_path, content))


@pytest.mark.parametrize("text", ["default_profile = ", "\xff", "[profiles"])
def test_a_file_that_is_no_toml_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profiles.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(Misconfigured) as refused:
        load(path, HUBS)
    assert str(path) in refused.value.cause


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as refused:
        load(tmp_path / "nowhere.toml", HUBS)
    assert "nowhere.toml" in refused.value.cause
