"""DigiCert ONE's certificate list, whose envelope is not documented for certificates: read to its end all the same."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from shared.adapters.digicert import ApiKey, Session
from shared.adapters.digicert_rest import Certificates
from shared.adapters.digicert_revocation import DigicertRevocation, DigicertRevoked
from shared.adapters.transport import Breaker, Transport
from shared.core.certificate import certificate
from shared.core.errors import UpstreamRefused
from shared.core.fleet import LedgerCertificate
from shared.core.revocation import Reason
from tests.core.making import Authority
from tests.fakes.azure import FakeSecrets
from tests.fakes.calls import Calls

pytestmark = pytest.mark.anyio

URL = "https://one.example"
NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Listing:
    """Serves `records`, at most `most` a page, in an envelope that may tell the total; and takes revocations.

    `reading` counts the requests for one certificate that are under way, `busiest` what it has come to.
    """

    def __init__(self, records: list[Any], *, most: int = 100, tells_total: bool = True) -> None:
        self.records = records
        self.most = most
        self.tells_total = tells_total
        self.revoked: list[str] = []
        self.queries: list[httpx.QueryParams] = []
        self.reading = self.busiest = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            self.revoked.append(request.url.path.split("/")[-2])
            return httpx.Response(204)
        ident = request.url.path.rpartition("/")[2]
        if ident:
            return await self._read(ident)
        self.queries.append(request.url.params)
        begin = int(request.url.params["offset"])
        size = min(int(request.url.params["limit"]), self.most)
        envelope: dict[str, Any] = {"records": self.records[begin : begin + size]}
        return httpx.Response(200, json=envelope | ({"total": len(self.records)} if self.tells_total else {}))

    async def _read(self, ident: str) -> httpx.Response:
        self.reading += 1
        self.busiest = max(self.busiest, self.reading)
        await asyncio.sleep(0.001)
        self.reading -= 1
        found = PEMS.get(ident)
        return httpx.Response(200, json={"pem": found}) if found else httpx.Response(404)

    def session(self) -> Session:
        transport = Transport(Breaker(lambda: 0.0), lambda: NOW, lambda: 0.0)
        client = httpx.AsyncClient(transport=httpx.MockTransport(self))
        return Session(transport, FakeSecrets(Calls(), {"key": "k"}), ApiKey("key"), client)


LEAVES = {f"id-{number}": Authority().issue(serial=number) for number in range(1, 4)}
PEMS = {ident: leaf.public_bytes(Encoding.PEM).decode() for ident, leaf in LEAVES.items()}


def a_record(number: int) -> Mapping[str, str]:
    return {"id": f"id-{number}", "serial_number": f"{number:032X}", "status": "REVOKED"}


ENVELOPES = pytest.mark.parametrize(
    ("most", "tells_total"), [(100, True), (100, False), (20, True), (20, False)], ids=str
)


@ENVELOPES
@pytest.mark.parametrize("length", [0, 1, 100, 250])
async def test_every_page_is_read_whatever_the_envelope_tells(most: int, length: int, *, tells_total: bool) -> None:
    records = [a_record(number) for number in range(1, length + 1)]
    listed = DigicertRevoked(Listing(records, most=most, tells_total=tells_total).session(), URL)
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
    listed = DigicertRevoked(Listing([None, "x", {}, a_record(7)]).session(), URL)
    page = await listed.page(0)
    assert (page.serials, page.next, page.total) == (("7",), 4, 4)


async def test_a_list_that_got_shorter_than_the_offset_has_ended() -> None:
    page = await DigicertRevoked(Listing([a_record(1)]).session(), URL).page(100)
    assert (page.serials, page.next >= page.total) == ((), True)


@ENVELOPES
async def test_a_certificate_is_found_on_a_later_page_and_revoked(most: int, *, tells_total: bool) -> None:
    held = LedgerCertificate(certificate(Authority().issue(serial=150)), "rest", "rest")
    listing = Listing([a_record(number) for number in range(1, 200)], most=most, tells_total=tells_total)
    await DigicertRevocation(listing.session(), URL).revoke(held, Reason.UNSPECIFIED, "")
    assert listing.revoked == ["id-150"]


def certificates(listing: Listing) -> Certificates:
    return Certificates(listing.session(), URL, "IOT_1")


@ENVELOPES
@pytest.mark.parametrize("shows_pem", [True, False])
async def test_all_certificates_of_a_name_are_found(most: int, *, tells_total: bool, shows_pem: bool) -> None:
    """A revoked one on the second page must not pass for one that was never revoked."""
    shown = PEMS if shows_pem else {}
    gone = [a_record(number) for number in range(100, 150)]
    records = [*gone, *({"id": ident} | ({"pem": shown[ident]} if ident in shown else {}) for ident in LEAVES)]
    listing = Listing(records, most=most, tells_total=tells_total)
    found = await certificates(listing).revoked("dev-1")
    assert {one.digicert_id: one.certificates[0] for one in found} == LEAVES
    assert {query["status"] for query in listing.queries} == {"REVOKED"}


async def test_what_the_list_shows_without_its_certificate_is_read_side_by_side() -> None:
    listing = Listing([{"id": ident} for ident in [*LEAVES] * 20])
    assert len(await certificates(listing).named("dev-1")) == 60
    assert listing.busiest == 8


@pytest.mark.parametrize(("length", "pem"), [(501, ""), (2001, PEMS["id-1"])])
async def test_a_list_without_an_end_is_not_read_to_it(length: int, pem: str) -> None:
    with pytest.raises(UpstreamRefused, match="too many"):
        await certificates(Listing([{"id": "id-1", "pem": pem}] * length)).named("dev-1")


async def test_a_record_without_an_id_cannot_be_read() -> None:
    assert await certificates(Listing([{}, {"id": ""}, {"id": "gone"}])).named("dev-1") == ()


async def test_a_record_that_cannot_be_read_is_not_left_out() -> None:
    with pytest.raises(UpstreamRefused, match="cannot be read"):
        await certificates(Listing([{"id": "id-1"}, {"id": "x", "pem": "no certificate"}])).named("dev-1")


async def test_the_list_of_what_is_revoked_is_of_every_enrollment_profile() -> None:
    listing = Listing([a_record(1)])
    await DigicertRevoked(listing.session(), URL).page(0)
    assert "enrollment_profile_id" not in listing.queries[0]
