"""The edge of the app: the one table from refusals to HTTP statuses, the client certificate header, error bodies."""

import asyncio
import hmac
import json
import logging
from collections.abc import Awaitable, Mapping
from typing import Final

import azure.functions as func

from shared import telemetry
from shared.core import basic, errors
from shared.core.errors import Again, Forbidden, MethodNotAllowed, Refusal, Unauthenticated
from shared.flows.application import Application
from shared.telemetry import measures

# est-protocol: prefer the statuses that libest knows (200 202 204 400 401 404 423 500 502 504) where equally right.
STATUS: Final[dict[type[Refusal], int]] = {
    errors.Malformed: 400,
    errors.Unauthenticated: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.MethodNotAllowed: 405,
    errors.Conflict: 409,
    errors.TooLarge: 413,
    errors.Unsupported: 415,
    errors.Throttled: 429,
    errors.NotOffered: 501,
    errors.UpstreamRefused: 502,
    errors.Unavailable: 503,
    errors.Misconfigured: 503,
    errors.OutcomeUnknown: 504,
}

FRONT_END_PROOF: Final = "X-Front-End-Secret"
_LONGEST: Final = 200
_PROOF_SECONDS: Final = 2.0


def status_of(refusal: Refusal) -> int:
    """The status of the refusal's class, or of the nearest class above it."""
    return next((STATUS[kind] for kind in type(refusal).__mro__ if kind in STATUS), 500)


def refused(refusal: Refusal, request_id: str) -> func.HttpResponse:
    """One readable line with the request id (RFC 7030 §4.2.3, RFC 8951 §5); Azure's client prints it into its log."""
    headers = {}
    match refusal:
        case Unauthenticated(challenge=True):
            headers["WWW-Authenticate"] = basic.CHALLENGE
        case MethodNotAllowed(allow=allow):
            headers["Allow"] = ", ".join(allow)
        case Again(retry_after=seconds):
            headers["Retry-After"] = str(seconds)
        case errors.Misconfigured():
            headers["Retry-After"] = "60"
        case _:
            pass
    return text(status_of(refusal), f"{refusal.public[:_LONGEST]} (request {request_id})", headers)


def broken(request_id: str) -> func.HttpResponse:
    """Our own mistake: the cause is in the log, under the request id."""
    return text(500, f"internal error (request {request_id})", {})


def text(status: int, line: str, headers: dict[str, str]) -> func.HttpResponse:
    return bytes_response(status, f"{line}\n".encode(), {"Content-Type": "text/plain; charset=utf-8", **headers})


def json_response(status: int, content: object) -> func.HttpResponse:
    return bytes_response(status, json.dumps(content).encode(), {"Content-Type": "application/json"})


def bytes_response(status: int, body: bytes, headers: dict[str, str]) -> func.HttpResponse:
    """Content-Length always: the platform answers in chunks without it, which libest and strongSwan cannot read.

    No EST answer may be cached: 404, 405 and 501 are cacheable by default (RFC 9110), and who asks matters.
    """
    every = {"Content-Length": str(len(body)), "Cache-Control": "no-store"}
    return func.HttpResponse(body, status_code=status, headers={**headers, **every})


async def client_certificate(application: Application, req: func.HttpRequest) -> str:
    """The front end's client certificate header, or an empty string. Raises Forbidden, Unavailable.

    Where no front end is known to remove a client's own copy, the header does not exist. Where one must prove itself,
    a header that came without its proof was forged.
    """
    name = application.client_certificate_header
    value = req.headers.get(name, "") if name else ""
    if value and application.front_end_secret_name:
        proof = await _within_seconds(application.secrets.get(application.front_end_secret_name))
        given = req.headers.get(FRONT_END_PROOF, "")
        if not hmac.compare_digest(given.encode(errors="surrogateescape"), proof.strip().encode()):
            raise Forbidden("not allowed", cause="a client certificate header without the front end's secret")
    return value


async def _within_seconds(reading: Awaitable[str]) -> str:
    """This reading stands before the flow's own time budget, so it has one too. Raises Unavailable."""
    try:
        async with asyncio.timeout(_PROOF_SECONDS):
            return await reading
    except TimeoutError as error:
        raise errors.Unavailable(
            "a service that is needed does not answer", retry_after=5, cause="Key Vault"
        ) from error


def log_refusal(event: str, refusal: Refusal, fields: Mapping[str, object]) -> None:
    """A refusal in the audit log; what an operator must act on is an error there."""
    match refusal:
        case errors.UpstreamRefused() | errors.Misconfigured():
            level = logging.ERROR
        case Again():
            level = logging.WARNING
        case _:
            level = logging.INFO
    outcome = type(refusal).__name__
    measures.refused(event, outcome)
    telemetry.about(refusal.device_id, outcome)
    why = {"outcome": outcome, "reason": refusal.public, "cause": refusal.cause}
    telemetry.event(event, {**fields, **why, "device_id": refusal.device_id}, level)
