"""Private CA (CA Manager) of DigiCert ONE: the CA certificates and their details.

https://dev.digicert.com/digicert-private-ca-api.html and .../tutorials/issue-a-certificate-from-a-private-ca.html; the
fields of the records and the formats of the download are (unsure).
"""

from typing import Any, Final

from aiohttp import web
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from sandbox.digicert import faults
from sandbox.digicert.access import Access, admit_rest
from sandbox.digicert.ca import Ca, CaRecord
from sandbox.digicert.errors import private_ca_problem

BASE: Final = "/certificate-authority/api/v1/ca"


def routes(ca: Ca, granted: Access) -> list[web.RouteDef]:
    async def list_all(request: web.Request) -> web.Response:
        admit_rest(request, granted)
        bad = faults.before(request)
        records = [details(each) for each in ca.cas]
        return bad or web.json_response({"limit": 20, "offset": 0, "total": len(records), "records": records})

    async def get(request: web.Request) -> web.Response:
        """Serves clients as a check of health and credentials (github.com/digicert/digi-issuer)."""
        admit_rest(request, granted)
        bad = faults.before(request)
        return bad or web.json_response(details(found(ca, request)))

    async def download(request: web.Request) -> web.Response:
        """PEM, or DER for `Accept: application/pkix-cert`: the portal offers both, the API's switch is (unsure)."""
        admit_rest(request, granted)
        bad = faults.before(request)
        if bad is not None:
            return bad
        certificate = found(ca, request).authority.certificate
        if request.headers.get("Accept", "") == "application/pkix-cert":
            return web.Response(body=certificate.public_bytes(Encoding.DER), content_type="application/pkix-cert")
        return web.Response(text=pki.certificate_pem(certificate), content_type="application/x-pem-file")

    return [web.get(BASE, list_all), web.get(f"{BASE}/{{id}}", get), web.get(f"{BASE}/{{id}}/download", download)]


def found(ca: Ca, request: web.Request) -> CaRecord:
    for each in ca.cas:
        if each.id == request.match_info["id"]:
            return each
    raise private_ca_problem(404, 4040, "there is no CA with this id")


def details(record: CaRecord) -> dict[str, Any]:
    certificate = record.authority.certificate
    return {
        "id": record.id,
        "name": certificate.subject.rfc4514_string().removeprefix("CN="),
        "ca_type": "root" if certificate.subject == certificate.issuer else "intermediate",
        "status": "active",
        "serial_number": f"{certificate.serial_number:032X}",
    }
