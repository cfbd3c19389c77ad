"""Revocation at DigiCert ONE, its list of what is revoked, and the CRL."""

from dataclasses import dataclass, replace

import pytest

from shared.adapters.crl import HttpCrls
from shared.adapters.digicert import ApiKey
from shared.adapters.digicert_revocation import DigicertRevocation, DigicertRevoked
from shared.core import crl
from shared.core.certificate import certificate, check_issued
from shared.core.errors import TooLarge, Unavailable, UpstreamRefused
from shared.core.fleet import LedgerCertificate
from shared.core.identity import DeviceId
from shared.core.profile import RestUpstream
from shared.core.revocation import Reason
from shared.flows.ports.issuance import Answer
from shared.flows.ports.revocation import Revocation
from tests.contracts.outside import Outside, sandbox_of
from tests.fakes.calls import Calls
from tests.fakes.devices import Device
from tests.fakes.revocation import FakeRevocation

pytestmark = pytest.mark.anyio


@dataclass
class Subject:
    """The sandbox's DigiCert ONE through the real adapters."""

    outside: Outside
    url: str

    @property
    def session_of(self) -> DigicertRevocation:
        return DigicertRevocation(self.outside.connections.session(self.url, ApiKey("digicert-api-key")), self.url)

    @property
    def listed(self) -> DigicertRevoked:
        return DigicertRevoked(self.session_of.session, self.url)

    @property
    def crl_url(self) -> str:
        return f"{self.url}/crl/a0000000000000000000000000000002.crl"

    async def issued(self, name: DeviceId) -> LedgerCertificate:
        device = Device(name)
        request = device.request()
        answer = await self.outside.connections.upstream(self.outside.profiles.by_label["rest"]).issue(request, "")
        assert isinstance(answer, Answer)
        leaf = check_issued(answer.certificates, request, answer.certificates[0].not_valid_before_utc)
        return LedgerCertificate(certificate(leaf), "rest", "rest", digicert_id=answer.digicert_id)

    async def status(self, held: LedgerCertificate) -> bool:
        offset, serials = 0, set[str]()
        while True:
            page = await self.listed.page(offset)
            serials |= set(page.serials)
            if page.next >= page.total:
                return held.certificate.serial in serials
            offset = page.next


@pytest.fixture
def subject(request: pytest.FixtureRequest) -> Subject:
    _, outside = sandbox_of(request)
    rest = outside.profiles.by_label["rest"].upstream
    assert isinstance(rest, RestUpstream)
    for transport in outside.connections.transports.values():
        transport.breaker.note(ok=True)
    return Subject(outside, rest.url)


@pytest.fixture(params=["fake", "sandbox"])
def revocation(request: pytest.FixtureRequest) -> Revocation:
    if request.param == "fake":
        return FakeRevocation(Calls())
    found: Subject = request.getfixturevalue("subject")
    return found.session_of


async def test_revoking_again_does_no_harm(revocation: Revocation, subject: Subject, device: DeviceId) -> None:
    held = await subject.issued(device)
    for _ in range(2):
        await revocation.revoke(held, Reason.KEY_COMPROMISE, "stolen")


async def test_a_certificate_that_nobody_knows_any_more_is_done(
    revocation: Revocation, subject: Subject, device: DeviceId
) -> None:
    held = await subject.issued(device)
    await revocation.revoke(replace(held, digicert_id="00000000-0000-4000-8000-000000000000"), Reason.UNSPECIFIED, "")
    unknown = replace(held.certificate, serial="abc")
    await revocation.revoke(replace(held, certificate=unknown, digicert_id=""), Reason.UNSPECIFIED, "")


@pytest.mark.parametrize("why", list(Reason))
async def test_every_reason_is_taken(subject: Subject, device: DeviceId, why: Reason) -> None:
    held = await subject.issued(device)
    await subject.session_of.revoke(held, why, "x" * 5000)
    assert await subject.status(held)


async def test_a_certificate_without_an_id_is_found_by_its_serial_number(subject: Subject, device: DeviceId) -> None:
    """As EST leaves it; another one of the same device stays as it is."""
    held, other = await subject.issued(device), await subject.issued(device)
    await subject.session_of.revoke(replace(held, digicert_id=""), Reason.KEY_COMPROMISE, "")
    assert await subject.status(held)
    assert not await subject.status(other)


async def test_a_ca_that_refuses_or_is_down_says_so(subject: Subject, device: DeviceId) -> None:
    held = await subject.issued(device)
    sandbox = subject.outside.sandbox
    sandbox.fault("DigiCert ONE", "status", method="PUT", status=403)
    with pytest.raises(UpstreamRefused):
        await subject.session_of.revoke(held, Reason.UNSPECIFIED, "")
    sandbox.fault("DigiCert ONE", "status", method="PUT", status=503, headers={"Retry-After": "60"})
    with pytest.raises(Unavailable):
        await subject.session_of.revoke(held, Reason.UNSPECIFIED, "")
    sandbox.fault("DigiCert ONE", "garbage", method="GET")
    with pytest.raises(UpstreamRefused):
        await subject.listed.page(0)


async def test_what_is_revoked_stands_on_the_crl_which_is_sent_once(subject: Subject, device: DeviceId) -> None:
    held = await subject.issued(device)
    await subject.session_of.revoke(held, Reason.KEY_COMPROMISE, "")
    crls = HttpCrls(subject.outside.connections.http)
    found = await crls.fetch(subject.crl_url, "", "")
    assert found is not None
    chain = await subject.outside.connections.chain(subject.outside.profiles.by_label["rest"]).fetch()
    now = held.certificate.not_before + (held.certificate.not_after - held.certificate.not_before) / 2
    listed = crl.read(found.der, chain, last=crl.Last(), most=10_000, now=now)
    entry = next(one for one in listed.new if one.serial == held.certificate.serial)
    assert entry.reason is Reason.KEY_COMPROMISE
    assert listed.issuer == held.certificate.issuer
    if found.etag or found.modified:
        assert await crls.fetch(subject.crl_url, found.etag, found.modified) is None


async def test_a_crl_that_cannot_be_had_says_why(subject: Subject) -> None:
    sandbox, crls = subject.outside.sandbox, HttpCrls(subject.outside.connections.http)
    with pytest.raises(UpstreamRefused, match="not served"):
        await crls.fetch(f"{subject.url}/crl/none.crl", "", "")
    sandbox.fault("DigiCert ONE", "status", method="GET", status=503)
    with pytest.raises(Unavailable):
        await crls.fetch(subject.crl_url, "", "")
    sandbox.fault("DigiCert ONE", "drop", method="GET")
    with pytest.raises(Unavailable):
        await crls.fetch(subject.crl_url, "", "")
    with pytest.raises(TooLarge):
        await replace(crls, most_bytes=10).fetch(subject.crl_url, "", "")
