"""Queue triggers and outputs of the function host, against a real Azurite on ports of its own."""

import base64
import json
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

import sandbox.azurite
from sandbox import pki, probes
from tests.conftest import REPOSITORY
from tests.sandbox.host_app.process import APP, HostProcess, running, until


@dataclass(frozen=True)
class Azurite:
    """A queue service and the root that its certificate leads to."""

    uri: str
    root: str


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    directory = tmp_path_factory.mktemp("azurite")
    root = pki.tls_root()
    certificate, key = pki.server_certificate(root)
    for name, text in (
        ("root.pem", pki.certificate_pem(root.certificate)),
        ("server.pem", pki.certificate_pem(certificate)),
        ("server.key", pki.key_pem(key)),
    ):
        (directory / name).write_text(text)
    services = {service: free_port() for service in ("blob", "queue", "table")}
    installed = sandbox.azurite.install(print)
    command = sandbox.azurite.command(installed, directory / "server.pem", directory / "server.key", services)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        until(lambda: probes.taken(services["queue"]), bool)
        yield Azurite(f"https://127.0.0.1:{services['queue']}/devstoreaccount1", str(directory / "root.pem"))
        assert process.stdin is not None
        process.stdin.close()  # the end of its input ends it


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


def token() -> AccessToken:
    """Azurite checks audience, issuer and times of a token, not its signature."""
    now = int(time.time())
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
def host(azurite: Azurite, identity: str, name: str, tmp_path: Path) -> Iterator[HostProcess]:
    settings = {"QUEUE_NAME": name, "IDENTITY_ENDPOINT": identity, "SSL_CERT_FILE": azurite.root}
    with running(tmp_path, APP, STORAGE__queueServiceUri=azurite.uri, **settings) as host:
        yield host


@pytest.fixture
def queue(
    azurite: Azurite,
    host: HostProcess,  # noqa: ARG001 - the host creates it
    name: str,
) -> Iterator[Callable[[str], QueueClient]]:
    clients: list[QueueClient] = []

    def client(suffix: str = "") -> QueueClient:
        clients.append(QueueClient(azurite.uri, name + suffix, credential=Credential(), connection_verify=azurite.root))
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


def test_a_message_stays_taken_while_its_function_runs(azurite: Azurite, identity: str, name: str) -> None:
    """In a process of its own: aiohttp reads SSL_CERT_FILE when it is imported."""
    environment = {
        "IDENTITY_ENDPOINT": identity,
        "IDENTITY_HEADER": "header",
        "SSL_CERT_FILE": azurite.root,
        "STORAGE__queueServiceUri": azurite.uri,
        "QUEUE_NAME": name,
    }
    command = [sys.executable, "-m", "tests.sandbox.slow_queue"]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"left": 0, "started": ["slow"]}
