"""Errors of the operators' API: problem details (RFC 9457). The statuses are those of the table in http.py."""

import json
from typing import Final

import azure.functions as func

from functions import http
from shared.core import errors
from shared.core.errors import Again, Refusal

# What is wrong, in words that stay the same; the detail says more. The rest of the type is the class's name.
TITLES: Final[dict[type[Refusal], str]] = {
    errors.Malformed: "The request breaks its form",
    errors.Unauthenticated: "The caller is not known",
    errors.Forbidden: "The caller may not do this",
    errors.NotFound: "There is no such thing",
    errors.MethodNotAllowed: "The method does not fit",
    errors.Conflict: "The state of things does not permit it",
    errors.TooLarge: "The request is too large",
    errors.Unsupported: "The media type is not read here",
    errors.Throttled: "Too many requests",
    errors.NotOffered: "Not offered here",
    errors.UpstreamRefused: "Another system refused",
    errors.Unavailable: "Something that is needed does not answer",
    errors.Misconfigured: "The service is not set up correctly",
    errors.OutcomeUnknown: "It may have been done or not",
}
MEDIA_TYPE: Final = "application/problem+json"
TYPES: Final = "urn:birthcert:problem:"
_INTERNAL: Final = "InternalError"
_LONGEST: Final = 600


def problem(refusal: Refusal, request_id: str) -> func.HttpResponse:
    kind = next((kind for kind in type(refusal).__mro__ if kind in TITLES), None)
    headers = {}
    match refusal:
        case Again(retry_after=seconds):
            headers["Retry-After"] = str(seconds)
        case errors.Misconfigured():
            headers["Retry-After"] = "60"
        case _:
            pass
    name, title = (kind.__name__, TITLES[kind]) if kind else (_INTERNAL, "Our own mistake")
    return _encoded(name, title, http.status_of(refusal), refusal.public[:_LONGEST], request_id, headers)


def broken(request_id: str) -> func.HttpResponse:
    """Our own mistake: the cause is in the log, under the request id."""
    return _encoded(_INTERNAL, "Our own mistake", 500, "the log has the cause, under the request id", request_id, {})


def _encoded(  # noqa: PLR0917 - the members of a problem, in the order of the RFC
    name: str, title: str, status: int, detail: str, request_id: str, headers: dict[str, str]
) -> func.HttpResponse:
    """§3.1: `type` names the kind of problem, `instance` this one; a URN needs no page behind it."""
    members = {
        "type": f"{TYPES}{name}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": f"urn:uuid:{request_id}",
    }
    return http.bytes_response(status, json.dumps(members).encode(), {"Content-Type": MEDIA_TYPE, **headers})
