"""How Resource Manager says no, and how the provider Microsoft.Devices behind it does: in two different forms.

The latter is ErrorDetails of the DPS specification; the numbers are those that users have reported.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

Json = dict[str, Any]

KINDS: Final[dict[int, type[web.HTTPException]]] = {
    400: web.HTTPBadRequest,
    403: web.HTTPForbidden,
    404: web.HTTPNotFound,
    409: web.HTTPConflict,
    412: web.HTTPPreconditionFailed,
    429: web.HTTPTooManyRequests,
}


def problem(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> web.HTTPException:
    """https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors"""
    text = json.dumps({"error": {"code": code, "message": message}})
    return KINDS[status](text=text, content_type="application/json", headers=headers)


def refusal(number: int, message: str) -> web.HTTPException:
    """The first three digits are the status; only 400303 and 409301 are known, the rest is a guess."""
    kind = KINDS[number // 1000]
    text = json.dumps({"code": number, "httpStatusCode": kind.__name__.removeprefix("HTTP"), "message": message})
    return kind(text=text, content_type="application/json")


def not_found(kind: str, name: str) -> web.HTTPException:
    return problem(404, "ResourceNotFound", f"The Resource 'Microsoft.{kind}/{name}' was not found.")


def check_version(request: web.Request, known: str) -> None:
    given = request.query.get("api-version")
    if given != known:
        raise problem(400, "InvalidApiVersionParameter", f"The api-version '{given}' is invalid; it is {known} here.")


def if_match(request: web.Request) -> str | None:
    """Microsoft's CLI sends the tag as the answers hold it, the SDK since 2.0 in the quotes of RFC 9110."""
    given = request.headers.get("If-Match")
    return None if given is None else given.strip('"')


async def json_object(request: web.Request, known: set[str]) -> Json:
    try:
        body = await request.json()
    except ValueError as error:
        raise problem(400, "InvalidRequestContent", "The request content was not valid JSON.") from error
    return members(body, known, "the body")


def members(value: object, known: set[str], what: str) -> Json:
    if not isinstance(value, dict):
        raise refusal(400001, f"{what} is no object.")
    if unknown := sorted(value.keys() - known):
        raise refusal(400001, f"{what} has unknown members: {', '.join(unknown)}.")
    return value
