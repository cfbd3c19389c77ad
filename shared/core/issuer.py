"""Issuing CAs in a DPS enrollment group: which stay, which comes in, which leaves. And how a leaf names its CA."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from shared.core.rotation import Slot, Slots


def named_issuer(leaf: x509.Certificate) -> str:
    """The CA that issued the leaf: by its key identifier, which a CA of the same name does not share, or its name."""
    try:
        key = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        key = None
    return key.hex() if key else _by_name(leaf.issuer)


def names_of(authority: x509.Certificate) -> tuple[str, ...]:
    """All that `named_issuer` may say of a leaf of this CA."""
    try:
        key = authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except x509.ExtensionNotFound:
        return (_by_name(authority.subject),)
    return (key.hex(), _by_name(authority.subject))


def _by_name(name: x509.Name) -> str:
    return "name-" + hashlib.sha256(name.public_bytes()).hexdigest()[:40]


def thumbprint(authority: x509.Certificate) -> str:
    """SHA-256, lower-case hex, as DPS tells it of a slot."""
    return authority.fingerprint(hashes.SHA256()).hex()


def newest(authorities: Sequence[x509.Certificate], now: datetime) -> x509.Certificate | None:
    """The CA that issues now: the one that began last, of those that are valid."""
    valid = [one for one in authorities if one.not_valid_before_utc <= now <= one.not_valid_after_utc]
    return max(valid, key=lambda one: one.not_valid_before_utc, default=None)


@dataclass(frozen=True, slots=True)
class Roll:
    """What a group's slots become: only those that change. `homeless` are thumbprints for which there is no slot."""

    change: Mapping[Slot, str]
    homeless: tuple[str, ...] = ()


def roll(slots: Slots, needed: Sequence[str], known: Collection[str]) -> Roll:
    """How the slots come to hold all that is needed, most needed first. Thumbprints; empty for an empty slot.

    What stands in a slot and is needed stays where it is: a new CA becomes the secondary beside the old one, as
    Microsoft's page on rolling advises. What is not needed leaves, but a certificate that is not `known` is
    somebody else's and stays. DPS wants a primary, so the last one left moves there.
    """
    held: dict[Slot, str] = {"primary": slots.primary, "secondary": slots.secondary}
    wanted = {slot: one if one in needed or one not in known else "" for slot, one in held.items()}
    homeless: list[str] = []
    for one in needed:
        if one in wanted.values():
            continue
        free: Slot | None = next((slot for slot in wanted if not wanted[slot]), None)
        if free is None:
            homeless.append(one)
        else:
            wanted[free] = one
    if not wanted["primary"] and wanted["secondary"] in known:
        wanted = {"primary": wanted["secondary"], "secondary": ""}
    if not any(wanted.values()):
        wanted = held  # an empty group would be none: the last CA stays until there is another
    return Roll({slot: one for slot, one in wanted.items() if one != held[slot]}, tuple(homeless))


@dataclass(frozen=True, slots=True)
class TrustChanged:
    """What the world is told when a group comes to trust other CAs. It concerns all of its devices and belongs to none.

    `id` is the same however often it is sent: CloudEvents id. `added` and `removed` are the CAs' names.
    """

    id: str
    group: str
    time: datetime
    before: Slots
    after: Slots
    added: tuple[str, ...]
    removed: tuple[str, ...]


def trust_changed(
    group: str, slots: Slots, wanted: Roll, known: Mapping[str, x509.Certificate], now: datetime
) -> TrustChanged:
    """What is told of the roll once it is done."""
    after = Slots(wanted.change.get("primary", slots.primary), wanted.change.get("secondary", slots.secondary))
    return TrustChanged(
        id=f"trust-{group}-{now:%Y%m%dT%H%M%S.%fZ}",
        group=group,
        time=now,
        before=slots,
        after=after,
        added=_names(after, slots, known),
        removed=_names(slots, after, known),
    )


def _names(of: Slots, without: Slots, known: Mapping[str, x509.Certificate]) -> tuple[str, ...]:
    """A roll adds and removes nothing but what is known."""
    others = (without.primary, without.secondary)
    held = (one for one in (of.primary, of.secondary) if one and one not in others)
    return tuple(known[one].subject.rfc4514_string() for one in held)
