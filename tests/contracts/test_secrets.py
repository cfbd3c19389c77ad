"""Key Vault: a value, an old value while it is silent, the new one on demand, and never a word of it in an error."""

from dataclasses import dataclass
from typing import Protocol

import pytest

from shared.core.errors import Misconfigured, Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports.secrets import FreshSecrets, RenewableSecrets
from tests.contracts.outside import Outside
from tests.fakes.azure import FakeSecrets
from tests.fakes.calls import Calls

pytestmark = pytest.mark.anyio

VALUE, OTHER = "value-of-a-secret-1", "value-of-a-secret-2"  # the sandbox looks for them in all logs


class Port(FreshSecrets, RenewableSecrets, Protocol):
    """All that Key Vault is asked for."""


@dataclass
class Subject:
    port: Port
    fake: FakeSecrets
    real: Outside | None

    def put(self, name: str, value: str) -> None:
        if self.real is not None:
            self.real.sandbox.control("PUT", f"/key-vault/{name}", {"value": value})
        else:
            self.fake.values[name] = value

    def falls_silent(self) -> None:
        """For one call, however often it is tried."""
        if self.real is not None:
            self.real.sandbox.fault("Key Vault", "status", status=503, times=2)
        else:
            for name in ("secrets.get", "secrets.get_fresh"):
                self.fake.calls.fail(name, lambda: Unavailable("no", retry_after=5))


@pytest.fixture
def subject(real: Outside | None) -> Subject:
    fake = FakeSecrets(Calls())
    return Subject(real.key_vault if real else fake, fake, real)


@pytest.fixture
def name(device: DeviceId) -> str:
    return device  # a name that no other test has


async def test_a_secret_has_its_newest_value(subject: Subject, name: str) -> None:
    subject.put(name, OTHER)
    subject.put(name, VALUE)
    assert await subject.port.get(name) == VALUE


async def test_a_new_version_is_seen_by_who_asks_for_it(subject: Subject, name: str) -> None:
    subject.put(name, VALUE)
    assert await subject.port.get(name) == VALUE
    subject.put(name, OTHER)
    assert await subject.port.get_fresh(name) == OTHER
    assert await subject.port.get(name) == OTHER


async def test_a_forgotten_secret_is_read_anew_by_whatever_case_its_name_comes_in(subject: Subject, name: str) -> None:
    subject.put(name, VALUE)
    assert await subject.port.get(name) == VALUE
    subject.put(name, OTHER)
    assert await subject.port.forget(name.upper())
    assert await subject.port.get(name) == OTHER


@pytest.mark.parametrize("kind", ["sandbox"], indirect=True)
async def test_a_forgotten_secret_serves_on_while_key_vault_is_silent(subject: Subject, name: str) -> None:
    """At worst DigiCert ONE says 401 to it."""
    subject.put(name, VALUE)
    assert await subject.port.get(name) == VALUE
    await subject.port.forget(name)
    subject.falls_silent()
    assert await subject.port.get(name) == VALUE


async def test_what_was_never_read_need_not_be_forgotten(subject: Subject, name: str) -> None:
    assert not await subject.port.forget(name)


async def test_a_secret_that_is_not_there_is_a_matter_for_the_operator(subject: Subject, name: str) -> None:
    for get in (subject.port.get, subject.port.get_fresh):
        with pytest.raises(Misconfigured) as refused:
            await get(name)
        assert name in refused.value.cause


async def test_a_key_vault_that_is_silent_is_unavailable(subject: Subject, name: str) -> None:
    subject.put(name, VALUE)
    subject.falls_silent()
    with pytest.raises(Unavailable) as refused:
        await subject.port.get_fresh(name)
    assert VALUE not in f"{refused.value.public} {refused.value.cause}"
