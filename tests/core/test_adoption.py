"""A certificate that somebody else has had issued: read with care, and named by its common name."""

from dataclasses import replace
from datetime import timedelta
from typing import Literal

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtensionOID

from shared.core import adoption
from shared.core.adoption import Seen
from shared.core.certificate import CLOCK_SKEW, certificate, serial_hex
from shared.core.errors import Forbidden
from shared.core.fleet import Block, Change, Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from tests.core.making import DAY, DEVICE, NOW, Authority, subject
from tests.core.profiles import PROFILE

CA = Authority()
LEAF = CA.issue()
SERIAL = serial_hex(LEAF)
ME = DeviceId(DEVICE)


def test_the_device_is_the_common_name_and_the_label_the_profiles() -> None:
    leaf = CA.issue()
    device, kept = adoption.read(leaf, PROFILE, "id-1", NOW)
    assert device == DEVICE
    assert (kept.label, kept.source, kept.digicert_id, kept.status) == (PROFILE.label, "adopted", "id-1", "issued")
    assert kept.certificate.serial == f"{leaf.serial_number:x}"


@pytest.mark.parametrize(
    ("leaf", "why"),
    [
        (CA.issue(ends=NOW), "has expired"),
        (CA.issue(begins=NOW - 9 * DAY, ends=NOW - DAY), "has expired"),
        (CA.issue(begins=NOW + CLOCK_SKEW + timedelta(seconds=1)), "not valid yet"),
        (CA.issue(extensions=[x509.BasicConstraints(ca=True, path_length=None)]), "of a CA"),
        (CA.issue(extensions=[x509.UnrecognizedExtension(ExtensionOID.BASIC_CONSTRAINTS, b"\x30")]), "cannot be read"),
        (CA.issue("no/device"), "names no device"),
        (CA.issue(x509.Name([*subject("one"), *subject("two")])), "once in subject.common_name"),
    ],
)
def test_what_names_no_device_of_now_is_not_taken(leaf: x509.Certificate, why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        adoption.read(leaf, PROFILE, "", NOW)


def test_a_ca_that_dates_a_little_ahead_is_borne_with() -> None:
    assert adoption.read(CA.issue(begins=NOW + CLOCK_SKEW), PROFILE, "", NOW)[0] == DEVICE


def seen(leaf: x509.Certificate, *, thumbprint: str = "") -> Seen:
    shown = thumbprint or leaf.fingerprint(SHA256()).hex()
    return Seen("devices", DEVICE, shown, leaf.public_bytes(Encoding.DER))


def test_what_was_shown_whole_is_known_by_issuer_and_serial_number() -> None:
    ours, twin = CA.issue(serial=7), CA.issue(serial=7)
    strange, other = Authority("another CA").issue(serial=7), CA.issue(serial=8)
    shown = adoption.whole(seen(twin))
    assert adoption.is_seen(ours, seen(twin), shown)
    assert not adoption.is_seen(ours, seen(twin), None)
    assert not adoption.is_seen(strange, seen(twin), shown)
    assert not adoption.is_seen(other, seen(twin), shown)


def test_an_issuer_that_cannot_be_read_is_not_ours() -> None:
    ours = CA.issue(serial=7)
    der, issuer = ours.public_bytes(Encoding.DER), ours.issuer.public_bytes()
    text = der.index(issuer) + issuer.index(b"\x0c") + 2
    broken = x509.load_der_x509_certificate(der[:text] + b"\xff" + der[text + 1 :])
    assert not adoption.is_seen(ours, seen(broken), broken)


@pytest.mark.parametrize("der", [b"", b"0"])
def test_what_is_no_certificate_was_not_shown_whole(der: bytes) -> None:
    shown = Seen("devices", DEVICE, "ab" * 32, der)
    if not der:
        assert adoption.whole(shown) is None
        return
    with pytest.raises(Forbidden, match="cannot be read"):
        adoption.whole(shown)


def held(status: Literal["issued", "superseded", "revoked"], digicert_id: str = "") -> LedgerCertificate:
    return LedgerCertificate(certificate(LEAF), PROFILE.label, "adopted", digicert_id, status)


@pytest.mark.parametrize(
    ("block", "status", "current", "done"),
    [
        (Block.NONE, "issued", SERIAL, True),
        (Block.NONE, "issued", "", False),
        (Block.NONE, "revoked", "", False),
        (Block.NONE, "superseded", "", True),
        (Block.REVOKED, "revoked", SERIAL, True),
        (Block.REVOKED, "issued", SERIAL, False),
        (Block.HOLD, "superseded", SERIAL, False),
    ],
)
def test_what_follows_from_a_certificate_is_known_to_be_done_by_the_record(
    block: Block, status: Literal["issued", "superseded", "revoked"], current: str, *, done: bool
) -> None:
    row = Device(ME, PROFILE.label, NOW, current=current, latest=SERIAL, block=block)
    known = Snapshot(row, certificates=(held(status),))
    assert adoption.is_done(known, SERIAL) == done
    assert adoption.is_done(known, "ab")
    assert adoption.is_done(Snapshot(), SERIAL)


def test_an_id_is_learnt_once_and_for_the_same_certificate_only() -> None:
    row = Device(ME, PROFILE.label, NOW, latest=SERIAL)
    told = held("issued", "id-1")
    strange = replace(told, certificate=replace(told.certificate, issuer="CN=another CA"))

    def learnt(there: LedgerCertificate, kept: LedgerCertificate) -> Change | None:
        return adoption.adopted(Snapshot(row, certificates=(there,)), PROFILE, ME, kept, NOW)

    assert learnt(held("superseded"), told) == Change(row, (held("superseded", "id-1"),))
    assert learnt(held("issued", "id-0"), told) is None
    assert learnt(held("issued"), held("issued")) is None
    assert learnt(held("issued"), strange) is None
