"""Every port has one set of tests, which the fake and the real adapter over the sandbox must both pass.

What is set up here ends with each module: an asynchronous fixture that lives longer would lend its event loop to tests
elsewhere, and the environment that it changes is this process's own.
"""

import os
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Literal

import pytest

from shared.core.identity import DeviceId
from tests.conftest import Running
from tests.contracts.outside import Outside, adapters, environment

type Kind = Literal["fake", "sandbox"]


@pytest.fixture(scope="module")
def joined(sandbox_process: Running) -> Iterator[Running]:
    """The environment of the sandbox's app, in this process: TLS trust and the managed identity are read from it."""
    before = dict(os.environ)
    os.environ.update(environment(sandbox_process))
    yield sandbox_process
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
async def outside(joined: Running) -> AsyncIterator[Outside]:
    async with adapters(joined) as found:
        yield found


@pytest.fixture(params=["fake", "sandbox"])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Which of the two; the sandbox begins and ends each test without faults."""
    chosen: Kind = request.param
    if chosen == "sandbox":
        request.getfixturevalue("sandbox")
    return chosen


@pytest.fixture
def real(request: pytest.FixtureRequest, kind: Kind) -> Outside | None:
    """The real adapters, where it is their turn."""
    if kind == "fake":
        return None
    found: Outside = request.getfixturevalue("outside")
    return found


@pytest.fixture
def device() -> DeviceId:
    """A device that no other test has: what the sandbox holds stays for the session."""
    return DeviceId(f"dev-{secrets.token_hex(6)}")
