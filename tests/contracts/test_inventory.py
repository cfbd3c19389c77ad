"""DigiCert ONE's list of certificates by common name: what came by any protocol stands there, and what is revoked."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import pytest
from cryptography import x509

from sandbox.births.ways import WAYS, Way
from shared.core.csr import SigningRequest
from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.core.profile import Label
from shared.flows.ports.inventory import Inventory
from shared.flows.ports.issuance import Answer
from shared.flows.ports.revocation import RevokedList
from tests.conftest import Running
from tests.contracts.outside import sandbox_of
from tests.fakes.calls import Calls
from tests.fakes.clock import Clock
from tests.fakes.devices import Device
from tests.fakes.digicert import FakeCa, FakeInventory

pytestmark = pytest.mark.anyio

REASONS: Mapping[str, str] = {"revoked": "key_compromise", "on hold": "certificate_hold"}
LABEL = "est"


@dataclass
class Subject:
    """`port` and the CA behind it, which `issues` over EST."""

    port: Inventory
    fake: FakeInventory | None
    sandbox: Running | None
    issues: Callable[[SigningRequest], Awaitable[x509.Certificate]]

    async def issued(self, name: DeviceId) -> x509.Certificate:
        return await self.issues(Device(name).request())

    def take_back(self, leaf: x509.Certificate, how: str) -> None:
        if self.fake is not None:
            self.fake.taken_back.add(leaf.serial_number)
        elif self.sandbox is not None:
            body = {"serial": f"{leaf.serial_number:032X}", "reason": REASONS[how]}
            self.sandbox.control("POST", "/digicert/revoke", body)

    def is_down(self) -> None:
        if self.fake is not None:
            self.fake.calls.fail("", lambda: Unavailable("no", retry_after=7), times=9)
        elif self.sandbox is not None:
            self.sandbox.fault(
                "DigiCert ONE", "status", method="GET", status=503, times=9, headers={"Retry-After": "60"}
            )


def in_memory() -> Subject:
    fake = FakeInventory(FakeCa(Clock(seconds=lambda: 0)), Calls())

    async def issues(request: SigningRequest) -> x509.Certificate:
        return fake.ca.issue(request)

    return Subject(fake, fake, None, issues)


@pytest.fixture(params=["fake", "sandbox"])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        return in_memory()
    sandbox, outside = sandbox_of(request)
    profiles = outside.profiles.by_label
    upstream, inventory = (
        outside.connections.upstream(profiles[LABEL]),
        outside.connections.inventories(profiles)[LABEL],
    )
    for transport in outside.connections.transports.values():
        transport.breaker.note(ok=True)

    async def issues(request: SigningRequest) -> x509.Certificate:
        answer = await upstream.issue(request, "")
        assert isinstance(answer, Answer)
        return answer.certificates[0]

    return Subject(inventory, None, sandbox, issues)


def leaves(answers: tuple[Answer, ...]) -> set[x509.Certificate]:
    assert all(one.digicert_id for one in answers), "what is found here is revoked by its id"
    assert len({one.digicert_id for one in answers}) == len(answers)
    return {one.certificates[0] for one in answers}


async def test_of_a_name_that_nobody_has_nothing_is_listed(subject: Subject, device: DeviceId) -> None:
    assert await subject.port.named(device) == ()
    assert await subject.port.revoked(device) == ()


async def test_all_certificates_of_the_name_are_listed_and_none_of_another(subject: Subject, device: DeviceId) -> None:
    first, second = await subject.issued(device), await subject.issued(device)
    await subject.issued(DeviceId(f"{device}-b"))
    await subject.issued(DeviceId(device[:-1]))
    assert leaves(await subject.port.named(device)) == {first, second}
    assert await subject.port.revoked(device) == ()


@pytest.mark.parametrize("how", REASONS)
async def test_what_was_taken_back_is_listed_apart(subject: Subject, device: DeviceId, how: str) -> None:
    good, bad = await subject.issued(device), await subject.issued(device)
    subject.take_back(bad, how)
    assert leaves(await subject.port.named(device)) == {good}
    assert leaves(await subject.port.revoked(device)) == {bad}


async def test_a_list_that_is_down_is_not_an_empty_one(subject: Subject, device: DeviceId) -> None:
    await subject.issued(device)
    subject.is_down()
    with pytest.raises(Unavailable):
        await subject.port.named(device)
    with pytest.raises(Unavailable):
        await subject.port.revoked(device)


@dataclass
class DigicertOne:
    """The stand-in alone: the fake knows no protocols. `lists` are those of what is revoked, by the labels that share
    them.
    """

    sandbox: Running
    inventory: Inventory
    lists: Mapping[tuple[Label, ...], RevokedList]

    async def listed(self) -> set[str]:
        """All serial numbers of the list that the label has a share in."""
        (shared,) = (one for labels, one in self.lists.items() if LABEL in labels)
        offset, serials = 0, set[str]()
        while True:
            page = await shared.page(offset)
            serials |= set(page.serials)
            if page.next >= page.total:
                return serials
            offset = page.next


@pytest.fixture
def digicert(request: pytest.FixtureRequest) -> DigicertOne:
    sandbox, outside = sandbox_of(request)
    profiles, connections = outside.profiles.by_label, outside.connections
    return DigicertOne(sandbox, connections.inventories(profiles)[LABEL], connections.revoked_lists(profiles))


async def test_labels_of_one_account_share_its_list(digicert: DigicertOne) -> None:
    assert any(len(labels) > 1 for labels in digicert.lists)
    each = [label for labels in digicert.lists for label in labels]
    assert len(each) == len(set(each))


@pytest.mark.parametrize(
    "way",
    [
        pytest.param(way, id=way.name, marks=pytest.mark.skipif(bool(way.missing()), reason=way.missing()))
        for way in WAYS
    ],
)
async def test_what_came_by_another_protocol_is_listed_too(digicert: DigicertOne, device: DeviceId, way: Way) -> None:
    """DigiCert ONE keeps it under another enrollment profile than the label's."""
    sandbox, inventory = digicert.sandbox, digicert.inventory
    born = await asyncio.to_thread(way.enroll, sandbox.state, device)
    serial = born.leaf.serial_number
    assert leaves(await inventory.named(device)) == {born.leaf}
    assert f"{serial:x}" not in await digicert.listed()
    sandbox.control("POST", "/digicert/revoke", {"serial": f"{serial:032X}", "reason": "unspecified"})
    assert await inventory.named(device) == ()
    assert leaves(await inventory.revoked(device)) == {born.leaf}
    assert f"{serial:x}" in await digicert.listed()
