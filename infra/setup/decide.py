"""What setup decides: from what is there and what is wanted to what is to be written, or that it is already so. Pure.

Here for the DPS itself, in decide_group.py for its enrollment groups. Doing what is decided and deciding again decides
nothing: that is why the command may be repeated, and cut off anywhere. What others have put there stays: links, CAs and
hubs are added and never taken away.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from infra.setup.refused import Refused
from infra.setup.wanted import WantedLink
from shared.core.issuer import thumbprint

MOST_CERTIFICATES: Final = 25  # learn.microsoft.com/azure/iot-dps/about-iot-dps#quotas-and-limits


@dataclass(frozen=True, slots=True)
class HeldCertificate:
    """A CA certificate that DPS holds. The thumbprint is SHA-1: DPS shows no other, and never the certificate."""

    name: str
    thumbprint: str
    verified: bool
    etag: str


@dataclass(frozen=True, slots=True)
class Upload:
    """`etag` is empty where nothing of this name is there."""

    name: str
    etag: str = ""


def upload(held: Sequence[HeldCertificate], root: x509.Certificate) -> Upload | HeldCertificate:
    """The upload that makes DPS trust the root, or the verified certificate by which it does."""
    own = root.fingerprint(hashes.SHA1()).hex()  # noqa: S303 - what DPS shows
    same = [one for one in held if one.thumbprint.lower() == own]
    name = f"birthcert-root-{thumbprint(root)[:8]}"
    for one in same:
        if one.verified:
            return one
    found = next((one for one in held if one.name == name), None)
    if found is not None and found not in same:
        raise Refused(
            f"DPS holds another CA certificate under the name {name}",
            "Give that one another name, or delete it, and run the command again.",
        )
    if found is None and len(held) >= MOST_CERTIFICATES:
        raise Refused(
            f"DPS holds {len(held)} CA certificates, which is its limit",
            "Delete one that nobody needs: az iot dps certificate list, then az iot dps certificate delete.",
        )
    return Upload(name, found.etag if found else "")


@dataclass(frozen=True, slots=True)
class Identity:
    """The managed identities of the DPS: its own, and resource ids of user-assigned ones."""

    system: bool
    users: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldLink:
    host: str
    weight: int | None
    applies: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A link that is to be made (`new`), or to be given another weight. Weight 0 takes no new devices."""

    name: str
    host: str
    weight: int
    new: bool


def links(held: Sequence[HeldLink], wanted: Iterable[WantedLink]) -> tuple[Link, ...]:
    """What to change so that all wanted hubs are linked. Host names compare without case.

    A link that is there keeps the way in which it authenticates, and its weight unless the profiles want another.
    """
    there = {one.host.lower(): one for one in held}
    changes: dict[str, Link] = {}
    for one in wanted:
        found = there.get(one.host.lower())
        if found is None:
            changes[one.host.lower()] = Link(one.name, one.host, 1 if one.weight is None else one.weight, new=True)
        elif one.weight is not None and one.weight != (found.weight if found.applies else 0):
            changes[one.host.lower()] = Link(one.name, one.host, one.weight, new=False)
    return tuple(changes.values())


def link_by(identity: Identity, dps: str, group: str) -> tuple[Literal["SystemAssigned", "UserAssigned"], str]:
    """How new links authenticate: never with a key. The resource id belongs to a user-assigned identity."""
    if identity.system:
        return "SystemAssigned", ""
    if len(identity.users) == 1:
        return "UserAssigned", identity.users[0]
    raise Refused(
        "the DPS has no identity by which it could write into the hubs"
        if not identity.users
        else "the DPS has several user-assigned identities, and it is not known which may write into the hubs",
        f"Give it one of its own: az iot dps identity assign --name {dps} --resource-group {group} --system-assigned "
        "true; give that the role IoT Hub Data Contributor on each hub; and run the command again. "
        "Or link the hubs yourself: az iot dps linked-hub create.",
    )
