"""Queue messages: from the wire to the worker and back. No I/O."""

import base64 as b64
import json
from datetime import datetime
from typing import Any

from azure.storage.queue import QueueMessage

from sandbox.host.index import Datum, text


def decoded(content: str, *, base64: bool) -> Any:  # noqa: ANN401 - a Datum, which carries no types
    """Base64 is the default of extensions.queues.messageEncoding; a body that is not UTF-8 stays bytes."""
    if not base64:
        return text(content)
    body = b64.b64decode(content, validate=True)
    try:
        return text(body.decode())
    except UnicodeDecodeError:
        return Datum(body, "bytes")


def encoded(body: str | bytes, *, base64: bool) -> str:
    if base64:
        return b64.b64encode(body.encode() if isinstance(body, str) else body).decode()
    return body if isinstance(body, str) else body.decode()


def bodies(datum: Any) -> list[str | bytes]:  # noqa: ANN401 - a Datum, which carries no types
    """The messages that one output binding holds: one text, some bytes, or a list of texts."""
    if datum.type in {"string", "bytes"}:
        return [datum.value]
    given = json.loads(datum.value) if datum.type == "json" else None
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        # The worker turns a func.QueueMessage into an object with id and body, and what the real host makes of that
        # object is not documented.
        raise ValueError("a queue output takes str, bytes or a list of str in the sandbox")
    return list(given)


def metadata(message: QueueMessage) -> dict[str, Any]:
    return _metadata(
        str(message.id),
        str(message.pop_receipt),
        message.dequeue_count or 1,
        (message.inserted_on, message.expires_on, message.next_visible_on),
    )


def made_up_metadata(message_id: str, now: datetime) -> dict[str, Any]:
    """For a run that an administrator asked for: there is no message."""
    return _metadata(message_id, "", 1, (now, now, now))


def _metadata(
    message_id: str,
    pop_receipt: str,
    dequeue_count: int,
    times: tuple[datetime | None, datetime | None, datetime | None],
) -> dict[str, Any]:
    """Times are JSON, quotes included: quoted text under "string", or an RFC 1123 date, is refused by the SDK."""
    names = ("InsertionTime", "ExpirationTime", "NextVisibleTime")
    return {
        "Id": text(message_id),
        "PopReceipt": text(pop_receipt),
        "DequeueCount": Datum(str(dequeue_count), "json"),
    } | {
        name: Datum(json.dumps(moment.isoformat()), "json")
        for name, moment in zip(names, times, strict=True)
        if moment is not None
    }
