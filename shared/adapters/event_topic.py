"""The Event Grid topic of lifecycle events as CloudEvents 1.0: learn.microsoft.com/azure/event-grid/cloud-event-schema.

| `type`                                              | `subject`                   | `data`                        |
|-----------------------------------------------------|-----------------------------|-------------------------------|
| `Birthcert.Device.Issued`, `.Renewed`, `.Settled`, … | the device id               | `LifecycleEvent.data`, texts  |
| `Birthcert.Trust.Changed`                           | the enrollment group's name | slots before and after it     |

`source` is `/birthcert`. `id` is the same however often an event is sent: subscribers drop what they have seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, assert_never

from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError, ResourceNotFoundError
from azure.core.messaging import CloudEvent

from shared.core.errors import Misconfigured, Unavailable
from shared.core.issuer import TrustChanged
from shared.core.lifecycle import LifecycleEvent

if TYPE_CHECKING:
    from azure.eventgrid.aio import EventGridPublisherClient

SOURCE: Final = "/birthcert"

# A request may have 1 MB (learn.microsoft.com/azure/event-grid/quotas-limits); one event of ours is below 5 KB.
_BATCH: Final = 100

# What no repetition mends: a topic of another schema, no role on it, no such topic, a topic that takes no such request.
_OURS: Final = (400, 401, 403, 404, 405, 413, 415)


@dataclass(frozen=True)
class EventTopic:
    """Publishes at least once: when a batch fails, earlier ones have gone out, and all are sent again.

    `client` has a managed identity (role EventGrid Data Sender) and tries few times: the outbox keeps what fails.
    """

    client: "EventGridPublisherClient"

    async def publish(self, events: Sequence[LifecycleEvent | TrustChanged]) -> None:
        """Raises Unavailable, and Misconfigured where the topic refuses us."""
        for begin in range(0, len(events), _BATCH):
            try:
                await self.client.send([_cloud_event(event) for event in events[begin : begin + _BATCH]])
            except AzureError as error:
                raise _translated(error) from error


def _cloud_event(event: LifecycleEvent | TrustChanged) -> CloudEvent[dict[str, Any]]:
    match event:
        case LifecycleEvent(kind=kind, device_id=device):
            about, subject, data = f"Device.{kind.capitalize()}", str(device), dict(event.data)
        case TrustChanged(group=group):
            about, subject, data = "Trust.Changed", group, _trust(event)
        case _:
            assert_never(event)
    return CloudEvent(
        source=SOURCE, type=f"Birthcert.{about}", subject=subject, id=event.id, time=event.time, data=data
    )


def _trust(event: TrustChanged) -> dict[str, Any]:
    """Slots hold SHA-256 thumbprints of CA certificates, empty for an empty slot; CAs are told by their names."""
    return {
        "primary": event.after.primary,
        "secondary": event.after.secondary,
        "primary_before": event.before.primary,
        "secondary_before": event.before.secondary,
        "added": list(event.added),
        "removed": list(event.removed),
    }


def _translated(error: AzureError) -> Misconfigured | Unavailable:
    """SDK errors end here."""
    ours = isinstance(error, HttpResponseError) and error.status_code in _OURS
    if ours or isinstance(error, ClientAuthenticationError | ResourceNotFoundError):  # the SDK's own 404 has no status
        return Misconfigured("the service is not set up correctly", cause=f"the event topic refuses us: {error!r}")
    return Unavailable("a service that is needed does not answer", retry_after=5, cause=f"event topic: {error!r}")
