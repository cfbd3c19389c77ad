"""The whole application over fakes: for the stories of the flows, the tests of the triggers, and benchmarks."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from shared.core.est import Operation
from shared.core.identity import DeviceId
from shared.core.profile import (
    Authentication,
    Label,
    Passcode,
    Profile,
    Profiles,
)
from shared.flows.adopt import Adopt
from shared.flows.announce import Announce
from shared.flows.application import Application
from shared.flows.backlog import Backlog
from shared.flows.batch import Batching
from shared.flows.batch_chunk import Chunk
from shared.flows.batch_run import BatchRun
from shared.flows.census import Census
from shared.flows.crl_reader import CrlMarks
from shared.flows.enroll import Enroll, Enrolled, Waiting
from shared.flows.issue import Issue
from shared.flows.issuers import Issuers, RememberedChain
from shared.flows.manifest import Manifest
from shared.flows.once import Once
from shared.flows.operate import Operate
from shared.flows.passcodes import Passcodes
from shared.flows.provision import Provision
from shared.flows.ready import Ready
from shared.flows.renew import Renew
from shared.flows.revocation_sync import RevocationSync
from shared.flows.revoke import Revoke
from shared.flows.revoked_devices import RevokedDevices
from shared.flows.rotate import Rotate
from shared.flows.survey import Survey
from shared.flows.sweep import Sweep
from shared.flows.trust import Chains
from shared.flows.trust_outbox import TrustOutbox
from shared.flows.trust_reconcile import TrustReconcile
from shared.flows.turns import Turns
from tests.fakes.azure import FakeEnrollments, FakeHubs, FakeSecrets
from tests.fakes.batches import FakeBatches, FakeFiles, FakePace
from tests.fakes.calls import Calls
from tests.fakes.clock import Clock
from tests.fakes.devices import Device, factory_leaf
from tests.fakes.digicert import FakeCa, FakeChainSource, FakeInventory, FakeUpstream
from tests.fakes.index import FakeHints, FakeIndex, FakeSchedule, FakeWatermarks
from tests.fakes.ledger import FakeLedger
from tests.fakes.ops import FakeFleet, FakePoison, FakeQueues, FakeWishes
from tests.fakes.profiles import FACTORY, HUB_HOSTS, LOOK_UP, PASSCODE, PROFILE
from tests.fakes.revocation import FakeCrls, FakeGroups, FakeRevocation
from tests.fakes.topic import FakeAnnouncements
from tests.fakes.work import FakeWork

__all__ = ["FACTORY", "HUB_HOSTS", "LOOK_UP", "PASSCODE", "PROFILE", "Fakes", "born_by_passcode", "fakes"]


async def at_once[T](work: Callable[[], T]) -> T:
    """No thread: what is slow elsewhere is not here."""
    return work()


@dataclass
class Fakes:
    """Everything outside, which outlives the process, and `enroll` and `provision` as one process has them."""

    profiles: dict[Label, Profile] = field(default_factory=lambda: {PROFILE.label: PROFILE})
    clock: Clock = field(default_factory=Clock)
    calls: Calls = field(default_factory=Calls)

    def __post_init__(self) -> None:
        self.default = next(iter(self.profiles))
        self.drawn = 0
        self.ca = FakeCa(self.clock)
        self.ledger = FakeLedger(self.calls, self.clock)
        self.secrets = FakeSecrets(self.calls, {"est-passcode": PASSCODE})
        self.enrollments = FakeEnrollments(self.calls)
        self.hubs = FakeHubs(tuple(HUB_HOSTS), self.calls)
        self.work = FakeWork(self.calls)
        self.watermarks = FakeWatermarks(self.calls)
        self.schedule = FakeSchedule(self.ledger, self.calls)
        self.hints = FakeHints(self.ledger, self.calls)
        self.index = FakeIndex(self.ledger, self.calls)
        self.topic = FakeAnnouncements(self.calls)
        self.groups = FakeGroups(self.calls)
        self.fleet = FakeFleet(self.ledger, self.calls)
        self.wishes = FakeWishes(self.calls)
        self.poison = FakePoison(self.calls)
        self.queues = FakeQueues(self.calls)
        self.batches = FakeBatches(self.calls)
        self.files = FakeFiles(self.calls)
        self.pace = FakePace(self.clock, self.calls)
        self.digicert = FakeRevocation(self.calls)
        self.upstreams = {label: FakeUpstream(self.ca, self.calls) for label in self.profiles}
        self.sources = {label: FakeChainSource(self.ca, self.calls) for label in self.profiles}
        self.inventories = {label: FakeInventory(self.ca, self.calls) for label in self.profiles}
        self.restart()

    def restart(self) -> None:
        """A new process: what was in memory is gone."""
        known = Profiles(self.default, self.profiles)
        self.chains = Chains(self.sources, self.clock)
        ledger, dps, hubs, work = self.ledger, self.enrollments, self.hubs, self.work
        self.rotate = Rotate(known, HUB_HOSTS, ledger, dps, hubs, work, self.clock)
        self.revoke = Revoke(known, ledger, dps, hubs, dict.fromkeys(self.profiles, self.digicert), work, self.clock)
        self.provision = Provision(known, HUB_HOSTS, ledger, hubs, dps, self.rotate, self.revoke, work, self.clock)
        once = Once(ledger, self.chains, Issuers(self.watermarks, self.clock), self.clock, asyncio.sleep)
        self.adopt = Adopt(
            profiles=known,
            chains=self.chains,
            issuers=once.issuers,
            inventories=self.inventories,
            crl_marks=CrlMarks(self.watermarks),
            ledger=ledger,
            provision=self.provision,
            revoked=RevokedDevices(self.index, ledger, self.revoke, self.clock),
            work=work,
            clock=self.clock,
        )
        self.issue = Issue(self.upstreams, once, self.rotate, self.adopt)
        self.passcodes = Passcodes(known, ledger, self.random, at_once, self.clock, asyncio.sleep, cost=1)
        self.enroll = Enroll(known, self.secrets, self.chains, self.issue, self.passcodes, self.clock)
        self.batching = Batching(
            batches=self.batches,
            files=self.files,
            wishes=self.wishes,
            work=work,
            clock=self.clock,
            aside=at_once,
            most_bytes=1024 * 1024,
            most_at_once=64 * 1024,
            chunk_rows=10,
            part_bytes=1_000,
        )
        turns = Turns(self.pace, self.pace.per_minute, self.clock, asyncio.sleep)
        self.batch_run = BatchRun(
            batches=self.batches,
            files=self.files,
            chunk=Chunk(known, self.issue, turns, at_once=16),
            work=work,
            clock=self.clock,
            aside=at_once,
            most_bytes=1024 * 1024,
        )

    def random(self, count: int) -> bytes:
        """Other bytes each time, and the same in each run."""
        self.drawn += 1
        return hashlib.shake_128(self.drawn.to_bytes(8)).digest(count)

    @property
    def profile(self) -> Profile:
        return self.profiles[self.default]

    @property
    def upstream(self) -> FakeUpstream:
        return self.upstreams[self.default]

    @property
    def source(self) -> FakeChainSource:
        return self.sources[self.default]

    def application(self) -> Application:
        known = Profiles(self.default, self.profiles)
        announce = Announce(self.ledger, self.topic)
        issuers = Issuers(self.watermarks, self.clock)
        chains = {
            label: RememberedChain(label, source, self.watermarks, self.clock) for label, source in self.sources.items()
        }
        survey = Survey(self.ledger, self.fleet, self.hints, self.clock)
        return Application(
            enroll=self.enroll,
            provision=self.provision,
            adopt=self.adopt,
            rotate=self.rotate,
            revoke=self.revoke,
            renew=Renew(
                known, self.ledger, self.hubs, self.schedule, self.watermarks, self.work, self.clock, per_minute=60
            ),
            announce=announce,
            sweep=Sweep(self.ledger, self.hints, self.revoke, announce),
            revocation_sync=RevocationSync(
                urls={},
                lists={},
                crls=FakeCrls(self.calls),
                chains=self.chains,
                issuers=issuers,
                index=self.index,
                ledger=self.ledger,
                watermarks=self.watermarks,
                revoke=self.revoke,
                clock=self.clock,
            ),
            trust_reconcile=TrustReconcile(
                known,
                chains,
                issuers,
                self.groups,
                TrustOutbox(self.watermarks, self.topic),
                self.watermarks,
                "dps.azure-devices-provisioning.net",
                self.clock,
            ),
            operate=Operate(self.ledger, self.revoke, self.wishes, self.poison, self.work, self.clock),
            batching=self.batching,
            batch_run=self.batch_run,
            manifest=Manifest(known, self.ledger, self.clock),
            survey=survey,
            backlog=Backlog(self.queues, self.poison, survey, self.clock),
            census=Census(self.fleet, self.watermarks, self.clock),
            secrets=self.secrets,
            client_certificate_header="X-ARR-ClientCert",
            front_end_secret_name="",
            platform_authenticates=False,
            ready=Ready({"ledger": lambda: self.ledger.load(DeviceId("-"))}, self.clock.seconds),
            seconds=self.clock.seconds,
        )

    def device(self, name: str = "dev-1") -> Device:
        """A device that has its factory certificate."""
        device = Device(name)
        return device.with_certificate(factory_leaf(FACTORY, device))

    async def post(
        self, device: Device, operation: Operation = Operation.SIMPLEENROLL, label: Label = ""
    ) -> Enrolled | Waiting:
        """The device sends its request, signed anew."""
        return await self.enroll.enroll(label, device.submission(operation))

    async def birth(self, device: Device, operation: Operation = Operation.SIMPLEENROLL, label: Label = "") -> Enrolled:
        """The same, where a certificate must be the answer."""
        outcome = await self.post(device, operation, label)
        if isinstance(outcome, Waiting):
            raise TypeError("the device was told to wait")
        return outcome


def fakes(authentication: Authentication = PROFILE.authentication, **changes: Any) -> Fakes:  # noqa: ANN401
    """A world with one label, whose profile differs from PROFILE in what is given."""
    return Fakes({PROFILE.label: replace(PROFILE, authentication=authentication, **changes)})


def born_by_passcode(existing: Literal["accept", "refuse"], **changes: Any) -> Fakes:  # noqa: ANN401
    """A world whose devices have no factory certificates."""
    passcode = Passcode("est-passcode", existing)
    return fakes(replace(PROFILE.authentication, factory=None, passcode=passcode), **changes)
