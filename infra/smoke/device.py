"""The test device: its key, as csrattrs asks for one, its requests, and the certificates that it shows."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from shared.core import der
from shared.core.certificate import is_issued_by
from shared.core.errors import Malformed

type Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
type Hash = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

_INTEGER: Final = 0x02
_ED25519: Final = der.encode_oid("1.3.101.112")
_CURVES: Final = {
    der.encode_oid("1.2.840.10045.3.1.7"): ec.SECP256R1(),
    der.encode_oid("1.3.132.0.34"): ec.SECP384R1(),
    der.encode_oid("1.3.132.0.35"): ec.SECP521R1(),
}
_HASHES: Final[dict[bytes, Hash]] = {
    der.encode_oid(oid): digest
    for oid, digest in (
        ("1.2.840.10045.4.3.3", hashes.SHA384()),
        ("1.2.840.10045.4.3.4", hashes.SHA512()),
        ("1.2.840.113549.1.1.12", hashes.SHA384()),
        ("1.2.840.113549.1.1.13", hashes.SHA512()),
    )
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What csrattrs asks for (RFC 9908 §3.2). `make` gives a new key of that kind each time."""

    values: frozenset[bytes] = frozenset()
    rsa_bits: int = 0

    def key(self) -> Key:
        if _ED25519 in self.values:
            return ed25519.Ed25519PrivateKey.generate()
        if self.rsa_bits:
            return rsa.generate_private_key(65537, self.rsa_bits)
        curve = next((curve for oid, curve in _CURVES.items() if oid in self.values), ec.SECP256R1())
        return ec.generate_private_key(curve)

    def digest(self) -> Hash:
        return next((digest for oid, digest in _HASHES.items() if oid in self.values), hashes.SHA256())


def wanted(csrattrs: bytes) -> Wanted:
    """From the body of the answer; P-256 and SHA-256 where that says nothing."""
    try:
        content = binascii.a2b_base64(b"".join(csrattrs.split()), strict_mode=True)
        values = _flat(content)
    except (ValueError, Malformed):
        return Wanted()
    sizes = [int.from_bytes(one.content) for one in values if one.tag == _INTEGER]
    return Wanted(frozenset(one.raw for one in values if one.tag == der.OID), max(sizes, default=0))


def _flat(content: bytes) -> list[der.Value]:
    """All values, those inside of others too."""
    found = []
    for one in der.values(content):
        found += [one, *_flat(one.content)] if one.tag in {der.SEQUENCE, der.SET} else [one]
    return found


def request(name: str, key: Key, digest: Hash) -> bytes:
    """The body of an enrollment: a common name and no extension, as aziot-identityd makes it."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    signed = builder.sign(key, None if isinstance(key, ed25519.Ed25519PrivateKey) else digest)
    return base64.encodebytes(signed.public_bytes(Encoding.DER))


@dataclass(frozen=True, slots=True)
class Identity:
    """A key with its certificate; `authorities` are what cacerts says."""

    name: str
    key: Key = field(repr=False)
    leaf: x509.Certificate
    authorities: tuple[x509.Certificate, ...]

    @property
    def serial(self) -> str:
        """As the ledger writes it."""
        return f"{self.leaf.serial_number:x}"

    def pem(self) -> str:
        """Key, leaf, and the chain up to the root: DPS wants it up to a CA that it has verified."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path, rest = [self.leaf], list(self.authorities)
        while found := next((one for one in rest if is_issued_by(path[-1], (one,))), None):
            path.append(found)
            rest.remove(found)
        return (key + b"".join(one.public_bytes(Encoding.PEM) for one in path)).decode()
