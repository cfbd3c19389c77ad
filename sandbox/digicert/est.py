"""EST of IoT Trust Manager: `https://HOST/.well-known/est/ENROLLMENT_PROFILE_ID/OPERATION`.

https://docs.digicert.com/en/iot-trust-manager/ and RFC 7030; what the pages leave open is marked unsure. DigiCert's own
client (github.com/digicert/trustcore, src/est/est_client_api.c) shows the message formats.
"""

import base64
import binascii
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from sandbox.digicert import faults
from sandbox.digicert.access import Access, admit_est, require_profile
from sandbox.digicert.ca import EST_PROFILE, Ca, Request
from sandbox.digicert.csr import request_of
from sandbox.digicert.errors import problem
from sandbox.web import fault_kind

# SEQUENCE { sha256WithRSAEncryption, ecdsa-with-SHA256 }: what csrattrs holds at ITM is not known (unsure).
CSR_ATTRIBUTES: Final = bytes.fromhex("301506092a864886f70d01010b06082a8648ce3d040302")
ENROLL_FAULTS: Final = (*faults.CERTIFICATE_FAULTS, "pending", "two_certificates", "not_base64")


def routes(ca: Ca, granted: Access) -> list[web.RouteDef]:
    async def cacerts(request: web.Request) -> web.Response:
        """RFC 7030, 4.1. Open, as DigiCert's scripts call it (that it asks for nothing is unsure)."""
        require_profile(request, EST_PROFILE)
        bad = faults.before(request, "not_base64")
        return bad or certificates(ca.announced(), fault_kind(request))

    async def csrattrs(request: web.Request) -> web.Response:
        """RFC 7030, 4.5."""
        require_profile(request, EST_PROFILE)
        bad = faults.before(request)
        return bad or web.Response(body=wrapped(CSR_ATTRIBUTES), content_type="application/csrattrs")

    async def enroll(request: web.Request) -> web.Response:
        """RFC 7030, 4.2."""
        require_profile(request, EST_PROFILE)
        admit_est(request, granted)
        wanted = request_of(await csr_of(request))
        if request.path.endswith("/simplereenroll"):
            require_predecessor(ca, wanted)
        bad = faults.before(request, *ENROLL_FAULTS)
        if bad is not None:
            return bad
        kind = fault_kind(request)
        if kind == "pending":
            return faults.pending(request)
        issued = faults.issue(ca, wanted, EST_PROFILE, kind)
        shown = [issued.certificate]
        if kind == "two_certificates":
            shown.append(ca.hierarchy.ica.certificate)
        return certificates(shown, kind)

    base = "/.well-known/est/{profile}"
    return [
        web.get(f"{base}/cacerts", cacerts),
        web.get(f"{base}/csrattrs", csrattrs),
        web.post(f"{base}/simpleenroll", enroll),
        web.post(f"{base}/simplereenroll", enroll),
    ]


async def csr_of(request: web.Request) -> x509.CertificateSigningRequest:
    """Base64 of a DER PKCS#10, white space allowed (RFC 8951, 3.1). PEM is refused (unsure; other products take it)."""
    if request.content_type != "application/pkcs10":
        raise problem(400, "invalid_request", "the content type must be application/pkcs10")
    body = (await request.read()).translate(None, b" \t\r\n")
    try:
        return x509.load_der_x509_csr(binascii.a2b_base64(body, strict_mode=True))
    except ValueError as error:  # binascii.Error is one
        raise problem(400, "invalid_input", "the body must be a PKCS#10 in base64") from error


def require_predecessor(ca: Ca, wanted: Request) -> None:
    """RFC 7030, 4.2.2: subject and SAN are those of the certificate being renewed (that ITM looks for it: unsure)."""
    for earlier in reversed(ca.by_name.get(wanted.name, [])):
        certificate = earlier.certificate
        same_names = certificate.subject == wanted.subject and alternative_names(certificate) == wanted.san
        if same_names and earlier.revocation is None:
            return
    raise problem(403, "access_denied", "there is no certificate with this subject and these alternative names")


def alternative_names(certificate: x509.Certificate) -> x509.SubjectAlternativeName | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None


def certificates(shown: list[x509.Certificate], kind: str) -> web.Response:
    """A certs-only PKCS#7, base64 in lines of 64 as in all examples of RFC 7030."""
    body = wrapped(pkcs7.serialize_certificates(shown, Encoding.DER))
    if kind == "not_base64":
        body = b"*** this is not base64 ***\n"
    headers = {
        "Content-Type": "application/pkcs7-mime; smime-type=certs-only",
        "Content-Transfer-Encoding": "base64",
    }
    return web.Response(body=body, headers=headers)


def wrapped(der: bytes) -> bytes:
    text = base64.b64encode(der)
    return b"".join(text[at : at + 64] + b"\n" for at in range(0, len(text), 64))
