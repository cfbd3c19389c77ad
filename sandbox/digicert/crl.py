"""The CRL of each CA (RFC 5280, 5) and the CA certificates, at the addresses that the certificates name.

DigiCert ONE serves them over plain HTTP at `crl.HOST` and `cacerts.HOST`; the sandbox has one TLS port for all.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox.digicert import faults
from sandbox.digicert.ca import Ca, CaRecord, Issued
from sandbox.digicert.errors import problem

LIFETIME: Final = timedelta(hours=24)
REFRESH: Final = timedelta(hours=1)
REASONS: Final = {
    "key_compromise": x509.ReasonFlags.key_compromise,
    "affiliation_changed": x509.ReasonFlags.affiliation_changed,
    "cessation_of_operation": x509.ReasonFlags.cessation_of_operation,
    "privilege_withdrawn": x509.ReasonFlags.privilege_withdrawn,
    "aa_compromise": x509.ReasonFlags.aa_compromise,
    "certificate_hold": x509.ReasonFlags.certificate_hold,
    "suspended": x509.ReasonFlags.certificate_hold,
}


@dataclass
class Publisher:
    """A CRL is made when it is asked for and anything was revoked since the last, or the last is an hour old."""

    ca: Ca
    number: int = 0
    ready: dict[str, tuple[int, datetime, bytes]] = field(default_factory=dict)

    def crl(self, record: CaRecord) -> bytes:
        now = self.ca.world.clock.now()
        revocations, made, der = self.ready.get(record.id, (-1, now, b""))
        if revocations != self.ca.revocations or not made <= now < made + REFRESH:
            self.number += 1
            der = signed_crl(record, self.ca.issued, self.number, now)
            self.ready[record.id] = (self.ca.revocations, now, der)
        return der


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
        bad = faults.before(request)
        return bad or web.Response(body=publisher.crl(record), content_type="application/pkix-crl")

    async def certificate(request: web.Request) -> web.Response:
        der = found(ca, request).authority.certificate.public_bytes(Encoding.DER)
        bad = faults.before(request)
        return bad or web.Response(body=der, content_type="application/pkix-cert")

    return [web.get("/crl/{id}.crl", crl), web.get("/cacerts/{id}.crt", certificate)]


def found(ca: Ca, request: web.Request) -> CaRecord:
    for each in ca.cas:
        if each.id == request.match_info["id"]:
            return each
    raise problem(404, "entity_not_found", "there is no CA with this id")
