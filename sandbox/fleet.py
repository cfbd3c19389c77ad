"""Many devices at once, with a progress bar: their keys and requests, and their way to DPS and to their hubs."""

import base64
import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox import device, ports
from sandbox.device import DeviceError, Identity, Key
from sandbox.progress import Progress

AT_ONCE: Final = 8


@dataclass(frozen=True)
class Order:
    """A file of signing requests as a factory's system writes it, and the keys that stay with the devices.

    `broken` are the rows that nothing can be issued for, by number, each with what is wrong with it.
    """

    keys: Mapping[str, Key]
    rows: Sequence[tuple[str, str]]
    broken: Mapping[int, str]

    def write(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([("device_id", "csr"), *self.rows])


def ordered(names: Sequence[str]) -> Order:
    """A request for each device, and one broken row after each fifth of them."""
    keys = {name: device.new_key("ec-p256") for name in names}
    good = [(name, encoded(name, key)) for name, key in keys.items()]
    weak = ec.generate_private_key(ec.SECP224R1())
    first, last, stranger = names[0], names[-1], f"{names[0]}-stranger"
    bad = [
        ("no request at all", (f"{first}-x", "bm8gcmVxdWVzdA==")),
        ("a request that names another device", (last, encoded("somebody-else", device.new_key("ec-p256")))),
        ("a device that is not on the manifest", (stranger, encoded(stranger, device.new_key("ec-p256")))),
        ("a key that is too weak", (last, encoded(last, weak))),
        ("a device that has had its row, with another key", (first, encoded(first, device.new_key("ec-p256")))),
    ]
    rows: list[tuple[str, str]] = []
    broken: dict[int, str] = {}
    share = -(-len(good) // len(bad))
    for number, (what, row) in enumerate(bad):
        rows += [*good[number * share : (number + 1) * share], row]
        broken[len(rows)] = what
    return Order(keys, rows, broken)


def encoded(name: str, key: Key) -> str:
    return base64.b64encode(device.request(name, key)).decode()


def delivered(
    results: Iterable[Mapping[str, str]], keys: Mapping[str, Key], authorities: Iterable[x509.Certificate]
) -> list[Identity]:
    """What each device gets back, if it is for its key, with the CA certificates that DPS wants beside it."""
    chain = tuple(authorities)
    issued = [(keys[one["device_id"]], one["certificate"]) for one in results if one["outcome"] == "issued"]
    found = [Identity(key, (x509.load_pem_x509_certificate(pem.encode()), *chain)) for key, pem in issued]
    return [one for one in found if one.leaf.public_key() == one.key.public_key()]


@dataclass
class Arrived:
    """Who is in which hub when the time is over. `refused` says why, one line for each."""

    hubs: dict[str, str] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    left_out: int = 0

    def note(self, name: str, hub: str, refusal: str) -> None:
        if refusal:
            self.refused.append(f"{name}: {refusal}")
        else:
            self.hubs[name] = hub


def registered(identity: Identity, root: Path) -> tuple[str, str]:
    """The hub that DPS has assigned and that lets the device in, or why there is none."""
    hub, refusal = assigned(identity, root)
    if refusal:
        hub, refusal = assigned(identity, root)  # a real device tries again, too
    if refusal:
        return "", refusal
    admitted, reason = device.connect(hub, root, identity)
    return hub, "" if admitted else f"its hub says {reason}"


def assigned(identity: Identity, root: Path) -> tuple[str, str]:
    """The hub that DPS has assigned, or why there is none."""
    try:
        answer = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, root, identity)
    except DeviceError as error:
        return "", str(error)
    return answer.hub, "" if answer.status == "assigned" else f"DPS says {answer.status}: {answer.reason}"


def arrive(identities: Sequence[Identity], root: Path, progress: Progress, is_over: Callable[[], bool]) -> Arrived:
    """Each registers with DPS and sends its hub a message, some at once, until it is over; who is left is counted."""
    arrived = Arrived()

    def one(identity: Identity) -> None:
        if is_over():
            arrived.left_out += 1
            return
        try:
            arrived.note(identity.name, *registered(identity, root))
        except DeviceError as error:
            arrived.note(identity.name, "", str(error))
        progress.step()

    with ThreadPoolExecutor(AT_ONCE, "device") as pool:
        list(pool.map(one, identities))
    progress.end()
    return arrived
