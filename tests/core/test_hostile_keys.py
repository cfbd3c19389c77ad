"""Requests with a weak, odd or disguised key, or with a signature that proves nothing."""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, padding
from cryptography.hazmat.primitives.hashes import SHA224, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.core.csr import parse
from shared.core.errors import Malformed
from tests.core import asn1, weak_keys
from tests.core.making import DEVICE, csr, ec_key, ed25519_key, raw_csr, rsa_key, spki_of, subject

EC = asn1.oid("1.2.840.10045.2.1")
P256 = asn1.oid("1.2.840.10045.3.1.7")
POINT = ec_key().public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def ec_spki(parameters: bytes, point: bytes = POINT) -> bytes:
    return asn1.spki(asn1.tlv(asn1.SEQUENCE, EC, parameters), point)


def explicit_p256(generator: bytes | None = None) -> bytes:
    """SpecifiedECDomain of P-256 (SEC 1, C.2), or of a curve that differs in its generator alone (CVE-2020-0601)."""
    prime = 2**256 - 2**224 + 2**192 + 2**96 - 1
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    x = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
    y = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5
    base = generator or b"\x04" + x.to_bytes(32) + y.to_bytes(32)
    field = asn1.tlv(asn1.SEQUENCE, asn1.oid("1.2.840.10045.1.1"), asn1.integer(prime))
    curve = asn1.tlv(
        asn1.SEQUENCE,
        asn1.tlv(asn1.OCTET_STRING, (prime - 3).to_bytes(32)),
        asn1.tlv(asn1.OCTET_STRING, b.to_bytes(32)),
    )
    return asn1.tlv(
        asn1.SEQUENCE,
        asn1.integer(1),
        field,
        curve,
        asn1.tlv(asn1.OCTET_STRING, base),
        asn1.integer(order),
        asn1.integer(1),
    )


def compressed() -> bytes:
    return ec_key().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)


def hybrid() -> bytes:
    return bytes([6 + (POINT[-1] & 1)]) + POINT[1:]


def rsa(modulus: int, exponent: int = 65537) -> bytes:
    return raw_csr(spki=asn1.rsa_spki(modulus, exponent))


def pss_key() -> bytes:
    numbers = rsa_key().public_key().public_numbers()
    algorithm = asn1.tlv(asn1.SEQUENCE, asn1.oid("1.2.840.113549.1.1.10"))
    return raw_csr(spki=asn1.rsa_spki(numbers.n, numbers.e, algorithm))


def algorithm(dotted: str) -> bytes:
    return asn1.tlv(asn1.SEQUENCE, asn1.oid(dotted))


def signed_with_sha224() -> bytes:
    made = x509.CertificateSigningRequestBuilder().subject_name(subject()).sign(ec_key(), SHA224())
    return made.public_bytes(Encoding.DER)


def signed_with_pss() -> bytes:
    pss = padding.PSS(padding.MGF1(SHA256()), 32)
    made = x509.CertificateSigningRequestBuilder().subject_name(subject())
    return made.sign(rsa_key(), SHA256(), rsa_padding=pss).public_bytes(Encoding.DER)


def ed448_request() -> bytes:
    made = x509.CertificateSigningRequestBuilder().subject_name(subject()).sign(ed448.Ed448PrivateKey.generate(), None)
    return made.public_bytes(Encoding.DER)


def flipped_signature() -> bytes:
    der = bytearray(raw_csr())
    der[-1] ^= 1
    return bytes(der)


def of_curve(curve: ec.EllipticCurve) -> bytes:
    return csr(key=ec_key(1, curve))


ALGORITHM, SIZE, FACTOR = "algorithm is not accepted", "bits; 2048, 3072 or 4096", "small factor"
EXPONENT, READ, SIGNED = "public exponent", "cannot be read", "is signed with an algorithm"
SIGNATURE, FORM = "signature does not match", "usual form"

REFUSED = [
    pytest.param(raw_csr(version=1), READ, id="version 1"),
    pytest.param(rsa(weak_keys.of_bits(512)), SIZE, id="RSA of 512 bits"),
    pytest.param(rsa(weak_keys.of_bits(768)), SIZE, id="RSA of 768 bits"),
    pytest.param(csr(key=rsa_key(1024)), SIZE, id="RSA of 1024 bits, rightly signed"),
    pytest.param(rsa(weak_keys.of_bits(2047)), SIZE, id="RSA of 2047 bits"),
    pytest.param(rsa(weak_keys.of_bits(8192)), SIZE, id="RSA of 8192 bits"),
    pytest.param(rsa(weak_keys.of_bits(20_000)), SIZE, id="RSA of 20000 bits"),
    pytest.param(rsa(weak_keys.good_modulus(), 3), EXPONENT, id="RSA with exponent 3"),
    pytest.param(rsa(weak_keys.good_modulus(), 65535), EXPONENT, id="RSA with exponent 65535"),
    pytest.param(rsa(weak_keys.good_modulus(), 2**256 + 1), EXPONENT, id="RSA with a huge exponent"),
    pytest.param(rsa(weak_keys.good_modulus(), 1), READ, id="RSA with exponent 1"),
    pytest.param(rsa(weak_keys.good_modulus(), 65538), READ, id="RSA with an even exponent"),
    pytest.param(rsa(-weak_keys.good_modulus()), READ, id="RSA with a negative modulus"),
    pytest.param(rsa(weak_keys.even_modulus()), FACTOR, id="RSA with an even modulus"),
    pytest.param(rsa(weak_keys.modulus_divisible_by(3)), FACTOR, id="RSA with a factor of 3"),
    pytest.param(rsa(weak_keys.roca_modulus()), "CVE-2017-15361", id="RSA by the broken generator"),
    pytest.param(rsa(weak_keys.close_factors(1000)), "too close", id="RSA with close primes"),
    pytest.param(pss_key(), ALGORITHM, id="an RSA-PSS key"),
    pytest.param(
        raw_csr(spki=asn1.rsa_spki(weak_keys.good_modulus(), 65537, algorithm("1.2.840.113549.1.1.1"))),
        ALGORITHM,
        id="RSA without the NULL parameters",
    ),
    pytest.param(raw_csr(spki=ec_spki(asn1.oid("1.2.840.10045.3.1.1"), b"\x04" + bytes(48))), ALGORITHM, id="P-192"),
    pytest.param(of_curve(ec.SECP224R1()), ALGORITHM, id="P-224"),
    pytest.param(of_curve(ec.SECP256K1()), ALGORITHM, id="secp256k1"),
    pytest.param(of_curve(ec.BrainpoolP256R1()), ALGORITHM, id="brainpool"),
    pytest.param(raw_csr(spki=ec_spki(asn1.oid("1.3.132.0.1"))), ALGORITHM, id="a binary curve"),
    pytest.param(raw_csr(spki=asn1.spki(algorithm("1.2.643.2.2.19"), POINT)), ALGORITHM, id="an unknown kind of key"),
    pytest.param(raw_csr(spki=ec_spki(explicit_p256())), ALGORITHM, id="P-256 spelt out"),
    pytest.param(raw_csr(spki=ec_spki(explicit_p256(POINT))), ALGORITHM, id="P-256 with another generator"),
    pytest.param(raw_csr(spki=ec_spki(asn1.tlv(asn1.NULL))), ALGORITHM, id="EC with an implied curve"),
    pytest.param(raw_csr(spki=ec_spki(P256, b"\x04" + bytes(63) + b"\x01")), READ, id="a point off the curve"),
    pytest.param(raw_csr(spki=ec_spki(P256, b"\x00")), READ, id="the point at infinity"),
    pytest.param(raw_csr(spki=ec_spki(P256, compressed())), FORM, id="a compressed point"),
    pytest.param(raw_csr(spki=ec_spki(P256, hybrid())), FORM, id="a hybrid point"),
    pytest.param(ed448_request(), ALGORITHM, id="Ed448"),
    pytest.param(raw_csr(spki=asn1.spki(algorithm("1.3.101.110"), bytes(32))), ALGORITHM, id="X25519"),
    pytest.param(raw_csr(spki=asn1.spki(algorithm("2.16.840.1.101.3.4.3.17"), bytes(32))), ALGORITHM, id="ML-DSA"),
    pytest.param(flipped_signature(), "signature does not match|cannot be read", id="a flipped signature"),
    pytest.param(raw_csr(spki=spki_of(ec_key(2))), SIGNATURE, id="a signature by another key"),
    pytest.param(raw_csr(signature=b""), SIGNATURE, id="an empty signature"),
    pytest.param(raw_csr(signature=b"not DER"), SIGNATURE, id="a signature that is no DER"),
    pytest.param(raw_csr(algorithm=algorithm("1.2.840.10045.4.3.3")), SIGNATURE, id="another hash named"),
    pytest.param(
        raw_csr(algorithm=asn1.tlv(asn1.SEQUENCE, asn1.oid("1.2.840.113549.1.1.11"), asn1.tlv(asn1.NULL))),
        "signature does not match|cannot be read",
        id="an RSA signature by an EC key",
    ),
    pytest.param(raw_csr(algorithm=algorithm("1.2.840.113549.1.1.4")), SIGNED, id="MD5"),
    pytest.param(raw_csr(algorithm=algorithm("1.2.840.113549.1.1.3")), SIGNED, id="MD4"),
    pytest.param(raw_csr(algorithm=algorithm("1.2.840.10045.4.1")), SIGNED, id="SHA-1"),
    pytest.param(signed_with_sha224(), SIGNED, id="SHA-224"),
    pytest.param(signed_with_pss(), SIGNED, id="an RSA-PSS signature"),
    pytest.param(raw_csr(algorithm=algorithm("1.2.3.4")), SIGNED, id="an unknown signature algorithm"),
]


@pytest.mark.parametrize(("der", "why"), REFUSED)
def test_is_malformed(der: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        parse(der)


@pytest.mark.parametrize(
    ("der", "key", "digest"),
    [
        (csr(key=rsa_key()), "rsa-2048", "sha256"),
        (csr(), "ec-p256", "sha256"),
        (csr(key=ec_key(1, ec.SECP384R1())), "ec-p384", "sha256"),
        (csr(key=ec_key(1, ec.SECP521R1())), "ec-p521", "sha256"),
        (csr(key=ed25519_key()), "ed25519", "ed25519"),
        (raw_csr(), "ec-p256", "sha256"),
    ],
)
def test_good_keys_are_named(der: bytes, key: str, digest: str) -> None:
    request = parse(der)
    assert (request.key, request.hash, request.common_name) == (key, digest, DEVICE)
