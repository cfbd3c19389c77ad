"""The topic of lifecycle events: CloudEvents, in order, as often as they are sent."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from azure.eventgrid.aio import EventGridPublisherClient
from azure.identity.aio import ManagedIdentityCredential

from shared.adapters.event_topic import EventTopic
from shared.core.errors import Misconfigured, Unavailable
from shared.core.identity import DeviceId
from shared.core.issuer import TrustChanged
from shared.core.lifecycle import LifecycleEvent, event
from shared.core.rotation import Slots
from shared.flows.ports.work import Announcements
from tests.contracts.outside import NOBODY, Outside
from tests.fakes.topic import FakeAnnouncements

pytestmark = pytest.mark.anyio

TOPIC = "https://localhost:9448/api/events"
NOW = datetime(2026, 3, 2, 9, 8, 7, 654321, tzinfo=UTC)


@dataclass
class Subject:
    """`announcements`, and what has arrived at the topic since the test began."""

    announcements: Announcements
    dead: Announcements
    real: Outside | None
    mark: int = 0

    def arrived(self) -> list[LifecycleEvent]:
        if self.real is None:
            return cast("FakeAnnouncements", self.announcements).published
        return [_read(one) for one in self._documents()]

    def arrived_trust(self) -> list[TrustChanged]:
        if self.real is None:
            return cast("FakeAnnouncements", self.announcements).trust
        return [_read_trust(one) for one in self._documents()]

    def _documents(self) -> list[dict[str, Any]]:
        assert self.real is not None
        found = [one["body"] for one in self.real.sandbox.journal(self.mark) if one["event"] == "event published"]
        found = [one for one in found if one["time"] < "2026-04"]  # the app of the sandbox tells its own, of today
        assert all((one["specversion"], one["source"]) == ("1.0", "/birthcert") for one in found)
        return found


def _read_trust(document: dict[str, Any]) -> TrustChanged:
    """A subscriber's reading of the CloudEvent."""
    assert document["type"] == "Birthcert.Trust.Changed"
    data = document["data"]
    return TrustChanged(
        document["id"],
        document["subject"],
        datetime.fromisoformat(document["time"]),
        Slots(data["primary_before"], data["secondary_before"]),
        Slots(data["primary"], data["secondary"]),
        tuple(data["added"]),
        tuple(data["removed"]),
    )


def _read(document: dict[str, Any]) -> LifecycleEvent:
    """The same, of a device."""
    prefix, kind = document["type"].rsplit(".", 1)
    assert prefix == "Birthcert.Device"
    assert kind[0].isupper()
    subject = DeviceId(document["subject"])
    return LifecycleEvent(
        document["id"], kind.lower(), subject, datetime.fromisoformat(document["time"]), document["data"]
    )


@pytest.fixture
async def subject(real: Outside | None) -> AsyncIterator[Subject]:
    if real is None:
        dead = FakeAnnouncements()
        dead.calls.fail("", lambda: Unavailable("no", retry_after=5), times=99)
        yield Subject(FakeAnnouncements(), dead, None)
        return
    options: dict[str, Any] = {
        "retry_total": 1,
        "retry_backoff_factor": 0.05,
        "connection_timeout": 3,
        "connection_verify": str(real.sandbox.tls_root),
    }
    async with (
        ManagedIdentityCredential(**options) as credential,
        EventGridPublisherClient(TOPIC, credential, **options) as client,
        EventGridPublisherClient(f"{NOBODY}/api/events", credential, **options) as nobody,
    ):
        yield Subject(EventTopic(client), EventTopic(nobody), real, real.sandbox.mark())


def some(device: DeviceId) -> list[LifecycleEvent]:
    return [
        event("issued", device, NOW, "0a", serial="0a", not_after="2026-05-31T09:08:07+00:00"),
        event("decommissioned", device, NOW + timedelta(days=1), "saga “1”", reason="keyCompromise", caller="Zoë 東京"),
        event("settled", device, NOW.replace(microsecond=0), "0a"),
    ]


async def test_events_arrive_in_their_order(subject: Subject, device: DeviceId) -> None:
    await subject.announcements.publish(some(device))
    assert subject.arrived() == some(device)


async def test_an_event_that_is_sent_again_is_the_same_event(subject: Subject, device: DeviceId) -> None:
    for _ in range(2):
        await subject.announcements.publish(some(device)[:1])
    assert subject.arrived() == some(device)[:1] * 2


async def test_what_a_group_trusts_arrives_with_its_slots_before_and_after(subject: Subject) -> None:
    changes = [
        TrustChanged("trust-1", "plant-1", NOW, Slots("aa" * 32), Slots("aa" * 32, "bb" * 32), ("CN=ICA 東京",), ()),
        TrustChanged(
            "trust-2", "plant-1", NOW, Slots("aa" * 32, "bb" * 32), Slots("bb" * 32), (), ("CN=Old, O=Örtlich",)
        ),
    ]
    await subject.announcements.publish(changes)
    assert subject.arrived_trust() == changes


async def test_no_event_is_no_trouble(subject: Subject) -> None:
    await subject.announcements.publish([])
    assert subject.arrived() == []


async def test_a_full_outbox_arrives_whole(subject: Subject, device: DeviceId) -> None:
    many = [event("nudged", device, NOW + timedelta(minutes=number), f"{number}") for number in range(250)]
    await subject.announcements.publish(many)
    assert subject.arrived() == many


async def test_a_topic_that_does_not_answer_is_unavailable(subject: Subject, device: DeviceId) -> None:
    with pytest.raises(Unavailable):
        await subject.dead.publish(some(device))


@pytest.mark.parametrize("kind", ["sandbox"], indirect=True)
@pytest.mark.parametrize("status", [400, 403, 404, 413])
async def test_a_topic_that_refuses_us_is_for_the_operator(subject: Subject, device: DeviceId, status: int) -> None:
    assert subject.real is not None
    subject.real.sandbox.fault("Event Grid", "status", path="/api/events", status=status, times=99)
    with pytest.raises(Misconfigured):
        await subject.announcements.publish(some(device))


@pytest.mark.parametrize("kind", ["sandbox"], indirect=True)
@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_topic_that_is_down_takes_the_events_later(subject: Subject, device: DeviceId, status: int) -> None:
    assert subject.real is not None
    subject.real.sandbox.fault("Event Grid", "status", path="/api/events", status=status, times=99)
    with pytest.raises(Unavailable):
        await subject.announcements.publish(some(device))
    subject.real.sandbox.control("DELETE", "/faults")
    await subject.announcements.publish(some(device))
    assert subject.arrived() == some(device)
