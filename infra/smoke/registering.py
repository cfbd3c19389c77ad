"""The device API of DPS over HTTPS: a device registers with its certificate.

https://learn.microsoft.com/azure/iot-dps/iot-dps-https-x509-support
"""

import json
import time
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from infra.smoke.device import Identity
from infra.smoke.wire import Address, Answer, Headers, Request, Silent, send

API: Final = "api-version=2021-06-01"
_JSON: Final[Headers] = (("Content-Type", "application/json"),)
_UNDER_WAY: Final = {"assigning", "unassigned"}
_LONGEST_REST: Final = 5.0


@dataclass(frozen=True, slots=True)
class Registered:
    """How DPS answered at the end. `first` is its first answer, `status` its own word, or a number of HTTP."""

    first: Answer
    status: str
    hub: str = ""
    device_id: str = ""
    code: str = ""
    reason: str = ""
    x509: object = None

    @property
    def assigned(self) -> bool:
        return self.status == "assigned"

    @property
    def told(self) -> str:
        return " ".join(part for part in (self.status, self.hub, self.code, self.reason) if part)[:200]


def register(endpoint: Address, scope: str, identity: Identity, seconds: float) -> Registered:
    """Raises Silent, also when DPS does not come to an end."""
    base = f"/{quote(scope, safe='')}/registrations/{quote(identity.name, safe='')}"
    body, pem, end = json.dumps({"registrationId": identity.name}).encode(), identity.pem(), time.monotonic() + seconds
    first = answer = send(endpoint, Request("PUT", f"{base}/register?{API}", body, _JSON), pem)
    while answer.status in {200, 202} and answer.json.get("status") in _UNDER_WAY:
        if time.monotonic() > end:
            raise Silent(f"DPS was still assigning after {seconds:.0f} s")
        time.sleep(_rest(answer))
        operation = quote(str(answer.json.get("operationId", "")), safe=".")
        answer = send(endpoint, Request("GET", f"{base}/operations/{operation}?{API}", headers=_JSON), pem)
    return _told(first, answer)


def _rest(answer: Answer) -> float:
    after = answer.header("Retry-After")
    return min(float(after), _LONGEST_REST) if after.isascii() and after.isdigit() else 2.0


def _told(first: Answer, last: Answer) -> Registered:
    content = last.json
    if last.status not in {200, 202}:
        return Registered(first, str(last.status), code=_text(content, "errorCode"), reason=_message(last))
    state = content.get("registrationState") or {}
    return Registered(
        first,
        _text(content, "status"),
        hub=_text(state, "assignedHub"),
        device_id=_text(state, "deviceId"),
        code=_text(state, "errorCode"),
        reason=_text(state, "errorMessage"),
        x509=state.get("x509"),
    )


def _message(answer: Answer) -> str:
    return _text(answer.json, "message") or answer.line[:100]


def _text(content: dict[str, Any], name: str) -> str:
    return str(content.get(name) or "")
