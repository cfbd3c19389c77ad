"""Two requests are the same when key and names are, and different when any of them is not."""

from dataclasses import replace

from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from shared.core.csr import SigningRequest, parse
from shared.core.policy import claim_key
from tests.core import asn1
from tests.core.making import DEVICE, csr, ec_key, raw_csr, request
from tests.core.profiles import PROFILE


def key_of(wish: SigningRequest, renews: str = "", label: str = "devices") -> str:
    return claim_key(replace(PROFILE, label=label), wish, renews)


def test_a_request_signed_again_is_the_same_request() -> None:
    first, second = csr(), csr()
    assert first != second
    assert key_of(parse(first)) == key_of(parse(second))


def test_a_tls_unique_value_does_not_make_another_request() -> None:
    challenged = raw_csr(asn1.attribute(asn1.CHALLENGE_PASSWORD, asn1.tlv(asn1.PRINTABLE, b"abc")))
    assert key_of(parse(challenged)) == key_of(request())


def test_whatever_differs_makes_another_request() -> None:
    keys = [
        key_of(request()),
        key_of(request(key=ec_key(2))),
        key_of(request("device-2")),
        key_of(request(DEVICE.upper())),
        key_of(parse(raw_csr(subject=asn1.common_name(DEVICE, asn1.PRINTABLE)))),
        key_of(request(san=[x509.DNSName("a")])),
        key_of(request(san=[x509.DNSName("a"), x509.DNSName("b")])),
        key_of(request(san=[x509.DNSName("b"), x509.DNSName("a")])),
        key_of(request(san=[x509.UniformResourceIdentifier("a")])),
        key_of(request(), label="other"),
        key_of(request(), renews="1f"),
        key_of(request(), renews="2f"),
    ]
    assert len(set(keys)) == len(keys)


def test_the_key_may_stand_in_a_row_key() -> None:
    assert len(key_of(request())) == 64
    assert key_of(request()).isalnum()


PLAIN = request()
NAMES = st.lists(st.tuples(st.sampled_from(["dns", "uri"]), st.text("ab,=|'()", max_size=5)), max_size=3).map(tuple)


@given(st.tuples(NAMES, st.text("ab|", max_size=3)), st.tuples(NAMES, st.text("ab|", max_size=3)))
def test_no_text_in_a_name_looks_like_two_names(
    one: tuple[tuple[tuple[str, str], ...], str], other: tuple[tuple[tuple[str, str], ...], str]
) -> None:
    first, second = (key_of(replace(PLAIN, san=san), renews) for san, renews in (one, other))
    assert (first == second) == (one == other)
