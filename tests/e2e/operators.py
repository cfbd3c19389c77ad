"""An operator's side of the wire: requests with a function key, each answer held against the OpenAPI document."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote, urlsplit

from tests.e2e.est import Headers, Site
from tests.e2e.wire import Answer
from tests.functions.schema import faults

type Json = dict[str, Any]

DOCUMENT: Final = "/api/openapi.json"
JSON: Final = ("Content-Type", "application/json")
URN: Final = "urn:birthcert:problem:"


@dataclass(frozen=True)
class Operator:
    """Whoever holds the function key."""

    site: Site

    @property
    def key(self) -> tuple[str, str]:
        return "x-functions-key", self.site.secret("function-key")

    @cached_property
    def document(self) -> Json:
        """As it is served."""
        served: Json = json.loads(self.site.call("GET", DOCUMENT, headers=[self.key]).body)
        return served

    def routes(self) -> Iterator[tuple[str, str]]:
        """Method and path of each documented operation."""
        return ((method.upper(), path) for path, methods in self.document["paths"].items() for method in methods)

    def send(self, method: str, target: str, body: bytes = b"", headers: Headers = ()) -> Answer:
        """One of the documented requests."""
        answer = self.site.call(method, target, body, [self.key, *headers])
        check(answer, self.document, self.described(method, target))
        return answer

    def get(self, target: str) -> Json:
        answer = self.send("GET", target)
        assert answer.status == 200, answer.text
        return read(answer)

    def post(self, target: str, content: object = None, key: str = "", caller: str = "") -> Answer:
        """A write; without a `key` it is a new wish."""
        headers = [JSON, ("Idempotency-Key", key or secrets.token_hex(8))]
        headers += [("X-Caller", caller)] if caller else []
        return self.send("POST", target, json.dumps({} if content is None else content).encode(), headers)

    def device(self, name: str) -> Json:
        return self.get(f"/api/devices/{quote(name)}")

    def done(self, name: str, verb: str, content: object = None) -> Json:
        """The device is blocked, or let in again, in every system."""
        answer = self.post(f"/api/devices/{quote(name)}/{verb}", content)
        assert answer.status == 200, answer.text
        return read(answer)

    def poison(self, queue: str) -> int:
        return next(int(one["messages"]) for one in self.get("/api/poison")["queues"] if one["queue"] == queue)

    def described(self, method: str, target: str) -> Json:
        """What the document says of this request."""
        parts = urlsplit(target).path.split("/")
        for path, methods in sorted(self.document["paths"].items(), key=lambda one: str(one[0]).count("{")):
            pairs = zip(path.split("/"), parts, strict=False)
            if path.count("/") == len(parts) - 1 and all(a == b or a.startswith("{") for a, b in pairs):
                found: Json = methods[method.lower()]
                return found
        raise LookupError(target)


def read(answer: Answer) -> Json:
    found: Json = json.loads(answer.body)
    return found


def check(answer: Answer, document: Json, described: Json) -> None:
    """The answer is one of those that the document describes, in the form that it describes, and nobody keeps it."""
    expected = described["responses"][str(answer.status)]
    content = expected["content"][answer.header("Content-Type")]
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Content-Length") == str(len(answer.body))
    if content["schema"].get("format") != "binary":
        assert not list(faults(document, content["schema"], read(answer)))
    assert all(answer.header(name) for name in expected.get("headers", {}) if name != "Link")


def problem(answer: Answer) -> tuple[int, str, str]:
    """Status, kind and detail of a refusal (RFC 9457)."""
    assert answer.header("Content-Type") == "application/problem+json"
    found = read(answer)
    assert found["status"] == answer.status
    assert found["title"]
    assert found["instance"].startswith("urn:uuid:")
    return answer.status, found["type"].removeprefix(URN), found["detail"]
