"""Fronts that do one thing wrong: each is found, by the check that is there for it and by no other."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from infra.smoke import answers, front, probes
from infra.smoke.checks import Finding
from infra.smoke.site import Site
from infra.smoke.wire import address
from tests.conftest import Running
from tests.smoke.commanding import Smoke
from tests.smoke.spoiling import HEADER, spoiled

type Part = Callable[[Site], Iterator[Finding]]

NOW: Final = datetime.now(UTC)


def certificate(site: Site) -> Iterator[Finding]:
    return front.checks(site, HEADER, NOW)


def request(site: Site) -> Iterator[Finding]:
    return probes.checks(site, NOW)


def answer(site: Site) -> Iterator[Finding]:
    return answers.checks(site, None)


def differing(sandbox: Running, folder: Path, defect: str, *parts: Part) -> dict[str, Finding]:
    with spoiled(sandbox, folder, defect) as (host, roots):
        site = Site(address(host, str(roots)))
        return {one.check.name: one for part in parts for one in part(site) if one.verdict != "OK"}


def test_a_front_that_does_all_as_it_should_has_nothing_to_be_said_of(sandbox: Running, tmp_path: Path) -> None:
    assert differing(sandbox, tmp_path, "", certificate, request, answer) == {}


@pytest.mark.parametrize(
    ("defect", "part", "names", "said"),
    [
        ("adds its own", certificate, {"own copy replaced"}, "cannot be read"),
        ("renegotiates", request, {"… with a certificate"}, "403 <html>"),
        ("loses chunks", request, {"chunked body"}, "without a word"),
        ("takes no HEAD", request, {"HEAD"}, "405"),
        ("answers itself", request, {"HEAD", "wrong method"}, "404"),
        ("opens doors", answer, {"shut doors"}, "GET /api/sagas: 200"),
        ("in chunks", answer, {"shape of answers", "spelling of headers"}, "without a length"),
    ],
)
def test_what_a_front_does_wrong_is_found(
    sandbox: Running, tmp_path: Path, *, defect: str, part: Part, names: set[str], said: str
) -> None:
    found = differing(sandbox, tmp_path, defect, part)
    assert set(found) == names
    assert any(one.fails for one in found.values())
    assert any(said in one.came for one in found.values()), found
    assert all(one.do for one in found.values())


@pytest.mark.parametrize(
    ("defect", "part", "name"),
    [("spells in lower case", answer, "spelling of headers"), ("decodes paths", request, "raw path")],
)
def test_what_can_be_lived_with_is_told_and_fails_nothing(
    sandbox: Running, tmp_path: Path, defect: str, part: Part, name: str
) -> None:
    found = differing(sandbox, tmp_path, defect, part)
    assert set(found) == {name}
    assert not any(one.fails for one in found.values())


@pytest.mark.parametrize(("defect", "said"), [("asks for none", "as nobody"), ("garbles", "400")])
def test_a_certificate_that_does_not_arrive_leaves_the_forged_one_untold(
    sandbox: Running, tmp_path: Path, defect: str, said: str
) -> None:
    """An app that reads no header answers a forged one as it should: that proves nothing."""
    found = differing(sandbox, tmp_path, defect, certificate)
    assert found["certificate arrives"].fails
    assert said in found["certificate arrives"].came
    assert found["forged header"].verdict == "CANNOT TELL"
    assert "BIRTHCERT_CLIENT_CERTIFICATE_HEADER" in found["forged header"].do


def test_a_gateway_that_lets_known_certificates_in_alone_is_no_failure(sandbox: Running, tmp_path: Path) -> None:
    found = differing(sandbox, tmp_path, "knows its clients", certificate, request)
    assert not any(one.fails for one in found.values())
    assert {name for name, one in found.items() if one.verdict == "CANNOT TELL"} == {
        "certificate arrives",
        "forged header",
        "own copy replaced",
        "… with a certificate",
    }


@pytest.mark.parametrize(
    ("defect", "name"),
    [("believes the client", "forged header"), ("redirects", "redirect probe"), ("loses bodies", "body over 100 KB")],
)
def test_the_command_ends_with_1_and_says_what_to_do(smoke: Smoke, defect: str, name: str) -> None:
    with spoiled(smoke.sandbox, smoke.folder, defect) as (host, roots):
        done = smoke.run("--no-enroll", "--ca", roots, host=host)
    assert (done.status, done.errors) == (1, "")
    assert done.rows[name]["verdict"] == "DIFFERS"
    failing = done.output.splitlines()[-1]
    assert failing.startswith("what must hold and does not: ")
    assert name in failing
    assert "-> " in done.output


def test_a_front_that_believes_the_client_is_told_apart_by_a_good_certificate(smoke: Smoke) -> None:
    with spoiled(smoke.sandbox, smoke.folder, "believes the client") as (host, roots):
        done = smoke.run("--no-dps", "--bootstrap", smoke.sandbox.state / "passcode", "--ca", roots, host=host)
    assert done.status == 1
    assert done.rows["good certificate, forged"]["verdict"] == "DIFFERS"
    assert "AT ONCE" in done.rows["good certificate, forged"]["do"]
    assert done.rows["taken away"]["verdict"] == "OK"
