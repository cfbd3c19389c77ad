"""A device that stays connected to its hub, and renews its certificate when it is asked to.

It speaks MQTT over WebSockets, as devices do behind firewalls that let nothing but 443 through. What it listens to is a
contract with whoever operates the fleet, not Microsoft's: the desired property `certificate.renew` (the serial number of
the certificate to renew) or `certificate.renewBy`, and the direct method `renew`. What it reports is the certificate it
connected with: `certificate: {serial, notAfter}`.
"""

import contextlib
import json
import queue
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from cryptography import x509
from paho.mqtt.client import CallbackAPIVersion, Client, MQTTMessage, MQTTv311, WebsocketConnectionError
from paho.mqtt.enums import MQTTErrorCode

from sandbox.device import DeviceError, Identity

API_VERSION: Final = "2021-04-12"
PATH: Final = "/$iothub/websocket"
FILTERS: Final = ("$iothub/methods/POST/#", "$iothub/twin/res/#", "$iothub/twin/PATCH/properties/desired/#")
ANSWER_WITHIN: Final = 10.0
AGAIN_AFTER: Final = 0.5

Json = dict[str, Any]
# A new identity from the one in use; and what to do when the hub does not take a new one: DPS tells which hub does.
Renew = Callable[[Identity], Identity]
Register = Callable[[Identity], str]


class RefusedError(DeviceError):
    """The hub let the certificate in, or not: here it did not."""


def serial_of(certificate: x509.Certificate) -> str:
    return f"{certificate.serial_number:x}"


def names(serial: object, certificate: x509.Certificate) -> bool:
    """Serial numbers are written with and without colons, leading zeros and capitals."""
    return str(serial).replace(":", "").lower().lstrip("0") == serial_of(certificate)


def asked_to_renew(wish: object, certificate: x509.Certificate) -> bool:
    """Whether `certificate: {...}` of the desired properties, or a method's payload, means this certificate."""
    match wish:
        case {"renew": str(serial)}:
            return names(serial, certificate)
        case {"renewBy": str()}:
            return True
        case _:
            return False


@dataclass
class Line:
    """One connection to a hub with one certificate; `lost` is called once, when it ends by itself."""

    host: str
    identity: Identity
    trust: Callable[[Identity], ssl.SSLContext]
    heard: Callable[[str, bytes], None]
    lost: Callable[[], None]
    client: Client = field(init=False)
    answers: "queue.Queue[int]" = field(default_factory=queue.Queue)

    def open(self) -> None:
        """Raises RefusedError when the hub does not let the certificate in, DeviceError when there is no hub."""
        name, (address, _, port) = self.identity.name, self.host.partition(":")
        client = Client(
            CallbackAPIVersion.VERSION2, name, protocol=MQTTv311, transport="websockets", reconnect_on_failure=False
        )
        self.client = client
        client.username_pw_set(f"{self.host}/{name}/?api-version={API_VERSION}")
        client.tls_set_context(self.trust(self.identity))
        client.ws_set_options(path=PATH)
        client.on_connect = lambda *told: self.answers.put(told[3].value)
        client.on_message = self.message
        client.on_subscribe = lambda *_: self.answers.put(0)
        try:
            client.connect(address, int(port or 443), keepalive=60)
        except (OSError, WebsocketConnectionError) as error:
            raise DeviceError(f"no connection to {self.host}: {error}") from error
        client.loop_start()
        code = self.answered()
        if code:
            self.close()
            raise RefusedError(f"{self.host} refuses the certificate (MQTT reason {code})")
        client.subscribe([(each, 0) for each in FILTERS])
        self.answered()
        client.on_disconnect = lambda *_: self.lost()

    def answered(self) -> int:
        try:
            return self.answers.get(timeout=ANSWER_WITHIN)
        except queue.Empty:
            self.close()
            raise DeviceError(f"{self.host} does not answer within {ANSWER_WITHIN:.0f} s") from None

    def message(self, _: Client, __: object, message: MQTTMessage) -> None:
        self.heard(message.topic, message.payload)

    def send(self, topic: str, content: object = None) -> None:
        self.client.publish(topic, b"" if content is None else json.dumps(content).encode())

    def close(self) -> None:
        self.client.on_disconnect = None
        self.client.disconnect()
        if self.client.loop_stop() is MQTTErrorCode.MQTT_ERR_INVAL:  # it was never started
            return


@dataclass
class Connected:
    """Connected from `start` to `stop`. `story` is called with each thing it does, from its own thread."""

    host: str
    identity: Identity
    trust: Callable[[Identity], ssl.SSLContext]
    renew: Renew
    register: Register
    story: Callable[[str], None] = lambda _: None
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
        while not self.stopping:
            self.wake.wait()
            self.wake.clear()
            if self.asked.is_set() and not self.stopping:
                self.renewed()
            while not self.online.is_set() and not self.stopping and not self.again():
                time.sleep(AGAIN_AFTER)

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
        with contextlib.suppress(DeviceError):
            self.change_to(fresh)
            self.renewals += 1
        self.asked.clear()

    def change_to(self, fresh: Identity) -> None:
        try:
            self.connect(fresh)
        except RefusedError as error:
            self.refusals.append(str(error))
            self.host = self.register(fresh)
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
        renewing = known and (payload in (None, {}) or asked_to_renew(payload, self.identity.leaf))
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
