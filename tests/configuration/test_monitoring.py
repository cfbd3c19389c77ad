"""Telemetry leaves the process where an Application Insights is named, and costs nothing where none is."""

import json
import os
import subprocess
import sys

import pytest

from shared.settings import Monitoring
from tests.conftest import REPOSITORY

CONNECTION = "APPLICATIONINSIGHTS_CONNECTION_STRING"
AUTHENTICATION = "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"

JOIN = """
import json, logging, os, sys
logging.basicConfig(level=logging.INFO, format="%(message)s")
from shared import telemetry
from shared.wiring import monitor
monitor.join(os.environ)
with telemetry.flow("est", "dev-1"):
    telemetry.event("est", {"device_id": "dev-1"})
heavy = ("azure.monitor", "opentelemetry.sdk", "opentelemetry.instrumentation")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


def join(environment: dict[str, str]) -> tuple[list[str], str]:
    """What has been imported, and what was logged, by a process that knows these settings."""
    done = subprocess.run(
        [sys.executable, "-c", JOIN],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    imported: list[str] = json.loads(done.stdout)
    return imported, done.stderr


def test_without_an_application_insights_nothing_of_its_sdk_is_imported() -> None:
    imported, logged = join({})
    assert imported == []
    assert '{"event": "est", "device_id": "dev-1"}' in logged


AGAIN = """
import json, threading
from shared import wiring
from shared.core.errors import Misconfigured
refused = 0
for _ in range(3):
    try:
        wiring.application()
    except Misconfigured:
        refused += 1
exporting = [one.name for one in threading.enumerate() if one.name.startswith("OtelBatch")]
print(json.dumps([refused, len(exporting), len(set(exporting))]), flush=True)
import os
os._exit(0)  # nothing listens there, and the exporters would try for seconds to send
"""


def test_an_app_whose_settings_are_wrong_is_watched_once_however_often_it_is_asked() -> None:
    endpoint = "http://127.0.0.1:9/"
    key = "00000000-0000-0000-0000-000000000001"
    settings = {
        CONNECTION: f"InstrumentationKey={key};IngestionEndpoint={endpoint}",
        "APPLICATIONINSIGHTS_STATSBEAT_DISABLED_ALL": "true",
        "APPLICATIONINSIGHTS_CONTROLPLANE_DISABLED": "true",
    }
    done = subprocess.run(
        [sys.executable, "-c", AGAIN],
        cwd=REPOSITORY,
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    refused, exporting, kinds = json.loads(done.stdout)
    assert refused == 3
    assert exporting == kinds == 2  # one for spans, one for events


def test_a_connection_string_that_says_nothing_is_told_and_keeps_no_device_waiting() -> None:
    _, logged = join({CONNECTION: "InstrumentationKey=none"})
    events = [json.loads(line) for line in logged.splitlines() if line.startswith('{"event": ')]
    assert [one["event"] for one in events] == ["monitor", "est"]
    assert events[0]["cause"].startswith(f"{CONNECTION}: ")


@pytest.mark.parametrize(
    ("said", "by_identity", "client_id"),
    [
        ("", False, ""),
        ("Authorization=AAD", True, ""),
        ("ClientId=0c0ffee0;Authorization=AAD", True, "0c0ffee0"),
        ("Authorization=AAD; clientId = 0c0ffee0 ;", True, "0c0ffee0"),
        ("Authorization=Key", False, ""),
        ("no pair at all", False, ""),
    ],
)
def test_the_identity_that_sends_telemetry_is_the_one_that_the_functions_host_is_told(
    said: str,
    by_identity: bool,
    client_id: str,
) -> None:
    found = Monitoring.from_environment({CONNECTION: " InstrumentationKey=k ", AUTHENTICATION: said})
    assert found == Monitoring("InstrumentationKey=k", by_identity=by_identity, client_id=client_id)
