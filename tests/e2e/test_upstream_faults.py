"""DigiCert ONE says no, or nothing it should: what the device sees, and that asking again costs nothing more."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.est import Site, path, refused

DIGICERT = "DigiCert ONE"
# The request by which each label orders a certificate.
ORDERS = {"est": "/simpleenroll", "rest": "/iot/api/v1/certificate", "unwrapped": "/simpleenroll"}
BOTH = pytest.mark.parametrize("label", ["est", "rest"])


def plan(site: Site, label: str, kind: str, **rest: object) -> None:
    site.sandbox.fault(DIGICERT, kind, method="POST", path=ORDERS[label], **rest)


@BOTH
def test_an_order_that_is_not_taken_once_is_sent_again_unnoticed(site: Site, label: str) -> None:
    device = site.newborn(f"hiccup-{label}", label)
    plan(site, label, "status", status=503)
    device.has(device.ask())
    device = site.newborn(f"throttled-{label}", label)
    plan(site, label, "status", status=429, headers={"Retry-After": "1"})
    device.has(device.ask())


@BOTH
@pytest.mark.parametrize("status", [429, 503])
def test_an_order_that_must_wait_tells_the_device_how_long(site: Site, label: str, status: int) -> None:
    device = site.newborn(f"waits-{label}-{status}", label)
    plan(site, label, "status", status=status, headers={"Retry-After": "7"}, body="come back later")
    answer = device.ask()
    refused(answer, status)
    assert answer.header("Retry-After") == "7"
    assert "come back" not in answer.text
    assert device.on_the_books() == []
    device.has(device.ask())


@BOTH
@pytest.mark.parametrize("status", [302, 403, 404])
def test_a_refusal_of_ourselves_is_not_the_device_s(site: Site, label: str, status: int) -> None:
    """403 concerns our credentials, 404 our profile, 302 nobody: redirects are not followed with credentials."""
    device = site.newborn(f"refused-{label}-{status}", label)
    plan(
        site,
        label,
        "status",
        status=status,
        headers={"Location": "https://localhost:9443/elsewhere", "WWW-Authenticate": "Basic"},
    )
    site.journal()
    refused(device.ask(), 502, "the CA refused the request")
    assert not any(entry.get("path") == "/elsewhere" for entry in site.journal())
    device.has(device.ask())


@BOTH
@pytest.mark.parametrize("shape", ["error_shape_1", "error_shape_2", "error_shape_3"])
def test_an_error_of_any_shape_reaches_the_device_in_our_own_words(site: Site, label: str, shape: str) -> None:
    device = site.newborn(f"{label}-{shape}", label)
    plan(site, label, shape)
    answer = device.ask()
    refused(answer, 400, "enrollment profile")
    assert "planned" not in answer.text
    log = (site.sandbox.state / "logs" / "host.log").read_text()
    assert f"a planned error of the {('first', 'second', 'third')[int(shape[-1]) - 1]} shape" in log
    device.has(device.ask())


def test_a_rotated_passcode_is_read_anew_when_the_old_one_is_refused(site: Site) -> None:
    name = "digicert-est-passcode"
    right = f"birthcert:{site.secret('digicert-passcode')}"
    device = site.newborn("rotated", "est")
    site.sandbox.control("PUT", f"/key-vault/{name}", {"value": "birthcert:not-the-passcode"})
    try:
        plan(site, "est", "status", status=401)  # the old passcode has been withdrawn at DigiCert ONE
        refused(device.ask(), 502, "the CA does not accept our credentials")
        refused(device.ask(), 502, "the CA does not accept our credentials")
        assert device.on_the_books() == []
    finally:
        site.sandbox.control("PUT", f"/key-vault/{name}", {"value": right})
    device.has(device.ask())


def test_a_chain_beside_the_certificate_is_left_out(site: Site) -> None:
    device = site.newborn("with-chain", "est")
    plan(site, "est", "two_certificates")
    device.has(device.ask())


def test_an_order_that_waits_for_approval_is_asked_for_again(site: Site) -> None:
    """RFC 7030 section 4.2.3: 202 with Retry-After, and the same request again."""
    device = site.newborn("approved-est", "est")
    plan(site, "est", "pending", seconds=20)
    plan(site, "est", "pending", seconds=1)
    for seconds in ("20", "10"):  # never sooner than ten seconds, or devices would hammer
        answer = device.ask()
        assert answer.status == 202
        assert answer.header("Retry-After") == seconds
        assert answer.header("Content-Type") == "text/plain; charset=utf-8"
        assert answer.header("Cache-Control") == "no-store"
        assert answer.text == "the CA has not decided yet\n"
    assert device.on_the_books() == []
    device.has(device.ask())


def test_an_order_answered_without_the_certificate_is_looked_up(site: Site) -> None:
    device = site.newborn("approved-rest", "rest")
    plan(site, "rest", "no_pem")
    answer = device.ask()
    assert answer.status == 202
    assert answer.header("Retry-After") == "60"
    device.has(device.ask())


def test_a_rest_order_that_waits_for_approval_is_no_failure(site: Site) -> None:
    device = site.newborn("pending-rest", "rest")
    plan(site, "rest", "pending", seconds=20)
    answer = device.ask()
    assert answer.status == 202, answer.text
    assert int(answer.header("Retry-After")) >= 10


@pytest.mark.parametrize("label", ["est", "rest", "unwrapped", "individual"])
def test_many_equal_requests_at_once_are_one_certificate(site: Site, label: str) -> None:
    device = site.newborn(f"impatient-{label}", label)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: device.ask(), range(8)))
    assert len({device.has(answer).serial_number for answer in answers}) == 1


@BOTH
def test_one_device_with_many_keys_at_once_gets_a_certificate_for_each(site: Site, label: str) -> None:
    """`aziot-certd` makes a new key at each retry, and its retries may overlap."""
    devices = [site.newborn(f"many-keys-{label}", label) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        for device, answer in zip(devices, pool.map(lambda one: one.ask(), devices), strict=True):
            device.has(answer)


def test_many_devices_at_once_are_all_served(site: Site) -> None:
    devices = [site.newborn(f"crowd-{number}", ("est", "rest", "unwrapped")[number % 3]) for number in range(30)]
    with ThreadPoolExecutor(30) as pool:
        for device, answer in zip(devices, pool.map(lambda one: one.ask(), devices), strict=True):
            device.has(answer)


def test_a_slow_ca_costs_the_device_its_patience_and_no_second_certificate(site: Site) -> None:
    """The device waits for 30 seconds at most; the certificate is made after we have given up, and found again."""
    device = site.newborn("slow", "est")
    plan(site, "est", "delay", seconds=17)
    began = time.monotonic()
    refused(device.ask(), 504, "send the same request again")
    assert time.monotonic() - began < 25
    device.has(device.ask())


def test_a_ca_that_is_down_is_left_alone_for_a_while(site: Site) -> None:
    """At a host of its own, where no other label is: five failures in a row, and nothing is sent for twenty seconds."""
    device = site.newborn("outage", "unwrapped")
    assert site.call("GET", path("cacerts", "unwrapped")).status == 200
    plan(site, "unwrapped", "status", times=100, status=503)
    began = time.monotonic()
    refused(device.ask(), 503)
    assert time.monotonic() - began < 25
    with site.nothing_issued():
        began = time.monotonic()
        answer = device.ask()
        refused(answer, 503, "does not answer")
        assert time.monotonic() - began < 2
        assert 1 <= int(answer.header("Retry-After")) <= 20
    assert site.call("GET", path("cacerts", "unwrapped")).status == 200
    site.sandbox.control("DELETE", "/faults")
    time.sleep(int(answer.header("Retry-After")) + 0.5)
    device.has(device.ask())
