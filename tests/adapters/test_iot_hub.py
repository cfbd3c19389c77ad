"""What the hubs' threads are shared by, and which of a hub's answers are worth another try."""

import asyncio
import threading
from typing import TYPE_CHECKING, NoReturn, cast

import pytest
import requests
from msrest.exceptions import HttpOperationError

from shared.adapters.iot_hub import IotHubs
from shared.core.errors import Misconfigured, Unavailable
from shared.core.identity import DeviceId
from shared.flows.ports.ledger import StaleVersionError

if TYPE_CHECKING:
    from msrest import Deserializer

pytestmark = pytest.mark.anyio

ME = DeviceId("dev-1")
HOSTS = {"hub-a": "hub-a.azure-devices.net", "hub-b": "hub-b.azure-devices.net"}


class Hangs:
    """Stands for the SDK's client of a hub that does not answer until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()

    def get_device(self, device: str) -> NoReturn:
        self.go.wait(30)
        raise OSError(f"{device}: timed out")


class Answers:
    """Stands for the SDK's client of a hub that answers everything with one status."""

    def __init__(self, status: int, code: str = "") -> None:
        self.response = requests.Response()
        self.response.status_code = status
        self.response.headers["iothub-errorcode"] = code

    def get_device(self, device: str) -> NoReturn:
        raise HttpOperationError(cast("Deserializer", device), self.response)  # there is nothing to read


class Healthy:
    """Stands for the SDK's client of a hub that does what it is told."""

    def delete_device(self, device: str) -> None:
        """It is gone."""


def hubs(**registries: object) -> IotHubs:
    named = {HOSTS[name.replace("_", "-")]: one for name, one in registries.items()}
    return IotHubs(HOSTS, lambda: pytest.fail("nothing here needs a token"), _registries=named)


async def test_a_hub_in_trouble_holds_up_no_other() -> None:
    hanging = Hangs()
    both = hubs(hub_a=hanging, hub_b=Healthy())
    waiting = [asyncio.create_task(both.identity("hub-a", ME)) for _ in range(24)]
    try:
        await asyncio.sleep(0)  # each has its place in the queue of the threads
        async with asyncio.timeout(5):
            await both.remove("hub-b", ME)
    finally:
        hanging.go.set()
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in ended} == {Unavailable}


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ArgumentInvalid", Misconfigured),
        (401, "", Misconfigured),
        (403, "", Misconfigured),
        (403, "IotHubQuotaExceeded", Unavailable),
        (405, "", Misconfigured),
        (408, "", Unavailable),
        (409, "LinkCreationConflict", Unavailable),
        (412, "", StaleVersionError),
        (413, "RequestEntityTooLarge", Misconfigured),
        (429, "ThrottlingException", Unavailable),
        (500, "", Unavailable),
        (503, "", Unavailable),
    ],
)
async def test_what_a_hub_would_say_again_is_not_asked_again(status: int, code: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await hubs(hub_a=Answers(status, code)).identity("hub-a", ME)


async def test_a_device_that_the_hub_does_not_know_has_no_identity() -> None:
    assert await hubs(hub_a=Answers(404, "DeviceNotFound")).identity("hub-a", ME) is None
