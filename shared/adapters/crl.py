"""CRLs over HTTP, from the addresses that the profiles name. A list is signed, so plain HTTP is in order."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import httpx

from shared import telemetry
from shared.core.errors import TooLarge, Unavailable, UpstreamRefused
from shared.flows.ports.revocation import Download

MOST_BYTES: Final = 128 * 1024 * 1024  # a million entries take some 40 MB
_PATIENCE: Final = httpx.Timeout(30.0, connect=4.0)  # between two pieces
_SECONDS: Final = 120.0


@dataclass(frozen=True)
class HttpCrls:
    """A read that fails is made up for by the timer's next run, so none is repeated here."""

    client: httpx.AsyncClient
    most_bytes: int = MOST_BYTES

    async def fetch(self, url: str, etag: str, modified: str) -> Download | None:
        marks = {"If-None-Match": etag, "If-Modified-Since": modified}
        headers = {name: value for name, value in marks.items() if value}
        try:
            async with asyncio.timeout(_SECONDS):
                with telemetry.outside_http("GET", url) as answered:
                    return await self._download(url, headers, answered)
        except (httpx.HTTPError, TimeoutError) as error:
            raise _unavailable(f"{url}: {error!r}") from error

    async def _download(self, url: str, headers: Mapping[str, str], answered: Callable[[int], None]) -> Download | None:
        async with self.client.stream("GET", url, headers=headers, timeout=_PATIENCE) as response:
            answered(response.status_code)
            if response.status_code == 304 and headers:
                return None
            if response.status_code == 429 or response.status_code >= 500:
                raise _unavailable(f"{url} answers {response.status_code}")
            if response.status_code != 200:
                raise UpstreamRefused("the CRL is not served", cause=f"{url} answers {response.status_code}")
            der = await self._body(response)
        return Download(der, response.headers.get("ETag", ""), response.headers.get("Last-Modified", ""))

    async def _body(self, response: httpx.Response) -> bytes:
        """What is received is counted after decompression, so that no small answer can fill the memory."""
        parts: list[bytes] = []
        size = 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > self.most_bytes:
                raise TooLarge(f"the CRL is larger than {self.most_bytes} bytes")
            parts.append(part)
        return b"".join(parts)


def _unavailable(cause: str) -> Unavailable:
    return Unavailable("the CRL cannot be fetched", retry_after=60, cause=cause)
