"""Starts the whole sandbox and ends it: the stand-ins in this process, and the TLS front, Azurite and the function
host as its children. Nothing outlives it.
"""

import asyncio
import contextlib
import json
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from sandbox import azurite, children, control, files, pki, ports, probes, standins
from sandbox.azurite import InstallError
from sandbox.births.given import Given
from sandbox.children import Child, SandboxError
from sandbox.credentials import Credentials, new_credentials
from sandbox.files import Authorities
from sandbox.front import FrontConfig, Listener, start_front
from sandbox.standins import StandIns
from sandbox.world import World, new_world

READY_WITHIN = 60.0
FOLLOWS_WITHIN = 5.0
EDGE_URL = standins.APP_URL
REPOSITORY = Path(__file__).parents[1]
FRONT, AZURITE, HOST = "TLS front", "storage emulator Azurite", "function host"


@dataclass
class Sandbox:
    """What runs, for those who are in this process; everybody else asks the control API."""

    world: World
    credentials: Credentials
    authorities: Authorities
    directory: Path
    stand_ins: StandIns
    children: list[Child] = field(default_factory=list)

    @property
    def tls_root(self) -> Path:
        return self.directory / "tls-root.pem"

    async def tell_host(self, command: dict[str, Any]) -> None:
        for child in self.children:
            if child.name == HOST and child.process.stdin is not None:
                child.process.stdin.write(json.dumps(command).encode() + b"\n")
                await child.process.stdin.drain()

    def log(self, name: str) -> Path:
        return self.directory / "logs" / f"{name}.log"

    async def unless_broken[T](self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` returns; if a child dies meanwhile, the error that names it."""
        task = asyncio.create_task(work)
        watches = [asyncio.create_task(child.died()) for child in self.children]
        try:
            await asyncio.wait([task, *watches], return_when=asyncio.FIRST_COMPLETED)
            for watch in watches:
                if watch.done():
                    watch.result()
            return task.result()
        finally:
            for each in (task, *watches):
                each.cancel()
            await asyncio.gather(task, *watches, return_exceptions=True)


@contextlib.asynccontextmanager
async def running(
    app: Path = Path(), directory: Path = files.DIRECTORY, say: Callable[[str], None] = print
) -> AsyncIterator[Sandbox]:
    """Everything started and answering; all of it ended at exit. `app` is the folder of `function_app.py`."""
    probes.require_free(ports.ALL)
    try:
        installed = await asyncio.to_thread(azurite.install, say)
    except InstallError as error:
        raise SandboxError(str(error)) from error
    sandbox = prepare(directory)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(stop, sandbox)
        targets = {
            port: await stack.enter_async_context(serving(application))
            for port, application in sandbox.stand_ins.applications.items()
        }
        for port, application in sandbox.stand_ins.without_tls.items():
            await stack.enter_async_context(serving(application, port))
        await stack.enter_async_context(serving(control_of(sandbox), ports.CONTROL))
        await started(sandbox, app, installed, targets)
        yield sandbox


def prepare(directory: Path) -> Sandbox:
    """Credentials, authorities and stand-ins, all new, and the files that tell of them."""
    world = new_world()
    credentials = new_credentials(world)
    now = world.clock.now()
    authorities = Authorities(pki.tls_root(), pki.issuing_hierarchy(now), pki.factory_authority(now))
    files.clear(directory)
    files.write(directory, authorities, credentials)
    Given.of(credentials).write(directory)
    return Sandbox(world, credentials, authorities, directory, standins.make(world, credentials, authorities))


def control_of(sandbox: Sandbox) -> web.Application:
    """The control API. A moved clock is handed on to the app before the answer that says so is sent."""
    world = sandbox.world

    async def hand_on_clock(request: web.Request, _: web.StreamResponse) -> None:
        if request.method == "PUT" and request.path == "/clock":
            await sandbox.tell_host({"offset_seconds": world.clock.offset.total_seconds()})
            await host_follows(world)

    application = control.app(world, standins.levers(world, sandbox.stand_ins, sandbox.credentials))
    application.on_response_prepare.append(hand_on_clock)
    return application


async def host_follows(world: World) -> None:
    """Back when the host's own clock, which it shows in the Date of any answer, is where the world's is."""
    end = time.monotonic() + FOLLOWS_WITHIN
    async with aiohttp.ClientSession() as session:
        while time.monotonic() < end:
            with contextlib.suppress(aiohttp.ClientError):
                async with session.get(f"{standins.HOST_URL}/admin/host/status") as answer:
                    shown = parsedate_to_datetime(answer.headers["Date"])
                if abs(shown - world.clock.now()) < timedelta(seconds=2):
                    return
            await asyncio.sleep(0.02)
    raise web.HTTPGatewayTimeout(text="the function host does not follow the clock\n")


@contextlib.asynccontextmanager
async def serving(application: web.Application, port: int = 0) -> AsyncIterator[int]:
    """Serve plain HTTP on loopback: a stand-in on a free port, with the TLS front before it, or what needs no TLS."""
    runner = web.AppRunner(application, access_log=None, max_field_size=65536, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, ports.LOOPBACK, port).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


async def started(sandbox: Sandbox, app: Path, installed: Path, targets: dict[int, int]) -> None:
    """All children at once; back when everything answers, or with an error that names what does not."""
    await all_of(
        start_tls_front(sandbox, targets),
        start_azurite(sandbox, installed),
        start_host(sandbox, app),
    )
    await sandbox.unless_broken(everything_answers(sandbox))
    functions = await probes.functions(standins.HOST_URL, sandbox.stand_ins.master_key)
    hubs = [trigger["eventHubName"] for trigger in functions.values() if trigger["type"] == "eventHubTrigger"]
    sandbox.stand_ins.deployed(functions.keys(), hubs)


async def start_tls_front(sandbox: Sandbox, targets: dict[int, int]) -> None:
    certificate, key = pki.server_certificate(sandbox.authorities.tls)
    listeners = [Listener(port, target) for port, target in targets.items()]
    listeners.append(Listener(ports.EDGE, ports.FUNCTION_HOST, "edge"))
    config = FrontConfig(
        listeners,
        pki.certificate_pem(certificate),
        pki.key_pem(key),
        sandbox.credentials.front_end_secret,
        edge_errors=sandbox.log("edge-errors"),
        log=sandbox.log("front"),
    )
    try:
        front = await start_front(config)
    except RuntimeError as error:
        raise SandboxError(f"{error}.{children.last_lines(sandbox.log('front'))}") from error
    sandbox.children.append(Child(FRONT, front.process, sandbox.log("front")))
    sandbox.stand_ins.front = front


async def start_azurite(sandbox: Sandbox, installed: Path) -> None:
    paths = files.write_server(sandbox.directory, *pki.server_certificate(sandbox.authorities.tls))
    command = azurite.command(installed, *paths)
    sandbox.children.append(await children.start(AZURITE, command, sandbox.log("azurite")))


def host_command(app: Path) -> list[str]:
    return [sys.executable, "-m", "sandbox.host", "--app", str(app.absolute()), "--port", str(ports.FUNCTION_HOST)]


async def start_host(sandbox: Sandbox, app: Path) -> None:
    keys = {
        "function_key": sandbox.credentials.function_key,
        "master_key": sandbox.stand_ins.master_key,
        "event_grid_key": sandbox.credentials.event_grid_key,
        "own_keys": {"allocation": sandbox.credentials.allocation_key},
    }
    child = await children.start(
        HOST,
        host_command(app),
        sandbox.log("host"),
        cwd=REPOSITORY,  # where the `sandbox` package is, wherever the command was started
        environment=files.environment(sandbox.directory, sandbox.credentials),
        stdin=json.dumps(keys).encode() + b"\n",
    )
    sandbox.children.append(child)


async def everything_answers(sandbox: Sandbox) -> None:
    """The front listens when it is started; Azurite and the app do a little later."""
    trust = ssl.create_default_context(cafile=str(sandbox.tls_root))
    end = time.monotonic() + READY_WITHIN
    try:
        async with asyncio.timeout(READY_WITHIN):
            await all_of(*(probes.listening(port) for port in azurite.PORTS.values()))
    except TimeoutError as error:
        raise SandboxError(f"Azurite did not start.{children.last_lines(sandbox.log('azurite'))}") from error
    for path in ("/healthz", "/readyz"):
        try:
            await probes.answers(f"{EDGE_URL}{path}", trust, within=end - time.monotonic())
        except SandboxError as error:
            raise SandboxError(f"{error}.{children.last_lines(sandbox.log('host'))}") from error


async def all_of(*work: Coroutine[Any, Any, None]) -> None:
    """All at once; the first error is raised as it is, and the rest is given up."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


async def stop(sandbox: Sandbox) -> None:
    await asyncio.gather(*(child.stop() for child in sandbox.children))
