"""One certificate by an operator's request: issued once, and the device has the same life as any other."""

import json
from typing import Any

import pytest
from cryptography import x509

from sandbox import device
from sandbox.device import Identity
from tests.e2e.est import Site, eventually
from tests.e2e.factories import encoded
from tests.e2e.living import register
from tests.e2e.operators import JSON, Operator, problem, read
from tests.e2e.wire import Answer

PATH = "/api/certificates"


def issue(operator: Operator, **content: object) -> Answer:
    return operator.send("POST", PATH, json.dumps(content).encode(), [JSON, ("X-Caller", "repair shop")])


@pytest.mark.parametrize("label", ["est", "rest"])
def test_a_device_is_born_by_an_operator_s_request(operator: Operator, site: Site, label: str) -> None:
    name, key = f"single-{label}", device.new_key("ec-p256")
    wish: dict[str, Any] = {"device_id": name, "label": label}
    answer = issue(operator, csr=encoded(name, key), **wish)
    assert answer.status == 200, answer.text
    made = read(answer)
    assert read(issue(operator, csr=encoded(name, key), **wish))["serial"] == made["serial"]
    assert len(site.issued(name=name)) == 1
    chain = x509.load_pem_x509_certificates(made["chain"].encode())
    identity = Identity(key, (x509.load_pem_x509_certificate(made["certificate"].encode()), *chain))
    registration = register(site, identity)
    assert registration.status == "assigned", registration
    assert device.connect(registration.hub, site.sandbox.tls_root, identity, name)[0]
    assert eventually(lambda: operator.device(name)["hub"])
    assert [one["source"] for one in operator.device(name)["certificates"]] == ["rest"]


def test_what_does_not_fit_is_refused_and_nothing_is_issued(operator: Operator, site: Site) -> None:
    key = device.new_key("ec-p256")
    csr = encoded("single-x", key)
    with site.nothing_issued():
        for content, status in (
            ({"device_id": "single-y", "label": "est", "csr": csr}, 403),
            ({"device_id": "single-x", "label": "factory", "csr": csr}, 403),
            ({"device_id": "single-x", "label": "nowhere", "csr": csr}, 404),
            ({"device_id": "single-x", "label": "est", "csr": "AAAA"}, 400),
            ({"device_id": "single-x", "label": "est"}, 400),
        ):
            assert problem(issue(operator, **content))[0] == status, content


def test_a_blocked_device_gets_nothing(operator: Operator, site: Site) -> None:
    name, key = "single-blocked", device.new_key("ec-p256")
    assert issue(operator, device_id=name, label="est", csr=encoded(name, key)).status == 200
    operator.done(name, "hold")
    with site.nothing_issued():
        found = problem(issue(operator, device_id=name, label="est", csr=encoded(name, device.new_key("ec-p256"))))
    assert found[0] == 403
    assert "blocked" in found[2]
