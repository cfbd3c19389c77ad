"""CA certificates of the DPS: listed, read, and uploaded as verified or not.

https://learn.microsoft.com/rest/api/iot-dps/dps-certificate/create-or-update and
https://learn.microsoft.com/azure/iot-dps/how-to-verify-certificates. The answers are as recorded by Microsoft's CLI:
the thumbprint is SHA-1, the certificate itself is never shown.
"""

import base64
import re
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from sandbox.arm.errors import if_match, json_object, members, not_found, refusal
from sandbox.arm.provisioning import BASE, check_path
from sandbox.arm.state import DPS_NAME, RESOURCE_GROUP, ArmState, CaCertificate, Json, path
from sandbox.dps.document import is_ca

LIST: Final = f"{BASE}/certificates"
ONE: Final = f"{LIST}/{{certificate}}"
NAME: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
MOST: Final = 25  # https://learn.microsoft.com/azure/iot-dps/about-iot-dps#quotas-and-limits
RFC_7231: Final = "%a, %d %b %Y %H:%M:%S GMT"


def routes(state: ArmState) -> list[web.RouteDef]:
    async def list_all(request: web.Request) -> web.Response:
        check_path(request)
        return web.json_response({"value": [shown(each) for each in state.certificates.values()]})

    async def get(request: web.Request) -> web.Response:
        check_path(request)
        found = state.certificates.get(request.match_info["certificate"])
        if found is None:
            raise not_found("Devices/provisioningServices/certificates", request.match_info["certificate"])
        return web.json_response(shown(found))

    async def put(request: web.Request) -> web.Response:
        """Without If-Match nothing is replaced; that the answer to a try is 412 is (unsure)."""
        check_path(request)
        name = request.match_info["certificate"]
        body = (await json_object(request, {"properties"})).get("properties")
        properties = members(body, {"certificate", "isVerified"}, "properties")
        known = state.certificates.get(name)
        if if_match(request) != (None if known is None else known.etag):
            raise refusal(412001, "The certificate is not the one of the ETag.")
        if not NAME.fullmatch(name) or (known is None and len(state.certificates) >= MOST):
            raise refusal(400003, f"The name is no name, or there are {MOST} certificates already.")
        verified = bool(properties.get("isVerified")) and state.takes_verified
        stored = state.put(name, read(properties.get("certificate")), verified=verified)
        state.dps.world.journal.write("Resource Manager", "CA uploaded", name=name, verified=verified)
        return web.json_response(shown(stored))

    return [web.get(LIST, list_all), web.get(ONE, get), web.put(ONE, put)]


def read(given: object) -> x509.Certificate:
    """Base64 of a .cer file or of the text of a .pem file."""
    try:
        content = base64.b64decode(str(given), validate=True)
        if b"-----BEGIN" in content:
            (found,) = x509.load_pem_x509_certificates(content)
        else:
            found = x509.load_der_x509_certificate(content)
    except ValueError as error:
        raise refusal(400004, "The certificate cannot be read.") from error
    if not is_ca(found):
        raise refusal(400004, "The certificate is not the one of a CA.")
    return found


def shown(stored: CaCertificate) -> Json:
    certificate = stored.certificate
    return {
        "properties": {
            "subject": certificate.subject.rfc4514_string().removeprefix("CN="),
            "expiry": certificate.not_valid_after_utc.strftime(RFC_7231),
            "thumbprint": certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - what the service shows
            "isVerified": stored.verified,
            "created": "Mon, 01 Jan 0001 00:00:00 GMT",  # as the service says it
            "updated": stored.updated.strftime(RFC_7231),
            "certificate": None,
        },
        "id": f"{path(RESOURCE_GROUP, 'Devices/provisioningServices', DPS_NAME)}/certificates/{stored.name}",
        "name": stored.name,
        "type": "Microsoft.Devices/provisioningServices/Certificates",
        "etag": stored.etag,
    }
