"""Enrollment groups of DPS: their signing certificates are replaced under the ETag that was read, all else stays."""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from sandbox import pki
from shared.adapters.dps import DpsService, document
from shared.adapters.dps_groups import DpsGroups
from shared.core.issuer import thumbprint
from shared.core.rotation import Slots
from shared.flows.ports.dps import Group, Groups
from shared.flows.ports.ledger import StaleVersionError
from tests.contracts.outside import Outside
from tests.fakes.revocation import FakeGroups

pytestmark = pytest.mark.anyio

ROOT = pki.factory_authority()
OLD, NEW = (pki.issuing_ca(ROOT, name, datetime.now(UTC)).certificate for name in ("Old", "New"))
CHANGING = {"etag", "lastUpdatedDateTimeUtc", "attestation"}


@dataclass
class Subject:
    port: Groups
    group: str

    async def found(self) -> Group:
        found = await self.port.read(self.group)
        assert found is not None
        return found


@pytest.fixture
async def subject(real: Outside | None) -> Subject:
    """A group that trusts OLD."""
    name = f"group-{secrets.token_hex(6)}"
    if real is None:
        fake = FakeGroups()
        fake.make(name, Slots(thumbprint(OLD)))
        return Subject(fake, name)
    dps = real.enrollments
    service = DpsService(dps.transport, dps.client, dps.host, dps.token)
    signing = {"primary": {"certificate": pki.certificate_pem(OLD)}}
    body = {
        "enrollmentGroupId": name,
        "attestation": {"type": "x509", "x509": {"signingCertificates": signing}},
        "initialTwin": {"tags": {"site": "north"}, "properties": {"desired": {}}},
    }
    document(await service.send("PUT", f"/enrollmentGroups/{name}", {}, body))
    return Subject(DpsGroups(service), name)


async def test_a_group_that_is_not_there_is_none(subject: Subject) -> None:
    assert await subject.port.read("no-such-group") is None


async def test_a_roll_step_by_step(subject: Subject) -> None:
    before = await subject.found()
    assert (before.slots, before.by_reference) == (Slots(thumbprint(OLD)), False)
    await subject.port.put(subject.group, before, {"secondary": NEW})
    both = await subject.found()
    assert both.slots == Slots(thumbprint(OLD), thumbprint(NEW))
    await subject.port.put(subject.group, both, {"primary": NEW, "secondary": None})
    after = await subject.found()
    assert after.slots == Slots(thumbprint(NEW))
    assert {key: value for key, value in after.document.items() if key not in CHANGING} == {
        key: value for key, value in before.document.items() if key not in CHANGING
    }


async def test_what_changed_since_it_was_read_is_stale(subject: Subject) -> None:
    before = await subject.found()
    await subject.port.put(subject.group, before, {"secondary": NEW})
    with pytest.raises(StaleVersionError):
        await subject.port.put(subject.group, before, {"secondary": None})
    assert (await subject.found()).slots.secondary == thumbprint(NEW)
