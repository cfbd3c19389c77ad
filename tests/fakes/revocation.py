"""What revocation and trust touch outside: DigiCert ONE's revocations, CRLs, enrollment groups; and a world of them."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from sandbox import pki
from shared.core.certificate import certificate
from shared.core.fleet import Device, LedgerCertificate, Snapshot
from shared.core.identity import DeviceId
from shared.core.issuer import thumbprint
from shared.core.profile import Profile, Profiles
from shared.core.revocation import Reason, Saga, Verb
from shared.core.rotation import Slot, Slots
from shared.flows.issuers import Issuers, RememberedChain
from shared.flows.ports.dps import Group
from shared.flows.ports.ledger import StaleVersionError
from shared.flows.ports.revocation import Download, RevokedPage
from shared.flows.revocation_sync import RevocationSync
from shared.flows.revoke import Revoke
from shared.flows.trust import Chains
from shared.flows.trust_outbox import TrustOutbox
from shared.flows.trust_reconcile import TrustReconcile
from tests.fakes.azure import FakeEnrollments, FakeHubs
from tests.fakes.calls import Calls
from tests.fakes.clock import Clock
from tests.fakes.devices import new_key
from tests.fakes.digicert import DAY, FakeCa, FakeChainSource
from tests.fakes.index import FakeIndex, FakeWatermarks
from tests.fakes.ledger import FakeLedger
from tests.fakes.profiles import HUB_HOSTS, PROFILE
from tests.fakes.topic import FakeAnnouncements
from tests.fakes.work import FakeWork

DEVICE = DeviceId("dev-1")
CRL_URL = "http://crl.one.digicert.com/ica.crl"


async def at_once[T](work: Callable[[], T]) -> T:
    """In place of a thread, whose work no loop of the tests would wait for."""
    return work()


@dataclass
class FakeRevocation:
    """`revoked` is what DigiCert ONE has, by serial number; revoking again changes nothing."""

    calls: Calls = field(default_factory=Calls)
    revoked: dict[str, Reason] = field(default_factory=dict)

    async def revoke(self, certificate: LedgerCertificate, why: Reason, comment: str) -> None:
        del comment
        async with self.calls.to("digicert.revoke"):
            self.revoked.setdefault(certificate.certificate.serial, why)


@dataclass
class FakeCrls:
    """`served` by address; the marks of a file are its ETag."""

    calls: Calls = field(default_factory=Calls)
    served: dict[str, Download] = field(default_factory=dict)

    async def fetch(self, url: str, etag: str, modified: str) -> Download | None:
        del modified
        async with self.calls.to("crls.fetch"):
            found = self.served[url]
            return None if etag and etag == found.etag else found


@dataclass
class FakeRevokedList:
    calls: Calls = field(default_factory=Calls)
    serials: list[str] = field(default_factory=list)
    page_size: int = 2

    async def page(self, offset: int) -> RevokedPage:
        async with self.calls.to("list.page"):
            found = tuple(self.serials[offset : offset + self.page_size])
            return RevokedPage(found, offset + len(found), len(self.serials))


@dataclass
class FakeGroups:
    """A PUT needs the ETag that was read."""

    calls: Calls = field(default_factory=Calls)
    groups: dict[str, Group] = field(default_factory=dict)
    _etags: Iterator[int] = field(default_factory=itertools.count)

    async def read(self, group: str) -> Group | None:
        async with self.calls.to("groups.read"):
            return self.groups.get(group)

    async def put(self, group: str, found: Group, change: Mapping[Slot, x509.Certificate | None]) -> None:
        async with self.calls.to("groups.put"):
            if self.groups[group].document != found.document:
                raise StaleVersionError
            slots = found.slots
            for slot, wanted in change.items():
                held = thumbprint(wanted) if wanted else ""
                slots = replace(slots, primary=held) if slot == "primary" else replace(slots, secondary=held)
            self.make(group, slots)

    def make(self, group: str, slots: Slots, *, by_reference: bool = False) -> None:
        self.groups[group] = Group(slots, by_reference, {"etag": next(self._etags)})


@dataclass
class RevocationWorld:
    """Everything outside, which outlives the process; each flow is made anew whenever it is asked for."""

    profile: Profile = PROFILE
    clock: Clock = field(default_factory=Clock)
    calls: Calls = field(default_factory=Calls)

    def __post_init__(self) -> None:
        self.ca = FakeCa(self.clock)
        self.ledger = FakeLedger(self.calls, self.clock)
        self.index = FakeIndex(self.ledger, self.calls)
        self.enrollments = FakeEnrollments(self.calls)
        self.hubs = FakeHubs(tuple(HUB_HOSTS), self.calls)
        self.work = FakeWork(self.calls)
        self.digicert = FakeRevocation(self.calls)
        self.crls = FakeCrls(self.calls)
        self.list = FakeRevokedList(self.calls)
        self.groups = FakeGroups(self.calls)
        self.watermarks = FakeWatermarks(self.calls)
        self.topic = FakeAnnouncements(self.calls)
        self.source = FakeChainSource(self.ca, self.calls)
        self.revocations = {self.profile.label: self.digicert}
        self.most_entries = 100

    @property
    def profiles(self) -> Profiles:
        return Profiles(self.profile.label, {self.profile.label: self.profile})

    @property
    def revoke(self) -> Revoke:
        ledger, dps, hubs, work = self.ledger, self.enrollments, self.hubs, self.work
        return Revoke(self.profiles, ledger, dps, hubs, self.revocations, work, self.clock)

    @property
    def issuers(self) -> Issuers:
        return Issuers(self.watermarks, self.clock)

    @property
    def chain(self) -> RememberedChain:
        return RememberedChain(self.profile.label, self.source, self.watermarks, self.clock)

    @property
    def sync(self) -> RevocationSync:
        label = self.profile.label
        return RevocationSync(
            urls={label: tuple(self.crls.served)},
            lists={(label,): self.list},
            crls=self.crls,
            chains=Chains({label: self.chain}, self.clock),
            issuers=self.issuers,
            index=self.index,
            ledger=self.ledger,
            watermarks=self.watermarks,
            revoke=self.revoke,
            clock=self.clock,
            most_entries=self.most_entries,
            aside=at_once,
        )

    @property
    def trust(self) -> TrustReconcile:
        return TrustReconcile(
            self.profiles,
            {self.profile.label: self.chain},
            self.issuers,
            self.groups,
            TrustOutbox(self.watermarks, self.topic),
            self.watermarks,
            "dps-1.azure-devices-provisioning.net",
            self.clock,
        )

    def certify(self, name: str = "dev-1", days: float = 90) -> LedgerCertificate:
        """A certificate for the device as DigiCert ONE issues it now."""
        leaf = pki.issue_leaf(self.ca.hierarchy.ica, name, new_key().public_key(), self.clock(), days * DAY)
        return LedgerCertificate(certificate(leaf), self.profile.label, "rest", digicert_id=f"id-{leaf.serial_number}")

    def device(self, name: str = "dev-1", *issued: LedgerCertificate) -> DeviceId:
        """A device that lives in hub-a with these certificates, the last being the latest; or with a new one."""
        device, held = DeviceId(name), issued or (self.certify(name),)
        for one in held:
            self.add(device, one)
        first, last = held[0].certificate, held[-1].certificate
        row = Device(device, self.profile.label, self.clock(), hub="hub-a", current=first.serial, latest=last.serial)
        self.ledger.put(device, row)
        self.hubs.put("hub-a", device, first.thumbprint)
        return device

    def add(self, device: DeviceId, issued: LedgerCertificate) -> None:
        self.ledger.put(device, issued)
        self.ledger.serials[issued.certificate.serial] = device

    async def begin(self, device: DeviceId, verb: Verb = "revoke", why: Reason = Reason.KEY_COMPROMISE) -> Saga:
        """With the same id for the same verb."""
        return await self.revoke.begin(device, verb, why, caller="operator", comment="stolen", saga_id=f"id-{verb}")

    def known(self, device: DeviceId = DEVICE) -> Snapshot:
        return self.ledger.read(device)

    def row(self, device: DeviceId = DEVICE) -> Device:
        found = self.known(device).device
        assert found is not None
        return found

    def uses(self, one: LedgerCertificate, device: DeviceId = DEVICE) -> None:
        """It has changed over to this certificate."""
        self.ledger.put(device, replace(self.row(device), current=one.certificate.serial))

    def status(self, one: LedgerCertificate, device: DeviceId = DEVICE) -> str:
        found = self.known(device).certificate(one.certificate.serial)
        assert found is not None
        return found.status

    def saga(self, device: DeviceId = DEVICE) -> Saga:
        found = self.known(device).saga
        assert found is not None
        return found

    def enabled(self, device: DeviceId = DEVICE, hub: str = "hub-a") -> bool | None:
        """None where the hub has no such device."""
        found = self.hubs.identities.get((hub, device))
        return found.enabled if found else None

    def publish(self, *entries: x509.RevokedCertificate, number: int = 1, etag: str = "") -> None:
        """The issuing CA's CRL, at its address."""
        der = a_crl(self.ca.hierarchy.ica, self.clock(), *entries, number=number)
        self.crls.served[CRL_URL] = Download(der, etag)


def an_entry(
    serial: str, at: datetime, reason: x509.ReasonFlags | None = x509.ReasonFlags.key_compromise
) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(int(serial, 16)).revocation_date(at)
    if reason is not None:
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()


def a_crl(
    authority: pki.Authority,
    now: datetime,
    *entries: x509.RevokedCertificate,
    number: int | None = 1,
    lifetime: timedelta = DAY,
    extension: x509.ExtensionType | None = None,
) -> bytes:
    builder = x509.CertificateRevocationListBuilder(revoked_certificates=list(entries))
    builder = builder.issuer_name(authority.certificate.subject).last_update(now).next_update(now + lifetime)
    if number is not None:
        builder = builder.add_extension(x509.CRLNumber(number), critical=False)
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.DER)
