"""Certification requests, sound and odd: put together by hand and really signed, so that the oddity alone is wrong."""

import functools
import hashlib
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric import rsa as library_rsa
from cryptography.hazmat.primitives.hashes import SHA256

from tests.e2e import der

# Whom all hostile requests are for: the device's own certificate names it, so that nothing else can be wrong.
NAME = "hostile-device"

type Signer = Callable[[bytes], bytes]


@functools.cache
def ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def ecdsa(key: ec.EllipticCurvePrivateKey) -> Signer:
    return lambda tbs: key.sign(tbs, ec.ECDSA(SHA256()))


def request(
    *,
    subject: bytes | None = None,
    spki: bytes | None = None,
    attributes: bytes | None = b"",
    version: int = 0,
    algorithm: bytes = der.ECDSA_SHA256,
    signer: Signer | None = None,
) -> bytes:
    """A PKCS#10 request in DER; without `attributes` (None) their `[0]` is missing."""
    tbs = der.sequence(
        der.integer(version),
        subject if subject is not None else der.common_name(NAME),
        spki or der.spki(ec_key()),
        b"" if attributes is None else der.tlv(0xA0, attributes),
    )
    return der.sequence(tbs, algorithm, der.bit_string((signer or ecdsa(ec_key()))(tbs)))


def by_ec(key: ec.EllipticCurvePrivateKey) -> bytes:
    """An ordinary request with this key."""
    return request(spki=der.spki(key), signer=ecdsa(key))


@dataclass(frozen=True)
class Rsa:
    """Textbook RSA, for keys that no library makes: any modulus, any exponent. `d` 0 means that nobody can sign."""

    n: int
    e: int
    d: int = 0

    @property
    def spki(self) -> bytes:
        numbers = der.sequence(der.integer(self.n), der.integer(self.e))
        return der.sequence(der.sequence(der.oid("1.2.840.113549.1.1.1"), der.NULL), der.bit_string(numbers))

    def signer(self, digest: str = "sha256", digest_oid: str = "2.16.840.1.101.3.4.2.1") -> Signer:
        """RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2)."""

        def sign(tbs: bytes) -> bytes:
            size = (abs(self.n).bit_length() + 7) // 8
            if not self.d:
                return bytes(size - 1) + b"\1"
            info = der.sequence(
                der.sequence(der.oid(digest_oid), der.NULL), der.octets(hashlib.new(digest, tbs).digest())
            )
            padded = b"\0\1" + b"\xff" * (size - 3 - len(info)) + b"\0" + info
            return pow(int.from_bytes(padded), self.d, self.n).to_bytes(size)

        return sign

    def request(self) -> bytes:
        return request(spki=self.spki, algorithm=der.RSA_SHA256, signer=self.signer())


@functools.cache
def rsa(bits: int, e: int = 65537) -> Rsa:
    """A working key of this size, from the library where it still makes such keys."""
    if bits >= 1024:
        numbers = library_rsa.generate_private_key(e, bits).private_numbers()
        return Rsa(numbers.public_numbers.n, e, numbers.d)
    while True:
        p, q = _prime(bits // 2), _prime(bits // 2)
        phi = (p - 1) * (q - 1)
        if p != q and math.gcd(e, phi) == 1:
            return Rsa(p * q, e, pow(e, -1, phi))


def _prime(bits: int) -> int:
    """A prime, by Fermat's test, with its two highest bits set."""
    while True:
        number = secrets.randbits(bits) | 3 << (bits - 2) | 1
        if pow(2, number - 1, number) == 1:
            return number


def explicit_curve(key: ec.EllipticCurvePrivateKey, *, generator: int | None = None) -> bytes:
    """P-256 with its parameters written out (RFC 3279 section 2.3.5), or with another base point."""
    p = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
    b = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
    x = 0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296
    y = 0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    curve = der.sequence(
        der.integer(1),
        der.sequence(der.oid("1.2.840.10045.1.1"), der.integer(p)),
        der.sequence(der.octets((p - 3).to_bytes(32)), der.octets(b.to_bytes(32))),
        der.octets(b"\4" + x.to_bytes(32) + (generator or y).to_bytes(32)),
        der.integer(order),
        der.integer(1),
    )
    point = der.spki(key)[-65:]
    return der.sequence(der.sequence(der.oid("1.2.840.10045.2.1"), curve), der.bit_string(point))


def named_curve(dotted: str, point: bytes) -> bytes:
    return der.sequence(der.sequence(der.oid("1.2.840.10045.2.1"), der.oid(dotted)), der.bit_string(point))
