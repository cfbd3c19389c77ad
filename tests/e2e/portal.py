"""What the owner of the subscription does past Birthcert: registry, queues, timers, and what Azure itself delivers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from azure.core.credentials import AccessToken
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.queue import QueueClient, TextBase64DecodePolicy, TextBase64EncodePolicy

from sandbox import device, entra, files, ports
from tests.e2e import wire
from tests.e2e.est import Site
from tests.e2e.wire import Answer

type Json = dict[str, Any]

HUB_API: Final = "api-version=2021-04-12"
QUEUES: Final = f"https://{ports.LOOPBACK}:{ports.AZURITE_QUEUE}/{files.STORAGE_ACCOUNT}"
KINDS: Final = "Microsoft.Devices."


@dataclass(frozen=True)
class Identity:
    """The managed identity of the sandbox, as azure-core wants credentials."""

    site: Site

    def get_token(self, *scopes: str, **_: object) -> AccessToken:
        resource = scopes[0].removesuffix("/.default")
        url = f"https://localhost:{ports.ENTRA}/msi/token?api-version=2019-08-01&resource={resource}"
        headers = {"X-IDENTITY-HEADER": self.site.secret("identity-header")}
        answer = device.call(self.site.tls(), "GET", url, headers=headers).json()
        return AccessToken(answer["access_token"], int(answer["expires_on"]))


@dataclass(frozen=True)
class Portal:
    site: Site

    def run_timer(self, name: str) -> None:
        """The button Test/Run. It comes back at once; what the timer did is in the log."""
        assert self._admin(f"/admin/functions/{name}", {}).status == 202

    def dps_logs(self, *events: object) -> int:
        """What the Event Hub hands over as one batch; back when the batch was taken, or passed over."""
        return self._admin("/admin/eventhubs/dps-logs", events).status

    def _admin(self, path: str, content: object) -> Answer:
        headers = [("x-functions-key", self.site.secret("master-key")), ("Content-Type", "application/json")]
        raw = wire.request("POST", path, json.dumps(content).encode(), headers)
        return wire.send(None, raw, port=wire.HOST)

    def deliver(self, event: Json) -> int:
        """What Event Grid's webhook answers to this event, which comes in a list in Event Grid's own schema."""
        cloud = "specversion" in event
        media = "application/cloudevents+json" if cloud else "application/json"
        target = f"/runtime/webhooks/eventgrid?functionName=hub_events&code={self.site.secret('event-grid-key')}"
        headers = [("Content-Type", f"{media}; charset=utf-8"), ("aeg-event-type", "Notification")]
        return self.site.call("POST", target, json.dumps(event if cloud else [event]).encode(), headers).status

    def identity(self, hub: str, name: str) -> Json | None:
        """The device's identity in the registry of the hub."""
        answer = self._registry(hub, "GET", f"/devices/{name}")
        return answer.json() if answer.status == 200 else None

    def twin(self, hub: str, name: str) -> Json:
        return self._registry(hub, "GET", f"/twins/{name}").json()

    def make_identity(self, hub: str, name: str, thumbprint: str) -> None:
        """By hand, past DPS."""
        held = {"primaryThumbprint": thumbprint, "secondaryThumbprint": None}
        body = {"deviceId": name, "authentication": {"type": "selfSigned", "x509Thumbprint": held}}
        assert self._registry(hub, "PUT", f"/devices/{name}", body).status == 200

    def delete_identity(self, hub: str, name: str) -> None:
        assert self._registry(hub, "DELETE", f"/devices/{name}").status == 204

    def _registry(self, hub: str, method: str, path: str, body: object = None) -> device.Answer:
        headers = {"authorization": f"Bearer {Identity(self.site).get_token(entra.IOT_HUB_AUDIENCE).token}"}
        headers |= {"If-Match": "*"} if method == "DELETE" else {}
        content = b"" if body is None else json.dumps(body).encode()
        url = f"https://{hub}{path}?{HUB_API}"
        return device.call(self.site.tls(), method, url, headers=headers, body=content)

    @contextmanager
    def queue(self, name: str, *, encoded: bool = True) -> Iterator[QueueClient]:
        """A storage queue, in the encoding of host.json or in none."""
        with QueueClient(
            QUEUES,
            name,
            credential=Identity(self.site),
            connection_verify=str(self.site.sandbox.tls_root),
            message_encode_policy=TextBase64EncodePolicy() if encoded else None,
            message_decode_policy=TextBase64DecodePolicy() if encoded else None,
        ) as client:
            yield client

    def put(self, name: str, *messages: str) -> None:
        with self.queue(name) as queue:
            with suppress(ResourceExistsError):
                queue.create_queue()
            for message in messages:
                queue.send_message(message)

    def waiting(self, name: str) -> list[Json]:
        """The messages that lie in a queue, which need not exist."""
        with self.queue(name) as queue, suppress(ResourceNotFoundError):
            return [json.loads(message.content) for message in queue.peek_messages(32)]
        return []

    def clear(self, name: str) -> None:
        with self.queue(name) as queue, suppress(ResourceNotFoundError):
            queue.clear_messages()

    def log(self, event: str, **fields: object) -> list[Json]:
        """The lines of the app's log that tell of this event, with these fields."""
        lines = (self.site.sandbox.state / "logs" / "host.log").read_text().splitlines()
        records = (json.loads(line) for line in lines if line.startswith(f'{{"event": "{event}"'))
        return [record for record in records if fields.items() <= record.items()]


def in_event_grids_own_schema(kind: str, data: object, at: datetime | None = None, ident: str = "event-1") -> Json:
    """learn.microsoft.com/azure/event-grid/event-schema-iot-hub."""
    return {
        "id": ident,
        "topic": "/SUBSCRIPTIONS/0/RESOURCEGROUPS/SANDBOX/PROVIDERS/MICROSOFT.DEVICES/IOTHUBS/HUB-A",
        "subject": "devices/any",
        "eventType": KINDS + kind,
        "eventTime": _wire_time(at),
        "data": data,
        "dataVersion": "1",
        "metadataVersion": "1",
    }


def as_cloud_event(kind: str, data: object, at: datetime | None = None, ident: str = "event-1") -> Json:
    """learn.microsoft.com/azure/event-grid/cloud-event-schema."""
    return {
        "id": ident,
        "source": "/SUBSCRIPTIONS/0/RESOURCEGROUPS/SANDBOX/PROVIDERS/MICROSOFT.DEVICES/IOTHUBS/HUB-A",
        "subject": "devices/any",
        "type": KINDS + kind,
        "time": _wire_time(at),
        "data": data,
        "specversion": "1.0",
    }


def _wire_time(at: datetime | None) -> str:
    """With seven digits, as Azure writes it."""
    return f"{at or datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
