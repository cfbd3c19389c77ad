"""Keys, signing requests and certificates for the tests, made the same way each time wherever that is possible."""

import base64
import functools
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from shared.core.csr import SigningRequest, parse
from tests.core import asn1

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
DEVICE = "device-1"

type PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

type Hash = SHA256 | SHA384 | SHA512

HASHES: dict[str, Hash] = {"sha256": SHA256(), "sha384": SHA384(), "sha512": SHA512()}
CURVES: dict[str, ec.EllipticCurve] = {"ec-p256": ec.SECP256R1(), "ec-p384": ec.SECP384R1(), "ec-p521": ec.SECP521R1()}


def ec_key(number: int = 1, curve: ec.EllipticCurve | None = None) -> ec.EllipticCurvePrivateKey:
    """The `number`th key, always the same one."""
    return ec.derive_private_key(0x1234567 + number, curve or ec.SECP256R1())


@functools.cache
def rsa_key(bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


def ed25519_key(number: int = 1) -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)


def key_named(name: str) -> PrivateKey:
    """A key of a kind that profiles name: `rsa-2048`, `ec-p256`, `ed25519`, …"""
    if name == "ed25519":
        return ed25519_key()
    return ec_key(1, CURVES[name]) if name in CURVES else rsa_key(int(name.removeprefix("rsa-")))


def spki_of(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def subject(device: str = DEVICE) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, device)])


def csr(
    device: str = DEVICE,
    *,
    key: PrivateKey | None = None,
    san: list[x509.GeneralName] | None = None,
    extensions: list[x509.ExtensionType] | None = None,
    digest: Hash | None = None,
    name: x509.Name | None = None,
) -> bytes:
    """A well-formed request, by `cryptography`."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(name or subject(device))
    if san is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    for extension in extensions or []:
        builder = builder.add_extension(extension, critical=False)
    key = key or ec_key()
    hashed = None if isinstance(key, ed25519.Ed25519PrivateKey) else digest or SHA256()
    return builder.sign(key, hashed).public_bytes(Encoding.DER)


def request(device: str = DEVICE, **how: object) -> SigningRequest:
    """The parsed form of `csr` with the same arguments."""
    return parse(csr(device, **how))  # type: ignore[arg-type]


def raw_csr(  # the parts of CertificationRequest, each replaceable by bytes
    *attributes: bytes,
    subject: bytes = asn1.common_name(DEVICE),
    version: int = 0,
    key: ec.EllipticCurvePrivateKey | None = None,
    spki: bytes | None = None,
    algorithm: bytes | None = None,
    signature: bytes | None = None,
    sort: bool = True,
) -> bytes:
    """A request of any form, with a right signature by an EC key unless one is given. The same bytes each time."""
    key = key or ec_key()
    ordered = sorted(attributes) if sort else attributes
    info = asn1.tlv(asn1.SEQUENCE, asn1.integer(version), subject, spki or spki_of(key), asn1.tlv(0xA0, *ordered))
    return signed(info, key, algorithm=algorithm, signature=signature)


def signed(
    info: bytes, key: ec.EllipticCurvePrivateKey, *, algorithm: bytes | None = None, signature: bytes | None = None
) -> bytes:
    """A CertificationRequestInfo of any bytes, signed."""
    made = key.sign(info, ec.ECDSA(SHA256(), deterministic_signing=True)) if signature is None else signature
    algorithm = algorithm or asn1.tlv(asn1.SEQUENCE, asn1.oid(asn1.ECDSA_SHA256))
    return asn1.tlv(asn1.SEQUENCE, info, algorithm, asn1.tlv(asn1.BIT_STRING, b"\x00", made))


class Authority:
    """A CA of the tests: its certificate, and certificates by it."""

    def __init__(self, name: str = "Test CA", *, number: int = 100, parent: "Authority | None" = None) -> None:
        self.key = ec_key(number)
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = parent or self
        self.certificate = (
            _builder(self.name, issuer.name, self.key.public_key(), NOW - 365 * DAY, NOW + 3650 * DAY)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(key_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
            .sign(issuer.key, SHA256())
        )

    def issue(
        self,
        device: str | x509.Name = DEVICE,
        *,
        key: PrivateKey | None = None,
        extensions: list[x509.ExtensionType] | None = None,
        begins: datetime = NOW - DAY,
        ends: datetime = NOW + 30 * DAY,
        serial: int | None = None,
        sign_with: PrivateKey | None = None,
    ) -> x509.Certificate:
        """A device certificate, by default with EKU clientAuth and nothing else."""
        name = subject(device) if isinstance(device, str) else device
        builder = _builder(name, self.name, (key or ec_key()).public_key(), begins, ends, serial=serial)
        client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        for extension in [client] if extensions is None else extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(sign_with or self.key, SHA256())

    def by_hand(
        self,
        *extensions: bytes,
        name: bytes = asn1.common_name(DEVICE),
        spki: bytes | None = None,
        serial: int = 5,
    ) -> x509.Certificate:
        """A device certificate of any form."""
        tbs = asn1.tlv(
            asn1.SEQUENCE,
            asn1.tlv(0xA0, asn1.integer(2)),
            asn1.integer(serial),
            asn1.tlv(asn1.SEQUENCE, asn1.oid(asn1.ECDSA_SHA256)),
            self.name.public_bytes(),
            asn1.tlv(asn1.SEQUENCE, asn1.tlv(0x17, b"260101000000Z"), asn1.tlv(0x17, b"270101000000Z")),
            name,
            spki or spki_of(ec_key()),
            *([asn1.tlv(0xA3, asn1.tlv(asn1.SEQUENCE, *extensions))] if extensions else []),
        )
        return x509.load_der_x509_certificate(signed(tbs, self.key))


def _builder(
    name: x509.Name, issuer: x509.Name, key: object, begins: datetime, ends: datetime, *, serial: int | None = None
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer)
        .public_key(key)  # type: ignore[arg-type]
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )


def key_usage(**granted: bool) -> x509.KeyUsage:
    """A key usage of the named bits alone."""
    bits = dict.fromkeys(
        (
            *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
            *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
        ),
        False,
    )
    return x509.KeyUsage(**{**bits, **granted})


def header(certificate: x509.Certificate) -> str:
    """The certificate as App Service puts it into X-ARR-ClientCert."""
    return base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()
