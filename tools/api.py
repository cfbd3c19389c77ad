"""One connection to a deployed Birthcert's `/api`: the function key, patience, and problems told in its own words."""

import os
import ssl
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

KEY_VARIABLE: Final = "BIRTHCERT_FUNCTION_KEY"
_SECONDS: Final = 120.0
# What may be gone when the same is asked again, as every request of these commands may be.
_PASSING: Final = (429, 500, 502, 503, 504)
_LONGEST_PAUSE: Final = 30


class RefusedError(Exception):
    """The service said no, or cannot be reached; the text says why and what to do. `passing`: it may go by itself."""

    def __init__(self, text: str, *, passing: bool = False, pause: int = 1) -> None:
        super().__init__(text)
        self.passing = passing
        self.pause = pause


@dataclass(frozen=True)
class Api:
    """Requests to the service. `client` has its address and the function key."""

    client: httpx.Client

    def send(
        self, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None, tries: int = 1
    ) -> httpx.Response:
        """The answer, which is no problem. Raises RefusedError."""
        for left in range(tries - 1, -1, -1):
            try:
                return self._once(method, path, content, headers or {})
            except RefusedError as error:
                if not error.passing or not left:
                    raise
                time.sleep(error.pause)
        raise AssertionError("a request is tried once at least")

    def json(
        self, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None, tries: int = 1
    ) -> dict[str, Any]:
        response = self.send(method, path, content, headers, tries)
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise RefusedError(f"{self.client.base_url} is no Birthcert: it does not answer in JSON") from error
        return answer

    def _once(self, method: str, path: str, content: bytes, headers: Mapping[str, str]) -> httpx.Response:
        try:
            response = self.client.request(method, path, content=content, headers=dict(headers))
        except httpx.HTTPError as error:
            raise RefusedError(f"{self.client.base_url} does not answer: {error}", passing=True) from error
        if response.status_code == 401:
            raise RefusedError(f"the function key is not accepted: set {KEY_VARIABLE} or --key-file")
        if not response.is_success:
            text = f"{response.status_code}: {_detail(response)}"
            raise RefusedError(text, passing=response.status_code in _PASSING, pause=_pause(response))
        return response


def connect(host: str, key_file: Path | None, ca: Path | None) -> Api:
    """The connection. The key comes from a file or the environment, never from an argument that others can see."""
    try:
        key = key_file.read_text(encoding="utf-8").strip() if key_file else os.environ.get(KEY_VARIABLE, "")
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
    except (OSError, ValueError) as error:
        raise RefusedError(str(error)) from error
    if not key.isascii() or not key.isprintable() or not key:
        raise RefusedError(f"a function key is needed: set {KEY_VARIABLE} or --key-file")
    address = host if host.startswith("https://") else f"https://{host}"
    try:
        client = httpx.Client(base_url=address, verify=context, timeout=_SECONDS, headers={"x-functions-key": key})
    except httpx.InvalidURL as error:
        raise RefusedError(f"--host {host}: {error}") from error
    return Api(client)


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or "no details"


def _pause(response: httpx.Response) -> int:
    """Retry-After in seconds, as this service gives it."""
    text = response.headers.get("Retry-After", "")
    return min(_LONGEST_PAUSE, int(text)) if text.isascii() and text.isdigit() else 1


def fail(error: RefusedError) -> int:
    """Tell it, and the exit status."""
    print(f"refused: {error}", file=sys.stderr)
    return 1
