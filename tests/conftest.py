"""What all tests share: no socket leaves this machine, and one running sandbox for those that need the whole world."""

import http.client
import ipaddress
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox import ports, probes

REPOSITORY = Path(__file__).parents[1]
STATE = REPOSITORY / ".sandbox"
CONTROL = 9440
EDGE = "https://127.0.0.1:8443"

# Files that hold a credential because someone outside Key Vault must know it: the device its passcode, the app (as App
# Service would give it) the identity endpoint's header, a factory what it needs to ask DigiCert ONE itself.
KNOWN_HOLDERS = {"passcode", "env", "digicert.env"}

# Folders whose tests take none of the sandbox's ports, and those where the fixtures tell which do. In any other folder,
# a new one for example, all do.
WITHOUT_PORTS = {"adapters", "configuration", "core", "flows", "functions", "infra"}
MIXED = {"sandbox", "tools"}


def refuse_strangers(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: a test that would reach beyond this machine fails at once."""
    if event != "socket.connect":
        return
    address = arguments[1]
    if isinstance(address, tuple) and isinstance(address[0], str):
        try:
            loopback = ipaddress.ip_address(address[0].partition("%")[0]).is_loopback
        except ValueError:
            loopback = address[0] == "localhost"
        if not loopback:
            raise RuntimeError(f"a test tried to reach {address[0]}")


sys.addaudithook(refuse_strangers)


@dataclass(frozen=True)
class Running:
    """The running sandbox, steered over its control port."""

    state: Path = STATE
    edge: str = EDGE

    def control(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        connection = http.client.HTTPConnection("127.0.0.1", CONTROL, timeout=10)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json"})
            response = connection.getresponse()
            text = response.read()
        finally:
            connection.close()
        assert response.status < 300, f"{method} {path}: {response.status} {text.decode()}"
        return json.loads(text) if text else None

    def fault(self, service: str, kind: str, **rest: object) -> None:
        self.control("POST", "/faults", {"service": service, "kind": kind, **rest})

    def journal(self, since: int = 0) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.control("GET", f"/journal?since={since}")
        return entries

    def mark(self) -> int:
        """The number of the newest journal entry: what comes later is of this test."""
        entries = self.journal()
        return int(entries[-1]["n"]) if entries else 0

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        """A command of `python -m sandbox`."""
        command = [sys.executable, "-m", "sandbox", *map(str, arguments)]
        return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)

    def mint(self, name: str, out: Path, *flags: str) -> tuple[Path, Path]:
        """A factory certificate and its key."""
        made = self.run("mint", "--cn", name, "--out", out, *flags)
        assert made.returncode == 0, made.stderr
        return out / f"{name}.pem", out / f"{name}.key"

    @property
    def tls_root(self) -> Path:
        return self.state / "tls-root.pem"

    @property
    def passcode(self) -> str:
        return (self.state / "passcode").read_text().strip()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Running]:
    """`python -m sandbox up`, as a user starts it, for the whole session; at its end no secret may lie about."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sandbox", "up"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COVERAGE"))},
    )
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda stream: lines.extend(iter(stream.readline, "")), args=(process.stdout,))
    reader.start()
    try:
        end = time.monotonic() + 180
        while not any(line.startswith("READY") for line in lines):
            assert process.poll() is None, f"the sandbox did not start:\n{''.join(lines)}"
            assert time.monotonic() < end, f"the sandbox is not ready:\n{''.join(lines)}"
            time.sleep(0.05)
        running = Running()
        yield running
        secrets = running.control("GET", "/secrets")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
        reader.join(timeout=5)
        process.stdout.close()
    assert process.returncode == 0, "".join(lines)
    found = leaks(secrets, "".join(lines))
    assert not found, f"secrets were found outside Key Vault: {found}"


def leaks(secrets: list[str], output: str) -> list[str]:
    """Where a secret of the sandbox lies that must not: its output, its logs (error bodies among them), its files."""
    texts = {"output of `make up`": output}
    for path in sorted(STATE.rglob("*")):
        if path.is_file() and path.name not in KNOWN_HOLDERS:
            texts[str(path.relative_to(STATE))] = path.read_bytes().decode("utf-8", "replace")
    assert secrets, "the sandbox lists no secrets: the check would prove nothing"
    return [f"{where}: {secret[:12]}…" for where, text in texts.items() for secret in secrets if secret in text]


@pytest.fixture
def sandbox(sandbox_process: Running) -> Iterator[Running]:
    """The running sandbox with no faults planned and each lever as it was at start, before the test and after it."""
    yield sandbox_process
    sandbox_process.control("DELETE", "/faults")
    sandbox_process.control("PUT", "/clock", {"offset_seconds": 0})
    sandbox_process.control("PUT", "/edge", {"buffer_chunked": True})
    sandbox_process.control("PUT", "/event-grid", {"duplicates": 0, "reorder": False})
    sandbox_process.control("PUT", "/dps", {"properties_as_text": False})
    sandbox_process.control("PUT", "/dps/webhook", {"shows_certificate": False})
    sandbox_process.control("PUT", "/digicert", {"renew_any_time": False})


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--half", choices=("sandbox", "beside"), help="what needs the sandbox's ports, or what does not")


@pytest.hookimpl(trylast=True)  # after the shuffle
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those with a sandbox of their own come first: the shared one, once started, stays until the end."""
    if half := config.getoption("--half"):
        other = [item for item in items if needs_ports(item) != (half == "sandbox")]
        config.hook.pytest_deselected(items=other)
        items[:] = [item for item in items if needs_ports(item) == (half == "sandbox")]
    items.sort(key=lambda item: "own_ports" not in getattr(item, "fixturenames", ()))


def needs_ports(item: pytest.Item) -> bool:
    """Whether the test may take the sandbox's fixed ports: where that is not sure, it does."""
    folder = item.path.relative_to(Path(__file__).parent).parts[0]
    if folder in WITHOUT_PORTS:
        return False
    return folder not in MIXED or not {"sandbox_process", "own_ports"}.isdisjoint(getattr(item, "fixturenames", ()))


@pytest.fixture
def own_ports() -> None:
    """For a test that starts a sandbox of its own: the fixed ports are free."""
    if in_use := [port for port in ports.ALL.values() if probes.taken(port)]:
        pytest.skip(f"a sandbox is running on this machine: ports {in_use} are in use")
