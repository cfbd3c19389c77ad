"""What is kept of a certificate, and the checks on one that DigiCert ONE has just issued."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from shared.core.certificate import (
    CLOCK_SKEW,
    Certificate,
    certificate,
    check_issued,
    is_issued_by,
    issuer_text,
    serial_hex,
)
from shared.core.errors import UpstreamRefused
from tests.core import asn1
from tests.core.making import DAY, NOW, Authority, ec_key, request

CA = Authority()
LEAF = CA.issue(serial=0x0ABC)
KEPT = certificate(LEAF)
ODD_KEY = asn1.spki(asn1.tlv(asn1.SEQUENCE, asn1.oid("1.2.643.2.2.19")), b"x")


def test_a_certificate_is_kept_in_lower_case_hex_and_utc() -> None:
    assert KEPT.der == LEAF.public_bytes(Encoding.DER)
    assert KEPT.serial == serial_hex(LEAF) == "abc"
    assert KEPT.thumbprint == LEAF.fingerprint(SHA256()).hex()
    assert KEPT.thumbprint_sha1 == LEAF.fingerprint(SHA1()).hex()  # noqa: S303 - IoT Hub still takes SHA-1
    assert KEPT.spki_sha256 == request().spki_sha256
    assert (KEPT.subject, KEPT.issuer) == ("CN=device-1", "CN=Test CA")
    assert (KEPT.not_before, KEPT.not_after) == (NOW - DAY, NOW + 30 * DAY)


def test_both_ends_of_the_validity_are_valid() -> None:
    assert KEPT.is_valid_at(KEPT.not_before)
    assert KEPT.is_valid_at(KEPT.not_after)
    assert not KEPT.is_valid_at(KEPT.not_before - timedelta(seconds=1))
    assert not KEPT.is_valid_at(KEPT.not_after + timedelta(seconds=1))


def of(begins: datetime, days: float) -> Certificate:
    return replace(KEPT, not_before=begins, not_after=begins + timedelta(days=days))


POINTS = st.floats(min_value=0, max_value=1)


@given(POINTS, POINTS, st.floats(min_value=0, max_value=40_000))
def test_a_later_renewal_point_is_never_due_earlier(one: float, other: float, days: float) -> None:
    early, late = sorted([one, other])
    kept = of(NOW, days)
    assert kept.not_before <= kept.renewal_due(early) <= kept.renewal_due(late) <= kept.not_after


@given(POINTS, st.floats(min_value=0, max_value=4000), st.floats(min_value=0, max_value=4000))
def test_a_longer_life_is_never_due_earlier(point: float, one: float, other: float) -> None:
    short, long = sorted([one, other])
    assert of(NOW, short).renewal_due(point) <= of(NOW, long).renewal_due(point)


def test_eighty_per_cent_of_ten_days_are_eight() -> None:
    assert of(NOW, 10).renewal_due(0.8) == NOW + 8 * DAY


def test_the_leaf_is_found_among_its_chain_in_any_order() -> None:
    for candidates in ([LEAF], [LEAF, CA.certificate], [CA.certificate, LEAF]):
        assert check_issued(candidates, request(), NOW) == LEAF


def names(*dns: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(one) for one in dns])


def test_the_ca_may_add_the_device_id_and_say_that_it_is_no_ca() -> None:
    leaf = CA.issue(extensions=[names("device-1"), x509.BasicConstraints(ca=False, path_length=None)])
    assert check_issued([leaf], request(), NOW) == leaf


REFUSED = [
    pytest.param([], "another key", id="nothing"),
    pytest.param([CA.certificate], "another key", id="the CA alone"),
    pytest.param([CA.issue(key=ec_key(2))], "another key", id="another key"),
    pytest.param([CA.issue("device-2")], "changed the subject", id="another subject"),
    pytest.param([CA.issue(ends=NOW)], "not valid now", id="expired this moment"),
    pytest.param([CA.issue(begins=NOW + CLOCK_SKEW + timedelta(seconds=1))], "not valid now", id="not yet valid"),
    pytest.param([CA.issue(extensions=[x509.BasicConstraints(ca=True, path_length=None)])], "says more", id="a CA"),
    pytest.param([CA.issue(extensions=[names("device-1", "device-2")])], "says more", id="another device's name"),
    pytest.param([CA.issue(extensions=[names("*")])], "cannot be read", id="a wildcard"),
    pytest.param([CA.by_hand(spki=ODD_KEY)], "cannot be read", id="a key that cannot be read"),
    pytest.param([CA.by_hand(name=asn1.common_name(b"\xe9", asn1.T61))], "cannot be read", id="an unreadable name"),
]


@pytest.mark.parametrize(("candidates", "why"), REFUSED)
def test_an_answer_that_does_not_fit_is_not_handed_on(candidates: list[x509.Certificate], why: str) -> None:
    with pytest.raises(UpstreamRefused, match=why) as refused:
        check_issued(candidates, request(), NOW)
    assert not refused.value.nothing_issued
    assert refused.value.cause


def test_our_clock_may_be_a_little_behind() -> None:
    leaf = CA.issue(begins=NOW + CLOCK_SKEW)
    assert check_issued([leaf], request(), NOW) == leaf


def test_a_certificate_is_issued_by_whoever_signed_it() -> None:
    twin = Authority(number=102)
    other = Authority("Other CA", number=101)
    assert is_issued_by(LEAF, (other.certificate, CA.certificate))
    assert not is_issued_by(LEAF, ())
    assert not is_issued_by(LEAF, (other.certificate,))
    assert not is_issued_by(LEAF, (twin.certificate,))
    assert not is_issued_by(CA.issue(sign_with=ec_key(5)), (CA.certificate,))
    assert is_issued_by(CA.certificate, (CA.certificate,))


def test_the_issuers_name_is_for_the_log_whatever_it_holds() -> None:
    assert issuer_text(LEAF) == CA.certificate.subject.rfc4514_string()
    (name,) = (str(one.value).encode() for one in CA.name)
    broken = LEAF.public_bytes(Encoding.DER).replace(name, b"\xe9" * len(name), 1)
    assert "cannot be read" in issuer_text(x509.load_der_x509_certificate(broken))
