"""SCEP of IoT Trust Manager (RFC 8894): `http(s)://HOST/iot/api/v1/scep/ENROLLMENT_PROFILE_ID?operation=…`.

The URL is that of DigiCert's own client (github.com/digicert/trustcore, src/trustedge/test/data/service/
scep_request.json). What is offered: the mandatory part of RFC 8894, for RSA keys alone:
https://docs.digicert.com/en/device-trust-manager/tutorials/work-with-scep.html. That the challenge password is the
passcode of the profile, and that a renewal waits for its window as Private CA's does, is (unsure).
"""

import base64
import binascii
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from sandbox.digicert import faults
from sandbox.digicert.access import Access, require_profile
from sandbox.digicert.ca import SCEP_PROFILE, SERVICE, Ca
from sandbox.digicert.errors import problem
from sandbox.digicert.scep import message as messages
from sandbox.digicert.scep.enrollment import accept
from sandbox.digicert.scep.message import MalformedError, Message, RefusedError, Signer
from sandbox.digicert.scep.registration import Registration
from sandbox.web import fault_kind

PATH: Final = "/iot/api/v1/scep/{profile}"
# RFC 8894, 3.5.2. strongSwan before 5.9.11 mistakes one line for another, and goes on only where SHA-384 is offered.
CAPABILITIES: Final = ("AES", "POSTPKIOperation", "Renewal", "SHA-256", "SHA-384", "SHA-512", "SCEPStandard")


def routes(ca: Ca, granted: Access) -> list[web.RouteDef]:
    registration = Registration(ca)

    async def get(request: web.Request) -> web.Response:
        require_profile(request, SCEP_PROFILE)
        operation = operation_of(request)
        if operation == "PKIOperation":
            return await pki_operation(request, from_query(request.query["message"]))
        bad = faults.before(request)
        if bad is not None:
            return bad
        if operation == "GetCACaps":
            return web.Response(text="".join(f"{line}\n" for line in CAPABILITIES))
        shown = pkcs7.serialize_certificates(registration.certificates(), Encoding.DER)
        return web.Response(body=shown, content_type="application/x-x509-ca-ra-cert")

    async def post(request: web.Request) -> web.Response:
        """The content type is not looked at: strongSwan sends none."""
        require_profile(request, SCEP_PROFILE)
        operation_of(request)
        return await pki_operation(request, await request.read())

    async def pki_operation(request: web.Request, der: bytes) -> web.Response:
        try:
            message = messages.read(der)
        except MalformedError as error:
            raise problem(400, "invalid_input", str(error)) from error
        signer = registration.signer()
        try:
            return enroll(ca, granted, signer, message, request)
        except RefusedError as refused:
            ca.world.journal.write(SERVICE, "refused", protocol="SCEP", reason=refused.text)
            return cert_rep(messages.failure(signer, message, refused, ca.world.clock.now()))

    return [web.get(PATH, get), web.post(PATH, post)]


def enroll(ca: Ca, granted: Access, signer: Signer, message: Message, request: web.Request) -> web.Response:
    asked = accept(ca, granted, signer, message)
    bad = faults.before(request, *faults.CERTIFICATE_FAULTS)
    if bad is not None:
        return bad
    leaf = faults.issue(ca, asked, SCEP_PROFILE, fault_kind(request)).certificate
    return cert_rep(messages.success(signer, message, enveloped(leaf, message.signer), ca.world.clock.now()))


def cert_rep(der: bytes) -> web.Response:
    return web.Response(body=der, content_type="application/x-pki-message")


def operation_of(request: web.Request) -> str:
    """RFC 8894, 4.1: which one, asked for as it must be."""
    operation = request.query.get("operation", "")
    match request.method, operation:
        case "GET", "PKIOperation":
            expected = ["message", "operation"]
        case ("GET", "GetCACaps" | "GetCACert") | ("POST", "PKIOperation"):
            expected = ["operation"]
        case _:
            text = f"the DigiCert ONE stand-in does not play {request.method} {operation} of SCEP\n"
            raise web.HTTPNotImplemented(text=text)
    if sorted(request.query) != expected:
        raise problem(400, "invalid_request", f"the query of {operation} is {' and '.join(expected)}")
    return operation


def from_query(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("\n", ""), validate=True)
    except binascii.Error as error:
        raise problem(400, "invalid_input", "the message is not base64 with its plus signs escaped") from error


def enveloped(leaf: x509.Certificate, recipient: x509.Certificate) -> bytes:
    """The certificate alone (RFC 8894, 3.4), for whoever signed the request."""
    content = pkcs7.serialize_certificates([leaf], Encoding.DER)
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(content).add_recipient(recipient)
    return builder.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
