"""Where a label's CA certificates come from."""

from dataclasses import dataclass

import pytest

from shared.core.chain import check_chain, issuing
from shared.core.errors import Unavailable
from shared.flows.ports.issuance import ChainSource
from tests.conftest import Running
from tests.contracts.outside import sandbox_of
from tests.fakes.calls import Calls
from tests.fakes.clock import Clock
from tests.fakes.digicert import FakeCa, FakeChainSource

pytestmark = pytest.mark.anyio

VARIANTS = {"est cacerts": "est", "ca manager": "rest"}


@dataclass
class Subject:
    port: ChainSource
    calls: Calls | None
    sandbox: Running | None

    def falls_silent(self) -> None:
        if self.calls is not None:
            self.calls.fail("chain.fetch", lambda: Unavailable("no", retry_after=5))
        elif self.sandbox is not None:
            self.sandbox.fault("DigiCert ONE", "status", status=503, headers={"Retry-After": "60"})


@pytest.fixture(params=["fake", *VARIANTS])
def subject(request: pytest.FixtureRequest) -> Subject:
    if request.param == "fake":
        calls = Calls()
        return Subject(FakeChainSource(FakeCa(Clock(seconds=lambda: 0)), calls), calls, None)
    sandbox, outside = sandbox_of(request)
    port = outside.connections.chain(outside.profiles.by_label[VARIANTS[request.param]])
    return Subject(port, None, sandbox)


async def test_it_is_a_whole_chain_with_a_root_and_an_issuing_ca(subject: Subject) -> None:
    chain = check_chain(await subject.port.fetch())
    assert chain[-1].issuer == chain[-1].subject
    assert len(issuing(chain)) == len(chain) - 1 >= 1


async def test_a_source_that_is_silent_is_unavailable_and_answers_again(subject: Subject) -> None:
    subject.falls_silent()
    with pytest.raises(Unavailable):
        await subject.port.fetch()
    assert check_chain(await subject.port.fetch())
