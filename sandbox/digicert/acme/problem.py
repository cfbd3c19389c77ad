"""Errors of ACME: problem documents (RFC 8555, 6.7), raised; the routes add the nonce that every answer carries."""

from typing import Final

from aiohttp import web

from sandbox.digicert.errors import JsonProblem

PREFIX: Final = "urn:ietf:params:acme:error:"


def acme_problem(kind: str, detail: str, status: int = 400) -> web.HTTPException:
    result = JsonProblem(status, {"type": f"{PREFIX}{kind}", "detail": detail, "status": status})
    result.content_type = "application/problem+json"
    return result
