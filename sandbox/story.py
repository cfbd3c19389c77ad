"""`python -m sandbox run`: one device from its birth to its first renewal, told as a timeline.

The device is a client like any other (`device.py`). What Birthcert does is seen from outside: in the answers, and in
the journal of the stand-ins that it spoke to.
"""

import asyncio
import hashlib
import secrets
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import connect, device, mint, ports, supervisor
from sandbox.children import SandboxError
from sandbox.device import DeviceError, Identity
from sandbox.supervisor import Sandbox
from sandbox.timeline import Timeline, described, hub_name

EST_URL = f"{supervisor.EDGE_URL}/.well-known/est"
CAST = """\
Birthcert is the function app; the edge is the TLS front that App Service puts before it. Everybody else is a
stand-in on this machine: DigiCert ONE, DPS, two IoT hubs, Key Vault, Event Grid. Times are local."""
PATIENCE = 15.0  # for what Birthcert does after it has answered


@dataclass
class Story:
    """The steps in their order; each leaves behind what the next one needs, or raises."""

    sandbox: Sandbox
    timeline: Timeline
    name: str = field(default_factory=lambda: f"device-{secrets.token_hex(3)}")
    seen: int = 0
    step: str = "start"
    given_up: bool = False

    def tell(self) -> None:
        factory = self.made_in_the_factory()
        first = self.birth(factory)
        hub = self.provision(first)
        self.connected(hub, first, "its new certificate")
        self.bound()
        second = self.renewal(first)
        self.still_let_in(hub, first, second)
        hub = self.registered_again(second)
        self.connected(hub, second, "the renewed certificate")

    def made_in_the_factory(self) -> Identity:
        self.chapter(1, "Factory", "The factory gives the device a certificate of its own CA: proof of who it is.")
        with tempfile.TemporaryDirectory() as folder:
            paths = mint.mint(self.sandbox.directory, self.name, Path(folder))
            factory = connect.load_identity(*paths)
        self.line("factory → device", described(factory.leaf))
        return factory

    def birth(self, factory: Identity) -> Identity:
        text = (
            "The device makes a key and asks for a certificate over EST (RFC 7030), known by its factory certificate."
        )
        self.chapter(2, "Birth", text)
        return self.enrolled(factory, "the factory certificate")

    def enrolled(self, identity: Identity, shown: str) -> Identity:
        key = device.new_key()
        self.line("device → edge", f"POST simpleenroll, GET cacerts with {shown}")
        enrolled = device.enroll(EST_URL, self.sandbox.tls_root, self.name, key, identity=identity)
        self.meanwhile()
        self.line("edge → device", f"200  {described(enrolled.leaf)}")
        self.require(enrolled.name == self.name, f"the certificate is for {enrolled.name}, not for {self.name}")
        self.require(len(enrolled.chain) > 1, "cacerts gave no CA certificate, and DPS wants the chain")
        return enrolled

    def provision(self, identity: Identity) -> str:
        self.chapter(3, "Provision", "DPS trusts the issuing CA. It asks Birthcert which hub the device belongs to.")
        return self.registered(identity)

    def registered(self, identity: Identity) -> str:
        self.line("device → DPS", f"PUT registrations/{self.name}/register, thumbprint {thumbprint(identity)}")
        answer = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, self.sandbox.tls_root, identity)
        self.meanwhile()
        self.line("DPS → device", f"{answer.status} {hub_name(answer.hub)} {answer.reason}".rstrip())
        self.require(answer.status == "assigned", f"DPS says {answer.status}: {answer.reason}")
        return answer.hub

    def connected(self, hub: str, identity: Identity, shown: str) -> None:
        title, text = "Connect", "The hub knows the device by the thumbprint of its certificate, and by nothing else."
        if self.step == "3 Provision":
            self.chapter(4, title, text)
        self.let_in(hub, identity, shown)

    def let_in(self, hub: str, identity: Identity, shown: str) -> None:
        admitted, reason = device.connect(hub, self.sandbox.tls_root, identity)
        self.meanwhile()
        self.line(f"device → {short_name(hub)}", f"telemetry with {shown}: {reason or 'accepted'}")
        self.require(admitted, f"the hub refused {shown}: {reason}")

    def bound(self) -> None:
        """The hub's event reaches Birthcert, which now knows that device and certificate belong together."""

        def heard() -> bool:
            return any(self.is_delivery(entry) for entry in self.sandbox.world.journal.since(0))

        self.eventually(heard, "Birthcert did not take the event DeviceCreated")
        self.meanwhile()

    def is_delivery(self, entry: Mapping[str, Any]) -> bool:
        """Whether the entry tells that the function app took the event DeviceCreated of this device."""
        if entry["event"] != "event delivery" or entry["subject"] != f"devices/{self.name}":
            return False
        return entry["type"].endswith("DeviceCreated") and entry["outcome"] in range(200, 300)

    def renewal(self, first: Identity) -> Identity:
        text = "Well before the end the device asks again, with a new key and known by the certificate it has."
        self.chapter(5, "Renewal", text)
        return self.enrolled(first, "its present certificate")

    def still_let_in(self, hub: str, first: Identity, second: Identity) -> None:
        """A renewal takes no device offline. The renewed certificate may, but need not, be known to the hub by now."""
        self.let_in(hub, first, "the old certificate, still good")
        admitted, _ = device.connect(hub, self.sandbox.tls_root, second)
        self.meanwhile()
        outcome = "accepted already" if admitted else "refused: the hub learns of it when the device registers again"
        self.line(f"device → {short_name(hub)}", f"telemetry with the renewed certificate: {outcome}")

    def registered_again(self, second: Identity) -> str:
        text = (
            "As Azure's own client does after a renewal: DPS gives the hub the new thumbprint, and the device goes on."
        )
        self.chapter(6, "Register again, connect again", text)
        return self.registered(second)

    def chapter(self, number: int, title: str, text: str) -> None:
        self.step = f"{number} {title}"
        self.timeline.chapter(number, title, text)

    def line(self, who: str, what: str) -> None:
        self.timeline.line(who, what)

    def meanwhile(self) -> None:
        entries = self.sandbox.world.journal.since(self.seen)
        if entries:
            self.seen = entries[-1]["n"]
        self.timeline.journal(entries)

    def require(self, condition: bool, text: str) -> None:
        if not condition:
            raise DeviceError(text)

    def eventually(self, condition: Callable[[], bool], text: str) -> None:
        end = time.monotonic() + PATIENCE
        while not condition():
            if self.given_up or time.monotonic() > end:
                self.meanwhile()
                raise DeviceError(f"{text} within {PATIENCE:.0f} s")
            time.sleep(0.1)


def short_name(hub: str) -> str:
    return hub_name(hub).partition(" ")[0]


def thumbprint(identity: Identity) -> str:
    return f"{hashlib.sha256(identity.leaf.public_bytes(Encoding.DER)).hexdigest()[:8]}…"


async def run(app: Path, timeline: Timeline) -> int:
    """The exit status: 0 when the device got through its whole life."""
    begin = time.monotonic()
    task = asyncio.current_task()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, lambda: task.cancel() if task is not None else None)
    async with supervisor.running(app, say=timeline.say) as sandbox:
        timeline.say(f"The sandbox is up after {time.monotonic() - begin:.1f} s.\n{CAST}")
        story = Story(sandbox, timeline, seen=len(sandbox.world.journal.entries))
        try:
            await sandbox.unless_broken(asyncio.to_thread(story.tell))
        except asyncio.CancelledError:
            story.given_up = True  # the thread that tells it cannot be cancelled
            raise
        except DeviceError as error:
            story.meanwhile()
            timeline.failure(f"FAILED in step {story.step}: {error}")
            timeline.say(f"The logs are in {sandbox.directory / 'logs'}.")
            return 1
    timeline.say(f"\nDone in {time.monotonic() - begin:.1f} s: born, provisioned, connected, renewed, never offline.")
    return 0


def main(app: Path) -> int:
    timeline = Timeline()
    try:
        return asyncio.run(run(app, timeline))
    except SandboxError as error:
        print(f"FAILED in step start: {error}", file=sys.stderr)
        return 1
    except asyncio.CancelledError:
        return 130
