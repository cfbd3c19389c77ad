"""DigiCert ONE's certificate list, whose envelope is not documented for certificates: read to its end all the same."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from shared.adapters.digicert import ApiKey, Session
from shared.adapters.digicert_revocation import DigicertRevocation, DigicertRevoked
from shared.adapters.transport import Breaker, Transport
from shared.core.certificate import certificate
from shared.core.fleet import LedgerCertificate
from shared.core.revocation import Reason
from tests.core.making import Authority
from tests.fakes.azure import FakeSecrets
from tests.fakes.calls import Calls

pytestmark = pytest.mark.anyio

URL = "https://one.example"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Listing:
    """Serves `records`, at most `most` a page, in an envelope that may tell the total; and takes revocations."""

    def __init__(self, records: list[Any], *, most: int = 100, tells_total: bool = True) -> None:
        self.records = records
        self.most = most
        self.tells_total = tells_total
        self.revoked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            self.revoked.append(request.url.path.split("/")[-2])
            return httpx.Response(204)
        begin = int(request.url.params["offset"])
        size = min(int(request.url.params["limit"]), self.most)
        envelope: dict[str, Any] = {"records": self.records[begin : begin + size]}
        return httpx.Response(200, json=envelope | ({"total": len(self.records)} if self.tells_total else {}))

    def session(self) -> Session:
        transport = Transport(Breaker(lambda: 0.0), lambda: NOW, lambda: 0.0)
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return Session(transport, FakeSecrets(Calls(), {"key": "k"}), ApiKey("key"), client)


def a_record(number: int) -> Mapping[str, str]:
    return {"id": f"id-{number}", "serial_number": f"{number:032X}", "status": "REVOKED"}


ENVELOPES = pytest.mark.parametrize(
    ("most", "tells_total"), [(100, True), (100, False), (20, True), (20, False)], ids=str
)


@ENVELOPES
@pytest.mark.parametrize("length", [0, 1, 100, 250])
async def test_every_page_is_read_whatever_the_envelope_tells(most: int, length: int, *, tells_total: bool) -> None:
    records = [a_record(number) for number in range(1, length + 1)]
    listed = DigicertRevoked(Listing(records, most=most, tells_total=tells_total).session(), URL, "IOT_1")
    offset, serials = 0, list[str]()
    while True:
        page = await listed.page(offset)
        serials += page.serials
        if page.next >= page.total:
            break
        assert page.next > offset
        offset = page.next
    assert serials == [f"{number:x}" for number in range(1, length + 1)]


async def test_what_is_no_record_takes_its_place_in_the_list() -> None:
    listed = DigicertRevoked(Listing([None, "x", {}, a_record(7)]).session(), URL, "IOT_1")
    page = await listed.page(0)
    assert (page.serials, page.next, page.total) == (("7",), 4, 4)


async def test_a_list_that_got_shorter_than_the_offset_has_ended() -> None:
    page = await DigicertRevoked(Listing([a_record(1)]).session(), URL, "IOT_1").page(100)
    assert (page.serials, page.next >= page.total) == ((), True)


@ENVELOPES
async def test_a_certificate_is_found_on_a_later_page_and_revoked(most: int, *, tells_total: bool) -> None:
    held = LedgerCertificate(certificate(Authority().issue(serial=150)), "rest", "rest")
    listing = Listing([a_record(number) for number in range(1, 200)], most=most, tells_total=tells_total)
    await DigicertRevocation(listing.session(), URL).revoke(held, Reason.UNSPECIFIED, "")
    assert listing.revoked == ["id-150"]
