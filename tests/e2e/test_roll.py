"""The CA rolls its issuing CA: devices of the old one and of the new one are served and let in while there are any.

In a sandbox of its own, because a CA does not roll back. Its label `rest` names its CAs by their ids, so that the first
issuing CA is needed there to the end: it is the second one that comes, grows old and leaves.
"""

import asyncio
import base64
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import pkcs7

from sandbox import device as devices
from sandbox import ports, profiles, supervisor
from sandbox.device import Identity
from tests.conftest import REPOSITORY, Running
from tests.e2e.entries import Entries, Slots
from tests.e2e.est import PKCS10, Site, eventually, leaf, ordinary, path
from tests.e2e.living import Living, living, register
from tests.e2e.operators import Operator
from tests.e2e.portal import Portal

LABEL: Final = "est"
AT_THE_CA: Final = f"https://{ports.DIGICERT_HOST}/.well-known/est/{profiles.EST_PROFILE}/cacerts"
LIFETIME: Final = timedelta(days=90)
PATIENCE: Final = 60.0  # that a CA has no live certificate is known after a look at each month of its own life


@dataclass(frozen=True)
class Roll:
    site: Site
    operator: Operator
    portal: Portal

    def born(self, name: str) -> Living:
        return living(self.operator, name, LABEL)

    def by_passcode(self, name: str) -> Identity:
        """A device whose factory certificate does not matter: it ends, too."""
        key = devices.new_key("ec-p256")
        answer = self.site.enroll(None, ordinary(name, key), LABEL, headers=(PKCS10, self.site.passcode()))
        return Identity(key, (leaf(answer),))

    def roll(self) -> x509.Certificate:
        """The new issuing CA. The CA itself does not name the old ones any more."""
        self.site.sandbox.control("POST", "/digicert/roll", {"announce_old": False})
        (new,) = issuing(devices.call(self.site.tls(), "GET", AT_THE_CA).body)
        return new

    def served(self) -> list[x509.Certificate]:
        """The issuing CAs that devices are told to trust."""
        return issuing(self.site.call("GET", path("cacerts", LABEL)).body)

    def travel(self, time: timedelta) -> None:
        self.site.sandbox.control("PUT", "/clock", {"offset_seconds": time.total_seconds()})

    def trusted(self, device: Living) -> Slots:
        return Entries(self.portal, device).in_group()

    def reconciled(self) -> list[str]:
        """The alerts of a run of the timer."""
        before = len(self.portal.log("trust_reconcile"))
        self.portal.run_timer("trust_reconcile")
        assert eventually(lambda: len(self.portal.log("trust_reconcile")) > before, PATIENCE)
        return [one["alert"] for one in self.portal.log("trust_reconcile")[before:] if "alert" in one]


@pytest.mark.usefixtures("own_ports")
async def test_an_issuing_ca_comes_beside_the_old_one_and_leaves_with_its_last_certificate(tmp_path: Path) -> None:
    state = tmp_path / ".sandbox"
    async with supervisor.running(REPOSITORY, state, lambda _: None) as sandbox:
        site = Site(Running(state))
        await sandbox.unless_broken(asyncio.to_thread(rolls, Roll(site, Operator(site), Portal(site))))


def rolls(roll: Roll) -> None:
    old = roll.born("of-the-first")
    (first,) = roll.served()
    assert roll.trusted(old) == slots(first)
    new = comes_beside(roll, old, first)
    leaves(roll, old, new, first)


def comes_beside(roll: Roll, old: Living, first: x509.Certificate) -> Living:
    """Devices of both register; one of the old CA goes over to the new one when it renews."""
    second = roll.roll()
    assert roll.reconciled() == []
    assert roll.trusted(old) == slots(first, second)
    new = roll.born("of-the-second")
    assert new.identity.leaf.issuer == second.subject
    assert set(roll.served()) == {first, second}
    assert old.registers().status == "assigned"
    renewed = old.renewed()
    assert renewed.leaf.issuer == second.subject
    assert old.registers(renewed).hub == old.hub
    assert old.let_in(renewed)
    return new


def leaves(roll: Roll, old: Living, new: Living, first: x509.Certificate) -> None:
    """The group has two slots: a third CA has to wait until the second one has no live certificate."""
    (second,) = (one for one in roll.served() if one != first)
    third = roll.roll()
    assert any("has no slot" in alert for alert in roll.reconciled())
    assert roll.trusted(old) == slots(first, second)
    assert new.registers().status == "assigned"
    homeless = roll.by_passcode("of-the-third")
    assert homeless.leaf.issuer == third.subject
    assert set(roll.served()) == {first, second, third}
    assert register(roll.site, homeless).status == "refused"

    roll.travel(LIFETIME + timedelta(days=1))
    assert not any("has no slot" in alert for alert in roll.reconciled())
    assert roll.trusted(old) == slots(first, third)
    roll.travel(LIFETIME + timedelta(days=1, hours=1))  # what `cacerts` serves is fetched twice an hour
    assert eventually(lambda: roll.served() == [third])
    assert register(roll.site, roll.by_passcode("of-the-third-too")).status == "assigned"


def issuing(body: bytes) -> list[x509.Certificate]:
    every = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(body.split()), validate=True))
    return [one for one in every if one.issuer != one.subject]


def slots(*authorities: x509.Certificate) -> Slots:
    names = [one.fingerprint(hashes.SHA256()).hex() for one in authorities]
    return Slots(*names, *[""] * (2 - len(names)))
