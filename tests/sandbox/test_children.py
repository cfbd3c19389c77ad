"""The parts of starting things: ports that must be free, children that end with us, Azurite installed once."""

import asyncio
import signal
import socket
import ssl
import subprocess
from pathlib import Path

import pytest

from sandbox import azurite, children, files, pki, probes
from sandbox.children import SandboxError
from tests.sandbox.processes import alive, free_port, python, stranger, until

LISTENS_UNTIL_END_OF_INPUT = """\
import socket, sys
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listening", flush=True)
    sys.stdin.read()
"""


def test_a_port_in_use_is_named_with_what_it_is_for() -> None:
    with stranger() as port, pytest.raises(SandboxError) as caught:
        probes.require_free({"DPS": port, "IoT Hub": free_port()}, patience=0)
    assert str(caught.value) == f"port {port}, which the sandbox needs for DPS, is in use"


def test_a_port_in_use_on_the_other_loopback_counts_too() -> None:
    """`localhost` may lead to ::1 first: requests with credentials would go to the stranger there."""
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        assert probes.taken(server.getsockname()[1])


def test_ports_that_are_let_go_in_a_moment_are_waited_for() -> None:
    port = free_port()
    command = python(LISTENS_UNTIL_END_OF_INPUT, str(port))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert probes.taken(port)
        process.kill()
        probes.require_free({"DPS": port}, patience=5)


def test_a_child_that_dies_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    async def run() -> None:
        code = "print('\\n'.join(f'line {n}' for n in range(100))); raise SystemExit(3)"
        child = await children.start("function host", python(code), tmp_path / "host.log")
        await child.died()

    with pytest.raises(SandboxError) as caught:
        asyncio.run(run())
    text = str(caught.value)
    assert "the function host ended by itself (status 3)" in text
    assert text.endswith("line 99")
    assert "line 79" not in text


def test_a_child_ends_at_the_end_of_its_input_and_is_not_reported_then(tmp_path: Path) -> None:
    async def run() -> int | None:
        child = await children.start("child", python("import sys; sys.stdin.read()"), tmp_path / "log")
        watch = asyncio.create_task(child.died())
        await child.stop()
        await watch
        return child.process.returncode

    assert asyncio.run(run()) == 0


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    async def run() -> int | None:
        child = await children.start("child", python("import time; time.sleep(60)"), tmp_path / "log")
        await child.stop(patience=0.2)
        return child.process.returncode

    assert asyncio.run(run()) == -signal.SIGKILL


def test_a_child_sees_nothing_of_the_users_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_ID", "the user's own")
    monkeypatch.setenv("HTTPS_PROXY", "http://192.0.2.1:3128")
    log = tmp_path / "log"

    async def run() -> None:
        command = python("import os; print(sorted(os.environ))")
        child = await children.start("child", command, log, environment={"DPS_HOST": "localhost:9444"})
        await child.process.wait()

    asyncio.run(run())
    assert set(eval(log.read_text())) - {"LC_CTYPE"} <= {"DPS_HOST", "HOME", "PATH"}  # noqa: S307 - our own print
    assert "DPS_HOST" in log.read_text()


def test_secrets_reach_a_child_through_its_input_only(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def run() -> None:
        code = "import sys; print(sys.stdin.readline().upper(), sys.argv)"
        child = await children.start("child", python(code), log, stdin=b"the key\n")
        await child.process.wait()

    asyncio.run(run())
    assert log.read_text().splitlines() == ["THE KEY", " ['-c']"]


def test_azurite_ends_when_its_supervisor_is_killed_and_keeps_nothing(tmp_path: Path) -> None:
    services = {service: free_port() for service in azurite.PORTS}
    paths = files.write_server(tmp_path, *pki.server_certificate(pki.tls_root()))
    command = azurite.command(azurite.install(print), *paths, services)
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n"
    )
    with subprocess.Popen(python(code, *command), stdout=subprocess.PIPE, cwd=tmp_path) as supervisor:
        assert supervisor.stdout is not None
        node = int(supervisor.stdout.readline())
        assert until(lambda: probes.taken(services["table"]), within=20)
        supervisor.kill()
    assert until(lambda: not alive(node))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["azurite.key", "azurite.pem"]


def test_an_interrupted_installation_of_azurite_is_done_again(tmp_path: Path) -> None:
    said: list[str] = []
    runs: list[Path] = []

    def npm_ci(target: Path) -> None:
        runs.append(target)
        assert not (target / "half").exists()
        (target / "half").touch()
        if len(runs) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        azurite.install(said.append, environment=tmp_path, npm=npm_ci)
    azurite.install(said.append, environment=tmp_path, npm=npm_ci)
    azurite.install(said.append, environment=tmp_path, npm=npm_ci)
    assert len(runs) == len(said) == 2


def test_a_server_that_never_gets_ready_is_named_with_its_last_answer() -> None:
    trust = ssl.create_default_context()
    port = free_port()
    with pytest.raises(SandboxError, match=rf"https://127.0.0.1:{port}/readyz did not become ready"):
        asyncio.run(probes.answers(f"https://127.0.0.1:{port}/readyz", trust, within=0))
