"""Certificates that DPS or a hub shows and the ledger does not know: the queue `adopt` finds out what they are.

Neither DPS nor the hub's event waits for DigiCert ONE.
"""

import asyncio
from dataclasses import replace
from typing import Final

from shared.core.adoption import Seen
from shared.core.allocation import Allocation, Registration
from shared.core.errors import Unavailable
from shared.core.fleet import Snapshot
from shared.core.identity import DeviceId
from shared.core.profile import Label
from shared.core.rotation import Slots
from shared.flows.ports.hubs import HubIdentity
from shared.flows.ports.work import Work

# What DPS waits for the queue at most: it says nowhere for how long it waits for its answer.
QUEUE_SECONDS: Final = 1.0


async def shown_by_dps(
    work: Work, known: Snapshot, registration: Registration, label: Label, answer: Allocation
) -> Allocation:
    """The answer to DPS, which says what became of the certificate that the device has presented.

    A queue that fails refuses no device: the event DeviceCreated makes up for it, and where the hub has the device
    already, its next registration.
    """
    shown = registration.thumbprint
    if not shown or known.by_thumbprint(shown) is not None:
        return answer
    try:
        async with asyncio.timeout(QUEUE_SECONDS):
            await work.adopt(Seen(label, registration.device_id, shown, registration.certificate))
    except TimeoutError:
        return replace(answer, adoption="NotQueued", cause="the queue is too slow")
    except Unavailable as error:
        return replace(answer, adoption="NotQueued", cause=error.cause)
    return replace(answer, adoption="Queued")


async def shown_by_hub(work: Work, known: Snapshot, hub: str, device: DeviceId, found: HubIdentity | None) -> bool:
    """Whether the identity, if there is one, holds a thumbprint that the ledger does not know. Raises Unavailable."""
    held = Slots(found.primary, found.secondary).held if found else ()
    unknown = [one for one in held if known.by_thumbprint(one) is None]
    for thumbprint in unknown:
        await work.adopt(Seen("", device, thumbprint, hub=hub))
    return bool(unknown)
