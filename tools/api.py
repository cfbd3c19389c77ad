"""One connection to a deployed Birthcert's `/api`: the function key, and problems told in its own words."""

import os
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

KEY_VARIABLE: Final = "BIRTHCERT_FUNCTION_KEY"
_SECONDS: Final = 120.0


class RefusedError(Exception):
    """The service said no, or cannot be reached; the text says why and what to do."""


@dataclass(frozen=True)
class Api:
    """Requests to the service. `client` has its address and the function key."""

    client: httpx.Client

    def send(
        self, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The answer, which is no problem. Raises RefusedError."""
        try:
            response = self.client.request(method, path, content=content, headers=dict(headers or {}))
        except httpx.HTTPError as error:
            raise RefusedError(f"{self.client.base_url} does not answer: {error}") from error
        if response.status_code == 401:
            raise RefusedError(f"the function key is not accepted: set {KEY_VARIABLE} or --key-file")
        if response.is_error:
            raise RefusedError(f"{response.status_code}: {_detail(response)}")
        return response

    def json(
        self, method: str, path: str, content: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self.send(method, path, content, headers).json()
        return answer


def connect(host: str, key_file: Path | None, ca: Path | None) -> Api:
    """The connection. The key comes from a file or the environment, never from an argument that others can see."""
    key = key_file.read_text(encoding="utf-8").strip() if key_file else os.environ.get(KEY_VARIABLE, "")
    if not key:
        raise RefusedError(f"a function key is needed: set {KEY_VARIABLE} or --key-file")
    context = ssl.create_default_context(cafile=str(ca) if ca else None)
    address = host if host.startswith("https://") else f"https://{host}"
    return Api(httpx.Client(base_url=address, verify=context, timeout=_SECONDS, headers={"x-functions-key": key}))


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:200] or "no details"


def fail(error: RefusedError) -> int:
    """Tell it, and the exit status."""
    print(f"refused: {error}", file=sys.stderr)
    return 1
