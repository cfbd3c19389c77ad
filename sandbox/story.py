"""`python -m sandbox run`: the whole life of a device, told as a timeline.

The device is a client like any other (`device.py`, `connected.py`). What Birthcert does is seen from outside: in the
answers, and in the journal of the stand-ins that it spoke to.
"""

import secrets
import tempfile
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives import hashes

from sandbox import connect, device, mint, ports, supervisor
from sandbox.connected import Connected, serial_of
from sandbox.device import DeviceError, Identity
from sandbox.pki import Authority
from sandbox.stage import Stage
from sandbox.timeline import described, hub_name, short

EST_URL = f"{supervisor.EDGE_URL}/.well-known/est"
LATE = 0.85  # of a certificate's lifetime: the profiles want devices to renew at 0.8
# A device that changes over starts anew. A hub tells of nothing that is over within one of its snapshots.
RESTART = 1.5


@dataclass
class Story:
    """The chapters in their order; each leaves behind what the next one needs, or raises."""

    stage: Stage
    name: str = field(default_factory=lambda: f"device-{secrets.token_hex(3)}")

    def tell(self) -> None:
        first = self.birth(self.made_in_the_factory())
        hub = self.provision(first)
        with self.stays_connected(hub, first) as live:
            self.bound(hub)
            second = self.nudged(live, first)
            self.settled(hub, first, second)
            self.revoked(hub, live)
        self.issuing_ca_rolls()

    def made_in_the_factory(self) -> Identity:
        self.stage.chapter(
            1, "Factory", "The factory gives the device a certificate of its own CA: proof of who it is."
        )
        return self.minted(self.name)

    def minted(self, name: str) -> Identity:
        with tempfile.TemporaryDirectory() as folder:
            factory = connect.load_identity(*mint.mint(self.stage.sandbox.directory, name, Path(folder)))
        self.stage.line("factory → device", described(factory.leaf))
        return factory

    def birth(self, factory: Identity) -> Identity:
        text = "The device makes a key and asks for a certificate over EST, known by its factory certificate."
        self.stage.chapter(2, "Birth", text)
        return self.enrolled(factory, "the factory certificate")

    def enrolled(self, identity: Identity, shown: str) -> Identity:
        key = device.new_key()
        self.stage.line("device → edge", f"POST simpleenroll, GET cacerts with {shown}")
        enrolled = device.enroll(EST_URL, self.stage.sandbox.tls_root, identity.name, key, identity=identity)
        self.stage.line("edge → device", f"200  {described(enrolled.leaf)}")
        self.stage.require(enrolled.name == identity.name, f"the certificate is for {enrolled.name}")
        self.stage.require(len(enrolled.chain) > 1, "cacerts gave no CA certificate, and DPS wants the chain")
        return enrolled

    def provision(self, identity: Identity) -> str:
        text = "DPS trusts the issuing CA. It asks Birthcert which hub the device belongs to."
        self.stage.chapter(3, "Provision", text)
        return self.registered(identity)

    def registered(self, identity: Identity) -> str:
        thumbprint = short(sha256(identity))
        self.stage.line("device → DPS", f"PUT registrations/{identity.name}/register, thumbprint {thumbprint}")
        answer = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, self.stage.sandbox.tls_root, identity)
        self.stage.line("DPS → device", f"{answer.status} {hub_name(answer.hub)} {answer.reason}".rstrip())
        self.stage.require(answer.status == "assigned", f"DPS says {answer.status}: {answer.reason}")
        return answer.hub

    def stays_connected(self, hub: str, identity: Identity) -> Connected:
        text = (
            "The hub knows the device by the thumbprint of its certificate, and by nothing else. The device stays "
            "connected, and reports which certificate it uses. The hub's events tell Birthcert, which tags the twin."
        )
        self.stage.chapter(4, "Connect", text)
        return Connected(
            hub,
            identity,
            partial(device.tls_context, self.stage.sandbox.tls_root),
            self.renewing,
            self.registered,
            lambda what: self.stage.line("device", what),
            restart=RESTART,
        )

    def bound(self, hub: str) -> None:
        known = self.stage.sandbox.stand_ins.hubs[hub].devices[self.name]
        self.stage.eventually(lambda: known.tags.get("certificate"), "Birthcert did not tag the twin")
        self.stage.eventually(lambda: self.heard("DeviceConnected"), "Birthcert did not take the event DeviceConnected")

    def heard(self, kind: str) -> bool:
        """Whether Birthcert took an event of this kind about the device."""
        deliveries = (e for e in self.stage.sandbox.world.journal.since(0) if e["event"] == "event delivery")
        about = (e for e in deliveries if e["subject"] == f"devices/{self.name}" and e["type"].endswith(kind))
        return any(e["outcome"] in range(200, 300) for e in about)

    def nudged(self, live: Connected, first: Identity) -> Identity:
        begin, end = first.leaf.not_valid_before_utc, first.leaf.not_valid_after_utc
        offset = begin + (end - begin) * LATE - self.stage.sandbox.world.clock.now()
        text = (
            f"{offset.days} days later. Nobody has thought of the certificate but Birthcert: its scan finds what is "
            "due, and asks the device to renew. From then on the hub lets the old and the new certificate in."
        )
        self.stage.chapter(5, "Nudge and renewal", text)
        self.stage.control("PUT", "/clock", {"offset_seconds": offset.total_seconds()})
        self.stage.eventually(lambda: live.renewals or live.refusals, "the device was not asked to renew")
        self.stage.require(not live.refusals, "; ".join(live.refusals))
        self.stage.require(live.identity.leaf != first.leaf, "the device has no new certificate")
        return live.identity

    def renewing(self, old: Identity) -> Identity:
        """Called by the connected device: EST first, then both certificates are tried before it changes over."""
        fresh = self.enrolled(old, "its present certificate")
        hub = self.stage.sandbox.stand_ins.dps.registrations[old.name.lower()].assigned_hub or ""
        self.both_let_in(hub, old, fresh)
        return fresh

    def both_let_in(self, hub: str, old: Identity, fresh: Identity) -> None:
        for identity, shown in ((old, "the old certificate"), (fresh, "the new certificate")):
            self.stage.require(self.let_in(hub, identity, shown), f"the hub refused {shown}")

    def let_in(self, hub: str, identity: Identity, shown: str) -> bool:
        admitted, reason = device.connect(hub, self.stage.sandbox.tls_root, identity)
        self.stage.line(f"device → {short_name(hub)}", f"telemetry with {shown}: {reason or 'accepted'}")
        return admitted

    def settled(self, hub: str, first: Identity, second: Identity) -> None:
        text = "The device has proven that it uses the new certificate: the old one is not let in any more."
        self.stage.chapter(6, "Settled", text)
        identity = self.stage.sandbox.stand_ins.hubs[hub].devices[self.name]

        def slots() -> set[str]:
            held = identity.identity["authentication"]["x509Thumbprint"]
            return {str(each).lower() for each in held.values() if each}

        self.stage.eventually(lambda: slots() == {sha256(second)}, "Birthcert did not settle the renewal")
        self.stage.require(not self.let_in(hub, first, "the old certificate"), "the hub let the old certificate in")
        self.stage.require(self.let_in(hub, second, "the new certificate"), "the hub refused the new certificate")

    def revoked(self, hub: str, live: Connected) -> None:
        text = (
            "The device is stolen. Neither DPS nor IoT Hub reads CRLs, so Birthcert closes every door by itself: the "
            "ledger and EST at once, then DPS, the hub, and at last DigiCert ONE."
        )
        self.stage.chapter(7, "Revocation", text)
        present = live.identity
        body = {"reason": "keyCompromise", "comment": "stolen"}
        self.stage.operator(f"/api/devices/{self.name}/revoke", body)
        found = self.stage.sandbox.stand_ins.ca.by_serial(serial_of(present.leaf))
        self.stage.require(found is not None, "DigiCert ONE does not know the certificate")
        self.stage.eventually(lambda: found is not None and found.revocation, "DigiCert ONE was not told")
        self.stage.eventually(lambda: live.refusals, "the device was not cut off")
        self.stage.require(not self.let_in(hub, present, "the revoked certificate"), "the hub let the device in")
        answer = device.register(ports.DPS_HOST, ports.DPS_ID_SCOPE, self.stage.sandbox.tls_root, present)
        self.stage.line("DPS → device", f"{answer.status} {answer.reason}".rstrip())
        self.stage.require(answer.status != "assigned", "DPS let the device in")
        try:
            self.enrolled(present, "the revoked certificate")
        except DeviceError as error:
            self.stage.line("edge → device", str(error))
        else:
            raise DeviceError("EST gave the device another certificate")

    def issuing_ca_rolls(self) -> None:
        text = (
            "DigiCert ONE goes over to a new issuing CA. Birthcert makes DPS trust it beside the old one, and devices "
            "go over to it when they renew."
        )
        self.stage.chapter(8, "A new issuing CA", text)
        old = self.enrolled(self.minted(f"{self.name}-b"), "the factory certificate")
        hub = self.registered(old)
        self.stage.control("POST", "/digicert/roll", {"announce_old": True})
        authority = self.stage.sandbox.stand_ins.ca.hierarchy.ica
        self.stage.run_timer("trust_reconcile")
        self.stage.eventually(lambda: self.trusted(authority), "DPS was not made to trust the new issuing CA")
        self.stage.require(self.registered(old) == hub, "a certificate of the old issuing CA leads elsewhere")
        fresh = self.enrolled(old, "the certificate of the old issuing CA")
        self.stage.require(fresh.leaf.issuer == authority.certificate.subject, "the old issuing CA is still in use")
        self.stage.require(self.registered(fresh) == hub, "a certificate of the new issuing CA leads elsewhere")
        self.stage.require(self.let_in(hub, fresh, "the new certificate"), "the hub refused the new certificate")

    def trusted(self, authority: Authority) -> bool:
        group = self.stage.sandbox.stand_ins.dps.groups[ports.DPS_GROUP]
        return authority.certificate in group.certificates.values()


def short_name(hub: str) -> str:
    return hub_name(hub).partition(" ")[0]


def sha256(identity: Identity) -> str:
    return identity.leaf.fingerprint(hashes.SHA256()).hex()


def tell(stage: Stage) -> str:
    """What has happened, in a few words."""
    Story(stage).tell()
    return "born, provisioned, connected, renewed and never refused, revoked; and the issuing CA rolled."
