"""Queue triggers and outputs of the function host, against a real Azurite.

AZURITE_QUEUE_URI names the queue service of a running Azurite (`https://127.0.0.1:10001/devstoreaccount1`, started
with `--oauth basic`), SSL_CERT_FILE the root that its certificate leads to.
"""

import asyncio
import base64
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest
from azure.core.credentials import AccessToken
from azure.core.exceptions import ResourceNotFoundError
from azure.storage.queue import QueueClient, QueueMessage

from sandbox.host.host_json import Queues
from sandbox.host.index import Datum, Function, Outcome
from sandbox.host.invoke import Invoker
from sandbox.host.queues import Listener, Storage
from tests.sandbox.host_app.process import APP, HostProcess, running, until

URI = os.environ.get("AZURITE_QUEUE_URI", "")  # noqa: TID251 - how the one who runs the tests names it
ROOT = os.environ.get("SSL_CERT_FILE", "")  # noqa: TID251

pytestmark = pytest.mark.skipif(not URI, reason="AZURITE_QUEUE_URI names no Azurite")


def token() -> AccessToken:
    """Azurite checks audience, issuer and times of a token, not its signature."""
    now = int(time.time())  # noqa: TID251
    issuer = f"https://sts.windows.net/{uuid.UUID(int=1)}/"
    claims = {"aud": "https://storage.azure.com", "iss": issuer, "nbf": now - 5, "iat": now - 5, "exp": now + 3600}
    return AccessToken(jwt.encode(claims, "k" * 32), now + 3600)


class ManagedIdentity(BaseHTTPRequestHandler):
    """learn.microsoft.com/azure/app-service/overview-managed-identity (REST endpoint)."""

    def do_GET(self) -> None:
        assert self.headers["X-IDENTITY-HEADER"] == "header"
        given = token()
        body = {
            "access_token": given.token,
            "expires_on": str(given.expires_on),
            "token_type": "Bearer",
            "resource": "r",
        }
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name of the base class
        pass


class Credential:
    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:  # noqa: ANN401
        return token()


@pytest.fixture
def identity() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), ManagedIdentity) as server:
        Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}/msi/token"
        server.shutdown()


@pytest.fixture
def name() -> str:
    return f"work-{uuid.uuid4().hex}"


@pytest.fixture
def host(identity: str, name: str, tmp_path: Path) -> Iterator[HostProcess]:
    settings = {"QUEUE_NAME": name, "IDENTITY_ENDPOINT": identity, "SSL_CERT_FILE": ROOT}
    with running(tmp_path, APP, STORAGE__queueServiceUri=URI, **settings) as host:
        yield host


@pytest.fixture
def queue(host: HostProcess, name: str) -> Iterator[Callable[[str], QueueClient]]:  # noqa: ARG001 - the host creates it
    clients: list[QueueClient] = []

    def client(suffix: str = "") -> QueueClient:
        clients.append(QueueClient(URI, name + suffix, credential=Credential(), connection_verify=ROOT))
        return clients[-1]

    yield client
    for each in clients:
        each.close()


def in_base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def exists(client: QueueClient) -> bool:
    try:
        client.get_queue_properties()
    except ResourceNotFoundError:
        return False
    return True


def contains(wanted: str, found: list[str]) -> bool:
    return wanted in found


def left(client: QueueClient) -> int:
    return client.get_queue_properties().approximate_message_count or 0


def poisoned(client: QueueClient) -> list[QueueMessage]:
    try:
        return list(client.peek_messages(32))
    except ResourceNotFoundError:
        return []


def test_a_message_wakes_its_function_and_is_gone(host: HostProcess, queue: Callable[..., QueueClient]) -> None:
    client = queue()
    until(lambda: exists(client), bool)
    sent = client.send_message(in_base64("hello é"))
    (seen,) = until(host.seen, bool)
    assert (seen["queue"], seen["dequeue_count"], seen["id"]) == ("hello é", 1, sent.id)
    assert sent.inserted_on is not None
    assert seen["inserted"] == sent.inserted_on.isoformat()
    until(lambda: left(client), lambda count: count == 0)
    assert poisoned(queue("-poison")) == []


def test_a_failing_message_comes_back_later_and_ends_as_poison(
    host: HostProcess, queue: Callable[..., QueueClient]
) -> None:
    client = queue()
    until(lambda: exists(client), bool)
    client.send_message(in_base64("fail"))
    start = time.monotonic()
    until(host.seen, lambda seen: [entry["dequeue_count"] for entry in seen] == [1, 2])
    assert time.monotonic() - start > 0.9  # visibilityTimeout is one second
    poison = queue("-poison")
    (message,) = until(lambda: poisoned(poison), bool)
    assert message.content == in_base64("fail")
    until(lambda: left(client), lambda count: count == 0)
    assert "failed 2 times" in host.log()


def test_what_is_not_base64_is_poison_at_once(host: HostProcess, queue: Callable[..., QueueClient]) -> None:
    client = queue()
    until(lambda: exists(client), bool)
    client.send_message("{not base64}")
    (message,) = until(lambda: poisoned(queue("-poison")), bool)
    assert message.content == "{not base64}"
    assert host.seen() == []


def test_an_output_binding_sends_a_message(host: HostProcess) -> None:
    assert host.ask("/send", "POST", b"from the binding").status == 202
    (seen,) = until(host.seen, bool)
    assert seen["queue"] == "from the binding"


def test_many_messages_are_each_handled_once(host: HostProcess, queue: Callable[..., QueueClient]) -> None:
    client = queue()
    until(lambda: exists(client), bool)
    for number in range(40):
        client.send_message(in_base64(str(number)))
    seen = until(host.seen, lambda seen: len(seen) >= 40)
    assert sorted(int(entry["queue"]) for entry in seen) == list(range(40))
    until(lambda: left(client), lambda count: count == 0)


def test_storage_works_on_when_the_clock_of_the_app_is_moved(
    host: HostProcess, queue: Callable[..., QueueClient]
) -> None:
    client = queue()
    until(lambda: exists(client), bool)
    for number, offset in enumerate([86_400 * 400, -86_400, 0]):
        host.tell(offset_seconds=offset)
        client.send_message(in_base64(str(number)))
        until(lambda: [entry.get("queue", "") for entry in host.seen()], partial(contains, str(number)))


def test_a_message_stays_taken_while_its_function_runs(
    identity: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDENTITY_ENDPOINT", identity)
    monkeypatch.setenv("IDENTITY_HEADER", "header")
    started: list[str] = []

    class Slow(Invoker):
        async def run(self, function: Function, trigger: Any, *_: object, **__: object) -> Outcome:  # noqa: ANN401, ARG002
            started.append(trigger.value)
            await asyncio.sleep(4)
            return Outcome(ok=True)

    async def run() -> int | None:
        trigger = {"type": "queueTrigger", "queueName": name, "connection": "STORAGE"}
        storage = Storage(
            {"IDENTITY_ENDPOINT": identity, "STORAGE__queueServiceUri": URI}, Queues(max_polling_interval=0.2)
        )
        slow = Slow(None, storage.send)
        listener = Listener(Function("slow", "id", trigger, {}), storage, storage.encoding, slow, invisible=2)
        task = asyncio.create_task(listener.run())
        await storage.send({**trigger, "type": "queue"}, Datum("slow", "string"))
        await asyncio.sleep(6)
        properties = await storage.queue("STORAGE", name).client.get_queue_properties()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await storage.close()
        return properties.approximate_message_count

    assert asyncio.run(run()) == 0
    assert started == ["slow"]
