"""The whole sandbox: nothing dies unnoticed, nothing outlives it, and a stranger's port is not taken."""

import asyncio
import contextlib
import signal
import ssl
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from sandbox import ports, probes, supervisor
from sandbox.world import Clock
from tests.sandbox.processes import alive, stranger, until

ROOT = Path(__file__).parents[2]
PLACEHOLDER = Path(__file__).with_name("placeholder_app")


@pytest.mark.parametrize("command", ["up", "run"])
def test_with_a_port_in_use_nothing_is_started_and_one_line_says_why(
    tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Holds whether the port is taken by this test or by a sandbox that another test has running."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    with contextlib.ExitStack() as stack:
        if not probes.taken(ports.EVENT_GRID):
            stack.enter_context(stranger(ports.EVENT_GRID))
        words = [sys.executable, "-m", "sandbox", command, "--app", str(PLACEHOLDER)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert any(f"port {port}, which the sandbox needs for {name}," in done.stderr for name, port in ports.ALL.items())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("own_ports")
def test_a_moved_clock_moves_the_app_and_an_ended_sandbox_leaves_its_logs(tmp_path: Path) -> None:
    async def run() -> tuple[datetime, int]:
        async with supervisor.running(PLACEHOLDER, tmp_path / ".sandbox", lambda _: None) as sandbox:
            trust = ssl.create_default_context(cafile=sandbox.tls_root)
            async with aiohttp.ClientSession() as session:
                control = f"http://127.0.0.1:{ports.CONTROL}/clock"
                (await session.put(control, json={"offset_seconds": 86400})).raise_for_status()
            _, body = await asyncio.to_thread(probes.get, "https://127.0.0.1:8443/readyz", trust)
            return datetime.fromisoformat(body), len(sandbox.children)

    told, processes = asyncio.run(run())
    assert timedelta(hours=23) < told - Clock().now() < timedelta(hours=25)
    assert processes == 3
    logs = {path.name for path in (tmp_path / ".sandbox" / "logs").iterdir()}
    assert {"azurite.log", "front.log", "host.log"} <= logs


@pytest.mark.usefixtures("own_ports")
def test_run_names_the_step_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The placeholder app knows no EST."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = [sys.executable, "-m", "sandbox", "run", "--app", str(PLACEHOLDER)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "FAILED in step 2 Birth: simpleenroll: 404" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110
    assert "\x1b" not in done.stdout


@pytest.mark.usefixtures("own_ports")
def test_run_tells_the_whole_life_of_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the function app of this repository."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    words = [sys.executable, "-m", "sandbox", "run", "--app", str(ROOT)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout
    chapters = [line for line in done.stdout.splitlines() if line[:1].isdigit() and line[1:3] == "  "]
    assert [line[:1] for line in chapters] == list("12345678")


@pytest.mark.usefixtures("own_ports")
def test_an_app_that_cannot_be_indexed_is_named_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    (tmp_path / "function_app.py").write_text("raise RuntimeError('what the author must see')\n")
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    words = [sys.executable, "-m", "sandbox", "up", "--app", str(tmp_path)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "the function host ended by itself (status 1)" in done.stderr
    assert "what the author must see" in done.stderr
    assert not any(probes.taken(port) for port in ports.ALL.values())


@pytest.mark.usefixtures("own_ports")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_up_says_ready_once_and_nothing_outlives_it(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    command = [sys.executable, "-m", "sandbox", "up", "--app", str(PLACEHOLDER)]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as up:
        assert up.stdout is not None
        lines = iter(up.stdout.readline, "")
        assert "READY est=https://127.0.0.1:8443\n" in lines
        listed = Path(f"/proc/{up.pid}/task/{up.pid}/children").read_text().split()
        processes = [up.pid, *map(int, listed)]
        assert len(processes) == 4
        trust = ssl.create_default_context(cafile=tmp_path / ".sandbox" / "tls-root.pem")
        assert probes.get("https://127.0.0.1:8443/healthz", trust) == (200, "GET: well")
        up.send_signal(number)
        rest = list(lines)
    assert up.returncode == (0 if number is not signal.SIGKILL else -9)
    assert not any("READY" in line for line in rest)
    assert until(lambda: not any(alive(process) for process in processes))
    assert until(lambda: not any(probes.taken(port) for port in ports.ALL.values()))
