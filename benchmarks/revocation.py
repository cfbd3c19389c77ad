"""From an operator's wish to revoke a device until DPS, and its hub, refuse it: each as the device itself meets it.

While the revocation is asked for, one half of the devices registers with DPS without a pause, and the other half sends
telemetry to its hub, one message after the other; the time ends with the first refusal. A device does not do both: each
of its registrations changes the hub identity that the revocation must change too. The stand-ins answer at once, so that
this is Birthcert's own part of the time, storage included.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from statistics import quantiles
from typing import Any

from benchmarks import client, world
from benchmarks.client import Connection
from sandbox import device, mint, pki, ports
from sandbox.device import Identity
from sandbox.world import Clock

EDGE = f"https://127.0.0.1:{ports.EDGE}"
EST = f"{EDGE}/.well-known/est"
DEVICES = 80
WITHIN = 30.0
PAUSE = 0.005  # between two messages, and between two looks at a registration
NOTE = (
    "Half of the devices register with DPS without a pause meanwhile, the others send to their hub; the time ends with "
    "the first refusal. The stand-ins answer at once: this is Birthcert's own part, with Azurite for storage."
)
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Figure:
    """Milliseconds since the request to revoke was sent."""

    name: str
    devices: int
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True)
class Live:
    """A device that its hub lets in."""

    identity: Identity
    hub: str


async def measure(say: Callable[[str], None]) -> list[Figure]:
    say("starting the sandbox")
    async with world.sandbox() as running:
        key, factory = running.secret("function-key"), mint.factory_of(world.STATE)
        some = asyncio.Semaphore(8)
        lives = await asyncio.gather(*(_live(some, key, factory, f"revoked-{n}") for n in range(DEVICES)))
        say(f"{len(lives)} devices are connected")
        answered: list[float] = []
        dps = f"https://{ports.DPS_HOST}"
        by_dps = [await _revoked(key, live, dps, registers, answered) for live in lives[::2]]
        by_hub = [await _revoked(key, live, f"https://{live.hub}", sends, answered) for live in lives[1::2]]
    figures = [
        _figure("refused at DPS", by_dps),
        _figure("refused at its hub", by_hub),
        _figure("the operator has an answer", answered),
    ]
    for figure in figures:
        say(f"revocation asked, {figure.name}: p50 {figure.p50_ms:.0f} ms, p95 {figure.p95_ms:.0f} ms")
    return figures


def _figure(name: str, seconds: Iterable[float]) -> Figure:
    times = [one * 1000 for one in seconds]
    cuts = quantiles(times, n=100, method="inclusive")
    return Figure(name, len(times), cuts[49], cuts[94])


async def _live(some: asyncio.Semaphore, key: str, factory: pki.Authority, name: str) -> Live:
    """Born, registered, and bound to its hub in the ledger: the hub's event has been taken."""
    async with some:
        live = await asyncio.to_thread(_born, factory, name)
        async with asyncio.timeout(WITHIN):
            while True:
                if (await _device(key, name)).get("hub"):
                    return live
                await asyncio.sleep(0.1)


def _born(factory: pki.Authority, name: str) -> Live:
    root, made = world.STATE / "tls-root.pem", device.new_key("ec-p256")
    first = Identity(made, (pki.issue_leaf(factory, name, made.public_key(), Clock().now()),))
    born = device.enroll(EST, root, name, device.new_key("ec-p256"), identity=first)
    assigned = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, root, born)
    if assigned.status != "assigned" or not device.connect(assigned.hub, root, born)[0]:
        raise RuntimeError(f"{name} is not let in before it is revoked: {assigned}")
    return Live(born, assigned.hub)


async def _device(key: str, name: str) -> dict[str, Any]:
    async with _connected(EDGE) as operator:
        status, found = await _asked(operator, "GET", f"{EDGE}/api/devices/{name}", key=key)
    if status != 200:
        raise RuntimeError(f"the ledger knows nothing of {name}: {status} {found}")
    return found


async def _revoked(
    key: str, live: Live, door: str, attempt: Callable[[Connection, Live], Awaitable[bool]], answered: list[float]
) -> float:
    """Seconds until the first attempt that was refused; the next one must be refused too."""
    async with _connected(EDGE) as operator, _connected(door, live.identity) as own, asyncio.timeout(WITHIN):
        if not await attempt(own, live):
            raise RuntimeError(f"{live.identity.name} is refused before it is revoked")
        began = time.perf_counter()
        wish = asyncio.create_task(_wish(operator, key, live, began))
        while await attempt(own, live):
            pass
        seconds = time.perf_counter() - began
        answered.append(await wish)
        if await attempt(own, live):
            raise RuntimeError(f"{live.identity.name} was refused once and then let in")
    return seconds


async def _wish(operator: Connection, key: str, live: Live, began: float) -> float:
    url = f"{EDGE}/api/devices/{live.identity.name}/revoke"
    status, found = await _asked(operator, "POST", url, {"reason": "keyCompromise"}, key=key)
    if status not in (200, 202):
        raise RuntimeError(f"the revocation was answered {status}: {found}")
    return time.perf_counter() - began


async def registers(own: Connection, live: Live) -> bool:
    """A whole registration with DPS: whether it assigned the hub."""
    name = live.identity.name
    base = f"https://{ports.DPS_HOST}/{ports.DPS_ID_SCOPE}/registrations/{name}"
    ask = partial(_asked, own)
    status, found = await ask("PUT", f"{base}/register?{device.DPS_API}", {"registrationId": name})
    while status in (200, 202) and found.get("status") == "assigning":
        await asyncio.sleep(PAUSE)
        status, found = await ask("GET", f"{base}/operations/{found['operationId']}?{device.DPS_API}")
    return found.get("status") == "assigned"


async def sends(own: Connection, live: Live) -> bool:
    """A message to its hub, after a pause: whether that was let in."""
    await asyncio.sleep(PAUSE)
    url = f"https://{live.hub}/devices/{live.identity.name}/messages/events?{device.HUB_API}"
    return (await _asked(own, "POST", url, {}))[0] in (200, 204)


@contextlib.asynccontextmanager
async def _connected(url: str, identity: Identity | None = None) -> AsyncIterator[Connection]:
    connection = await client.connect(url, device.tls_context(world.STATE / "tls-root.pem", identity))
    try:
        yield connection
    finally:
        connection.end()


async def _asked(
    own: Connection, method: str, url: str, content: object = None, *, key: str = ""
) -> tuple[int, dict[str, Any]]:
    """One request. `key` is that of an operator, each of whose writes is a wish of its own."""
    headers = dict(JSON)
    if key:
        headers |= {"x-functions-key": key, "Idempotency-Key": url.rpartition("/devices/")[2].replace("/", "-")}
    body = b"" if content is None else json.dumps(content).encode()
    status, answer = await own.exchange(client.request(method, url, headers, body))
    found = json.loads(answer) if answer else {}
    return status, found if isinstance(found, dict) else {}
