"""CMPv2 of IoT Trust Manager (RFC 4210, over HTTP as in RFC 6712): `https://HOST/iot/api/v1/cmp/ENROLLMENT_PROFILE_ID`.

The URL is that of people who call `openssl cmp` against it; the pages name the protocol and no more:
https://docs.digicert.com/en/device-trust-manager/concepts/certificate-management-policy.html ("issuing, renewing, or
revoking certificates using CMPv2"). Played are ir, cr, p10cr, kur and certConf; that a renewal waits for its window as
Private CA's does, and what is said in errors, is (unsure).
"""

import secrets
from dataclasses import dataclass, field, replace
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat import asn1
from cryptography.hazmat.primitives import hashes

from sandbox.digicert import faults
from sandbox.digicert.access import Access, require_profile
from sandbox.digicert.ca import CMP_PROFILE, SERVICE, Ca, Issued
from sandbox.digicert.cmp import refusal
from sandbox.digicert.cmp.enrollment import accept
from sandbox.digicert.cmp.protection import Sender, authenticate, key_identifier, protect
from sandbox.digicert.cmp.refusal import RefusedError
from sandbox.digicert.cmp.syntax import (
    CERT_CONF,
    CP,
    CR,
    ERROR,
    IMPLICIT_CONFIRM,
    IP,
    IR,
    KUP,
    KUR,
    P10CR,
    PKICONF,
    CertConfirmContent,
    CertifiedKeyPair,
    CertRepMessage,
    CertResponse,
    ErrorMsgContent,
    Header,
    MalformedError,
    Message,
    StatusInfo,
    body,
    directory_name,
    read,
    tag_of,
)
from sandbox.digicert.errors import problem
from sandbox.web import fault_kind

ANSWERS: Final = {IR: IP, CR: CP, P10CR: CP, KUR: KUP}
MEDIA_TYPE: Final = "application/pkixcmp"


@dataclass
class Transaction:
    """A certificate that waits for its confirmation; none when there is nothing to wait for any more."""

    certificate_id: int = 0
    issued: Issued | None = None
    nonce: bytes = b""


@dataclass(frozen=True)
class Service:
    """`transactions` by transactionID, each of which may be used once."""

    ca: Ca
    granted: Access
    transactions: dict[bytes, Transaction] = field(default_factory=dict)

    def answer(self, request: web.Request, message: Message) -> web.Response:
        sender, confirms = None, tag_of(message.body) == CERT_CONF
        try:
            sender = authenticate(message, self.ca, self.granted)
            bad = faults.before(request, *(() if confirms else faults.CERTIFICATE_FAULTS))
            if bad is not None:
                return bad
            if confirms:
                return self.reply(message, self.confirm(message), sender)
            return self.enroll(message, sender, fault_kind(request))
        except RefusedError as refused:
            self.ca.world.journal.write(SERVICE, "refused", protocol="CMP", reason=refused.text)
            return self.reply(message, body(ERROR, asn1.encode_der(ErrorMsgContent(status=refused.status()))), sender)

    def enroll(self, message: Message, sender: Sender, fault: str) -> web.Response:
        header, kind = message.header, tag_of(message.body)
        if kind not in ANSWERS:
            raise RefusedError(refusal.BAD_REQUEST, f"the stand-in does not play a PKIBody with the tag {kind}")
        if header.version != 2:
            raise RefusedError(refusal.UNSUPPORTED_VERSION, "the stand-in speaks CMP version 2")
        if header.transaction in self.transactions:
            raise RefusedError(refusal.TRANSACTION_ID_IN_USE, "this transactionID has been used")
        number, asked = accept(kind, bytes(message.body.data), sender, self.ca)
        issued = faults.issue(self.ca, asked, CMP_PROFILE, fault)
        transaction = self.transactions[header.transaction] = Transaction()
        if not confirmed_implicitly(header):
            transaction.certificate_id, transaction.issued = number, issued
            transaction.nonce = secrets.token_bytes(16)
        response = CertResponse(
            id=number,
            status=StatusInfo(status=0, text=None, fail_info=None),
            key_pair=CertifiedKeyPair(certificate=issued.certificate),
        )
        above = self.ca.chain(issued)[1:] if kind == IR else None  # caPubs belongs into ip alone (RFC 9483, 4.1.1)
        content = asn1.encode_der(CertRepMessage(ca_certificates=above, responses=[response]))
        return self.reply(message, body(ANSWERS[kind], content), sender, transaction.nonce)

    def confirm(self, message: Message) -> asn1.TLV:
        """RFC 4210, 5.3.18: the client has looked at the certificate. One that it does not want is revoked."""
        status = read(CertConfirmContent, bytes(message.body.data)).only
        transaction = self.transactions.get(message.header.transaction, Transaction())
        issued = transaction.issued
        if issued is None:
            raise RefusedError(refusal.BAD_REQUEST, "there is nothing to be confirmed in this transaction")
        if message.header.recipient_nonce != transaction.nonce:
            raise RefusedError(refusal.BAD_RECIPIENT_NONCE, "recipNonce is not the last senderNonce")
        if status.hash != fingerprint(issued.certificate) or status.id != transaction.certificate_id:
            raise RefusedError(refusal.BAD_CERT_ID, "another certificate is confirmed than was issued")
        transaction.issued = None
        if status.status is not None and status.status.status not in (0, 1):
            self.ca.revoke(issued, "unspecified")
        return body(PKICONF, asn1.encode_der(asn1.Null()))

    def reply(self, message: Message, content: asn1.TLV, sender: Sender | None, nonce: bytes = b"") -> web.Response:
        """An answer to whoever asked, in the same transaction (RFC 4210, 5.1.1)."""
        asked, ica = message.header, self.ca.hierarchy.ica.certificate
        signed = sender is not None and sender.certificate is not None
        header = replace(
            asked,
            version=2,
            sender=directory_name(ica.subject),
            recipient=asked.sender,
            protection=None,
            time=asn1.GeneralizedTime(self.ca.world.clock.now().replace(microsecond=0)),
            sender_key=key_identifier(ica) if signed else asked.sender_key,
            recipient_key=asked.sender_key if signed else None,
            sender_nonce=nonce or secrets.token_bytes(16),
            recipient_nonce=asked.sender_nonce,
            free_text=None,
            general_info=asked.general_info if confirmed_implicitly(asked) else None,
        )
        answer = protect(header, content, asked.protection, sender, ca=self.ca, granted=self.granted)
        return web.Response(body=asn1.encode_der(answer), content_type=MEDIA_TYPE)


def routes(ca: Ca, granted: Access) -> list[web.RouteDef]:
    service = Service(ca, granted)

    async def post(request: web.Request) -> web.Response:
        require_profile(request, CMP_PROFILE)
        if request.content_type != MEDIA_TYPE:
            raise problem(400, "invalid_request", f"the content type must be {MEDIA_TYPE}")
        try:
            return service.answer(request, read(Message, await request.read()))
        except MalformedError as error:
            raise problem(400, "invalid_input", str(error)) from error

    return [web.post("/iot/api/v1/cmp/{profile}", post)]


def confirmed_implicitly(header: Header) -> bool:
    """RFC 4210, 5.1.1.1: the client asks for it, and an answer with the same words grants it."""
    return any(each.type == IMPLICIT_CONFIRM for each in header.general_info or [])


def fingerprint(certificate: x509.Certificate) -> bytes:
    """By the hash of the certificate's own signature, as certConf has it (RFC 4210, 5.3.18)."""
    return certificate.fingerprint(certificate.signature_hash_algorithm or hashes.SHA256())
