"""The queues: a message that was accepted is taken up by its trigger."""

import asyncio
import json
from dataclasses import dataclass

import pytest

from shared.core.errors import Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports.work import Work
from tests.contracts.outside import Outside
from tests.fakes.calls import Calls
from tests.fakes.work import FakeWork

pytestmark = pytest.mark.anyio


@dataclass
class Subject:
    port: Work
    dead: Work
    fake: FakeWork
    real: Outside | None

    async def settled(self, device: DeviceId) -> list[tuple[str, str]]:
        """What was taken up for the device; in the sandbox the app's own trigger does that, and logs it."""
        if self.real is None:
            return [(one, label) for one, label in self.fake.settling if one == device]
        log = self.real.sandbox.state / "logs" / "host.log"
        for _ in range(50):
            lines = [line for line in log.read_text().splitlines() if f'"{device}"' in line and '"settle"' in line]
            if lines:
                events = [json.loads(line[line.index("{") :]) for line in lines]
                return [(event["device_id"], event["label"]) for event in events]
            await asyncio.sleep(0.1)
        return []


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    if real is not None:
        return Subject(real.queues, real.dead_queues, FakeWork(), real)
    fake, dead = FakeWork(), FakeWork(Calls())
    dead.calls.fail("work.settle", lambda: Unavailable("no", retry_after=5))
    return Subject(fake, dead, fake, None)


async def test_a_message_is_taken_up_once(subject: Subject, device: DeviceId) -> None:
    await subject.port.settle(device, "no-such-label")
    assert await subject.settled(device) == [(device, "no-such-label")]


async def test_a_queue_that_does_not_answer_is_unavailable(subject: Subject, device: DeviceId) -> None:
    with pytest.raises(Unavailable):
        await subject.dead.settle(device, "devices")
