"""What operators write over `/api`: bodies, keys and callers, strict and bounded."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from shared.core.errors import Malformed, TooLarge
from shared.core.names import is_plain
from shared.core.revocation import Reason, Verb, reason

type Deed = Verb | Literal["renew"]

MAX_BODY: Final = 16 * 1024
MAX_REPLAY: Final = 100
MAX_COMMENT: Final = 400
_MAX_CALLER: Final = 128
_USUAL_REPLAY: Final = 32
_NOBODY: Final = "function key"
_MOST_NAMED: Final = 5

# A block that nobody can undo needs a reason; what can be undone, or harms nothing, has one of its own.
_USUAL_REASON: Final[Mapping[Deed, Reason]] = {
    "hold": Reason.CERTIFICATE_HOLD,
    "restore": Reason.UNSPECIFIED,
    "renew": Reason.UNSPECIFIED,
}


@dataclass(frozen=True, slots=True)
class Command:
    """A write, asked for by somebody, known again by its key."""

    key: str
    caller: str
    comment: str = ""
    why: Reason = Reason.UNSPECIFIED
    limit: int = 0


def action(deed: Deed, body: bytes, *, key: str, caller: str) -> Command:
    """The body of revoke, hold, restore, decommission and renew. Raises Malformed, TooLarge."""
    given = fields(body, ("reason", "comment"))
    why = _USUAL_REASON.get(deed)
    if "reason" in given:
        why = reason(text(given, "reason"))
    if why is None:
        raise Malformed(f'the body must hold a "reason": one of {", ".join(one.value for one in Reason)}')
    if why is Reason.CERTIFICATE_HOLD and deed in ("revoke", "decommission"):
        raise Malformed("certificateHold is the reason of a hold, which can be undone: use hold, or another reason")
    return Command(key, caller, comment(given), why)


def note(body: bytes, *, key: str, caller: str) -> Command:
    """A body that holds a comment, or nothing. Raises Malformed, TooLarge."""
    return Command(key, caller, comment(fields(body, ("comment",))))


def replay(body: bytes, *, key: str, caller: str) -> Command:
    """The body of a replay of poison messages. Raises Malformed, TooLarge."""
    given = fields(body, ("limit", "comment"))
    limit = given.get("limit", _USUAL_REPLAY)
    if type(limit) is not int or not 1 <= limit <= MAX_REPLAY:
        raise Malformed(f'"limit" must be a whole number from 1 to {MAX_REPLAY}')
    return Command(key, caller, comment(given), limit=limit)


def idempotency_key(header: str) -> str:
    """The Idempotency-Key. Raises Malformed."""
    if not 1 <= len(header) <= 128 or not all("!" <= one <= "~" for one in header):
        raise Malformed(
            "the header Idempotency-Key must be there: 1 to 128 visible ASCII characters, new for each wish"
        )
    return header


def caller(platform: str, claimed: str) -> str:
    """Who asks, and how that is known: the platform has proven the name, or the holder of a function key goes by it.

    What is added tells the two apart for ever. Raises Malformed.
    """
    for name in (platform, claimed):
        if len(name) > _MAX_CALLER or not is_plain(name):
            raise Malformed(f"the caller's name must be plain text of at most {_MAX_CALLER} characters")
    if platform.strip():
        return f"{platform.strip()} (signed in)"
    return f"{claimed.strip()} ({_NOBODY})" if claimed.strip() else _NOBODY


def fingerprint(deed: str, command: Command) -> str:
    """The same for two requests that want the same. Who asks is no part of it: a colleague may ask again."""
    return _digest(deed, command.why.value, command.comment, str(command.limit))


def request_id(scope: str, key: str) -> str:
    """The id of what the request does, in every system that keeps one: the key belongs to one device or queue."""
    return f"ops-{_digest(scope, key)[:32]}"


def named(names: Sequence[str]) -> str:
    """Names that a caller typed, fit for one line of a log or an answer."""
    shown = [json.dumps(name[:40]) for name in sorted(names)[:_MOST_NAMED]]
    return ", ".join([*shown, *(["…"] if len(names) > _MOST_NAMED else [])])


def _digest(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def fields(body: bytes, names: tuple[str, ...], most: int = MAX_BODY) -> dict[str, Any]:
    """A JSON object with no other fields than these, and none twice. Raises Malformed, TooLarge."""
    if len(body) > most:
        raise TooLarge(f"the body is over {most} bytes")
    try:
        given = json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # of UTF-8, of JSON, of a number of thousands of digits
        raise Malformed("the body must be a JSON object in UTF-8") from error
    if not isinstance(given, dict):
        raise Malformed("the body must be a JSON object in UTF-8")
    unknown = [name for name in given if name not in names]
    if unknown:
        raise Malformed(f"the body has unknown fields: {named(unknown)}; known are {', '.join(names)}")
    return given


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise Malformed("the body has a field twice")
    return made


def _no_constant(constant: str) -> None:
    raise ValueError(constant)


def text(given: Mapping[str, Any], name: str) -> str:
    """A field that is text, or an empty string. Raises Malformed."""
    value = given.get(name, "")
    if not isinstance(value, str):
        raise Malformed(f'"{name}" must be text')
    return value


def comment(given: Mapping[str, Any]) -> str:
    """The comment, or an empty string. Raises Malformed."""
    said = text(given, "comment")
    if len(said) > MAX_COMMENT or not is_plain(said):
        raise Malformed(f'"comment" must be one line of plain text of at most {MAX_COMMENT} characters')
    return said
