"""DigiCert ONE for a label: what it gives, how it refuses, and what can be found when an answer was lost."""

from dataclasses import dataclass

import pytest

from shared.core.certificate import check_issued
from shared.core.errors import Malformed, OutcomeUnknown, Throttled, Unavailable, UpstreamRefused
from shared.core.identity import DeviceId
from shared.flows.ports.issuance import Answer, Pending, Upstream
from tests.conftest import Running
from tests.contracts.outside import sandbox_of
from tests.fakes.calls import Calls
from tests.fakes.clock import Clock
from tests.fakes.devices import Device
from tests.fakes.digicert import Behaviour, FakeCa, FakeUpstream, spki_sha256

pytestmark = pytest.mark.anyio

# What the fake calls it, the sandbox's fault, and what else the fault says.
FAULTS: dict[Behaviour, tuple[str, dict[str, object]]] = {
    "refuse": ("status", {"status": 403}),
    "throttle": ("status", {"status": 429, "headers": {"Retry-After": "7"}}),
    "down": ("status", {"status": 503, "headers": {"Retry-After": "60"}}),
    "lost_before": ("drop", {}),
    "lost_after": ("lose_answer", {}),
    "garbage": ("garbage", {}),
}
# IoT Trust Manager, the gateway before all products, and Private CA each have their own.
ERRORS = (
    '{"errors":[{"code":"invalid_input","message":"planned"}]}',
    '{"error":{"code":"invalid_request","message":"planned"}}',
    '{"message":"planned","code":4000}',
)
VARIANTS = {"est": "est", "est by client certificate": "unwrapped", "rest": "rest"}


@dataclass
class Subject:
    """`port` and the CA behind it."""

    port: Upstream
    fake: FakeUpstream | None
    sandbox: Running | None
    rest: bool

    def behave(self, behaviour: Behaviour) -> None:
        """The next order is answered so."""
        if self.fake is not None:
            self.fake.behaves.append(behaviour)
        elif self.sandbox is not None:
            # Over REST, an order that waits is answered without its certificate.
            pending = ("no_pem", {}) if self.rest else ("pending", {"seconds": 30})
            kind, rest = pending if behaviour == "pending" else FAULTS[behaviour]
            self.sandbox.fault("DigiCert ONE", kind, method="POST", **rest)

    def look_up_fails(self) -> None:
        if self.fake is not None:
            self.fake.calls.fail("upstream.find", lambda: Unavailable("no", retry_after=5))
        elif self.sandbox is not None:
            self.sandbox.fault("DigiCert ONE", "status", method="GET", status=503, headers={"Retry-After": "60"})


@pytest.fixture(params=["fake", *VARIANTS])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        clock = Clock(seconds=lambda: 0)
        fake = FakeUpstream(FakeCa(clock), Calls())
        return Subject(fake, fake, None, rest=False)
    sandbox, outside = sandbox_of(request)
    for transport in outside.connections.transports.values():
        transport.breaker.note(ok=True)
    port = outside.connections.upstream(outside.profiles.by_label[VARIANTS[request.param]])
    return Subject(port, None, sandbox, rest=request.param == "rest")


async def ordered(subject: Subject, device: Device, renews: str = "") -> Answer:
    answer = await subject.port.issue(device.request(), renews)
    assert isinstance(answer, Answer)
    return answer


def serial(answer: Answer | None) -> int:
    assert answer is not None
    return answer.certificates[0].serial_number


async def test_an_order_is_answered_with_a_certificate_that_passes_the_checks(
    subject: Subject, device: DeviceId
) -> None:
    request = Device(device, san=device).request()
    answer = await subject.port.issue(request, "")
    assert isinstance(answer, Answer)
    leaf = check_issued(answer.certificates, request, answer.certificates[0].not_valid_before_utc)
    assert leaf == answer.certificates[0]


async def test_the_same_order_twice_is_two_certificates_and_the_newest_is_found(
    subject: Subject, device: DeviceId
) -> None:
    """DigiCert ONE knows no idempotency: this is why there is a ledger."""
    asking = Device(device)
    first, second = await ordered(subject, asking), await ordered(subject, asking)
    assert serial(first) != serial(second)
    assert serial(await subject.port.find(asking.request())) == serial(second)


async def test_a_certificate_is_found_by_its_key_among_those_of_the_same_name(
    subject: Subject, device: DeviceId
) -> None:
    asking, other = Device(device), Device(device)
    mine = await ordered(subject, asking)
    await ordered(subject, other)
    assert serial(await subject.port.find(asking.request())) == serial(mine)
    assert await subject.port.find(Device(device).request()) is None


async def test_of_an_unknown_device_nothing_is_found(subject: Subject, device: DeviceId) -> None:
    assert await subject.port.find(Device(device).request()) is None


async def test_a_renewal_is_a_new_certificate(subject: Subject, device: DeviceId) -> None:
    """Also outside the renewal window that DigiCert ONE keeps over REST."""
    first = await ordered(subject, Device(device))
    second = await ordered(subject, Device(device), first.digicert_id)
    assert serial(first) != serial(second)


async def test_a_renewal_of_what_is_not_known_is_a_new_certificate(subject: Subject, device: DeviceId) -> None:
    await ordered(subject, Device(device), "00000000-0000-4000-8000-000000000000")


async def test_a_refusal_says_that_nothing_was_issued(subject: Subject, device: DeviceId) -> None:
    subject.behave("refuse")
    with pytest.raises(UpstreamRefused) as refused:
        await ordered(subject, Device(device))
    assert refused.value.nothing_issued


@pytest.mark.parametrize("error", ERRORS)
async def test_an_error_of_any_shape_goes_to_the_log_alone(subject: Subject, device: DeviceId, error: str) -> None:
    if subject.sandbox is not None:
        subject.sandbox.fault("DigiCert ONE", "status", method="POST", status=400, body=error)
    else:
        subject.behave("malformed")
    with pytest.raises(Malformed) as refused:
        await ordered(subject, Device(device))
    assert "planned" not in refused.value.public
    assert refused.value.cause.startswith("400")
    assert subject.sandbox is None or ": planned" in refused.value.cause


async def test_throttling_is_told_with_its_time(subject: Subject, device: DeviceId) -> None:
    subject.behave("throttle")
    with pytest.raises(Throttled) as refused:
        await ordered(subject, Device(device))
    assert refused.value.retry_after == 7


async def test_what_is_down_did_nothing(subject: Subject, device: DeviceId) -> None:
    subject.behave("down")
    with pytest.raises(Unavailable):
        await ordered(subject, Device(device))
    assert await subject.port.find(Device(device).request()) is None


@pytest.mark.parametrize("behaviour", ["lost_before", "lost_after"])
async def test_a_lost_answer_is_an_unknown_outcome_that_the_look_up_settles(
    subject: Subject, device: DeviceId, behaviour: Behaviour
) -> None:
    asking = Device(device)
    subject.behave(behaviour)
    with pytest.raises(OutcomeUnknown):
        await ordered(subject, asking)
    found = await subject.port.find(asking.request())
    assert (found is not None) == (behaviour == "lost_after")
    if found is not None:
        assert spki_sha256(found.certificates[0]) == asking.request().spki_sha256


async def test_garbage_is_a_refusal_after_which_a_certificate_may_exist(subject: Subject, device: DeviceId) -> None:
    subject.behave("garbage")
    with pytest.raises(UpstreamRefused) as refused:
        await ordered(subject, Device(device))
    assert not refused.value.nothing_issued


async def test_a_look_up_that_fails_is_not_a_look_up_that_finds_nothing(subject: Subject, device: DeviceId) -> None:
    asking = Device(device)
    mine = await ordered(subject, asking)
    subject.look_up_fails()
    with pytest.raises(Unavailable):
        await subject.port.find(asking.request())
    assert serial(await subject.port.find(asking.request())) == serial(mine)


async def test_an_order_that_waits_is_asked_for_again(subject: Subject, device: DeviceId) -> None:
    asking = Device(device)
    subject.behave("pending")
    waiting = await subject.port.issue(asking.request(), "")
    assert isinstance(waiting, Pending)
    assert 1 <= waiting.retry_after <= 3600
    if subject.fake is not None:
        subject.fake.approved = True
    answer = await subject.port.poll(asking.request())
    assert isinstance(answer, Answer)
    assert spki_sha256(answer.certificates[0]) == asking.request().spki_sha256
