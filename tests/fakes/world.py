"""The whole application over fakes: for the stories of the flows, the tests of the triggers, and benchmarks."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sandbox import pki
from shared.core.client_certificate import trust
from shared.core.est import Operation
from shared.core.identity import DeviceId
from shared.core.profile import (
    Authentication,
    EstChain,
    FactoryCertificates,
    GroupEnrollment,
    Label,
    Passcode,
    PasscodeUpstream,
    Profile,
    Profiles,
    RenewalRules,
    RequestRules,
    RestUpstream,
)
from shared.flows.application import Application
from shared.flows.enroll import Enroll, Enrolled, Waiting
from shared.flows.once import Once
from shared.flows.provision import Provision
from shared.flows.ready import Ready
from shared.flows.revoke import Revoke
from shared.flows.rotate import Rotate
from shared.flows.trust import Chains
from tests.fakes.azure import FakeEnrollments, FakeHubs, FakeSecrets
from tests.fakes.calls import Calls
from tests.fakes.clock import START, Clock
from tests.fakes.devices import Device, factory_leaf
from tests.fakes.digicert import DAY, FakeCa, FakeChainSource, FakeUpstream
from tests.fakes.ledger import FakeLedger
from tests.fakes.work import FakeWork

HUB_HOSTS: Mapping[str, str] = {"hub-a": "hub-a.azure-devices.net", "hub-b": "hub-b.azure-devices.net"}
PASSCODE = "device:correct horse"
LOOK_UP = RestUpstream("https://one.digicert.com", "IOT_1", api_key_secret="digicert-api-key")
FACTORY = pki.factory_authority(START - 400 * DAY)

PROFILE = Profile(
    label="devices",
    upstream=PasscodeUpstream("https://one.digicert.com/.well-known/est/IOT_1", "digicert-est-passcode"),
    lookup=LOOK_UP,
    chain=EstChain(),
    authentication=Authentication(
        issued_certificate=True,
        factory=FactoryCertificates(trust((FACTORY.certificate,)), "subject.common_name"),
        passcode=Passcode("est-passcode", "accept"),
    ),
    request=RequestRules(
        keys=("ec-p256", "rsa-2048"),
        hashes=("sha256",),
        subject=frozenset({"common_name"}),
        san=frozenset({"device_id"}),
        ignores_challenge_password=False,
    ),
    dps=GroupEnrollment("birthcert"),
    hubs=("hub-a", "hub-b"),
    allocation="hashed",
    hub_weights=(),
    maximum_age_days=0,
    renewal=RenewalRules(direct_method="", grace_hours=24, accept_expired_days=0, nudge_every_hours=24),
    deleted_devices="ignore",
    renewal_point=0.8,
    daily_limit=5,
    unknown_devices="accept",
    base64_lines=True,
)


@dataclass
class Fakes:
    """Everything outside, which outlives the process, and `enroll` and `provision` as one process has them."""

    profiles: dict[Label, Profile] = field(default_factory=lambda: {PROFILE.label: PROFILE})
    clock: Clock = field(default_factory=Clock)
    calls: Calls = field(default_factory=Calls)

    def __post_init__(self) -> None:
        self.default = next(iter(self.profiles))
        self.ca = FakeCa(self.clock)
        self.ledger = FakeLedger(self.calls, self.clock)
        self.secrets = FakeSecrets(self.calls, {"est-passcode": PASSCODE})
        self.enrollments = FakeEnrollments(self.calls)
        self.hubs = FakeHubs(tuple(HUB_HOSTS), self.calls)
        self.work = FakeWork(self.calls)
        self.upstreams = {label: FakeUpstream(self.ca, self.calls) for label in self.profiles}
        self.sources = {label: FakeChainSource(self.ca, self.calls) for label in self.profiles}
        self.restart()

    def restart(self) -> None:
        """A new process: what was in memory is gone."""
        known = Profiles(self.default, self.profiles)
        self.chains = Chains(self.sources, self.clock)
        ledger, dps, hubs, work = self.ledger, self.enrollments, self.hubs, self.work
        self.rotate = Rotate(known, HUB_HOSTS, ledger, dps, hubs, work, self.clock)
        self.revoke = Revoke(known, ledger, dps, hubs, {}, work, self.clock)
        self.provision = Provision(known, HUB_HOSTS, ledger, hubs, dps, self.rotate, self.revoke, work, self.clock)
        once = Once(ledger, self.chains, self.clock, asyncio.sleep)
        self.enroll = Enroll(known, self.secrets, self.chains, self.upstreams, once, self.rotate, self.clock)

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
        return Application(
            enroll=self.enroll,
            provision=self.provision,
            secrets=self.secrets,
            client_certificate_header="X-ARR-ClientCert",
            front_end_secret_name="",
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
