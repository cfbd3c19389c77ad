"""Who may call the DigiCert ONE stand-in, by which credential, on which of its two hosts, for which enrollment profile.

The platform host takes passcodes and API keys; the `clientauth.` host takes client certificates and wants no API key:
https://docs.digicert.com/en/platform-overview/manage-your-accounts/digicert-account/users/client-authentication-certificates.html
On loopback the platform host is `localhost` and the clientauth host is `127.0.0.1`.
"""

import base64
import binascii
import hmac
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from cryptography import x509

from sandbox.credentials import Credentials
from sandbox.digicert.ca import METHODS
from sandbox.digicert.errors import gateway_problem, problem
from sandbox.web import client_chain

CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="DigiCert ONE", charset="UTF-8"'}


@dataclass
class Access:
    """The credentials that are good now; a test that rotates one sets the field."""

    user: str
    passcode: str = field(repr=False)
    api_key: str = field(repr=False)
    client_certificate: x509.Certificate
    scep_passcode: str = field(repr=False)
    cmp_reference: str
    cmp_passcode: str = field(repr=False)
    acme_key_id: str
    acme_hmac_key: str = field(repr=False)


def access(credentials: Credentials) -> Access:
    return Access(
        credentials.digicert_passcode_user,
        credentials.digicert_passcode,
        credentials.digicert_api_key,
        credentials.digicert_client_certificate,
        credentials.scep_passcode,
        credentials.cmp_reference,
        credentials.cmp_passcode,
        credentials.acme_key_id,
        credentials.acme_hmac_key,
    )


def require_profile(request: web.Request, expected: str) -> None:
    """The profile in the path is the one that serves this protocol."""
    profile = request.match_info["profile"]
    if profile not in METHODS:
        raise problem(404, "entity_not_found", "there is no such enrollment profile")
    if profile != expected:
        raise problem(400, "invalid_request", f"this enrollment profile is not for {METHODS[expected]}")


def admit_est(request: web.Request, granted: Access) -> None:
    """EST: Basic with the passcode as password and its user or none, or the client certificate.

    An `x-api-key` opens nothing here (unsure: only the other two ways are documented).
    """
    if on_clientauth_host(request):
        require_certificate(request, granted)
        return
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        raise gateway_problem(401, "unauthorized", "credentials are required", CHALLENGE)
    user, colon, passcode = decoded(value).partition(":")
    if not colon or user not in ("", granted.user) or not same(passcode, granted.passcode):
        raise gateway_problem(401, "unauthorized", "the passcode is wrong", CHALLENGE)


def admit_rest(request: web.Request, granted: Access, *, passcode: bool = False) -> None:
    """REST: `x-api-key`, or the client certificate, or (on issue and renew only) `x-passcode` in place of the key.

    https://docs.digicert.com/en/iot-trust-manager/enrollment-passcodes.html
    """
    key, code = request.headers.get("x-api-key"), request.headers.get("x-passcode")
    if on_clientauth_host(request):
        if key is not None:
            raise gateway_problem(400, "invalid_request", "leave x-api-key out on the clientauth host")
        require_certificate(request, granted)
    elif key is not None and code is not None:
        raise gateway_problem(400, "invalid_request", "x-api-key and x-passcode exclude each other")
    elif code is not None:
        if not passcode or not same(code, granted.passcode):
            raise gateway_problem(401, "unauthorized", "the passcode is wrong, or of no use here")
    elif key is None or not same(key, granted.api_key):
        raise gateway_problem(401, "invalid_api_key", "the API key is missing or wrong")


def require_certificate(request: web.Request, granted: Access) -> None:
    chain = client_chain(request)
    if not chain or chain[0] != granted.client_certificate:
        raise gateway_problem(401, "unauthorized", "a registered client certificate is required", CHALLENGE)


def on_clientauth_host(request: web.Request) -> bool:
    return request.host.partition(":")[0] == "127.0.0.1"


def decoded(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), right.encode())
