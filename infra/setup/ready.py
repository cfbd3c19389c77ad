"""Does the deployed app answer, and does all answer that it needs?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from infra.setup.refused import AGAIN, Refused

WITHIN: Final = 90.0  # a cold start, and roles that have to get around
_EVERY: Final = 3.0


async def wait(client: httpx.AsyncClient, host: str, rest: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Back as soon as /readyz says yes. Raises Refused when it does not in time."""
    last = ""
    for attempt in range(round(WITHIN / _EVERY)):
        if attempt:
            await rest(_EVERY)
        try:
            answer = await client.get(f"https://{host}/readyz", timeout=20)
        except httpx.HTTPError as error:
            last = f"{type(error).__name__} {error}".strip()
            continue
        if answer.status_code == 200:
            return
        last = f"{answer.status_code} {' '.join(answer.text.split())[:300]}"
    raise Refused(
        f"the app at https://{host} is not ready: {last}",
        f"GET https://{host}/api/readyz tells the reasons to who has a function key. A role that was given just now "
        f"counts after some minutes. {AGAIN}",
    )
