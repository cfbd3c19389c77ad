"""Devices that get their certificate from DigiCert ONE themselves, by other people's clients, are like any other."""

from typing import Any

import pytest
from cryptography import x509

from sandbox import device, ports
from sandbox.births.ways import WAYS, Way
from sandbox.device import Identity
from tests.conftest import Running

REST = f"https://{ports.DIGICERT_HOST}/iot/api/v1/certificate"

every_way = pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, id=way.name, marks=pytest.mark.skipif(bool(way.missing()), reason=way.missing()))
        for way in WAYS
    ],
)


def listed(sandbox: Running, query: str) -> list[dict[str, Any]]:
    """DigiCert ONE's list of certificates, for whoever has the API key."""
    (key,) = [each for each in sandbox.control("GET", "/secrets") if each.startswith("digicert-api-key-")]
    context = device.tls_context(sandbox.tls_root, None)
    answer = device.call(context, "GET", f"{REST}/?{query}", headers={"x-api-key": key})
    assert answer.status == 200, answer.line()
    records: list[dict[str, Any]] = answer.json()["records"]
    return records


def serial(identity: Identity) -> str:
    return f"{identity.leaf.serial_number:032X}"


@every_way
def test_it_registers_and_connects_and_is_in_the_inventory(sandbox: Running, way: Way) -> None:
    name = f"born-over-{way.name.lower()}"
    born = way.enroll(sandbox.state, name)
    assert born.name == name
    registration = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, sandbox.tls_root, born)
    assert (registration.status, registration.device_id) == ("assigned", name)
    assert device.connect(registration.hub, sandbox.tls_root, born) == (True, "")
    for query in (f"common_name={name}", f"common_name={name}&enrollment_method={way.name}"):
        records = listed(sandbox, query)
        assert [(each["serial_number"], each["status"]) for each in records] == [(serial(born), "ISSUED")]
    assert listed(sandbox, f"common_name={name}&enrollment_method=EST") == []


@every_way
def test_its_certificate_is_revoked_and_on_the_crl(sandbox: Running, way: Way) -> None:
    name = f"revoked-over-{way.name.lower()}"
    born = way.enroll(sandbox.state, name)
    sandbox.control("POST", "/digicert/revoke", {"serial": serial(born), "reason": "key_compromise"})
    assert [each["status"] for each in listed(sandbox, f"common_name={name}")] == ["REVOKED"]
    (point,) = born.leaf.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    assert point.full_name is not None
    answer = device.call(device.tls_context(sandbox.tls_root, None), "GET", point.full_name[0].value)
    crl = x509.load_der_x509_crl(answer.body)
    assert crl.get_revoked_certificate_by_serial_number(born.leaf.serial_number) is not None
