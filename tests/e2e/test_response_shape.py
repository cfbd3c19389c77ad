"""The shape of every answer, to the byte: the profile that libest, strongSwan, Bouncy Castle and certd can all read."""

import base64
import ssl
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from sandbox import device
from tests.e2e import wire
from tests.e2e.est import PKCS10, Site, leaf, ordinary, path, refused
from tests.e2e.wire import Answer

CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"
# What every answer of the app carries, as it must be spelled: libest compares header names with case.
OURS = ("Content-Type", "Content-Transfer-Encoding", "Content-Length", "Cache-Control")
# What the platform and the front end add.
THEIRS = {"Server", "Date", "Connection", "Keep-Alive"}

LABELS = ["", "est", "rest", "unwrapped", "individual"]


def content(answer: Answer, kind: str, label: str) -> bytes:
    """The DER in a success whose shape is right."""
    assert (answer.status, answer.reason) == (200, "OK")
    assert tuple(name for name in answer.names if name not in THEIRS) == OURS
    assert answer.header("Content-Type") == kind
    assert answer.header("Content-Transfer-Encoding") == "base64"
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Content-Length") == str(len(answer.body))
    decoded = base64.b64decode(b"".join(answer.body.split()), validate=True)
    text = base64.b64encode(decoded)
    # In one line for old strongSwan; for everybody else in lines of 64, every one of them ended by LF, the last too.
    lines = b"".join(text[start : start + 64] + b"\n" for start in range(0, len(text), 64))
    assert answer.body == (text if label == "unwrapped" else lines)
    return decoded


def printed(der: bytes) -> str:
    """The structure as OpenSSL sees it."""
    command = ["openssl", "cms", "-cmsout", "-print", "-inform", "DER", "-noout"]
    done = subprocess.run(command, input=der, capture_output=True, timeout=20, check=True)
    return "\n".join(line.strip() for line in done.stdout.decode().splitlines())


def degenerate(der: bytes) -> list[x509.Certificate]:
    """The certificates of a certs-only message: RFC 5272 section 4.1, a SignedData that signs nothing."""
    shown = printed(der)
    assert "contentType: pkcs7-signedData (1.2.840.113549.1.7.2)" in shown
    assert "version: 1\n" in shown
    assert "digestAlgorithms:\n<ABSENT>" in shown or "digestAlgorithms:\n<EMPTY>" in shown
    assert "eContentType: pkcs7-data (1.2.840.113549.1.7.1)" in shown
    assert "eContent: <ABSENT>" in shown
    assert "signerInfos:\n<ABSENT>" in shown or "signerInfos:\n<EMPTY>" in shown
    certificates = pkcs7.load_der_pkcs7_certificates(der)
    assert pkcs7.serialize_certificates(certificates, Encoding.DER) == der
    return certificates


@pytest.mark.parametrize("label", LABELS)
def test_cacerts_hold_root_and_issuing_ca(site: Site, label: str) -> None:
    answer = site.call("GET", path("cacerts", label))
    certificates = degenerate(content(answer, "application/pkcs7-mime", label))
    wanted = {(site.sandbox.state / name).read_bytes() for name in ("root.pem", "ica.pem")}
    assert {one.public_bytes(Encoding.PEM) for one in certificates} == wanted
    assert len(certificates) == 2


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("kind", ["rsa-2048", "ec-p256"])
def test_an_enrollment_holds_the_leaf_alone(site: Site, label: str, kind: str) -> None:
    name, key = f"shape-{label or 'default'}-{kind}", device.new_key(kind)
    answer = site.enroll(site.identity(name), ordinary(name, key), label)
    (certificate,) = degenerate(content(answer, CERTS_ONLY, label))
    assert certificate.public_key() == key.public_key()
    assert device.common_name(certificate) == name


@pytest.mark.parametrize("label", ["est", "unwrapped"])
def test_a_renewal_has_the_same_shape(site: Site, label: str) -> None:
    name, key = f"shape-renewed-{label}", device.new_key("ec-p256")
    first = leaf(site.enroll(site.identity(name), ordinary(name, key), label))
    born, new = device.Identity(key, (first,)), device.new_key("ec-p256")
    answer = site.enroll(born, ordinary(name, new), label, operation="simplereenroll")
    (certificate,) = degenerate(content(answer, CERTS_ONLY, label))
    assert certificate.public_key() == new.public_key()


@pytest.mark.parametrize("label", LABELS)
def test_csrattrs_ask_for_the_first_key_of_the_profile(site: Site, label: str) -> None:
    answer = site.call("GET", path("csrattrs", label))
    found = content(answer, "application/csrattrs", label)
    command = ["openssl", "asn1parse", "-inform", "DER"]
    shown = subprocess.run(command, input=found, capture_output=True, timeout=20, check=True).stdout.decode()
    assert [line.rpartition(":")[2].strip() for line in shown.splitlines() if "prim" in line] == [
        "rsaEncryption",
        "0800",
        "sha256WithRSAEncryption",
    ]
    assert "challengePassword" not in shown


@pytest.mark.parametrize("label", ["est", "unwrapped"])
@pytest.mark.parametrize("operation", ["cacerts", "csrattrs"])
def test_head_answers_what_get_would_without_the_body(site: Site, label: str, operation: str) -> None:
    got, head = (site.call(method, path(operation, label)) for method in ("GET", "HEAD"))
    assert head.status == 200
    assert head.body == b""
    different = {"Date"}
    assert [pair for pair in head.pairs if pair[0] not in different] == [
        pair for pair in got.pairs if pair[0] not in different
    ]


def test_an_error_has_no_more_headers_than_it_needs(site: Site) -> None:
    answer = site.call("GET", path("healthcheck"))
    refused(answer, 404)
    assert set(answer.names) - THEIRS == {"Content-Type", "Content-Length", "Cache-Control"}
    answer = site.call("GET", path("simpleenroll"))
    refused(answer, 405)
    assert set(answer.names) - THEIRS == {"Content-Type", "Content-Length", "Cache-Control", "Allow"}


def test_the_command_lines_of_the_field_read_the_answers(site: Site, tmp_path: Path) -> None:
    """`openssl base64 -d` wants lines and `-A` wants none; both fail without a word."""
    for label, flag in (("est", []), ("unwrapped", ["-A"])):
        body = site.call("GET", path("cacerts", label)).body
        (tmp_path / label).write_bytes(body)
        command = ["openssl", "base64", "-d", *flag, "-in", str(tmp_path / label)]
        decoded = subprocess.run(command, capture_output=True, timeout=20, check=True).stdout
        assert decoded == base64.b64decode(b"".join(body.split()))


def test_one_connection_serves_many_requests_also_when_they_do_not_wait(site: Site) -> None:
    newborn = site.newborn("shape-kept-alive")
    post = wire.request("POST", path("simpleenroll"), newborn.body, (PKCS10,))
    get = wire.request("GET", path("cacerts"))
    with wire.connected(site.tls(newborn.factory)) as connection:
        for raw in (get, post, get):
            connection.sendall(raw)
            assert wire.read(connection).status == 200
        connection.sendall(get)
        assert wire.read(connection).status == 200
    closing = wire.request("GET", path("cacerts"), b"", [("Connection", "close")])
    with wire.connected(site.tls()) as connection:
        connection.sendall(closing)
        assert wire.read(connection).status == 200
        assert connection.recv(1) == b""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_1_2_and_1_3_carry_a_client_certificate(site: Site, version: ssl.TLSVersion) -> None:
    newborn = site.newborn(f"shape-{version.name.lower().replace('_', '-')}")
    tls = device.tls_context(site.sandbox.tls_root, newborn.factory)
    tls.minimum_version = tls.maximum_version = version
    newborn.has(wire.send(tls, wire.request("POST", path("simpleenroll"), newborn.body, (PKCS10,))))
