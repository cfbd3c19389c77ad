"""Which certificates an operator looks for, and how a long list is handed out page by page."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Final, Literal, get_args

from shared.core.errors import Malformed
from shared.core.names import is_plain
from shared.core.ops import named

type Status = Literal["issued", "superseded", "revoked"]

STATUSES: Final[tuple[Status, ...]] = get_args(Status.__value__)
MAX_PAGE: Final = 100
USUAL_PAGE: Final = 50
_LONGEST: Final = 4096
_PARAMETERS: Final = ("expires_before", "status", "label", "limit", "continuation")
_NO_MOMENT: Final = '"expires_before" must be a day or a time with its zone: 2026-05-31, 2026-05-31T12:00:00Z'
_KEY: Final = "code"  # the function key, when it comes in the URL; the host has looked at it


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for. `mark` is where the store goes on, in its own words; empty for the first page."""

    expires_before: datetime | None
    status: Status | None
    label: str
    limit: int
    mark: str = ""


def search(parameters: Mapping[str, str]) -> Search:
    """The search that the query of a URL asks for. Raises Malformed."""
    _check_known(parameters, _PARAMETERS)
    wanted = Search(
        expires_before=_moment(parameters["expires_before"]) if "expires_before" in parameters else None,
        status=_status(parameters["status"]) if "status" in parameters else None,
        label=_label(parameters.get("label", "")),
        limit=_limit(parameters["limit"]) if "limit" in parameters else USUAL_PAGE,
    )
    if "continuation" not in parameters:
        return wanted
    return replace(wanted, mark=_mark(wanted, parameters["continuation"]))


def stuck(parameters: Mapping[str, str]) -> bool:
    """Whether the query of a URL asks for stuck sagas alone. Raises Malformed."""
    _check_known(parameters, ("stuck",))
    match parameters.get("stuck", "false"):
        case "true":
            return True
        case "false":
            return False
        case _:
            raise Malformed('"stuck" must be true or false')


def continuation(of: Search, mark: str) -> str:
    """How to ask for the next page of the same search; its form is nobody's business but ours."""
    return base64.urlsafe_b64encode(json.dumps([_bound_to(of), mark]).encode()).decode().rstrip("=")


def _check_known(parameters: Mapping[str, str], known: tuple[str, ...]) -> None:
    unknown = [name for name in parameters if name not in (*known, _KEY)]
    if unknown:
        raise Malformed(f"unknown parameters: {named(unknown)}; known are {', '.join(known)}")


def _mark(wanted: Search, token: str) -> str:
    """Nothing is protected by it: whoever may ask may see the whole list. But it must fit its search."""
    match _decoded(token):
        case [str(bound), str(mark)] if mark:
            if bound != _bound_to(wanted):
                raise Malformed('"continuation" belongs to another search: begin again without it')
            return mark
        case _:
            raise Malformed('"continuation" must be what the page before gave, unchanged')


def _decoded(token: str) -> object:
    """None for what is no token."""
    if len(token) > _LONGEST or not token.isascii():
        return None
    padded = token + "=" * (-len(token) % 4)
    try:
        found: object = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (ValueError, RecursionError):
        return None
    return found


def _bound_to(of: Search) -> str:
    """The limit is left out: pages of one list may differ in length."""
    moment = of.expires_before.isoformat() if of.expires_before else ""
    return hashlib.sha256(json.dumps([moment, of.status, of.label]).encode()).hexdigest()[:16]


def _moment(text: str) -> datetime:
    """A day (its beginning, UTC) or a time with its zone."""
    try:
        # 32 characters hold the longest form; a day has 10.
        moment = datetime.fromisoformat(text) if 10 < len(text) <= 32 else _day(text)
    except ValueError as error:
        raise Malformed(_NO_MOMENT) from error
    if moment.tzinfo is None or not 1900 <= moment.year <= 9000:
        raise Malformed(_NO_MOMENT)
    return moment.astimezone(UTC)


def _day(text: str) -> datetime:
    return datetime.combine(date.fromisoformat(text), time(), UTC)


def _status(text: str) -> Status:
    for status in STATUSES:
        if text == status:
            return status
    raise Malformed(f'"status" must be one of {", ".join(STATUSES)}')


def _label(text: str) -> str:
    if len(text) > 64 or not is_plain(text):
        raise Malformed('"label" must be plain text of at most 64 characters')
    return text


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_PAGE):
        raise Malformed(f'"limit" must be a whole number from 1 to {MAX_PAGE}')
    return int(text)
