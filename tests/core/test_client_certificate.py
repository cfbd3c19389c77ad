"""Which client certificates are believed, and whom they name."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.core.client_certificate import DEVICE_ID_SOURCES, NotTrusted, device_named, trust, verify
from shared.core.errors import Forbidden
from tests.core.making import DAY, DEVICE, NOW, Authority, ec_key, ed25519_key, key_usage, rsa_key

CA = Authority()
TRUST = trust((CA.certificate,))
CLIENT_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
SERVER_AUTH = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
ANY_EKU = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
FOR_EVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # IEEE 802.1AR: a certificate without an end


def refusal(leaf: x509.Certificate, at: datetime = NOW) -> NotTrusted:
    with pytest.raises(NotTrusted) as refused:
        verify(leaf, TRUST, at)
    return refused.value


SOUND = [
    pytest.param(CA.issue(), id="EKU clientAuth"),
    pytest.param(CA.issue(extensions=[]), id="no extension at all"),
    pytest.param(CA.issue(extensions=[x509.SubjectAlternativeName([x509.DNSName("x")])]), id="with subjectAltName"),
    pytest.param(CA.issue(extensions=[x509.BasicConstraints(ca=False, path_length=None)]), id="said to be no CA"),
    pytest.param(CA.issue(extensions=[key_usage(digital_signature=True)]), id="keyUsage digitalSignature"),
    pytest.param(CA.issue(ends=FOR_EVER), id="without an end (802.1AR)"),
    pytest.param(CA.issue(key=rsa_key()), id="RSA-2048"),
    pytest.param(CA.issue(key=ed25519_key()), id="Ed25519"),
    pytest.param(
        CA.issue(
            extensions=[x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])]
        ),
        id="serverAuth beside clientAuth",
    ),
]


@pytest.mark.parametrize("leaf", SOUND)
def test_is_believed(leaf: x509.Certificate) -> None:
    verify(leaf, TRUST, NOW)


NOT_BELIEVED = [
    pytest.param(Authority("Other CA", number=101).issue(), id="another CA"),
    pytest.param(Authority(number=102).issue(), id="another CA of the same name"),
    pytest.param(CA.issue(sign_with=ec_key(103)), id="a forged signature"),
    pytest.param(CA.issue(begins=NOW + DAY), id="not yet valid"),
    pytest.param(CA.issue(extensions=[SERVER_AUTH]), id="serverAuth alone"),
    pytest.param(CA.issue(extensions=[ANY_EKU]), id="anyExtendedKeyUsage"),
    pytest.param(CA.issue(extensions=[key_usage(key_encipherment=True)]), id="keyUsage without digitalSignature"),
    pytest.param(CA.issue(extensions=[key_usage(digital_signature=True, key_cert_sign=True)]), id="keyUsage of a CA"),
    pytest.param(CA.issue(extensions=[key_usage(digital_signature=True, crl_sign=True)]), id="keyUsage cRLSign"),
    pytest.param(CA.issue(extensions=[x509.BasicConstraints(ca=True, path_length=0)]), id="a CA below ours"),
    pytest.param(CA.certificate, id="our CA itself"),
    pytest.param(CA.issue(key=rsa_key(1024)), id="RSA-1024"),
    pytest.param(CA.issue(key=ec_key(1, ec.SECP224R1())), id="P-224"),
    pytest.param(CA.issue(key=ec_key(1, ec.SECP256K1())), id="secp256k1"),
    pytest.param(Authority(DEVICE, number=1).certificate, id="self-signed CA of the device's name"),
]


@pytest.mark.parametrize("leaf", NOT_BELIEVED)
def test_is_not_believed_and_not_called_expired(leaf: x509.Certificate) -> None:
    assert not refusal(leaf).expired
    assert refusal(leaf).public == "the client certificate is not trusted here"
    assert refusal(leaf).cause


def test_a_self_signed_leaf_is_not_believed() -> None:
    own = Authority(DEVICE, number=1)
    assert not refusal(own.issue()).expired


def test_without_any_authority_nobody_is_believed() -> None:
    with pytest.raises(NotTrusted, match="not trusted"):
        verify(CA.issue(), trust(()), NOW)


def test_an_issuing_ca_as_the_only_anchor_is_enough() -> None:
    issuing = Authority("Issuing CA", number=104, parent=CA)
    verify(issuing.issue(), trust((issuing.certificate,)), NOW)


def test_the_root_alone_does_not_vouch_for_what_its_issuing_ca_issued() -> None:
    """The header holds the leaf alone, so the issuing CA must stand among the authorities."""
    issuing = Authority("Issuing CA", number=104, parent=CA)
    with pytest.raises(NotTrusted):
        verify(issuing.issue(), TRUST, NOW)


def test_time_never_stands_still() -> None:
    """One trust store, asked at several times: a verifier that is kept would go on believing."""
    leaf = CA.issue(begins=NOW - DAY, ends=NOW + DAY)
    verify(leaf, TRUST, NOW)
    assert refusal(leaf, NOW + 2 * DAY).expired
    assert not refusal(leaf, NOW - 2 * DAY).expired
    verify(leaf, TRUST, NOW)


def test_an_expired_certificate_is_told_apart_when_time_alone_speaks_against_it() -> None:
    over = {"begins": NOW - 30 * DAY, "ends": NOW - DAY}
    assert refusal(CA.issue(**over)).expired  # type: ignore[arg-type]
    assert refusal(CA.issue(**over)).public == "the client certificate has expired"  # type: ignore[arg-type]
    assert not refusal(CA.issue(**over, sign_with=ec_key(103))).expired  # type: ignore[arg-type]
    assert not refusal(CA.issue(**over, extensions=[SERVER_AUTH])).expired  # type: ignore[arg-type]
    assert not refusal(CA.issue(**over, key=rsa_key(1024))).expired  # type: ignore[arg-type]


def test_an_expired_authority_vouches_for_nobody() -> None:
    assert not refusal(CA.issue(ends=FOR_EVER), NOW + 4000 * DAY).expired


def named(*extensions: x509.ExtensionType, **subject: str) -> x509.Certificate:
    kinds = {"common_name": NameOID.COMMON_NAME, "serial_number": NameOID.SERIAL_NUMBER}
    return CA.issue(
        x509.Name([x509.NameAttribute(kinds[kind], value) for kind, value in subject.items()]),
        extensions=list(extensions),
    )


@pytest.mark.parametrize(
    ("source", "leaf"),
    [
        ("subject.common_name", named(common_name=DEVICE)),
        ("subject.serial_number", named(common_name="Contoso", serial_number=DEVICE)),
        (
            "san.dns",
            named(x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:x"), x509.DNSName(DEVICE)])),
        ),
        ("san.uri", named(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(DEVICE)]))),
    ],
)
def test_the_device_is_read_from_where_the_profile_says(source: str, leaf: x509.Certificate) -> None:
    assert source in DEVICE_ID_SOURCES
    assert device_named(leaf, source) == DEVICE


TWO = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a"), x509.NameAttribute(NameOID.COMMON_NAME, "b")])


@pytest.mark.parametrize(
    ("source", "leaf", "why"),
    [
        pytest.param("subject.common_name", named(), "once", id="no common name"),
        pytest.param("subject.common_name", CA.issue(TWO), "once", id="two common names"),
        pytest.param("subject.serial_number", named(common_name=DEVICE), "once", id="the name elsewhere"),
        pytest.param("san.dns", named(common_name=DEVICE), "once", id="no subjectAltName"),
        pytest.param(
            "san.dns",
            named(x509.SubjectAlternativeName([x509.DNSName("a"), x509.DNSName("b")])),
            "once",
            id="two names",
        ),
        pytest.param("subject.common_name", named(common_name="dev 1"), "names no device", id="a space"),
        pytest.param("subject.common_name", named(common_name="dev1\x00"), "names no device", id="NUL"),
        pytest.param("subject.common_name", named(common_name="dév1"), "names no device", id="not ASCII"),
    ],
)
def test_a_certificate_that_names_no_one_device_is_forbidden(source: str, leaf: x509.Certificate, why: str) -> None:
    with pytest.raises(Forbidden, match=why):
        device_named(leaf, source)
