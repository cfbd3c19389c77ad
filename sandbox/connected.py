"""A device that stays connected to its hub, and renews its certificate when it is asked to.

It speaks MQTT over WebSockets, as devices do behind firewalls that let nothing but 443 through. What it listens to is
a contract with whoever operates the fleet, not Microsoft's: the desired property `certificate.renew`, which names the
certificate to renew by its serial number, and the direct method `renew`. What it reports is the certificate that it
connected with: `certificate: {serial, notAfter}`.
"""

import contextlib
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from cryptography import x509

from sandbox.device import DeviceError, Identity
from sandbox.line import ANSWER_WITHIN, Line, RefusedError

AGAIN_AFTER: Final = 0.5

Json = dict[str, Any]
# A new identity from the one in use; and where the hub does not take that yet: DPS makes it, and tells which hub it is.
Renew = Callable[[Identity], Identity]
Register = Callable[[Identity], str]


def serial_of(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"


def names(serial: object, certificate: x509.Certificate) -> bool:
    """Serial numbers are written with and without colons, leading zeros and capitals."""
    return str(serial).replace(":", "").lower().lstrip("0") == serial_of(certificate)


def asked_to_renew(wish: object, certificate: x509.Certificate) -> bool:
    """Whether `certificate: {...}` of the desired properties, or a method's payload, means this certificate."""
    return isinstance(wish, dict) and names(wish.get("renew"), certificate)


@dataclass
class Connected:
    """Connected from `start` to `stop`. `story` is called with each thing it does, from its own thread.

    `restart`: how many seconds it is away when it changes over to a new certificate.
    """

    host: str
    identity: Identity
    trust: Callable[[Identity], ssl.SSLContext]
    renew: Renew
    register: Register
    story: Callable[[str], None] = lambda _: None
    restart: float = 0
    online: threading.Event = field(default_factory=threading.Event)
    renewals: int = 0
    refusals: list[str] = field(default_factory=list)
    asked: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)
    stopping: bool = False
    line: Line | None = None
    thread: threading.Thread | None = None
    requests: int = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Connects, or raises; from then on it connects again by itself."""
        self.connect(self.identity)
        self.thread = threading.Thread(target=self.live, name=f"device {self.identity.name}", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopping = True
        self.wake.set()
        if self.thread is not None:
            self.thread.join(ANSWER_WITHIN)
        self.hang_up()

    def live(self) -> None:
        while True:
            self.wake.wait()
            self.wake.clear()
            if self.stopping:
                return
            if self.asked.is_set():
                self.renewed()
            while self.away() and not self.again():
                time.sleep(AGAIN_AFTER)

    def away(self) -> bool:
        return not self.stopping and not self.online.is_set()

    def connect(self, identity: Identity) -> None:
        line = Line(self.host, identity, self.trust, self.heard, self.gone)
        line.open()
        self.line, self.identity = line, identity
        self.online.set()
        self.story(f"connected to {self.host} with certificate {serial_of(identity.leaf)}")
        leaf = identity.leaf
        report = {"certificate": {"serial": serial_of(leaf), "notAfter": leaf.not_valid_after_utc.isoformat()}}
        line.send(f"$iothub/twin/PATCH/properties/reported/?$rid={self.next_request()}", report)
        line.send(f"$iothub/twin/GET/?$rid={self.next_request()}")

    def next_request(self) -> str:
        self.requests += 1
        return f"{self.requests:x}"

    def again(self) -> bool:
        try:
            self.connect(self.identity)
        except DeviceError as error:
            self.refusals.append(str(error))
            return False
        return True

    def renewed(self) -> None:
        """A new certificate, then a connection with it. The old one stays in use if that fails."""
        try:
            fresh = self.renew(self.identity)
        except DeviceError as error:
            self.refusals.append(str(error))
            self.asked.clear()
            return
        self.story(f"has a new certificate {serial_of(fresh.leaf)}")
        self.hang_up()
        time.sleep(self.restart)
        with contextlib.suppress(DeviceError):
            self.change_to(fresh)
            self.renewals += 1
        self.asked.clear()

    def change_to(self, fresh: Identity) -> None:
        try:
            self.connect(fresh)
        except RefusedError as error:
            self.refusals.append(str(error))
            self.host, self.identity = self.register(fresh), fresh  # DPS has given the hub the new one alone
            self.connect(fresh)

    def hang_up(self) -> None:
        self.online.clear()
        if self.line is not None:
            self.line.close()
            self.line = None

    def gone(self) -> None:
        """The hub has ended the connection."""
        self.online.clear()
        self.story(f"has lost its connection to {self.host}")
        self.wake.set()

    def heard(self, topic: str, payload: bytes) -> None:
        """Called by the connection's own thread, so that whatever takes time is left to ours."""
        kind, _, rest = topic.removeprefix("$iothub/").partition("/")
        if kind == "methods":
            self.called(rest.removeprefix("POST/"), json.loads(payload or b"null"))
        elif topic.startswith("$iothub/twin/res/200/"):
            self.wished(json.loads(payload).get("desired", {}))
        elif topic.startswith("$iothub/twin/PATCH/properties/desired/"):
            self.wished(json.loads(payload))

    def called(self, call: str, payload: object) -> None:
        method, _, query = call.partition("/?")
        known = method == "renew"
        renewing = known and (not payload or asked_to_renew(payload, self.identity.leaf))
        if self.line is not None:
            self.line.send(f"$iothub/methods/res/{200 if known else 404}/?{query}", {"renewing": renewing})
        if renewing:
            self.begin("by the direct method `renew`")

    def wished(self, desired: Json) -> None:
        if asked_to_renew(desired.get("certificate"), self.identity.leaf):
            self.begin("by a desired property")

    def begin(self, how: str) -> None:
        if not self.asked.is_set():
            self.story(f"is asked to renew {how}")
            self.asked.set()
            self.wake.set()
