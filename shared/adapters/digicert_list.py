"""The certificate list of IoT Trust Manager, page by page: who reads it to its end, and who goes on another day.

Its envelope is documented for other lists only, so nothing is taken from it that the records do not show (unsure).
"""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from shared.adapters.digicert import LOOK_UP_SECONDS, REFUSED, Session, refusal
from shared.adapters.transport import Call
from shared.core.errors import Malformed, Refusal, UpstreamRefused

JSON: Final = {"Content-Type": "application/json", "Accept": "application/json"}
_PAGE: Final = 100
_MOST_PAGES: Final = 20


@dataclass(frozen=True, slots=True)
class Page:
    """`next` is the offset of the page after it, `total` the length of the list as far as is known."""

    records: tuple[Mapping[str, Any], ...]
    next: int
    total: int


async def page(session: Session, url: str, offset: int, **filters: str) -> Page:
    """One page. Raises as Session.send, UpstreamRefused.

    The server may give fewer records than it was asked for: only an empty page, or the total, ends the list.
    """
    query = httpx.QueryParams(**filters, offset=str(offset), limit=str(_PAGE))
    found = await get(session, f"{url}/iot/api/v1/certificate/?{query}")
    match found:
        case {"records": list(records)}:
            following = offset + len(records)
            told = found.get("total")
            total = told if isinstance(told, int) else following + (1 if records else 0)
            known = tuple(one for one in records if isinstance(one, Mapping))
            return Page(known, following, total if records else following)
        case _:
            raise UpstreamRefused("the CA's answer cannot be read", cause="a certificate list without records")


async def of_name(session: Session, url: str, common_name: str, **filters: str) -> AsyncGenerator[Mapping[str, Any]]:
    """The records of one common name. Raises as `page`, and UpstreamRefused where there is no end of them."""
    offset = 0
    for _ in range(_MOST_PAGES):
        found = await page(session, url, offset, common_name=common_name, **filters)
        for record in found.records:
            yield record
        if found.next >= found.total:
            return
        offset = found.next
    raise too_many(common_name)


def too_many(common_name: str) -> UpstreamRefused:
    text = "the CA lists too many certificates of one device"
    return UpstreamRefused(text, nothing_issued=True, cause=common_name)


async def get(session: Session, url: str) -> Mapping[str, Any]:
    """A JSON object. Raises as Session.send, and UpstreamRefused."""
    response = await session.send(Call("GET", url, headers=JSON, seconds=LOOK_UP_SECONDS))
    if response.status_code != 200:
        raise unread(response)
    try:
        body = response.json()
    except ValueError as error:
        raise UpstreamRefused("the CA's answer cannot be read", cause="not JSON") from error
    return body if isinstance(body, Mapping) else {}


def unread(response: httpx.Response) -> Refusal:
    """What another answer than 200 to a question of ours means: no caller can mend what DigiCert ONE dislikes in it."""
    found = refusal(response)
    return UpstreamRefused(REFUSED, nothing_issued=True, cause=found.cause) if isinstance(found, Malformed) else found


def serial_of(record: Mapping[str, Any]) -> str:
    """As the ledger writes it; DigiCert ONE prints capitals and leading zeros (unsure: perhaps not always)."""
    try:
        return f"{int(str(record.get('serial_number')), 16):x}"
    except ValueError:
        return ""
