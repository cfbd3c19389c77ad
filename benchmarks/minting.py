"""Signing requests and certificates by the hundred thousand: one is made as usual, the others differ in their names.

Each has a signature of its own, so that the product has as much to verify as ever; only making them costs less.
"""

import secrets
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import device, pki
from sandbox.world import Clock

_ECDSA_SHA256: Final = bytes.fromhex("300a06082a8648ce3d040302")  # AlgorithmIdentifier, RFC 5758 §3.2


@dataclass(frozen=True)
class Mint:
    """All devices have one key. `request` and `leaf` are what is signed of the first device's, with its `serial`."""

    key: ec.EllipticCurvePrivateKey
    authority: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]
    request: bytes
    leaf: bytes
    serial: bytes

    def csr(self, name: str) -> bytes:
        """A request of the device, in DER."""
        return _signed(self.request.replace(FIRST.encode(), name.encode()), self.key)

    def certificate(self, name: str) -> bytes:
        """Another certificate of the device, in DER."""
        serial = self.serial[:1] + secrets.token_bytes(len(self.serial) - 1)
        named = self.leaf.replace(FIRST.encode(), name.encode())
        return _signed(named.replace(self.serial, serial), self.authority)


def device_name(number: int) -> str:
    return f"device-{number:06d}"


FIRST: Final = device_name(0)


def mint() -> Mint:
    now, key = Clock().now(), ec.generate_private_key(ec.SECP256R1())
    hierarchy = pki.issuing_hierarchy(now)
    leaf = pki.issue_leaf(hierarchy.ica, FIRST, key.public_key(), now)
    return Mint(
        key,
        hierarchy.ica.key,
        (hierarchy.ica.certificate, hierarchy.root.certificate),
        x509.load_der_x509_csr(device.request(FIRST, key)).tbs_certrequest_bytes,
        leaf.tbs_certificate_bytes,
        leaf.serial_number.to_bytes(16),
    )


def _signed(content: bytes, key: ec.EllipticCurvePrivateKey) -> bytes:
    """RFC 5280 §4.1 and RFC 2986 §4.2 alike: what is signed, the algorithm, and the signature as a BIT STRING."""
    signature = b"\0" + key.sign(content, ec.ECDSA(hashes.SHA256()))
    inner = content + _ECDSA_SHA256 + b"\x03" + bytes([len(signature)]) + signature
    size = len(inner).to_bytes((len(inner).bit_length() + 7) // 8)
    return bytes([0x30, 0x80 | len(size)]) + size + inner
