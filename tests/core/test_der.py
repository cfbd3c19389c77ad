"""The reader and writer of DER, against the library and against known bytes."""

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from shared.core import der
from shared.core.errors import Malformed
from tests.core import asn1


@pytest.mark.parametrize(
    ("dotted", "known"),
    [
        ("1.2.840.113549.1.9.7", "06092a864886f70d010907"),
        ("1.2.840.10045.3.1.7", "06082a8648ce3d030107"),
        ("1.3.132.0.34", "06052b81040022"),
        ("2.5.4.3", "0603550403"),
        ("2.999.3", "0603883703"),  # X.690 8.19.5
        ("0.9.2342.19200300.100.1.1", "060a0992268993f22c640101"),
    ],
)
def test_object_identifiers_are_these_bytes(dotted: str, known: str) -> None:
    assert der.encode_oid(dotted).hex() == known


# The library refuses arcs of more than 127 bits, and reads what it accepts.
ARCS = st.lists(st.integers(0, 2**63), max_size=5)


@given(st.integers(0, 2), st.integers(0, 39), ARCS)
def test_the_library_reads_the_object_identifiers(first: int, second: int, rest: list[int]) -> None:
    dotted = ".".join(map(str, [first, second, *rest]))
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier(dotted), b"")
    assert der.encode_oid(dotted) == asn1.oid(dotted)
    assert der.encode_oid(extension.oid.dotted_string) == der.encode_oid(dotted)


@pytest.mark.parametrize(
    ("number", "known"),
    [(0, "020100"), (1, "020101"), (127, "02017f"), (128, "02020080"), (256, "02020100"), (4096, "02021000")],
)
def test_integers_are_these_bytes(number: int, known: str) -> None:
    assert der.encode_integer(number).hex() == known


@given(st.integers(min_value=0, max_value=2**4096))
def test_integers_are_minimal_and_positive(number: int) -> None:
    (value,) = der.values(der.encode_integer(number))
    assert value.tag == asn1.INTEGER
    assert int.from_bytes(value.content, signed=True) == number
    assert value.raw == asn1.integer(number)


@given(st.lists(st.binary(max_size=300), max_size=4))
def test_values_come_back_as_they_were_written(contents: list[bytes]) -> None:
    written = [der.encode(asn1.OCTET_STRING, content) for content in contents]
    assert [value.content for value in der.values(b"".join(written))] == contents
    assert [value.raw for value in der.values(b"".join(written))] == written
    assert der.encode(asn1.SEQUENCE, *written) == asn1.tlv(asn1.SEQUENCE, *written)


@pytest.mark.parametrize("size", [0, 127, 128, 255, 256, 65535])
def test_every_length_up_to_64_kib_is_minimal(size: int) -> None:
    written = der.encode(asn1.SEQUENCE, bytes(size))
    assert written == asn1.tlv(asn1.SEQUENCE, bytes(size))
    assert [value.content for value in der.values(written)] == [bytes(size)]


@pytest.mark.parametrize(
    "content", ["30", "3001", "308201", "3084ffffffff", "30820100", "0500" + "05", "1f8100", "bf0100"]
)
def test_what_does_not_fill_its_place_is_malformed(content: str) -> None:
    with pytest.raises(Malformed):
        list(der.values(bytes.fromhex(content)))


@given(st.binary(max_size=200))
def test_any_bytes_are_values_that_fill_them_or_malformed(content: bytes) -> None:
    try:
        found = list(der.values(content))
    except Malformed:
        return
    assert b"".join(value.raw for value in found) == content
