"""Stand-in for the managed identity of App Service and for Entra ID behind it: hands out tokens, and checks them.

Protocol: https://learn.microsoft.com/azure/app-service/overview-managed-identity#rest-endpoint-reference

Tokens live on the machine's clock, not on the world's: Azurite and the SDKs' token caches know only the former, and a
test that moves the world by months wants devices to age, not the app's own login.
"""

import hmac
import re
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

import jwt
from aiohttp import web

from sandbox.credentials import Credentials
from sandbox.web import application
from sandbox.world import World

SERVICE: Final = "Entra ID"
TENANT: Final = "5a0db0c5-0000-4000-8000-00000000000e"
IDENTITY: Final = "5a0db0c5-0000-4000-8000-00000000001d"
ISSUER: Final = f"https://sts.windows.net/{TENANT}/"

DPS_AUDIENCE: Final = "https://azure-devices-provisioning.net"
IOT_HUB_AUDIENCE: Final = "https://iothubs.azure.net"
EVENT_GRID_AUDIENCE: Final = "https://eventgrid.azure.net"
STORAGE_AUDIENCE: Final = "https://storage.azure.com"
MANAGEMENT_AUDIENCE: Final = "https://management.azure.com"
KEY_VAULT_AUDIENCE: Final = "https://0.0.1:9446"  # what the vault's challenge names; see key_vault.py

# Entra ID gives no token for a resource that the tenant does not know (AADSTS500011). Unit tests run vaults anywhere.
KNOWN: Final = {DPS_AUDIENCE, IOT_HUB_AUDIENCE, EVENT_GRID_AUDIENCE, STORAGE_AUDIENCE, MANAGEMENT_AUDIENCE}
A_VAULT: Final = re.compile(r"https://0\.0\.1:\d{1,5}")
LIFETIME: Final = timedelta(hours=24)
PARAMETERS: Final = {"api-version", "resource", "client_id"}


def app(world: World, credentials: Credentials) -> web.Application:
    async def token(request: web.Request) -> web.Response:
        problem = request_problem(request, credentials)
        if problem is not None:
            return problem
        resource = request.query["resource"]
        now = datetime.now(UTC)
        expires = now + LIFETIME
        value = issue_token(world, credentials, resource, not_before=now - timedelta(minutes=5), expires=expires)
        answer = {
            "access_token": value,
            "client_id": request.query.get("client_id", IDENTITY),
            "expires_on": str(int(expires.timestamp())),
            "not_before": str(int(now.timestamp())),
            "resource": resource,
            "token_type": "Bearer",
        }
        return web.json_response(answer)

    return application(SERVICE, world, [web.get("/msi/token", token)])


def request_problem(request: web.Request, credentials: Credentials) -> web.Response | None:
    """What the identity endpoint refuses. The header defends the endpoint against forged requests of the server."""
    given = request.headers.get("X-IDENTITY-HEADER")
    if given is None:
        return refused(400, "X-IDENTITY-HEADER is missing")
    if not hmac.compare_digest(given.encode(), credentials.identity_header.encode()):
        return refused(401, "X-IDENTITY-HEADER is wrong")
    if unknown := sorted(set(request.query) - PARAMETERS):
        return refused(400, f"unknown parameters {', '.join(unknown)}")
    if request.query.get("api-version") != "2019-08-01":
        return refused(400, "api-version 2019-08-01 is the one that the sandbox speaks")
    resource = request.query.get("resource", "")
    if resource.removesuffix("/") not in KNOWN and not A_VAULT.fullmatch(resource):
        return refused(400, f"AADSTS500011: the resource principal named {resource} was not found in the tenant")
    return None


def refused(status: int, message: str) -> web.Response:
    return web.json_response({"statusCode": status, "message": message}, status=status)


def issue_token(
    world: World, credentials: Credentials, audience: str, *, not_before: datetime, expires: datetime
) -> str:
    """A token as Entra ID makes them (version 1), but signed with a key that all stand-ins share."""
    claims = {
        "aud": audience,
        "iss": ISSUER,
        "iat": not_before,
        "nbf": not_before,
        "exp": expires,
        "appid": IDENTITY,
        "oid": IDENTITY,
        "sub": IDENTITY,
        "tid": TENANT,
        "uti": uuid.uuid4().hex,
        "ver": "1.0",
    }
    token = jwt.encode(claims, credentials.token_key, algorithm="HS256")
    world.secrets.append(token)
    return token


def token_problem(credentials: Credentials, request: web.Request, audience: str) -> str:
    """Why the request's bearer token does not open `audience`; empty when it does."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        return "no bearer token"
    base = audience.removesuffix("/")
    try:
        jwt.decode(
            token,
            credentials.token_key,
            algorithms=["HS256"],
            audience=[base, f"{base}/"],
            issuer=ISSUER,
            options={"require": ["aud", "iss", "nbf", "exp"]},
        )
    except jwt.InvalidTokenError as error:
        return f"{type(error).__name__}: {error}"
    return ""


def check_token(world: World, credentials: Credentials, request: web.Request, audience: str) -> None:
    """Raise the 401 of Azure's resource providers unless the request carries a good token for `audience`."""
    problem = token_problem(credentials, request, audience)
    if problem:
        world.journal.write(SERVICE, "token refused", path=request.path, audience=audience, problem=problem)
        raise web.HTTPUnauthorized(
            headers={"WWW-Authenticate": f'Bearer authorization_uri="https://login.microsoftonline.com/{TENANT}"'},
            text='{"error":{"code":"InvalidAuthenticationToken","message":"The access token is invalid."}}',
            content_type="application/json",
        )
