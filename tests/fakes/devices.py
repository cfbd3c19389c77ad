"""Devices and what they send: keys, certificate requests, client certificates as the front end's header."""

import base64
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from sandbox import pki
from shared.core import csr
from shared.core.csr import SigningRequest
from shared.core.est import Operation
from shared.core.fleet import LedgerCertificate
from shared.core.identity import DeviceId
from shared.flows.enroll import Presented, Submission

NOTHING = Presented("", "")


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def header(leaf: x509.Certificate) -> str:
    """The client certificate as the front end hands it on."""
    return base64.b64encode(leaf.public_bytes(Encoding.DER)).decode()


def basic(credentials: str) -> str:
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@dataclass
class Device:
    """`presents` is what it proves itself with. Signatures are random, so no two of its requests are equal bytes."""

    name: str
    key: ec.EllipticCurvePrivateKey = field(default_factory=new_key)
    presents: Presented = NOTHING
    san: str = ""

    @property
    def id(self) -> DeviceId:
        return DeviceId(self.name)

    def with_certificate(self, leaf: x509.Certificate) -> "Device":
        return replace(self, presents=replace(self.presents, certificate=header(leaf)))

    def with_issued(self, issued: LedgerCertificate) -> "Device":
        return self.with_certificate(x509.load_der_x509_certificate(issued.certificate.der))

    def with_password(self, credentials: str) -> "Device":
        return replace(self, presents=replace(self.presents, authorization=basic(credentials)))

    def with_new_key(self) -> "Device":
        return replace(self, key=new_key())

    def der(self, **subject: str) -> bytes:
        """A new PKCS#10. `organization` adds to the subject."""
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, self.name)]
        attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, value) for value in subject.values()]
        builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
        if self.san:
            names = x509.SubjectAlternativeName([x509.DNSName(self.san)])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(Encoding.DER)

    def request(self) -> SigningRequest:
        return csr.parse(self.der())

    def submission(self, operation: Operation = Operation.SIMPLEENROLL) -> Submission:
        return Submission(operation, self.presents, "application/pkcs10", "", base64.encodebytes(self.der()))


def factory_leaf(authority: pki.Authority, device: Device) -> x509.Certificate:
    """What the factory put into the device, under another key than that of its requests."""
    begin = authority.certificate.not_valid_before_utc
    return pki.issue_leaf(authority, device.name, new_key().public_key(), begin, 20 * pki.YEAR)
