"""REST of IoT Trust Manager that makes certificates: issue and renew.

https://dev.digicert.com/{lang}/digicert-one/iot-device-manager/iot-certificates/request-certificate/ (and
.../renew-certificate/). No idempotency key is known: the same request twice makes two certificates.
"""

import json
from typing import Any, Final

from aiohttp import web
from cryptography import x509

from sandbox import pki
from sandbox.digicert import faults
from sandbox.digicert.access import Access, admit_rest
from sandbox.digicert.ca import METHODS, REST_PROFILE, Ca, Issued, Request
from sandbox.digicert.csr import request_of
from sandbox.digicert.errors import problem
from sandbox.web import fault_kind

BASE: Final = "/iot/api/v1/certificate"
ISSUE_FAULTS: Final = (*faults.CERTIFICATE_FAULTS, "pending", "no_pem", "not_base64")
RENEW_FIELDS: Final = {"csr", "certificate_profile_attributes", "device_attributes"}


def routes(ca: Ca, granted: Access) -> list[web.RouteDef]:
    async def issue(request: web.Request) -> web.Response:
        admit_rest(request, granted, passcode=True)
        body = await object_of(request, RENEW_FIELDS | {"enrollment_profile_id"})
        profile = body.get("enrollment_profile_id")
        if profile not in METHODS:
            raise problem(404, "entity_not_found", "there is no such enrollment profile")
        if profile != REST_PROFILE:
            raise problem(400, "invalid_input", "this enrollment profile is not for the API")
        return made(ca, request, wanted_of(body), device_of(body))

    async def renew(request: web.Request) -> web.Response:
        admit_rest(request, granted, passcode=True)
        old = found(ca, request)
        body = await object_of(request, RENEW_FIELDS)
        wanted = wanted_of(body)
        if old.profile != REST_PROFILE:
            raise problem(400, "invalid_input", "the certificate belongs to an enrollment profile not for the API")
        if old.revocation is not None:
            raise problem(400, "invalid_input", "the certificate is revoked")
        if wanted.subject != old.certificate.subject:  # unsure; what is renewed keeps its name
            raise problem(400, "invalid_input", "the subject is not that of the certificate")
        if not ca.renewable(old):
            raise problem(400, "renewal_window", "the renewal window is not open")
        return made(ca, request, wanted, device_of(body) or old.device)

    return [web.post(BASE, issue), web.put(f"{BASE}/{{id}}/renew", renew)]


def made(ca: Ca, request: web.Request, wanted: Request, device: str) -> web.Response:
    """Issue, and answer as the page on renewal shows it; `pem` is a chain, leaf first."""
    bad = faults.before(request, *ISSUE_FAULTS)
    if bad is not None:
        return bad
    kind = fault_kind(request)
    if kind == "pending":
        return faults.pending(request)
    issued = faults.issue(ca, wanted, REST_PROFILE, kind, device)
    answer = {
        "certificate_request_id": issued.id[::-1],
        "status": "AUTO_APPROVED",
        "result": "SUCCESS",
        "certificate_id": issued.id,
    }
    if kind != "no_pem":
        pem = pki.certificate_pem(*ca.chain(issued))
        answer["pem"] = pem if kind != "not_base64" else pem.replace("MI", "**")
    return web.json_response(answer)


async def object_of(request: web.Request, fields: set[str]) -> dict[str, Any]:
    """The JSON object in the body, with no field beyond those that the page names."""
    if request.content_type != "application/json":
        raise problem(400, "invalid_request", "the content type must be application/json")
    try:
        body = json.loads(await request.read())
    except ValueError as error:
        raise problem(400, "invalid_request", "the body is not JSON") from error
    if not isinstance(body, dict):
        raise problem(400, "invalid_request", "the body is not a JSON object")
    if unknown := sorted(set(body) - fields):
        raise problem(400, "invalid_input", f"unknown fields: {', '.join(unknown)}")
    return body


def wanted_of(body: dict[str, Any]) -> Request:
    """The CSR in PEM, and attributes that may repeat what it says. (Server-side keys are another kind of profile.)"""
    text = body.get("csr")
    if not isinstance(text, str) or not text.startswith("-----BEGIN CERTIFICATE REQUEST-----"):
        raise problem(400, "invalid_input", "csr must be a PEM certificate request")
    try:
        csr = x509.load_pem_x509_csr(text.encode())
    except ValueError as error:
        raise problem(400, "invalid_input", "csr cannot be read") from error
    wanted = request_of(csr)
    if attributes(body, "certificate_profile_attributes", "subject.common_name") not in ("", wanted.name):
        raise problem(400, "invalid_input", "subject.common_name is not that of the CSR")
    return wanted


def device_of(body: dict[str, Any]) -> str:
    return attributes(body, "device_attributes", "DEVICE_IDENTIFIER")


def attributes(body: dict[str, Any], field: str, known: str) -> str:
    """The value of the one attribute that the sandbox's profiles know, in a list of `{"id", "value"}`."""
    given = body.get(field, [])
    try:
        values = {each["id"]: each["value"] for each in given if set(each) == {"id", "value"}}
    except (TypeError, KeyError) as error:
        raise problem(400, "invalid_input", f"{field} must be a list of id and value") from error
    if len(values) != len(given) or set(values) - {known} or not all(isinstance(each, str) for each in values.values()):
        raise problem(400, "invalid_input", f"{field} may hold {known}, once")
    return str(values.get(known, ""))


def found(ca: Ca, request: web.Request) -> Issued:
    """Paths take DigiCert's UUID, not the serial number."""
    entry = ca.by_id.get(request.match_info["id"])
    if entry is None:
        raise problem(404, "entity_not_found", "there is no certificate with this id")
    return entry
