"""Attributes, extensions and names that a request must not hold: doubled, malformed, deceiving, or someone else's."""

import functools
import json

import pytest

from sandbox.device import Identity
from tests.e2e import csr, der
from tests.e2e.der import attribute, common_name, dns, extension, extensions, oid, rdn, san, utf8
from tests.e2e.est import Site, encoded, refused

type Case = tuple[bytes, str]


def with_attributes(*attributes: bytes) -> bytes:
    return csr.request(attributes=b"".join(attributes))


def with_subject(subject: bytes) -> bytes:
    return csr.request(subject=subject)


DEVICE = dns(csr.NAME.encode())
ATTRIBUTES: dict[str, Case] = {
    "two extensionRequests": (
        with_attributes(extensions(san(DEVICE)), extensions(san(DEVICE))),
        "once and have one value",
    ),
    "extensionRequest without a value": (with_attributes(attribute(der.EXTENSION_REQUEST)), ""),
    "extensionRequest with two values": (
        with_attributes(attribute(der.EXTENSION_REQUEST, der.sequence(san(DEVICE)), der.sequence(san(DEVICE)))),
        "",
    ),
    "subjectAltName twice": (with_attributes(extensions(san(DEVICE), san(DEVICE))), ""),
    "critical FALSE written out": (
        with_attributes(extensions(extension(der.SAN, der.sequence(DEVICE), der.FALSE))),
        "",
    ),
    "attribute without a value": (with_attributes(attribute(oid("1.2.3.4"))), ""),
    "long-form tag in an attribute": (with_attributes(attribute(oid("1.2.3.4"), b"\x1f\x81\x01\x00")), ""),
    "two challengePasswords": (
        with_attributes(*(attribute(der.CHALLENGE_PASSWORD, utf8(text)) for text in ("a", "b"))),
        "once and have one value",
    ),
    "challengePassword with two values": (
        with_attributes(attribute(der.CHALLENGE_PASSWORD, utf8("a"), utf8("b"))),
        "",
    ),
    "challengePassword as an OCTET STRING": (
        with_attributes(attribute(der.CHALLENGE_PASSWORD, der.octets(b"a"))),
        "challengePassword must be one string",
    ),
    "challengePassword of 256 characters": (
        with_attributes(attribute(der.CHALLENGE_PASSWORD, utf8("a" * 256))),
        "challengePassword must be one string",
    ),
    "ChangeSubjectName": (
        with_attributes(attribute(oid("1.3.6.1.5.5.7.7.36"), der.sequence(common_name("other")))),
        "ChangeSubjectName",
    ),
    "Microsoft's extension attribute": (
        with_attributes(attribute(oid("1.3.6.1.4.1.311.2.1.14"), der.sequence(san(DEVICE)))),
        "other than extensionRequest",
    ),
    "CA:TRUE": (
        with_attributes(extensions(extension(oid("2.5.29.19"), der.sequence(der.TRUE), der.TRUE))),
        "CA certificate",
    ),
    "keyCertSign": (
        with_attributes(extensions(extension(oid("2.5.29.15"), b"\x03\x02\x02\x04", der.TRUE))),
        "key usage of a CA",
    ),
    "EKU cmcRA": (
        with_attributes(extensions(extension(oid("2.5.29.37"), der.sequence(oid("1.3.6.1.5.5.7.3.28"))))),
        "extended key usage",
    ),
    "unknown critical extension": (
        with_attributes(extensions(extension(oid("1.2.3.4"), der.NULL, der.TRUE))),
        "1.2.3.4, which is not granted",
    ),
    "subjectAltName x400Address": (with_attributes(extensions(san(der.tlv(0xA3)))), ""),
    "subjectAltName otherName": (
        with_attributes(extensions(san(der.tlv(0xA0, oid("1.2.3.4"), der.tlv(0xA0, utf8("x")))))),
        "kind of name",
    ),
    "subjectAltName with an IP of three bytes": (with_attributes(extensions(san(der.tlv(0x87, b"\1\2\3")))), ""),
    "subjectAltName with NUL": (with_attributes(extensions(san(dns(b"hostile\0.evil")))), "letters, digits"),
    "subjectAltName beyond ASCII": (with_attributes(extensions(san(dns("é.example".encode())))), ""),
    "subjectAltName wildcard": (with_attributes(extensions(san(dns(b"*.example.com")))), "letters, digits"),
    "subjectAltName empty": (with_attributes(extensions(san())), "1 to 100 names"),
    "101 names": (with_attributes(extensions(san(*[DEVICE] * 101))), "1 to 100 names"),
}

NAMES: dict[str, Case] = {
    "NUL in the common name": (with_subject(common_name("dev1\0.evil")), "control or invisible"),
    "LF in the common name": (with_subject(common_name('dev1\n{"event": "est"}')), "control or invisible"),
    "common name of 5000 characters": (with_subject(common_name("a" * 5000)), "1 to 64 characters"),
    "empty common name": (with_subject(common_name("")), "1 to 64 characters"),
    "common name as a BIT STRING": (with_subject(der.name(rdn(der.COMMON_NAME, der.bit_string(b"abc")))), ""),
    "common name as a T61String": (with_subject(der.name(rdn(der.COMMON_NAME, der.tlv(0x14, b"\xe9")))), ""),
    "common name with bad UTF-8": (with_subject(der.name(rdn(der.COMMON_NAME, der.tlv(0x0C, b"\xff\xfe")))), ""),
    "common name with an odd BMPString": (with_subject(der.name(rdn(der.COMMON_NAME, der.tlv(0x1E, b"abc")))), ""),
    "right-to-left override": (with_subject(common_name("hostile\u202eecived")), "control or invisible"),
    "zero-width space": (with_subject(common_name("hostile\u200b-device")), "control or invisible"),
    "two common names": (
        with_subject(der.name(*(rdn(der.COMMON_NAME, utf8(text)) for text in (csr.NAME, "other")))),
        "twice",
    ),
    "multi-valued RDN": (
        with_subject(
            der.name(
                der.set_of(
                    der.sequence(der.COMMON_NAME, utf8("a")), der.sequence(oid("2.5.4.10"), utf8("organization"))
                )
            )
        ),
        "multi-valued RDN",
    ),
    "empty subject": (with_subject(der.name()), "common name"),
}

# Read and understood, and not this device's to ask for.
FORBIDDEN: dict[str, Case] = {
    "another device's subjectAltName": (
        with_attributes(extensions(san(dns(b"another-device")))),
        "nothing but the device id",
    ),
    "a country": (
        with_subject(der.name(rdn(oid("2.5.4.6"), der.printable("DE")), rdn(der.COMMON_NAME, utf8(csr.NAME)))),
        "country",
    ),
    "another device's name": (with_subject(common_name("another-device")), "not the device"),
    "the own name in capitals": (with_subject(common_name(csr.NAME.upper())), "not the device"),
    "wildcard name": (with_subject(common_name("*")), "no device id"),
    "a name with a space at its end": (with_subject(common_name(f"{csr.NAME} ")), "no device id"),
    "a Greek letter for a Latin one": (with_subject(common_name("hοstile-device")), "no device id"),  # noqa: RUF001
}


@pytest.mark.parametrize("case", [*ATTRIBUTES, *NAMES])
def test_a_bad_attribute_or_name_is_malformed(site: Site, hostile: Identity, case: str) -> None:
    made, words = (ATTRIBUTES | NAMES)[case]
    with site.nothing_issued():
        refused(site.enroll(hostile, encoded(made)), 400, words)


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_request_for_what_is_not_its_own_is_forbidden(site: Site, hostile: Identity, case: str) -> None:
    made, words = FORBIDDEN[case]
    with site.nothing_issued():
        refused(site.enroll(hostile, encoded(made)), 403, words)


@pytest.mark.parametrize(("names", "status"), [(20_000, 413), (1_500, 413)])
def test_a_flood_of_names_is_too_large(site: Site, hostile: Identity, names: int, status: int) -> None:
    """20,000 names are over the limit of a body, 1,500 over that of a request."""
    with site.nothing_issued():
        body = encoded(with_attributes(extensions(san(*[DEVICE] * names))))
        refused(site.enroll(hostile, body), status, "over")


def test_deep_nesting_is_harmless(site: Site, hostile: Identity) -> None:
    nested = functools.reduce(lambda inner, _: der.sequence(inner), range(2000), b"")
    with site.nothing_issued():
        refused(site.enroll(hostile, encoded(nested)), 400)
        attribute_ = attribute(oid("1.2.3.4"), nested)
        refused(site.enroll(hostile, encoded(csr.request(attributes=attribute_))), 400, "other than extensionRequest")


def test_a_name_cannot_forge_a_line_of_the_log(site: Site, hostile: Identity) -> None:
    for name_ in ('x\n{"event": "forged"}', 'x", "event": "forged', "x\x1b[2J"):
        with site.nothing_issued():
            answer = site.enroll(hostile, encoded(with_subject(common_name(name_))))
            assert answer.status in {400, 403}
    answer = site.call("GET", "/.well-known/est/a%0a%7B%22event%22:%22forged%22%7D/cacerts")
    refused(answer, 404)
    log = (site.sandbox.state / "logs" / "host.log").read_text()
    records = [json.loads(line) for line in log.splitlines() if line.startswith('{"event"')]
    assert records
    assert not [record for record in records if record["event"] == "forged"]
    assert "\x1b" not in log
