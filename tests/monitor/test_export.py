"""What Application Insights is sent of one enrollment, by the app of the composition root and Microsoft's exporter."""

import base64
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import device
from tests.conftest import REPOSITORY, Running
from tests.contracts.outside import environment
from tests.e2e.est import Site, ordinary
from tests.monitor.ingestion import Envelope, Ingestion, ingestion
from tests.monitor.listed import unlisted

# Microsoft's own statistics about the exporter would leave the machine.
QUIET = {"APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true", "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true"}


@dataclass(frozen=True)
class Shipped:
    """What has arrived of the enrollment of one device."""

    sandbox: Running
    name: str
    ingestion: Ingestion

    @property
    def spans(self) -> list[Envelope]:
        return self.ingestion.of("RemoteDependencyData")

    @property
    def flow(self) -> Envelope:
        (found,) = [one for one in self.spans if data(one)["name"] == "est"]
        return found

    def below(self, parent: Envelope) -> list[Envelope]:
        """The spans below one, and those below them."""
        children = [one for one in self.spans if one["tags"].get("ai.operation.parentId") == data(parent)["id"]]
        return [*children, *(one for child in children for one in self.below(child))]


def data(envelope: Envelope) -> dict[str, Any]:
    found: dict[str, Any] = envelope["data"]["baseData"]
    return found


@pytest.fixture(scope="module")
def shipped(sandbox_process: Running) -> Iterator[Shipped]:
    name = f"watched-{secrets.token_hex(4)}"
    identity = Site(sandbox_process).identity(name)
    asked = {
        "certificate": base64.b64encode(identity.leaf.public_bytes(Encoding.DER)).decode(),
        "body": ordinary(name, device.new_key("ec-p256")).decode(),
    }
    settings = {key: value for key, value in environment(sandbox_process).items() if key != "FRONT_END_SECRET_NAME"}
    with ingestion() as here:
        monitoring = {
            "APPLICATIONINSIGHTS_CONNECTION_STRING": here.connection_string,
            "OTEL_TRACES_SAMPLER": "always_on",
            **QUIET,
        }
        done = subprocess.run(
            [sys.executable, "-m", "tests.monitor.one_enrollment"],
            cwd=REPOSITORY,
            env={"PATH": os.environ["PATH"], **settings, **monitoring},
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.stdout == "200\n", done.stderr
        yield Shipped(sandbox_process, name, here)


def test_an_enrollment_is_one_flow_with_a_span_for_each_call_outside(shipped: Shipped) -> None:
    assert data(shipped.flow)["type"] == "InProc"
    properties = {"birthcert.device_id": shipped.name, "birthcert.outcome": "Enrolled"}
    assert data(shipped.flow)["properties"] == properties
    below = {data(one)["name"] for one in shipped.below(shipped.flow)}
    assert {"SecretClient.get_secret", "TableClient.query_entities", "TableClient.submit_transaction"} <= below
    upstream = [one for one in shipped.below(shipped.flow) if data(one).get("target") == "localhost:9443"]
    assert upstream
    assert all(data(one)["type"] == "HTTP" and data(one)["resultCode"] == "200" for one in upstream)


def test_span_and_event_are_of_one_operation(shipped: Shipped) -> None:
    events = [json.loads(data(one)["message"]) | one["tags"] for one in shipped.ingestion.of("MessageData")]
    (event,) = [one for one in events if one.get("event") == "est"]
    assert event["device_id"] == shipped.name
    assert event["ai.operation.id"] == shipped.flow["tags"]["ai.operation.id"]
    assert event["ai.operation.parentId"] == data(shipped.flow)["id"]


def test_events_arrive_as_the_queries_read_them(shipped: Shipped) -> None:
    messages = [data(one)["message"] for one in shipped.ingestion.of("MessageData")]
    events = [one for one in messages if one.startswith('{"event": "')]
    assert events
    assert [unlisted(one) for one in events] == [[] for _ in events]


def test_what_the_ledger_has_written_down_is_counted(shipped: Shipped) -> None:
    measured = {name: properties for name, properties, _ in shipped.ingestion.metrics()}
    assert measured["birthcert.lifecycle"]["event"] == "issued"
    assert measured["birthcert.upstream.seconds"] == {"host": "localhost", "answer": "answered"}
    assert {"birthcert.events", "birthcert.circuit.open"} <= set(measured)


def test_no_metric_holds_the_devices_name(shipped: Shipped) -> None:
    assert shipped.name not in json.dumps(shipped.ingestion.of("MetricData"))


def test_no_secret_leaves_the_process(shipped: Shipped) -> None:
    known = shipped.sandbox.control("GET", "/secrets")
    assert known
    assert [secret[:12] for secret in known if secret in shipped.ingestion.text] == []
    assert "Bearer" not in shipped.ingestion.text
