"""A device in the middle of its life: born over EST, registered with DPS, and known to its hub and to the ledger."""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.hazmat.primitives import hashes

from sandbox import device, ports
from sandbox.device import Identity, Registration
from tests.e2e.est import Site, eventually, leaf, ordinary, refused
from tests.e2e.operators import Operator
from tests.e2e.portal import Portal
from tests.e2e.wire import Answer


@dataclass(frozen=True)
class Living:
    """`hub` is the host of the IoT Hub that DPS has given to it, `factory` what it was born with."""

    site: Site
    label: str
    factory: Identity
    identity: Identity
    hub: str

    @property
    def name(self) -> str:
        return self.identity.name

    @property
    def hub_name(self) -> str:
        return next(name for name, host in ports.HUBS.items() if host == self.hub)

    @property
    def serial(self) -> str:
        """As the ledger writes it."""
        return f"{self.identity.leaf.serial_number:x}"

    @property
    def in_events(self) -> dict[str, object]:
        """How its hub's events name it; Event Grid writes the hub's name in capitals in some places."""
        return {"hubName": self.hub_name.upper(), "deviceId": self.name}

    def asks(self, identity: Identity | None = None) -> Answer:
        """For a certificate for a new key."""
        key = device.new_key("ec-p256")
        return self.site.enroll(identity or self.identity, ordinary(self.name, key), self.label)

    def renewed(self, identity: Identity | None = None) -> Identity:
        key = device.new_key("ec-p256")
        answer = self.site.enroll(identity or self.identity, ordinary(self.name, key), self.label)
        return Identity(key, (leaf(answer),))

    def registers(self, identity: Identity | None = None) -> Registration:
        return register(self.site, identity or self.identity)

    def let_in(self, identity: Identity | None = None) -> bool:
        return device.connect(self.hub, self.site.sandbox.tls_root, identity or self.identity, self.name)[0]

    def is_shut_out(self) -> None:
        """At EST with each of its certificates, at DPS and at its hub."""
        with self.site.nothing_issued():
            refused(self.asks(), 403)
            refused(self.asks(self.factory), 403)
        assert self.registers().status != "assigned"
        assert not self.let_in()

    def on_the_books(self) -> set[str]:
        """How DigiCert ONE sees its certificates."""
        return {entry["status"] for entry in self.site.issued(name=self.name)}


def register(site: Site, identity: Identity) -> Registration:
    return device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, site.sandbox.tls_root, identity)


def living(operator: Operator, name: str, label: str = "") -> Living:
    newborn = operator.site.newborn(name, label)
    identity = Identity(newborn.key, (leaf(newborn.ask()),))
    assignment = register(operator.site, identity)
    assert assignment.status == "assigned", assignment
    assert eventually(lambda: operator.device(name)["rotation"]["state"] == "settled"), "the hub's event was lost"
    return Living(operator.site, label, newborn.factory, identity, assignment.hub)


def made_by_hand(portal: Portal, hub: str, name: str, spelled: Callable[[str], str] = str) -> Identity:
    """A device that somebody has put into a hub past DPS, with a thumbprint of 40 digits (SHA-1)."""
    newborn = portal.site.newborn(name)
    identity = Identity(newborn.key, (leaf(newborn.ask()),))
    portal.make_identity(hub, name, spelled(identity.leaf.fingerprint(hashes.SHA1()).hex()))  # noqa: S303 - the hub's
    return identity
