"""Prints what happened as a timeline that a newcomer can read: when, who to whom, what."""

import re
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from cryptography import x509

from sandbox import ports
from sandbox.device import common_name

WIDTH = 110
WHO = 25  # "Birthcert → DigiCert ONE" is the longest
THUMBPRINT = re.compile("[0-9A-Fa-f]{64}")  # SHA-256; its beginning is enough for a reader
INDENT = 14 + WHO + 1

BOLD, DIM, RED, RESET = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[0m"

Entry = Mapping[str, Any]
Line = tuple[str, str]  # who to whom, and what


class Timeline:
    def __init__(self, out: TextIO = sys.stdout) -> None:
        self.out = out
        self.colour = out.isatty()

    def chapter(self, number: int, title: str, text: str) -> None:
        self.say("")
        self.say(self.paint(BOLD, f"{number}  {title}"))
        for line in textwrap.wrap(text, WIDTH - 3):
            self.say(self.paint(DIM, f"   {line}"))

    def line(self, who: str, what: str, time: datetime | None = None) -> None:
        stamp = (time or datetime.now(UTC)).astimezone().strftime("%H:%M:%S.%f")[:-3]
        wrapped = [textwrap.wrap(part, WIDTH - INDENT, break_on_hyphens=False) for part in what.split("\n")]
        first, *rest = [line for part in wrapped for line in part] or [""]
        self.say(f"{self.paint(DIM, stamp)}  {who:<{WHO}} {first}")
        for more in rest:
            self.say(" " * INDENT + more)

    def journal(self, entries: Sequence[Entry]) -> None:
        """What the stand-ins saw meanwhile, as far as it is part of the story; the same twice is told once."""
        last: Line | None = None
        for number, entry in enumerate(entries):
            told = tell(entry, entries[number + 1 :])
            if told is not None and told != last:
                self.line(*told, time=datetime.fromisoformat(entry["time"]))
                last = told

    def failure(self, text: str) -> None:
        self.say("")
        self.say(self.paint(RED, text))

    def say(self, text: str) -> None:
        print(text, file=self.out, flush=True)

    def paint(self, code: str, text: str) -> str:
        return f"{code}{text}{RESET}" if self.colour else text


def tell(entry: Entry, later: Sequence[Entry] = ()) -> Line | None:
    """One line for a journal entry, or nothing when it would only distract."""
    if entry["event"] == "device updated":
        return identity_updated(entry, writer(later))
    teller = TELLERS.get((entry["service"], entry["event"]))
    return teller(entry) if teller is not None else None


def digicert_request(entry: Entry) -> Line | None:
    """Birthcert's, but for the protocols by which devices go to DigiCert ONE themselves."""
    if entry["method"] == "GET":
        return None
    match str(entry["path"]).split("/"):
        case ["", "iot", "api", "v1", "scep" | "cmp" as protocol, _]:
            return "device → DigiCert ONE", f"POST {protocol}: {entry['status']}"
        case ["", "iot", "api", "v1", "acme", *_, "new-account" | "new-order" | "finalize" as operation]:
            return "device → DigiCert ONE", f"POST acme {operation}: {entry['status']}"
        case ["", "iot", "api", "v1", "acme", *_]:
            return None  # only read
        case [*_, operation]:
            return "Birthcert → DigiCert ONE", f"{entry['method']} {operation}: {entry['status']}"
    return None


def issued(entry: Entry) -> Line:
    return "DigiCert ONE", f"issues CN={entry['common_name']}, serial {entry['serial']}"


def vault_request(entry: Entry) -> Line | None:
    name = str(entry["path"]).removeprefix("/secrets/").partition("/")[0]
    return ("Birthcert → Key Vault", f"reads {name}") if entry["status"] == 200 else None


def writer(later: Sequence[Entry]) -> str:
    """Who has written an identity: the entry of the hub does not say, but what is journaled after it does."""
    for entry in later:
        if entry["event"] == "device assigned":
            return "DPS "
        if entry["event"] == "request" and entry["service"] == "IoT Hub" and entry["method"] in {"PUT", "PATCH"}:
            return "Birthcert "
    return ""


def identity_updated(entry: Entry, who: str) -> Line:
    primary, secondary = short(entry["primaryThumbprint"]), short(entry["secondaryThumbprint"])
    state = "" if entry["status"] == "enabled" else f", {entry['status']}"
    return f"{who}→ {entry['hub']}", f"thumbprints of {entry['device']}: {primary} and {secondary}{state}"


def twin_updated(entry: Entry) -> Line:
    if entry.get("desired"):
        return f"Birthcert → {entry['hub']}", f"desired properties of {entry['device']}: {flat(entry['desired'])}"
    return f"Birthcert → {entry['hub']}", f"twin tags of {entry['device']}: {flat(entry['tags'])}"


def twin_reported(entry: Entry) -> Line:
    return f"device → {entry['hub']}", f"reports {flat(entry['reported'])}"


def method_invoked(entry: Entry) -> Line:
    outcome = f"answers {entry['answer']}" if entry["online"] else "is not online"
    return f"Birthcert → {entry['hub']}", f"calls {entry['method']} of {entry['device']}, which {outcome}"


def enrollment_stored(entry: Entry) -> Line:
    return "Birthcert → DPS", f"enrollment of {entry['registrationId']}: {entry['status']}"


def delivered(entry: Entry) -> Line:
    kind = str(entry["type"]).rpartition(".")[2]
    return "Event Grid → Birthcert", f"{kind} {entry['subject']}: {entry['outcome']}"


def published(entry: Entry) -> Line:
    return "Birthcert → Event Grid", f"publishes {entry['type']} {entry['subject'] or ''}"


def flat(content: Mapping[str, Any], prefix: str = "") -> str:
    parts = []
    for name, value in content.items():
        told = short(value) if isinstance(value, str) and THUMBPRINT.fullmatch(value) else value
        inner = flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else f"{prefix}{name}={told}"
        parts.append(inner)
    return ", ".join(parts)


def short(thumbprint: str | None) -> str:
    return f"{thumbprint[:8].lower()}…" if thumbprint else "none"


def described(certificate: x509.Certificate) -> str:
    begin, end = (
        time.strftime("%Y-%m-%d %H:%M") for time in (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    )
    issuer = common_name_of(certificate.issuer)
    serial = f"{certificate.serial_number:032X}"
    return f"CN={common_name(certificate)}, serial {serial}\nvalid {begin} to {end} UTC\nissued by {issuer}"


def common_name_of(name: x509.Name) -> str:
    values = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(values[0].value) if values else ""


def hub_name(host: str) -> str:
    """The short name of an assigned hub, with the host that DPS gave."""
    return next((f"{name} ({address})" for name, address in ports.HUBS.items() if address == host), host)


TELLERS: dict[tuple[str, str], Callable[[Entry], Line | None]] = {
    ("DigiCert ONE", "request"): digicert_request,
    ("DigiCert ONE", "issued"): issued,
    ("DigiCert ONE", "revoked"): lambda entry: ("DigiCert ONE", f"revokes {entry['serial']}: {entry['reason']}"),
    ("DigiCert ONE", "issuing CA rolled"): lambda entry: ("DigiCert ONE", f"issues from {entry['name']} from now on"),
    ("Key Vault", "request"): vault_request,
    ("DPS", "webhook answered"): lambda entry: (
        "DPS → Birthcert",
        f"which hub for {entry['device']}? {entry['status']}",
    ),
    ("DPS", "attestation failed"): lambda entry: ("DPS", f"refuses {entry['device']}: {entry['answer']}"),
    ("DPS", "registration failed"): lambda entry: ("DPS", f"refuses {entry['device']}: {entry['error']}"),
    ("IoT Hub", "device created"): lambda entry: (f"DPS → {entry['hub']}", f"creates the identity {entry['device']}"),
    ("DPS", "individual stored"): enrollment_stored,
    ("DPS", "group stored"): lambda entry: (
        "Birthcert → DPS",
        f"enrollment group {entry['enrollmentGroupId']}: {entry['status']}",
    ),
    ("IoT Hub", "twin updated"): twin_updated,
    ("IoT Hub", "twin reported"): twin_reported,
    ("IoT Hub", "method invoked"): method_invoked,
    ("IoT Hub", "device disconnected"): lambda entry: (entry["hub"], f"{entry['device']} is gone: {entry['reason']}"),
    ("Event Grid", "event delivery"): delivered,
    ("Event Grid", "event published"): published,
}
