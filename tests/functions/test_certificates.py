"""`POST /api/certificates` as the Functions worker sees it: one request, one certificate, as often as it is asked."""

import asyncio
import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from shared.core.errors import OutcomeUnknown, UpstreamRefused
from tests.fakes.clock import IdleLoop
from tests.fakes.devices import Device
from tests.fakes.world import fakes
from tests.functions.births_api import JSON, LABEL, Factory
from tests.functions.ops_api import last, problem, read

PATH = "/api/certificates"


@pytest.fixture
def factory() -> Iterator[Factory]:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        yield Factory(runner)


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="birthcert")
    return caplog


def wish(device: Device, **changes: object) -> dict[str, object]:
    csr = base64.b64encode(device.request().der).decode()
    return {"device_id": device.name, "label": LABEL, "csr": csr, **changes}


def post(factory: Factory, content: object) -> Any:  # noqa: ANN401
    return factory.send("POST", PATH, json.dumps(content).encode(), {**JSON, "X-Caller": "line 7"})


def test_a_request_gets_its_certificate_with_the_chain(factory: Factory, records: pytest.LogCaptureFixture) -> None:
    device = Device("dev-1")
    response = post(factory, wish(device, comment="by hand"))
    found = read(response)
    leaf = x509.load_pem_x509_certificate(found["certificate"].encode())
    assert (response.status_code, found["done"], found["device_id"]) == (200, True, "dev-1")
    assert leaf.public_key() == device.key.public_key()
    assert len(x509.load_pem_x509_certificates(found["chain"].encode())) == 2
    record = last(records)
    assert (record["operation"], record["device_id"], record["serial"]) == (
        "certificates_issue",
        "dev-1",
        found["serial"],
    )
    assert (record["caller"], record["comment"], record["label"]) == ("line 7 (function key)", "by hand", LABEL)
    assert factory.world.ledger.read(device.id).certificates[0].source == "rest"


def test_the_same_request_again_gets_the_same_certificate(factory: Factory) -> None:
    device = Device("dev-1")
    pem = x509.load_der_x509_csr(device.request().der).public_bytes(Encoding.PEM).decode()
    first = read(post(factory, wish(device)))
    assert read(post(factory, wish(device, csr=pem))) == first
    assert len(factory.world.ca.issued) == 1


def test_while_digicert_one_has_not_decided_it_is_202(factory: Factory) -> None:
    factory.world.upstream.behaves.append("pending")
    device = Device("dev-1")
    response = post(factory, wish(device))
    assert (response.status_code, read(response)) == (202, {"device_id": "dev-1", "done": False})
    assert response.headers["Retry-After"] == "30"
    factory.world.upstream.approved = True
    assert read(post(factory, wish(device)))["done"]


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"device_id": ""}, 400, '"device_id"'),
        ({"label": ""}, 400, '"label"'),
        ({"csr": ""}, 400, '"csr"'),
        ({"csr": 7}, 400, '"csr" must be text'),
        ({"csr": "AAAA"}, 400, "cannot be read"),
        ({"csr": "%"}, 400, ""),
        ({"device_id": "dev 1"}, 400, "device id must be"),
        ({"device_id": "dev-2"}, 403, "not the device"),
        ({"device_id": "DEV-1"}, 403, "not the device"),
        ({"label": "nowhere"}, 404, "no such label"),
        ({"comment": "a\nb"}, 400, "plain text"),
        ({"key": "x"}, 400, 'unknown fields: "key"'),
        ({"csr": "A" * 2_000_000}, 413, "over"),
    ],
)
def test_what_is_no_wish_for_a_certificate_is_refused(
    factory: Factory, changes: dict[str, object], status: int, says: str
) -> None:
    found = problem(post(factory, wish(Device("dev-1"), **changes)))
    assert found[0] == status
    assert says in found[2]
    assert not factory.world.ca.issued


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({"Content-Type": "application/pkcs10"}, b"x", 415),
        ({**JSON, "Transfer-Encoding": "chunked"}, b"", 400),
        (JSON, b"", 400),
        (JSON, b"[]", 400),
        ({**JSON, "X-Caller": "\x07"}, b"{}", 400),
    ],
)
def test_a_body_that_breaks_its_form_is_refused(
    factory: Factory, headers: dict[str, str], body: bytes, status: int
) -> None:
    assert problem(factory.send("POST", PATH, body, headers))[0] == status


def test_what_digicert_one_does_reaches_the_caller_in_our_words(factory: Factory) -> None:
    calls = factory.world.calls
    calls.fail("upstream.issue", lambda: UpstreamRefused("the CA refused the request", nothing_issued=True, cause="!"))
    assert problem(post(factory, wish(Device("dev-1")))) == (502, "UpstreamRefused", "the CA refused the request")
    calls.fail("upstream.issue", lambda: OutcomeUnknown("no answer in time", retry_after=10))
    response = post(factory, wish(Device("dev-2")))
    assert (problem(response)[:2], response.headers["Retry-After"]) == ((504, "OutcomeUnknown"), "10")


def test_the_daily_limit_holds_here_too(factory: Factory) -> None:
    device = Device("dev-1")
    for _ in range(factory.world.profile.daily_limit):
        assert post(factory, wish(device.with_new_key())).status_code == 200
    response = post(factory, wish(device.with_new_key()))
    assert problem(response)[0] == 429
    assert int(response.headers["Retry-After"]) > 60


def test_a_device_that_no_manifest_has_is_refused() -> None:
    with asyncio.Runner(loop_factory=IdleLoop) as runner:
        factory = Factory(runner, fakes(unknown_devices="manifest"))
        assert problem(post(factory, wish(Device("dev-1"))))[:2] == (403, "Forbidden")
