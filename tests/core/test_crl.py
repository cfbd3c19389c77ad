"""Whether a CRL may be believed, and what is new on it."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import x25519
from hypothesis import given
from hypothesis import strategies as st

from sandbox import pki
from shared.core import crl
from shared.core.crl import Last, Listed, Revoked
from shared.core.errors import UpstreamRefused
from shared.core.issuer import names_of
from shared.core.revocation import Reason
from tests.fakes.revocation import a_crl, an_entry

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HIERARCHY = pki.issuing_hierarchy(NOW - 400 * DAY)
ICA = HIERARCHY.ica
CHAIN = (HIERARCHY.root.certificate, ICA.certificate)
NOTHING = Last()
ONE_OF_EACH = {
    None: Reason.UNSPECIFIED,
    x509.ReasonFlags.key_compromise: Reason.KEY_COMPROMISE,
    x509.ReasonFlags.certificate_hold: Reason.CERTIFICATE_HOLD,
    x509.ReasonFlags.superseded: Reason.SUPERSEDED,
    x509.ReasonFlags.aa_compromise: Reason.AA_COMPROMISE,
    x509.ReasonFlags.ca_compromise: Reason.UNSPECIFIED,
}


LAST = Last(names_of(ICA.certificate)[0], number=5)


def read(der: bytes, last: Last = NOTHING, most: int = 100, issuers: tuple[x509.Certificate, ...] = CHAIN) -> Listed:
    return crl.read(der, issuers, last=last, most=most, now=NOW)


def a_point(
    *, users: bool = False, ca: bool = False, attributes: bool = False, indirect: bool = False
) -> x509.IssuingDistributionPoint:
    return x509.IssuingDistributionPoint(
        None, None, users, ca, None, indirect_crl=indirect, only_contains_attribute_certs=attributes
    )


def test_a_list_tells_what_is_revoked_since_when_and_why() -> None:
    entries = [an_entry(f"a{number}", NOW - number * DAY, reason) for number, reason in enumerate(ONE_OF_EACH)]
    listed = read(a_crl(ICA, NOW, *entries, number=7))
    reasons = enumerate(ONE_OF_EACH.values())
    assert listed.new == tuple(Revoked(f"a{number}", NOW - number * DAY, why) for number, why in reasons)
    assert (listed.issuer, listed.signer) == (ICA.certificate.subject.rfc4514_string(), LAST.signer)
    assert (listed.number, listed.issued, listed.total, listed.left) == (7, NOW, 6, 0)
    assert listed.next_update == NOW + DAY


def test_a_list_may_be_empty_and_without_a_number() -> None:
    listed = read(a_crl(ICA, NOW, number=None))
    assert (listed.number, listed.total, listed.new, len(listed.remembered)) == (0, 0, (), 0)


def test_of_what_is_new_the_newest_come_first_and_the_rest_is_counted() -> None:
    entries = [an_entry(f"{number:x}", NOW - number * DAY) for number in (3, 1, 4, 2, 5)]
    listed = read(a_crl(ICA, NOW, *entries), most=2)
    assert [one.serial for one in listed.new] == ["1", "2"]
    assert listed.left == 3


def test_what_was_seen_before_is_not_new_whatever_its_date() -> None:
    """DigiCert ONE dates a revocation back: the new one here is the oldest."""
    old = [an_entry("a1", NOW), an_entry("a2", NOW)]
    seen = crl.from_parts(crl.to_parts([crl.mark(0xA1), crl.mark(0xA2), crl.mark(0xA3)], 3))
    listed = read(a_crl(ICA, NOW, *old, an_entry("b1", NOW - 80 * DAY)), replace(LAST, number=0, seen=seen))
    assert [one.serial for one in listed.new] == ["b1"]
    assert sorted(listed.remembered) == sorted([crl.mark(0xA1), crl.mark(0xA2)])  # a3 is listed no more


@pytest.mark.parametrize(
    ("der", "text"),
    [
        (b"<html>", "cannot be read"),
        (a_crl(pki.rogue_authority(ICA), NOW), "not signed by a CA"),
        (a_crl(pki.factory_authority(NOW), NOW), "not signed by a CA"),
        (a_crl(ICA, NOW + DAY), "of the future"),
        (a_crl(ICA, NOW, number=4), "older than the last"),
        (a_crl(ICA, NOW, number=None), "older than the last"),
        (a_crl(ICA, NOW - DAY, number=5), "older than the last"),
        (a_crl(ICA, NOW, extension=x509.DeltaCRLIndicator(3)), "a delta"),
        (
            a_crl(ICA, NOW, extension=a_point(indirect=True)),
            "several issuers",
        ),
        (a_crl(ICA, NOW, extension=a_point(ca=True)), "never lists devices"),
        (a_crl(ICA, NOW, extension=a_point(attributes=True)), "never lists devices"),
        (
            a_crl(ICA, NOW, extension=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.1.1"), b"\5\0")),
            "cannot be understood",
        ),
    ],
)
def test_a_list_that_may_not_be_believed_is_refused(der: bytes, text: str) -> None:
    with pytest.raises(UpstreamRefused, match=text):
        read(der, replace(LAST, issued=NOW))


def test_without_numbers_the_time_tells_which_list_is_older() -> None:
    newer = replace(LAST, number=0, issued=NOW)
    assert read(a_crl(ICA, NOW, number=None), newer).issued == NOW
    with pytest.raises(UpstreamRefused, match="older than the last"):
        read(a_crl(ICA, NOW - DAY, number=None), newer)


def test_another_cas_list_at_the_same_address_counts_for_itself() -> None:
    """The next issuing CA begins with the number 1, and may give the old one's serial numbers again."""
    following = pki.issuing_ca(HIERARCHY.root, "Issuing CA 2", NOW - DAY)
    seen = crl.from_parts(crl.to_parts([crl.mark(7)], 1))
    last = replace(LAST, number=5000, issued=NOW, seen=seen)
    entry = an_entry("7", NOW - 2 * DAY)
    listed = read(a_crl(following, NOW - DAY, entry), last, issuers=(*CHAIN, following.certificate))
    assert ([one.serial for one in listed.new], list(listed.remembered)) == (["7"], [])
    assert listed.signer != LAST.signer


def test_an_entry_that_takes_a_hold_off_revokes_nothing() -> None:
    """RFC 5280 §5.3.1: removeFromCRL. What stands beside it does."""
    released = an_entry("a1", NOW, x509.ReasonFlags.remove_from_crl)
    listed = read(a_crl(ICA, NOW, released, an_entry("a2", NOW)))
    assert [one.serial for one in listed.new] == ["a2"]
    assert (listed.left, len(listed.remembered)) == (0, 0)


def test_one_changed_bit_spoils_the_list() -> None:
    der = bytearray(a_crl(ICA, NOW, an_entry("a1", NOW)))
    der[-1] ^= 1
    with pytest.raises(UpstreamRefused):
        read(bytes(der))


def test_a_list_of_one_of_several_distribution_points_is_read() -> None:
    assert read(a_crl(ICA, NOW, number=5, extension=a_point(users=True)), LAST).number == 5


def test_what_a_list_says_besides_is_no_obstacle() -> None:
    key = x509.AuthorityKeyIdentifier.from_issuer_public_key(ICA.key.public_key())
    assert read(a_crl(ICA, NOW, number=6, extension=key), LAST).number == 6


def test_a_list_that_should_have_been_replaced_is_read() -> None:
    assert read(a_crl(ICA, NOW - 3 * DAY, an_entry("a1", NOW - 3 * DAY))).next_update == NOW - 2 * DAY


def test_a_ca_whose_key_signs_no_lists_has_signed_none() -> None:
    odd = pki.builder_for(
        ICA.certificate.subject, x25519.X25519PrivateKey.generate().public_key(), [], NOW - DAY, NOW + DAY
    )
    named = odd.issuer_name(ICA.certificate.subject).sign(ICA.key, hashes.SHA256())
    with pytest.raises(UpstreamRefused, match="not signed"):
        read(a_crl(ICA, NOW), issuers=(named,))


@given(st.sets(st.integers(1, (1 << 159) - 1), max_size=200))
def test_marks_survive_storage_sorted(serials: set[int]) -> None:
    marks = [crl.mark(one) for one in serials]
    assert list(crl.from_parts(crl.to_parts(marks, len(marks)))) == sorted(marks)


@pytest.mark.parametrize("count", [0, 1, 2_000, 2_001, 9_000])
def test_a_mark_is_found_in_the_one_part_that_holds_it(count: int) -> None:
    marks = [crl.mark(one) for one in range(1, count + 1)]
    parts = crl.to_parts(marks, count)
    assert all(one in crl.from_parts([parts[crl.part_of(one, len(parts))]]) for one in marks[:500])
    assert crl.mark(count + 1) not in crl.from_parts([parts[crl.part_of(crl.mark(count + 1), len(parts))]])


def test_parts_are_small_enough_for_a_row_whether_serials_are_random_or_counted() -> None:
    """A property in Table Storage holds 32 Ki characters."""
    for serials in ([random.getrandbits(127) for _ in range(50_000)], range(1, 50_001)):
        marks = {crl.mark(one) for one in serials}
        parts = crl.to_parts(marks, len(marks))
        assert len(parts) == 32
        assert max(map(len, parts)) < 32_768
        assert list(crl.from_parts(parts)) == sorted(marks)


def test_no_marks_are_one_empty_part() -> None:
    assert crl.to_parts([], 0) == [""]
    assert len(crl.from_parts([""])) == 0
