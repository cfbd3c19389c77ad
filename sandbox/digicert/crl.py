"""The CRL of each CA (RFC 5280, 5) and the CA certificates, at the addresses that the certificates name.

DigiCert ONE serves them over plain HTTP at `crl.HOST` and `cacerts.HOST`; the sandbox has one TLS port for all. A CRL
has an ETag and a date, and who names either gets 304 for one that has not changed (RFC 9110, 13.1.2 and 13.1.3).

Faults of its own: `stale_crl` (its nextUpdate is over), `forged_crl` (signed by a key that is not the CA's),
`old_crl` (a lower number than the last), `cut_crl` (half of it).
"""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from sandbox.digicert import faults
from sandbox.digicert.ca import Ca, CaRecord, Issued
from sandbox.digicert.errors import problem
from sandbox.web import fault_kind

LIFETIME: Final = timedelta(hours=24)
REFRESH: Final = timedelta(hours=1)
FAULTS: Final = ("stale_crl", "forged_crl", "old_crl", "cut_crl")
REASONS: Final = {
    "key_compromise": x509.ReasonFlags.key_compromise,
    "affiliation_changed": x509.ReasonFlags.affiliation_changed,
    "cessation_of_operation": x509.ReasonFlags.cessation_of_operation,
    "privilege_withdrawn": x509.ReasonFlags.privilege_withdrawn,
    "aa_compromise": x509.ReasonFlags.aa_compromise,
    "certificate_hold": x509.ReasonFlags.certificate_hold,
    "suspended": x509.ReasonFlags.certificate_hold,
}


@dataclass(frozen=True)
class Published:
    revocations: int  # how many there had been when it was made
    made: datetime
    der: bytes

    @property
    def headers(self) -> dict[str, str]:
        etag = f'"{hashlib.sha256(self.der).hexdigest()[:32]}"'
        modified = format_datetime(self.made.astimezone(UTC).replace(microsecond=0), usegmt=True)
        return {"ETag": etag, "Last-Modified": modified}


@dataclass
class Publisher:
    """A CRL is made when it is asked for and anything was revoked since the last, or the last is an hour old."""

    ca: Ca
    number: int = 0
    ready: dict[str, Published] = field(default_factory=dict)

    def crl(self, record: CaRecord) -> Published:
        now = self.ca.world.clock.now()
        last = self.ready.get(record.id)
        if last is None or last.revocations != self.ca.revocations or not last.made <= now < last.made + REFRESH:
            self.number += 1
            last = Published(self.ca.revocations, now, signed_crl(record, self.ca.issued, self.number, now))
            self.ready[record.id] = last
        return last

    def bad(self, record: CaRecord, kind: str) -> bytes:
        now, issued = self.ca.world.clock.now(), self.ca.issued
        match kind:
            case "stale_crl":
                return signed_crl(record, issued, self.number + 1, now - 2 * LIFETIME)
            case "forged_crl":
                rogue = replace(record, authority=pki.rogue_authority(record.authority))
                return signed_crl(rogue, issued, self.number + 1, now)
            case "old_crl":
                return signed_crl(record, [], 0, now)
            case _:
                whole = self.crl(record).der
                return whole[: len(whole) // 2]


def signed_crl(record: CaRecord, issued: list[Issued], number: int, now: datetime) -> bytes:
    revoked = [line for each in issued if each.issuer == record.id and (line := crl_line(each)) is not None]
    builder = (
        # The lines go in at once: `add_revoked_certificate` copies the whole list for each.
        x509.CertificateRevocationListBuilder(revoked_certificates=revoked)
        .issuer_name(record.authority.certificate.subject)
        .last_update(now)
        .next_update(now + LIFETIME)
        .add_extension(record.authority.key_identifier, critical=False)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    return builder.sign(record.authority.key, hashes.SHA256()).public_bytes(Encoding.DER)


def crl_line(entry: Issued) -> x509.RevokedCertificate | None:
    if entry.revocation is None:
        return None
    line = x509.RevokedCertificateBuilder().serial_number(entry.certificate.serial_number)
    line = line.revocation_date(entry.revocation.date)
    reason = REASONS.get(entry.revocation.reason)
    if reason is not None:  # `unspecified` is told by no reason at all (RFC 5280, 5.3.1)
        line = line.add_extension(x509.CRLReason(reason), critical=False)
    return line.build()


def routes(ca: Ca) -> list[web.RouteDef]:
    publisher = Publisher(ca)

    async def crl(request: web.Request) -> web.Response:
        record = found(ca, request)
        bad = faults.before(request, *FAULTS)
        if bad is not None:
            return bad
        if fault_kind(request):
            return web.Response(body=publisher.bad(record, fault_kind(request)), content_type="application/pkix-crl")
        published = publisher.crl(record)
        if unchanged(request, published):
            return web.Response(status=304, headers=published.headers)
        return web.Response(body=published.der, content_type="application/pkix-crl", headers=published.headers)

    async def certificate(request: web.Request) -> web.Response:
        der = found(ca, request).authority.certificate.public_bytes(Encoding.DER)
        bad = faults.before(request)
        return bad or web.Response(body=der, content_type="application/pkix-cert")

    return [web.get("/crl/{id}.crl", crl), web.get("/cacerts/{id}.crt", certificate)]


def unchanged(request: web.Request, published: Published) -> bool:
    """The date counts only where no ETag is given."""
    etag = request.headers.get("If-None-Match")
    if etag is not None:
        return published.headers["ETag"] in [each.strip() for each in etag.split(",")]
    return request.headers.get("If-Modified-Since") == published.headers["Last-Modified"]


def found(ca: Ca, request: web.Request) -> CaRecord:
    for each in ca.cas:
        if each.id == request.match_info["id"]:
            return each
    raise problem(404, "entity_not_found", "there is no CA with this id")
