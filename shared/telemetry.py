"""Structured logs: one JSON object a line, with what an operator searches by, and never a secret.

Text that a device chose is escaped by JSON itself, so it cannot forge a line; long text is cut.
"""

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

LOGGER: Final = logging.getLogger("birthcert")
_LONGEST: Final = 500


def setup() -> None:
    """Log through the root handlers that the Functions worker installs; quieten the SDKs, which log every request."""
    LOGGER.setLevel(logging.INFO)
    for name in ("azure", "httpx", "httpcore", "msrest", "uamqp", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)


def event(name: str, fields: Mapping[str, object], level: int = logging.INFO) -> None:
    """Log one event. Fields that are None or empty are left out."""
    if LOGGER.isEnabledFor(level):
        shown = {key: _plain(value) for key, value in fields.items() if value is not None and value != ""}
        LOGGER.log(level, "%s", json.dumps({"event": name, **shown}))


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    return str(value)[:_LONGEST]
