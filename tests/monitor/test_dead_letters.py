"""What docs/operations.md has people do with dead letters: the function takes what the command puts into the queue."""

import asyncio
import base64
import json
import subprocess
import sys
from pathlib import Path

from functions import hub_events
from shared.core.identity import DeviceId
from tests.conftest import REPOSITORY
from tests.docs.pages import Block, blocks
from tests.fakes.world import fakes
from tests.functions.calling import Message, handler
from tests.monitor.published import RUNBOOKS

# learn.microsoft.com/azure/event-grid/manage-event-delivery: the blob of an event that could not be delivered.
BLOB = [
    {
        "id": "9af86784-8d40-fe2g-8b2a-bab65e106785",
        "topic": "/subscriptions/S/resourceGroups/G/providers/Microsoft.Devices/IotHubs/hub-a",
        "subject": "devices/dev-1",
        "eventType": "Microsoft.Devices.DeviceCreated",
        "eventTime": "2026-01-01T00:00:00.1234567Z",
        "dataVersion": "",
        "metadataVersion": "1",
        "data": {"hubName": "hub-a", "deviceId": "dev-1", "twin": {"deviceId": "dev-1"}},
        "deadLetterReason": "MaxDeliveryAttemptsExceeded",
        "deliveryAttempts": 30,
        "lastDeliveryOutcome": "NotFound",
    }
]


def command() -> Block:
    (found,) = (one for one in blocks(RUNBOOKS, "sh") if "--queue-name hub-events" in one.text)
    return found


def test_a_dead_letter_that_is_put_into_the_queue_is_handled_like_the_event(tmp_path: Path) -> None:
    (tmp_path / "events.json").write_text(json.dumps(BLOB), encoding="utf-8")
    az = tmp_path / "az"
    az.write_text('#!/bin/sh\nwhile [ "$1" != --content ]; do shift; done\necho "$2"\n', encoding="utf-8")
    az.chmod(0o755)
    text = command().text.replace(".venv/bin/python", sys.executable)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    done = subprocess.run(
        ["sh", "-euc", text], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    world = fakes()
    issued = asyncio.run(world.birth(world.device())).issued
    world.hubs.put("hub-a", DeviceId("dev-1"), issued.certificate.thumbprint)
    again = handler(hub_events.blueprint, world.application, "hub_events_again")
    asyncio.run(again(Message(base64.b64decode(done.stdout))))
    bound = world.ledger.read(DeviceId("dev-1")).device
    assert bound is not None
    assert bound.hub == "hub-a"


def test_the_queue_takes_messages_in_base64() -> None:
    """Else the host would call what the command has put there poison."""
    host = json.loads((REPOSITORY / "host.json").read_text(encoding="utf-8"))
    assert host["extensions"]["queues"]["messageEncoding"] == "base64"
