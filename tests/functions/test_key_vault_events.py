"""News of a secret's new version as the worker hands it over, in both schemas: acknowledged whatever it says."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from functions import hub_events
from tests.fakes.world import Fakes, fakes
from tests.functions.calling import handler
from tests.functions.test_hub_events import decoded

RENEWED = "Microsoft.KeyVault.SecretNewVersionCreated"
# learn.microsoft.com/azure/event-grid/event-schema-key-vault
DATA = {
    "Id": "https://sample-kv.vault.azure.net/secrets/EST-Passcode/ee059b2bb5bc48398a53b168c6cdcb10",
    "VaultName": "sample-kv",
    "ObjectType": "Secret",
    "ObjectName": "EST-Passcode",
    "Version": "ee059b2bb5bc48398a53b168c6cdcb10",
    "NBF": None,
    "EXP": None,
}
TIME = "2026-03-02T09:00:00.4383997Z"


def in_event_grids_own_schema(kind: str, data: object) -> Any:  # noqa: ANN401 - one of two classes
    event = {"id": "event-1", "topic": "/VAULTS/KV", "subject": "EST-Passcode", "eventType": kind, "data": data}
    return decoded({**event, "eventTime": TIME, "dataVersion": "1", "metadataVersion": "1"})


def as_cloud_event(kind: str, data: object) -> Any:  # noqa: ANN401
    event = {"id": "event-1", "source": "/VAULTS/KV", "subject": "EST-Passcode", "type": kind, "data": data}
    return decoded({**event, "time": TIME, "specversion": "1.0"})


type Schema = Callable[[str, object], Any]

SCHEMAS = pytest.mark.parametrize("schema", [in_event_grids_own_schema, as_cloud_event])


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level("INFO", logger="birthcert")
    return caplog


def deliver(world: Fakes, event: Any) -> None:  # noqa: ANN401
    asyncio.run(handler(hub_events.blueprint, world.application, "secret_renewed")(event))


def last(records: pytest.LogCaptureFixture) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(records.records[-1].getMessage())
    return record


@SCHEMAS
def test_a_renewed_secret_is_forgotten_here(schema: Schema, records: pytest.LogCaptureFixture) -> None:
    world = fakes()
    deliver(world, schema(RENEWED, DATA))
    assert world.secrets.forgotten == ["EST-Passcode"]
    assert (last(records)["event"], last(records)["secret"], last(records)["held"]) == (
        "secret_renewed",
        "EST-Passcode",
        True,
    )


@SCHEMAS
def test_a_secret_that_is_nothing_to_us_is_acknowledged(schema: Schema, records: pytest.LogCaptureFixture) -> None:
    deliver(fakes(), schema(RENEWED, {**DATA, "VaultName": "another", "ObjectName": "other"}))
    assert last(records)["held"] is False


@SCHEMAS
@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("Microsoft.KeyVault.SecretNearExpiry", DATA),
        (RENEWED, None),
        (RENEWED, []),
        (RENEWED, {**DATA, "ObjectName": 7}),
    ],
)
def test_what_cannot_be_read_is_acknowledged_and_told(
    schema: Schema, kind: str, data: object, records: pytest.LogCaptureFixture
) -> None:
    world = fakes()
    deliver(world, schema(kind, data))
    assert world.secrets.forgotten == []
    assert records.records[-1].levelname == "WARNING"
    assert last(records)["reason"] == "it names no secret"
