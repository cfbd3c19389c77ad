"""The certificate authorities of the sandbox: each with the extensions that RFC 5280 asks for, so that strict verifiers
are content. Nothing here is kept on disk except what `files` writes for devices and for `mint`.
"""

import ipaddress
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

CLOCK_SKEW = timedelta(minutes=5)  # certificates begin in the past: a device's clock may be a little slow
YEAR = timedelta(days=365)

Extensions = Iterable[tuple[x509.ExtensionType, bool]]


@dataclass(frozen=True)
class Authority:
    """A CA certificate with its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @cached_property
    def key_identifier(self) -> x509.AuthorityKeyIdentifier:
        """What the certificates it issues carry: the CA's own subject key identifier (RFC 5280, 4.2.1.1)."""
        own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own.value)

    def issue(
        self,
        subject: x509.Name,
        public_key: CertificatePublicKeyTypes,
        extensions: Extensions,
        *,
        not_before: datetime,
        not_after: datetime,
    ) -> x509.Certificate:
        """A certificate with a random 128-bit serial, both key identifiers, and the `extensions` (value, critical)."""
        builder = builder_for(subject, public_key, extensions, not_before, not_after)
        builder = builder.issuer_name(self.certificate.subject).add_extension(self.key_identifier, critical=False)
        return builder.sign(self.key, hashes.SHA256())


@dataclass(frozen=True)
class Hierarchy:
    root: Authority
    ica: Authority


def builder_for(
    subject: x509.Name,
    public_key: CertificatePublicKeyTypes,
    extensions: Extensions,
    not_before: datetime,
    not_after: datetime,
) -> x509.CertificateBuilder:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(public_key)
        .serial_number(secrets.randbits(127) | 1 << 126)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    return builder


def common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def key_usage(*, ca: bool) -> x509.KeyUsage:
    """RFC 5280, 4.2.1.3: a CA signs certificates and CRLs, a leaf signs handshakes."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def ca_extensions(path_length: int | None) -> Extensions:
    return [(x509.BasicConstraints(ca=True, path_length=path_length), True), (key_usage(ca=True), True)]


def leaf_extensions(usage: x509.ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH) -> Extensions:
    return [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (key_usage(ca=False), True),
        (x509.ExtendedKeyUsage([usage]), False),
    ]


def self_signed(name: str, curve: ec.EllipticCurve, now: datetime, lifetime: timedelta) -> Authority:
    """A root. Its own authority key identifier is left out, as RFC 5280, 4.2.1.1 allows."""
    key = ec.generate_private_key(curve)
    subject = common_name(name)
    builder = builder_for(subject, key.public_key(), ca_extensions(None), now - CLOCK_SKEW, now + lifetime)
    return Authority(builder.issuer_name(subject).sign(key, hashes.SHA256()), key)


def issuing_ca(root: Authority, name: str, now: datetime, lifetime: timedelta = 10 * YEAR) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = root.issue(
        common_name(name),
        key.public_key(),
        ca_extensions(0),
        not_before=now - CLOCK_SKEW,
        not_after=min(now + lifetime, root.certificate.not_valid_after_utc),
    )
    return Authority(certificate, key)


def issuing_hierarchy(now: datetime) -> Hierarchy:
    """What DigiCert ONE issues from: a root and one issuing CA under it."""
    root = self_signed("Birthcert Sandbox Root CA", ec.SECP384R1(), now, 20 * YEAR)
    return Hierarchy(root, issuing_ca(root, "Birthcert Sandbox Issuing CA 1", now))


def factory_authority(now: datetime | None = None) -> Authority:
    """The CA of the factory that put the first certificate into each device, older than any of them."""
    return self_signed("Sandbox Factory CA", ec.SECP256R1(), (now or datetime.now(UTC)) - 2 * YEAR, 20 * YEAR)


def tls_root() -> Authority:
    """Trusted by clients of the stand-ins (`SSL_CERT_FILE`). TLS always runs on the machine's clock."""
    return self_signed("Sandbox TLS Root", ec.SECP256R1(), datetime.now(UTC), 2 * YEAR)


def server_certificate(root: Authority) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """The one server certificate of all stand-ins, for every name that this machine has for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in ("127.0.0.1", "::1")]
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), *addresses])
    now = datetime.now(UTC)
    certificate = root.issue(
        common_name("localhost"),
        key.public_key(),
        [*leaf_extensions(ExtendedKeyUsageOID.SERVER_AUTH), (names, False)],
        not_before=now - CLOCK_SKEW,
        not_after=now + YEAR,
    )
    return certificate, key


def issue_leaf(
    authority: Authority,
    name: str,
    public_key: CertificatePublicKeyTypes,
    now: datetime,
    lifetime: timedelta = timedelta(days=90),
) -> x509.Certificate:
    """A device's certificate: the common name and nothing more, which is what factories mostly put in."""
    return authority.issue(
        common_name(name),
        public_key,
        leaf_extensions(),
        not_before=now - CLOCK_SKEW,
        not_after=now + lifetime,
    )


def rogue_authority(copied: Authority) -> Authority:
    """A CA with the very name and dates of another, and a key of its own: what an attacker can make."""
    original = copied.certificate
    key = ec.generate_private_key(ec.SECP256R1())
    begin, end = original.not_valid_before_utc, original.not_valid_after_utc
    builder = builder_for(original.subject, key.public_key(), ca_extensions(None), begin, end)
    return Authority(builder.issuer_name(original.subject).sign(key, hashes.SHA256()), key)


def certificate_pem(*certificates: x509.Certificate) -> str:
    return "".join(each.public_bytes(serialization.Encoding.PEM).decode() for each in certificates)


def key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    """PKCS#8 without a password."""
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()


def load_authority(certificate: bytes, key: bytes) -> Authority:
    """A CA from its two PEM texts."""
    private = serialization.load_pem_private_key(key, None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise TypeError("the sandbox makes elliptic-curve keys only")
    return Authority(x509.load_pem_x509_certificate(certificate), private)
