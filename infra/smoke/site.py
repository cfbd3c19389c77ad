"""The deployment as devices and operators reach it: EST paths, and `/api` under the function key."""

import json
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from infra.smoke.wire import Address, Answer, Headers, Request, send

BASE: Final = "/.well-known/est"
PKCS10: Final = (("Content-Type", "application/pkcs10"), ("Content-Transfer-Encoding", "base64"))
CALLER: Final = "smoke test"

type Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Site:
    """`label` is empty for the default one."""

    server: Address
    label: str = ""

    def est(self, operation: str) -> str:
        return f"{BASE}/{self.label}/{operation}" if self.label else f"{BASE}/{operation}"

    def get(self, path: str, headers: Headers = (), identity: str = "") -> Answer:
        return send(self.server, Request("GET", path, headers=headers), identity)

    def enroll(
        self,
        body: bytes,
        headers: Headers = (),
        identity: str = "",
        *,
        operation: str = "simpleenroll",
        chunked: bool = False,
    ) -> Answer:
        """What nobody gets for this body, or who shows `identity` in TLS or a password in a header."""
        request = Request("POST", self.est(operation), body, (*PKCS10, *headers), chunked)
        return send(self.server, request, identity)


@dataclass(frozen=True, slots=True)
class Ops:
    """The operators' API (docs/openapi.json)."""

    server: Address
    key: str = field(repr=False)

    def get(self, path: str) -> Answer:
        return send(self.server, Request("GET", path, headers=self._headers()))

    def look(self, name: str) -> Answer:
        """Raises Silent."""
        return self.get(_path(name))

    def device(self, name: str) -> Json | None:
        """All that is known of the device; None where it is not known, or nobody says. Raises Silent."""
        answer = self.look(name)
        return answer.json if answer.status == 200 else None

    def act(self, name: str, verb: str, reason: str) -> Answer:
        """Begin what cannot be undone. Raises Silent."""
        body = json.dumps({"reason": reason, "comment": "a test device of the smoke test"}).encode()
        more = (("Content-Type", "application/json"), ("Idempotency-Key", secrets.token_hex(16)))
        return send(self.server, Request("POST", f"{_path(name)}/{verb}", body, (*self._headers(), *more)))

    def poison(self) -> Mapping[str, int] | None:
        """How many messages lie in each poison queue. Raises Silent."""
        answer = self.get("/api/poison")
        if answer.status != 200:
            return None
        return {str(one["queue"]): int(one["messages"]) for one in answer.json.get("queues", ())}

    def _headers(self) -> tuple[tuple[str, str], ...]:
        return (("x-functions-key", self.key), ("X-Caller", CALLER))


def eventually[T](look: Callable[[], T | None], seconds: float, every: float = 0.2) -> T | None:
    """The first answer that is not None; None when the time is over. Looks less often the longer it takes."""
    end = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < end:
        time.sleep(every)
        every = min(every * 1.3, 5.0)
    return found


def _path(name: str) -> str:
    return f"/api/devices/{quote(name, safe=':')}"
