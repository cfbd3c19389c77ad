"""Enrollment groups by the service API of DPS, through the app's own adapters."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from infra.setup.decide_group import GroupChange
from infra.setup.refused import AGAIN, ChangedMeanwhile, by_product
from shared.adapters.dps import DpsService, document, quoted
from shared.adapters.dps_groups import DpsGroups
from shared.core.errors import Misconfigured, Refusal
from shared.flows.ports.dps import Group
from shared.flows.ports.ledger import StaleVersionError

REMEDY: Final = (
    "If DPS says 401 or 403, you need the role Device Provisioning Service Data Contributor on the DPS; a role that "
    "was given just now counts after some minutes. Then run the command again."
)


@dataclass(frozen=True)
class EnrollmentGroups:
    """Both methods raise Refused."""

    service: DpsService

    async def read(self, name: str) -> Group | None:
        try:
            return await DpsGroups(self.service).read(name)
        except Refusal as refusal:
            raise by_product(refusal, f"read the enrollment group {name}", _remedy(refusal)) from refusal

    async def write(self, name: str, found: Group | None, change: GroupChange) -> None:
        """Under the ETag of what was found. Raises ChangedMeanwhile too.

        DPS has no condition for "nothing is there yet": what somebody made in this moment would be replaced.
        """
        headers = {} if found is None else {"If-Match": quoted(str(found.document["etag"]))}
        path = f"/enrollmentGroups/{quote(name, safe='')}"
        try:
            document(await self.service.send("PUT", path, headers, change.body))
        except StaleVersionError as error:
            raise ChangedMeanwhile(f"the enrollment group {name} was changed") from error
        except Refusal as refusal:
            raise by_product(refusal, f"write the enrollment group {name}", _remedy(refusal)) from refusal


def _remedy(refusal: Refusal) -> str:
    return REMEDY if isinstance(refusal, Misconfigured) else AGAIN
