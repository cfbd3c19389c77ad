"""The registries and twins of the linked hubs, through azure-iot-hub: a synchronous SDK, so in threads of its own.

`update_device_with_x509` of the SDK sends a device built from its arguments alone, which resets whatever it is not
given. So an identity is read, changed and sent back whole, with If-Match, through the call beneath it.
"""

import asyncio
import copy
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from shared import telemetry
from shared.core.errors import Misconfigured, Unavailable
from shared.core.identity import DeviceId
from shared.core.rotation import Slots
from shared.flows.ports.hubs import HubIdentity
from shared.flows.ports.ledger import StaleVersionError

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

type Call = Callable[[Any], Any]  # what is done with the SDK's client, in a thread

_FAILS: Final = "a service that is needed fails"
# What a hub may answer otherwise later: a timeout, somebody else's change (409001, 409002), too many requests.
_PASSING: Final = (404, 408, 409, 429)
_LONGEST_REASON: Final = 128  # statusReason
_METHOD_SECONDS: Final = 5
# For each hub, so that calls to one in trouble keep no thread from the others.
_THREADS: Final = 8
# How long the SDK waits for an answer, and how often it tries again: its own defaults are 100 s and 3 times.
_TIMEOUT: Final = 10
_RETRIES: Final = 1


@dataclass(frozen=True)
class IotHubs:
    """`hosts` maps hub names, as events call them, to host names."""

    hosts: Mapping[str, str]
    credential: "Callable[[], TokenCredential]"
    _threads: dict[str, ThreadPoolExecutor] = field(default_factory=dict, repr=False)
    _registries: dict[str, Any] = field(default_factory=dict, repr=False)

    async def identity(self, hub: str, device: DeviceId) -> HubIdentity | None:
        found = await self._call(hub, lambda registry: registry.get_device(device))
        if found is None:
            return None
        held = found.authentication.x509_thumbprint if found.authentication else None
        return HubIdentity(
            primary=(held.primary_thumbprint or "") if held else "",
            secondary=(held.secondary_thumbprint or "") if held else "",
            enabled=found.status == "enabled",
            why=found.status_reason or "",
            document=found,
        )

    async def put_thumbprints(self, hub: str, device: DeviceId, found: HubIdentity, slots: Slots) -> None:
        from azure.iot.hub.protocol.models import X509Thumbprint

        changed = copy.deepcopy(_document(found))
        changed.authentication.x509_thumbprint = X509Thumbprint(
            primary_thumbprint=slots.primary or None, secondary_thumbprint=slots.secondary or None
        )
        await self._put(hub, device, changed)

    async def set_enabled(self, hub: str, device: DeviceId, found: HubIdentity, *, enabled: bool, why: str) -> None:
        changed = copy.deepcopy(_document(found))
        changed.status = "enabled" if enabled else "disabled"
        changed.status_reason = why[:_LONGEST_REASON]
        await self._put(hub, device, changed)

    async def remove(self, hub: str, device: DeviceId) -> None:
        await self._call(hub, lambda registry: registry.delete_device(device))

    async def tag(self, hub: str, device: DeviceId, tags: Mapping[str, object]) -> None:
        from azure.iot.hub.protocol.models import Twin

        patch = Twin(tags={"certificate": dict(tags)})
        await self._call(hub, lambda registry: registry.update_twin(device, patch))

    async def desire(self, hub: str, device: DeviceId, properties: Mapping[str, object]) -> bool:
        from azure.iot.hub.protocol.models import Twin, TwinProperties

        patch = Twin(properties=TwinProperties(desired={"certificate": dict(properties)}))
        return await self._call(hub, lambda registry: registry.update_twin(device, patch)) is not None

    async def reported_serial(self, hub: str, device: DeviceId) -> str:
        """What a device reports is its own text: anything but a string is read as nothing."""
        twin = await self._call(hub, lambda registry: registry.get_twin(device))
        reported = twin.properties.reported if twin is not None and twin.properties else None
        match reported:
            case {"certificate": {"serial": str(serial)}}:
                return serial.strip().lower().removeprefix("0x").replace(":", "").lstrip("0")
            case _:
                return ""

    async def invoke(self, hub: str, device: DeviceId, method: str, payload: Mapping[str, object]) -> bool:
        """404103 (not online) and 504 (no answer) are False, and so are 404 and 501 of a device without the method."""
        from azure.iot.hub.protocol.models import CloudToDeviceMethod

        request = CloudToDeviceMethod(
            method_name=method,
            payload=dict(payload),
            response_timeout_in_seconds=_METHOD_SECONDS,
            connect_timeout_in_seconds=0,  # only a device that is connected now
        )
        result = await self._call(hub, lambda registry: registry.invoke_device_method(device, request), gone=(404, 504))
        return result is not None and result.status not in (404, 501)

    async def _put(self, hub: str, device: DeviceId, changed: Any) -> None:  # noqa: ANN401 - the SDK ships no types
        """If-Match wants the quotes that the ETag in the body lacks; only the SDK's own wrappers add them."""
        etag = changed.etag if changed.etag.startswith('"') else f'"{changed.etag}"'
        written = await self._call(
            hub, lambda registry: registry.protocol.devices.create_or_update_identity(device, changed, etag)
        )
        if written is None:
            raise StaleVersionError  # it is gone

    async def _call(self, hub: str, call: Call, gone: tuple[int, ...] = (404,)) -> Any:  # noqa: ANN401 - no types
        """The SDK's answer; None for the statuses that mean "not there". Hub names compare without case."""
        host = {name.lower(): host for name, host in self.hosts.items()}.get(hub.lower())
        if host is None:
            raise Misconfigured("the hub is not one of ours", cause=f"IOT_HUBS does not name {hub}")
        with telemetry.outside("IoT Hub", host):
            threads = self._threads_of(host)
            return await asyncio.get_running_loop().run_in_executor(threads, self._blocking, host, call, gone)

    def _threads_of(self, host: str) -> ThreadPoolExecutor:
        """Those of a hub, made at its first use. A hub that hangs holds a thread for _TIMEOUT at each try."""
        if host not in self._threads:
            self._threads[host] = ThreadPoolExecutor(_THREADS, thread_name_prefix=f"iot-hub-{host}")
        return self._threads[host]

    def _blocking(self, host: str, call: Call, gone: tuple[int, ...]) -> Any:  # noqa: ANN401 - the SDK ships no types
        from azure.core.exceptions import AzureError
        from msrest.exceptions import ClientException, HttpOperationError

        try:
            answer = call(self._registry(host))
        except HttpOperationError as error:
            if error.response.status_code in gone:
                return None
            raise _translated(host, error.response) from error
        except (ClientException, AzureError, OSError) as error:  # no answer, or no token
            raise Unavailable(_FAILS, retry_after=5, cause=f"{host}: {error!r}") from error
        return True if answer is None else answer

    def _registry(self, host: str) -> Any:  # noqa: ANN401 - the SDK ships no types
        """The SDK's client of a hub. Making it fetches a token, so it is made in a thread and kept."""
        from azure.iot.hub import IoTHubRegistryManager

        if host not in self._registries:
            made = IoTHubRegistryManager.from_token_credential(host, self.credential())
            made.protocol.config.connection.timeout = _TIMEOUT
            made.protocol.config.retry_policy.retries = _RETRIES
            # urllib3 would sleep in the thread for as long as the hub says; who called knows better what to do.
            made.protocol.config.retry_policy.policy.respect_retry_after_header = False
            self._registries[host] = made
        return self._registries[host]


def _document(found: HubIdentity) -> Any:  # noqa: ANN401 - the SDK ships no types
    return found.document


def _translated(host: str, response: Any) -> Exception:  # noqa: ANN401 - requests' or msrest's response
    """https://learn.microsoft.com/rest/api/iothub/common-error-codes."""
    status, code = response.status_code, response.headers.get("iothub-errorcode", "")
    cause = f"{host} answers {status} {code}".strip()
    if status == 412:
        return StaleVersionError()
    if status == 403 and "quota" in code.lower():  # 403002: the day's messages are used up
        return Unavailable(_FAILS, retry_after=600, cause=cause)
    if status in (401, 403):
        return Misconfigured("the service is not set up correctly", cause=cause)
    if 400 <= status < 500 and status not in _PASSING:
        return Misconfigured("a service that is needed refuses what it is asked", cause=cause)
    wait = response.headers.get("Retry-After", "")
    return Unavailable(_FAILS, retry_after=int(wait) if wait.isdecimal() else 15 if status == 429 else 5, cause=cause)
