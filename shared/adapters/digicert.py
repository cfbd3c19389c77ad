"""What all calls to DigiCert ONE share: credentials from Key Vault, read again on 401, and what its refusals mean."""

import base64
import json
import ssl
from dataclasses import dataclass, field, replace
from typing import Final

import httpx

from shared.adapters.tls import client_context
from shared.adapters.transport import Call, Transport
from shared.core.errors import Malformed, Refusal, UpstreamRefused
from shared.flows.ports.secrets import FreshSecrets

# One request to DigiCert ONE may take this long, so that the device has its answer in time.
ISSUE_SECONDS: Final = 14.0
LOOK_UP_SECONDS: Final = 6.0
REFUSED: Final = "the CA refused the request"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """`x-api-key`, on the platform host."""

    secret: str


@dataclass(frozen=True, slots=True)
class BasicPasscode:
    """An enrollment passcode by HTTP Basic; the secret holds `user:passcode`, the user may be empty."""

    secret: str


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate, on the `clientauth.` host."""

    secret: str


type Credential = ApiKey | BasicPasscode | ClientCertificate


@dataclass
class Session:
    """Sends calls under one credential. The secret is read for each call (Key Vault's adapter keeps it for minutes)."""

    transport: Transport
    secrets: FreshSecrets
    credential: Credential
    plain: httpx.AsyncClient
    _certified: tuple[str, httpx.AsyncClient] | None = field(default=None, repr=False)

    async def send(self, call: Call) -> httpx.Response:
        """The response, neither 401, 429 nor 5xx. On 401 the secret is read anew, once: it may have been rotated.

        Raises as Transport.send, and UpstreamRefused, Misconfigured.
        """
        value = await self.secrets.get(self.credential.secret)
        response = await self._send(call, value)
        if response.status_code == 401:
            renewed = await self.secrets.get_fresh(self.credential.secret)
            if renewed != value:
                response = await self._send(call, renewed)
        if response.status_code == 401:
            raise UpstreamRefused(
                "the CA does not accept our credentials",
                nothing_issued=True,
                cause=f"401 with secret {self.credential.secret}: {error_text(response)}",
            )
        return response

    async def _send(self, call: Call, value: str) -> httpx.Response:
        match self.credential:
            case ApiKey():
                return await self.transport.send(self.plain, _with(call, "x-api-key", value.strip()))
            case BasicPasscode():
                authorization = "Basic " + base64.b64encode(value.strip().encode()).decode()
                return await self.transport.send(self.plain, _with(call, "Authorization", authorization))
            case ClientCertificate():
                return await self.transport.send(await self._client(value), call)

    async def _client(self, value: str) -> httpx.AsyncClient:
        if self._certified is None or self._certified[0] != value:
            old, self._certified = self._certified, (value, client(client_context(value)))
            if old is not None:
                await old[1].aclose()
        return self._certified[1]

    async def aclose(self) -> None:
        """Ends the connections under a client certificate; those of `plain` are somebody else's."""
        if self._certified is not None:
            await self._certified[1].aclose()


def client(verify: ssl.SSLContext) -> httpx.AsyncClient:
    """An HTTP client that follows no redirect: credentials go to the host that was configured and to no other."""
    limits = httpx.Limits(max_connections=100, max_keepalive_connections=50, keepalive_expiry=4.0)
    return httpx.AsyncClient(verify=verify, limits=limits, follow_redirects=False)


def _with(call: Call, name: str, value: str) -> Call:
    return replace(call, headers={**call.headers, name: value})


def refusal(response: httpx.Response) -> Refusal:
    """What a response that is no success means; DigiCert ONE's own words go to the log alone."""
    cause = f"{response.status_code} {error_text(response)}"
    match response.status_code:
        case 400 | 422:
            return Malformed("the CA does not accept this request under its enrollment profile", cause=cause)
        case status if 300 <= status < 500:
            # 403 concerns our credentials, 404 our profile id; never the device's (RFC 7030 leaves it a 502).
            return UpstreamRefused(REFUSED, nothing_issued=True, cause=cause)
        case _:
            return UpstreamRefused("the CA answered with something unexpected", cause=cause)


def error_text(response: httpx.Response) -> str:
    """The code and message of an error body: three shapes are known, and bodies that are no JSON at all."""
    try:
        body = json.loads(response.content[:65_536])
    except ValueError:
        return response.text[:200]
    match body:
        case {"errors": [{"code": code, "message": message}, *_]}:
            return f"{code}: {message}"
        case {"error": {"code": code, "message": message}}:
            return f"{code}: {message}"
        case {"message": message, "code": code}:
            return f"{code}: {message}"
        case _:
            return str(body)[:200]
