"""Stand-in for the secrets of Azure Key Vault, with the authentication challenge that the real SDK insists on.

REST: https://learn.microsoft.com/rest/api/keyvault/secrets/get-secret, .../get-secrets and .../set-secret
Challenge: https://learn.microsoft.com/azure/key-vault/general/authentication-requests-and-responses

The SDK refuses a challenge whose resource is not a parent domain of the vault's host. On loopback this is met by the
vault `https://127.0.0.1:PORT` and the resource `https://0.0.1:PORT`: as text, `127.0.0.1` ends with `.0.0.1`.
"""

import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web

from sandbox import entra
from sandbox.credentials import Credentials
from sandbox.web import application
from sandbox.world import World

SERVICE: Final = "Key Vault"
NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}")
LONGEST: Final = 25_600
API_VERSIONS: Final = {"7.4", "7.5", "7.6", "2025-07-01", "2026-04-01"}


@dataclass(frozen=True)
class Version:
    id: str
    value: str = field(repr=False)
    created: int


@dataclass
class Vault:
    """`announce` is told the name and the id of a version that somebody has made."""

    world: World
    secrets: dict[str, list[Version]] = field(default_factory=dict)  # the newest version is the last
    disabled: set[str] = field(default_factory=set)
    announce: Callable[[str, str], None] = lambda _name, _version: None

    def set_secret(self, name: str, value: str) -> str:
        """Make `value` the newest version, unless it is already. Returns the id of the newest version."""
        versions = self.secrets.get(name, [])
        return versions[-1].id if versions and versions[-1].value == value else self.add(name, value).id

    def add(self, name: str, value: str) -> Version:
        """A new version, whatever the one before it holds."""
        made = Version(uuid.uuid4().hex, value, int(self.world.clock.now().timestamp()))
        self.secrets.setdefault(name, []).append(made)
        self.world.journal.write(SERVICE, "new version", name=name, version=made.id)
        return made

    def enable(self, name: str, *, enabled: bool) -> None:
        (self.disabled.discard if enabled else self.disabled.add)(name)


VAULT: Final = web.AppKey("vault", Vault)


def app(world: World, credentials: Credentials, secrets: dict[str, str]) -> web.Application:
    """The vault with its first `secrets`; whoever changes them later does so with `app[VAULT].set_secret`."""
    vault = Vault(world)
    for name, value in secrets.items():
        vault.set_secret(name, value)

    async def get(request: web.Request) -> web.Response:
        admit(world, credentials, request)
        name, wanted = request.match_info["name"], request.match_info.get("version", "")
        versions = vault.secrets.get(name, [])
        found = next((each for each in reversed(versions) if wanted in ("", each.id)), None)
        if found is None:
            text = f"A secret with (name/id) {name}{f'/{wanted}' if wanted else ''} was not found in this key vault."
            raise problem(404, "SecretNotFound", text)
        if name in vault.disabled:
            text = "Operation get is not allowed on a disabled secret."
            raise problem(403, "Forbidden", text, inner="SecretDisabled")
        return web.json_response({"value": found.value} | item(request, vault, name, found, with_version=True))

    async def put(request: web.Request) -> web.Response:
        """Each is a new version, also with the value of the one before."""
        admit(world, credentials, request)
        name, value = request.match_info["name"], await value_of(request)
        if not NAME.fullmatch(name):
            raise problem(400, "BadParameter", "The request URI contains an invalid name: letters, digits and -.")
        world.secrets.append(value)
        made = vault.add(name, value)
        vault.announce(name, made.id)
        return web.json_response({"value": value} | item(request, vault, name, made, with_version=True))

    async def list_all(request: web.Request) -> web.Response:
        admit(world, credentials, request)
        newest = [item(request, vault, name, versions[-1]) for name, versions in sorted(vault.secrets.items())]
        return web.json_response({"value": newest, "nextLink": None})

    routes = [
        web.get("/secrets", list_all),
        web.get("/secrets/{name}", get),
        web.put("/secrets/{name}", put),
        web.get("/secrets/{name}/", get),
        web.get("/secrets/{name}/{version}", get),
        web.get("/secrets/{name}/{version}/", get),
    ]
    result = application(SERVICE, world, routes)
    result[VAULT] = vault
    return result


async def value_of(request: web.Request) -> str:
    """The value that is to be kept: at most 25 KB (learn.microsoft.com/azure/key-vault/secrets/about-secrets)."""
    try:
        body = await request.json()
    except ValueError as error:
        raise problem(400, "BadParameter", "The body is not JSON.") from error
    if not isinstance(body, dict) or body.keys() - {"value", "attributes", "tags", "contentType"}:
        raise problem(400, "BadParameter", "The sandbox does not know this body.")
    value = body.get("value")
    if not isinstance(value, str) or len(value.encode()) > LONGEST:
        raise problem(400, "BadParameter", "The value is missing, or too long.")
    return value


def item(
    request: web.Request, vault: Vault, name: str, version: Version, *, with_version: bool = False
) -> dict[str, Any]:
    """A secret as the REST answers show it; in the list, its id ends with the name."""
    attributes = {
        "enabled": name not in vault.disabled,
        "created": version.created,
        "updated": version.created,
        "recoveryLevel": "Recoverable+Purgeable",
        "recoverableDays": 90,
    }
    base = f"https://{request.host}/secrets/{name}"
    return {"id": f"{base}/{version.id}" if with_version else base, "attributes": attributes}


def admit(world: World, credentials: Credentials, request: web.Request) -> None:
    """Challenge a request without a good token, and refuse what the vault's REST interface does not know."""
    resource = audience(request)
    reason = entra.token_problem(credentials, request, resource)
    if reason:
        world.journal.write(SERVICE, "challenge", path=request.path, reason=reason)
        authority = f"https://login.microsoftonline.com/{entra.TENANT}"
        challenge = {"WWW-Authenticate": f'Bearer authorization="{authority}", resource="{resource}"'}
        raise problem(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.", headers=challenge)
    version = request.query.get("api-version")
    if version not in API_VERSIONS:
        raise problem(400, "BadParameter", f"The specified version ({version}) is not recognized.")
    if unknown := sorted(set(request.query) - {"api-version"}):
        raise problem(400, "BadParameter", f"The sandbox does not know {', '.join(unknown)}.")


def audience(request: web.Request) -> str:
    """`https://0.0.1:PORT` for the vault at `127.0.0.1:PORT`; the fixed port where the host is called otherwise."""
    host = request.host
    return f"https://{host.removeprefix('127.')}" if host.startswith("127.") else entra.KEY_VAULT_AUDIENCE


def problem(
    status: int, code: str, message: str, *, inner: str = "", headers: dict[str, str] | None = None
) -> web.HTTPException:
    """Key Vault's error: https://learn.microsoft.com/azure/key-vault/general/rest-error-codes"""
    error: dict[str, Any] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    kinds: dict[int, type[web.HTTPException]] = {
        400: web.HTTPBadRequest,
        401: web.HTTPUnauthorized,
        403: web.HTTPForbidden,
        404: web.HTTPNotFound,
    }
    return kinds[status](text=json.dumps({"error": error}), content_type="application/json", headers=headers)
