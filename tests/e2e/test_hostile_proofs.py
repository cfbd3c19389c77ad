"""Keys and proofs that must not be certified: broken signatures, weak or disguised keys, forgotten algorithms.

Everything else about these requests is right: the transport, the credentials, and where possible the signature.
"""

import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, x25519
from cryptography.hazmat.primitives.asymmetric import rsa as library_rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from sandbox.device import Identity
from tests.e2e import csr, der
from tests.e2e.der import attribute, dns, extensions, oid, san, utf8
from tests.e2e.est import Site, encoded, leaf, refused

type Case = tuple[Callable[[], bytes], str]

P256 = "1.2.840.10045.3.1.7"


def with_attributes(*attributes: bytes) -> Callable[[], bytes]:
    return lambda: csr.request(attributes=b"".join(attributes))


def with_key(spki: bytes) -> Callable[[], bytes]:
    """Nobody can sign with such a key: the signature is some other key's."""
    return lambda: csr.request(spki=spki)


def signed_as(algorithm: str, signature: bytes) -> Callable[[], bytes]:
    return lambda: csr.request(algorithm=der.sequence(oid(algorithm)), signer=lambda _: signature)


def weakly_hashed(algorithm: str, digest: str, digest_oid: str) -> Callable[[], bytes]:
    """With a good RSA key and a signature that is right."""

    def made() -> bytes:
        key = csr.rsa(2048)
        signer = key.signer(digest, digest_oid)
        return csr.request(spki=key.spki, algorithm=der.sequence(oid(algorithm), der.NULL), signer=signer)

    return made


def pss_key() -> bytes:
    """id-RSASSA-PSS in the key: the same numbers, another algorithm."""
    key = csr.rsa(2048)
    numbers = der.sequence(der.integer(key.n), der.integer(key.e))
    spki = der.sequence(der.sequence(oid("1.2.840.113549.1.1.10")), der.bit_string(numbers))
    return csr.request(spki=spki, algorithm=der.RSA_SHA256, signer=key.signer())


def pss_signature() -> bytes:
    key = library_rsa.generate_private_key(65537, 2048)
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    algorithm = der.sequence(oid("1.2.840.113549.1.1.10"), der.sequence())
    return csr.request(
        spki=der.spki(key), algorithm=algorithm, signer=lambda tbs: key.sign(tbs, scheme, hashes.SHA256())
    )


def edwards(key: ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey, algorithm: str) -> Callable[[], bytes]:
    return lambda: csr.request(spki=der.spki(key), algorithm=der.sequence(oid(algorithm)), signer=key.sign)


def x25519_key() -> bytes:
    public = x25519.X25519PrivateKey.generate().public_key()
    return csr.request(spki=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def explicit(generator: int | None = None) -> Callable[[], bytes]:
    return lambda: csr.request(spki=csr.explicit_curve(csr.ec_key(), generator=generator))


def flipped() -> bytes:
    return csr.request(signer=lambda tbs: csr.ecdsa(csr.ec_key())(tbs + b"!"))


PROOFS: dict[str, Case] = {
    "version 1": (lambda: csr.request(version=1), ""),
    "attributes missing": (lambda: csr.request(attributes=None), ""),
    "attributes unsorted": (
        with_attributes(extensions(san(dns(csr.NAME.encode()))), attribute(der.CHALLENGE_PASSWORD, utf8("x"))),
        "",
    ),
    "the signature is of other bytes": (flipped, "signature does not match"),
    "signed by another key": (
        lambda: csr.request(signer=csr.ecdsa(ec.generate_private_key(ec.SECP256R1()))),
        "signature does not match",
    ),
    "empty signature": (lambda: csr.request(signer=lambda _: b""), "signature does not match"),
    "signature that is no DER": (lambda: csr.request(signer=lambda _: b"\xff" * 70), "signature does not match"),
    "an RSA signature with an EC key": (lambda: csr.request(algorithm=der.RSA_SHA256), ""),
    "MD5": (weakly_hashed("1.2.840.113549.1.1.4", "md5", "1.2.840.113549.2.5"), "use SHA-256"),
    "SHA-1": (weakly_hashed("1.2.840.113549.1.1.5", "sha1", "1.3.14.3.2.26"), "use SHA-256"),
    "SHA-224": (weakly_hashed("1.2.840.113549.1.1.14", "sha224", "2.16.840.1.101.3.4.2.4"), "use SHA-256"),
    "RSASSA-PSS signature": (pss_signature, "use SHA-256"),
    "unknown signature algorithm": (signed_as("1.2.3.4", b"\1" * 64), "use SHA-256"),
}

KEYS: dict[str, Case] = {
    "RSA 512": (lambda: csr.rsa(512).request(), "512 bits"),
    "RSA 768": (lambda: csr.rsa(768).request(), "768 bits"),
    "RSA 1024": (lambda: csr.rsa(1024).request(), "1024 bits"),
    "RSA 2047": (lambda: csr.Rsa(csr.rsa(2048).n >> 1 | 1, 65537).request(), "2047 bits"),
    "RSA 2056": (lambda: csr.rsa(2056).request(), "accepted are"),
    "RSA with e = 3": (lambda: csr.rsa(2048, 3).request(), "public exponent"),
    "RSA with e = 65535": (lambda: csr.Rsa(csr.rsa(2048).n, 65535).request(), "public exponent"),
    "RSA with an even e": (lambda: csr.Rsa(csr.rsa(2048).n, 65538).request(), ""),
    "RSA with e = 1": (lambda: csr.Rsa(csr.rsa(2048).n, 1, 1).request(), ""),
    "RSA with a negative modulus": (lambda: csr.Rsa(-csr.rsa(2048).n, 65537).request(), ""),
    "RSA with an even modulus": (lambda: csr.Rsa(csr.rsa(2048).n - 1, 65537).request(), "small factor"),
    "RSA 16384": (lambda: csr.Rsa(1 << 16383 | 1, 65537).request(), "16384 bits"),
    "RSA 20000": (lambda: csr.Rsa(1 << 19999 | 1, 65537).request(), ""),
    "RSA with e of 2047 bits": (lambda: csr.Rsa(csr.rsa(2048).n, 1 << 2046 | 1).request(), ""),
    "RSASSA-PSS key": (pss_key, "algorithm is not accepted"),
    "P-192": (with_key(csr.named_curve("1.2.840.10045.3.1.1", b"\4" + bytes(48))), "named NIST curve"),
    "P-224": (lambda: csr.by_ec(ec.generate_private_key(ec.SECP224R1())), "named NIST curve"),
    "secp256k1": (lambda: csr.by_ec(ec.generate_private_key(ec.SECP256K1())), "named NIST curve"),
    "brainpoolP256r1": (lambda: csr.by_ec(ec.generate_private_key(ec.BrainpoolP256R1())), "named NIST curve"),
    "binary curve sect233r1": (with_key(csr.named_curve("1.3.132.0.27", b"\4" + bytes(60))), "named NIST curve"),
    "unknown key algorithm": (
        with_key(der.sequence(der.sequence(oid("1.2.3.4")), der.bit_string(bytes(32)))),
        "algorithm is not accepted",
    ),
    "explicit parameters of P-256": (explicit(), "named NIST curve"),
    "explicit parameters, another base point": (explicit(generator=5), "named NIST curve"),
    "point off the curve": (with_key(csr.named_curve(P256, b"\4" + b"\1" * 64)), ""),
    "point at infinity": (with_key(csr.named_curve(P256, b"\0")), ""),
    "Ed25519": (edwards(ed25519.Ed25519PrivateKey.generate(), "1.3.101.112"), "accepted are rsa-2048"),
    "Ed448": (edwards(ed448.Ed448PrivateKey.generate(), "1.3.101.113"), "algorithm is not accepted"),
    "ML-DSA-44": (
        with_key(der.sequence(der.sequence(oid("2.16.840.1.101.3.4.3.17")), der.bit_string(bytes(1312)))),
        "algorithm is not accepted",
    ),
    "X25519, signed by another key": (x25519_key, "algorithm is not accepted"),
}


@pytest.mark.parametrize("case", [*PROOFS, *KEYS])
def test_a_bad_key_or_proof_is_malformed(site: Site, hostile: Identity, case: str) -> None:
    made, words = (PROOFS | KEYS)[case]
    with site.nothing_issued():
        refused(site.enroll(hostile, encoded(made())), 400, words)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(csr.request, id="no attribute"),
        pytest.param(with_attributes(extensions(san(dns(csr.NAME.encode())))), id="its own name in subjectAltName"),
        pytest.param(
            # The labels here are set to ignore it, for clients that always add it: nobody behind a TLS-terminating
            # front end can compare it, and a label set to "reject" answers 400.
            with_attributes(attribute(der.CHALLENGE_PASSWORD, der.printable("d3JvbmcgdmFsdWU="))),
            id="a tls-unique that nobody can verify",
        ),
        pytest.param(lambda: csr.rsa(3072).request(), id="RSA 3072 made by hand"),
        pytest.param(lambda: csr.by_ec(ec.generate_private_key(ec.SECP384R1())), id="P-384"),
    ],
)
def test_the_same_hand_makes_requests_that_are_granted(
    site: Site, hostile: Identity, made: Callable[[], bytes]
) -> None:
    """Without this, all tests above could pass for a reason of their own."""
    request = made()
    certificate = leaf(site.enroll(hostile, encoded(request)))
    assert certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) in request


def test_the_library_of_these_tests_signs_rightly() -> None:
    key = csr.rsa(2048)
    digest = hashlib.sha256(b"abc").digest()
    opened = pow(int.from_bytes(key.signer()(b"abc")), key.e, key.n).to_bytes(256)
    assert opened.startswith(b"\0\1\xff")
    assert opened.endswith(digest)
