"""Whether a log record of ours is an event that `shared/telemetry/names.py` lists, with the fields that it may have."""

import json
import logging

from shared.telemetry import names


class Listening(logging.Handler):
    """Keeps what is wrong with the records that it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith('{"event": "'):
            self.wrong += unlisted(text)


def unlisted(line: str) -> list[str]:
    """What the line says that is not listed."""
    fields = json.loads(line)
    event = fields.pop("event")
    if event not in names.EVENTS:
        return [f"the event {event}"]
    strange = [f"{event}.{field}" for field in fields if field not in names.EVENTS[event]]
    outcome = fields.get("outcome")
    if outcome is not None and outcome not in names.OUTCOMES.get(event, ()):
        strange.append(f"{event}.outcome {outcome}")
    return strange
