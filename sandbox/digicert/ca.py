"""The CA behind all interfaces of the DigiCert ONE stand-in: what it has issued, revoked and may renew."""

import hashlib
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from sandbox import pki, ports
from sandbox.world import World

SERVICE: Final = "DigiCert ONE"
EST_PROFILE: Final = "IOT_0e57c0de-0000-4000-8000-000000000001"
REST_PROFILE: Final = "IOT_0e57c0de-0000-4000-8000-000000000002"
SCEP_PROFILE: Final = "IOT_0e57c0de-0000-4000-8000-000000000011"
CMP_PROFILE: Final = "IOT_0e57c0de-0000-4000-8000-000000000012"
ACME_PROFILE: Final = "IOT_0e57c0de-0000-4000-8000-000000000013"
# A profile serves one enrollment method. The words:
# https://docs.digicert.com/de/iot-trust-manager/enrollment-profiles/add-device-authentication-to-an-enrollment-profile/add-an-authentication-certificate.html
METHODS: Final = {
    EST_PROFILE: "EST",
    REST_PROFILE: "API",
    SCEP_PROFILE: "SCEP",
    CMP_PROFILE: "CMPv2",
    ACME_PROFILE: "ACME",
}

BASE_URL: Final = f"https://{ports.DIGICERT_HOST}"


@dataclass(frozen=True)
class Request:
    """What the CA puts into a certificate; made from a CSR by `csr.py`."""

    name: str  # the common name
    subject: x509.Name
    public_key: CertificatePublicKeyTypes
    san: x509.SubjectAlternativeName | None


@dataclass(frozen=True)
class Revocation:
    reason: str  # one of DigiCert's words, see revocation.py
    date: datetime


@dataclass
class Issued:
    """One certificate with what DigiCert ONE keeps beside it."""

    id: str
    profile: str
    common_name: str
    serial_number: str
    spki_sha256: str
    certificate: x509.Certificate = field(repr=False)
    issuer: str  # the id of the CA in CA Manager
    device: str
    revocation: Revocation | None = None

    def status(self, now: datetime) -> str:
        if self.revocation is not None:
            return "REVOKED"
        return "EXPIRED" if self.certificate.not_valid_after_utc < now else "ISSUED"


def entry(certificate: x509.Certificate, profile: str, issuer: str, device: str) -> Issued:
    public = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    name = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return Issued(
        id=str(uuid.uuid4()),
        profile=profile,
        common_name=name if isinstance(name, str) else name.decode(),
        serial_number=f"{certificate.serial_number:032X}",
        spki_sha256=hashlib.sha256(public).hexdigest(),
        certificate=certificate,
        issuer=issuer,
        device=device,
    )


@dataclass(frozen=True)
class CaRecord:
    """A CA of the hierarchy as CA Manager lists it, with the extensions that point from its certificates to it."""

    id: str
    authority: pki.Authority
    extensions: pki.Extensions


def ca_record(number: int, authority: pki.Authority) -> CaRecord:
    """CA ids are 32 hexadecimal digits. DigiCert ONE serves these two addresses at `crl.HOST` and `cacerts.HOST`."""
    identifier = f"a{number:031x}"
    crl = x509.UniformResourceIdentifier(f"{BASE_URL}/crl/{identifier}.crl")
    issuer = x509.UniformResourceIdentifier(f"{BASE_URL}/cacerts/{identifier}.crt")
    points = x509.CRLDistributionPoints([x509.DistributionPoint([crl], None, None, None)])
    access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, issuer)
    extensions = [*pki.leaf_extensions(), (points, False), (x509.AuthorityInformationAccess([access]), False)]
    return CaRecord(identifier, authority, extensions)


@dataclass
class Ca:
    """`lifetime`, `renewal_window` and `renew_any_time` may be set at run time; the control API does."""

    world: World
    hierarchy: pki.Hierarchy
    lifetime: timedelta = timedelta(days=90)
    renewal_window: float = 0.3  # the last part of the lifetime
    renew_any_time: bool = False
    announce_old: bool = True
    cas: list[CaRecord] = field(default_factory=list)  # the root, then each issuing CA, newest last
    issued: list[Issued] = field(default_factory=list)
    by_id: dict[str, Issued] = field(default_factory=dict)
    by_name: defaultdict[str, list[Issued]] = field(default_factory=lambda: defaultdict(list))
    revocations: int = 0

    def __post_init__(self) -> None:
        self.cas = [ca_record(1, self.hierarchy.root), ca_record(2, self.hierarchy.ica)]

    def roll(self, *, announce_old: bool = True) -> str:
        """A new issuing CA under the same root issues from now on. Returns its id in CA Manager.

        `announce_old=False` makes EST forget the old one, against RFC 7030, 4.1.3 (what DigiCert does is not known).
        """
        number = len(self.cas)
        name = f"Birthcert Sandbox Issuing CA {number}"
        ica = pki.issuing_ca(self.hierarchy.root, name, self.world.clock.now())
        self.hierarchy = pki.Hierarchy(self.hierarchy.root, ica)
        self.announce_old = announce_old
        self.cas.append(ca_record(number + 1, ica))
        self.world.journal.write(SERVICE, "issuing CA rolled", ca=self.cas[-1].id, name=name)
        return self.cas[-1].id

    def announced(self) -> list[x509.Certificate]:
        """What EST `cacerts` shows: the current root and all that chain to it (RFC 7030, 4.1.3)."""
        shown = self.cas if self.announce_old else [self.cas[0], self.cas[-1]]
        return [record.authority.certificate for record in shown]

    def issue(self, request: Request, profile: str, *, device: str = "", ended: timedelta | None = None) -> Issued:
        """A certificate on the books. `ended` makes one that was over so long ago."""
        now = self.world.clock.now()
        if ended is None:
            begin, end = now - pki.CLOCK_SKEW, now + self.lifetime
        else:
            begin, end = now - ended - self.lifetime, now - ended
        record = self.cas[-1]
        return self.keep(entry(self.sign(record.authority, request, begin, end), profile, record.id, device))

    def sign(self, authority: pki.Authority, request: Request, begin: datetime, end: datetime) -> x509.Certificate:
        extensions = list(self.cas[-1].extensions)
        if request.san is not None:
            extensions.append((request.san, False))
        return authority.issue(request.subject, request.public_key, extensions, not_before=begin, not_after=end)

    def keep(self, made: Issued) -> Issued:
        self.issued.append(made)
        self.by_id[made.id] = made
        self.by_name[made.common_name].append(made)
        facts = {"common_name": made.common_name, "serial": made.serial_number, "profile": made.profile}
        self.world.journal.write(SERVICE, "issued", spki_sha256=made.spki_sha256, **facts)
        return made

    def chain(self, leaf: Issued) -> list[x509.Certificate]:
        """Leaf first, then its issuing CA, then the root."""
        issuer = next(record for record in self.cas if record.id == leaf.issuer)
        return [leaf.certificate, issuer.authority.certificate, self.hierarchy.root.certificate]

    def renewable(self, leaf: Issued) -> bool:
        """Whether the renewal window of this certificate is open."""
        if self.renew_any_time:
            return True
        begin, end = leaf.certificate.not_valid_before_utc, leaf.certificate.not_valid_after_utc
        return self.world.clock.now() >= end - (end - begin) * self.renewal_window

    def revoke(self, leaf: Issued, reason: str, date: datetime | None = None) -> None:
        """Without a date a certificate counts as revoked for its whole validity."""
        leaf.revocation = Revocation(reason, date or leaf.certificate.not_valid_before_utc)
        self.revocations += 1
        self.world.journal.write(SERVICE, "revoked", serial=leaf.serial_number, reason=reason)

    def by_serial(self, serial: str) -> Issued | None:
        """As people write serial numbers: with and without colons, leading zeros and capitals."""
        wanted = serial.replace(":", "").upper().lstrip("0")
        return next((each for each in self.issued if each.serial_number.lstrip("0") == wanted), None)
