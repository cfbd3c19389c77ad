"""Azure Resource Manager through Microsoft's SDK: the DPS resource, its CA certificates, and what has to be looked up.

The SDK for DPS sends the other look-ups too (`send_request`): three reads are no reason for two more packages.
"""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from azure.core import MatchConditions
from azure.core.exceptions import AzureError, HttpResponseError
from azure.core.rest import HttpRequest
from azure.mgmt.iothubprovisioningservices.aio import IotDpsClient
from azure.mgmt.iothubprovisioningservices.models import (
    CertificateProperties,
    CertificateResponse,
    IotHubDefinitionDescription,
    ProvisioningServiceDescription,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from infra.setup.decide import HeldCertificate, HeldLink, Identity, Link, link_by
from infra.setup.refused import AGAIN, ChangedMeanwhile, Refused, by_azure

ROLE: Final = "Contributor on the resource group"
CHANGE_SECONDS: Final = 900.0  # a DPS takes half a minute, now and then several, to change its links
HUBS_VERSION: Final = "2023-06-30"
WEB_VERSION: Final = "2025-05-01"
# A person waits: azure-core's ten retries with up to two minutes between them are too many.
PATIENCE: Final[dict[str, Any]] = {"retry_total": 4, "retry_backoff_max": 15, "polling_interval": 1}


@dataclass(frozen=True)
class Service:
    """The DPS as it is. `host` is its service host, empty while it is in transition."""

    host: str
    links: tuple[HeldLink, ...]
    identity: Identity
    active: bool
    description: ProvisioningServiceDescription


@dataclass(frozen=True)
class ControlPlane:
    """Names: `group` is the function app's resource group, `dps_group` the one of the DPS."""

    client: IotDpsClient
    subscription: str
    group: str
    dps: str
    dps_group: str

    async def service(self) -> Service:
        """Raises Refused, as all methods here."""
        async with _told(f"read the DPS {self.dps}", self._not_there("DPS", self.dps, self.dps_group)):
            found = await self.client.iot_dps_resource.get(**self._names)
        identity = found.identity
        kinds = str(identity["type"]) if identity else ""  # the text: the service writes pairs in more than one way
        return Service(
            host=found.properties.service_operations_host_name or "",
            links=tuple(HeldLink(_host(one), one.allocation_weight, _applies(one)) for one in _links(found)),
            identity=Identity("SystemAssigned" in kinds, tuple((identity and identity.user_assigned_identities) or ())),
            active=found.properties.state in (None, "Active"),
            description=found,
        )

    async def link(self, found: Service, changes: Sequence[Link], locations: dict[str, str]) -> None:
        """One write for all hubs, under the ETag of what was found; back when Azure has done it.

        Raises ChangedMeanwhile when the DPS is no longer as it was found. `locations` by host in lower case.
        """
        description = found.description
        there = {_host(one).lower(): one for one in _links(description)}
        for one in changes:
            entry = there.get(one.host.lower()) or self._new_link(one, locations[one.host.lower()], found.identity)
            entry.apply_allocation_policy, entry.allocation_weight = one.weight > 0, max(1, one.weight)
            there[one.host.lower()] = entry
        description.properties.iot_hubs = list(there.values())
        async with (
            _told("link hubs to the DPS", self._not_there("DPS", self.dps, self.dps_group)),
            asyncio.timeout(CHANGE_SECONDS),
        ):
            operation = await self.client.iot_dps_resource.begin_create_or_update(
                **self._names, iot_dps_description=description, headers={"If-Match": f'"{description.etag}"'}
            )
            await operation.result()

    async def certificates(self) -> tuple[HeldCertificate, ...]:
        async with _told("list the CA certificates of the DPS", self._not_there("DPS", self.dps, self.dps_group)):
            found = await self.client.dps_certificate.list(**self._names)
        held = ((one, one.properties) for one in found.value or () if one.properties)
        return tuple(
            HeldCertificate(one.name or "", told.thumbprint or "", bool(told.is_verified), one.etag or "")
            for one, told in held
        )

    async def upload(self, name: str, etag: str, certificate: x509.Certificate) -> bool:
        """Whether DPS holds the certificate as verified now. Raises ChangedMeanwhile."""
        pem = certificate.public_bytes(Encoding.PEM)
        wanted = CertificateResponse(properties=CertificateProperties(certificate=pem, is_verified=True))
        same = MatchConditions.IfNotModified if etag else None
        async with _told("upload a CA certificate to the DPS", self._not_there("DPS", self.dps, self.dps_group)):
            done = await self.client.dps_certificate.create_or_update(
                **self._names,
                certificate_name=name,
                certificate_description=wanted,
                etag=etag or None,
                match_condition=same,
            )
        return bool(done.properties and done.properties.is_verified)

    async def hub_locations(self) -> dict[str, str]:
        """The region of each IoT hub that the caller may see in the subscription, by host name in lower case."""
        found: dict[str, str] = {}
        path = f"/subscriptions/{self.subscription}/providers/Microsoft.Devices/IotHubs?api-version={HUBS_VERSION}"
        while path:
            page = await self._ask("GET", path, "list the IoT hubs of the subscription", _NO_SUBSCRIPTION)
            for one in page.get("value", ()):
                properties = one.get("properties") or {}
                hosts = (properties.get("hostName"), properties.get("deviceHostName"))
                found |= {str(host).lower(): str(one["location"]) for host in hosts if host}
            path = page.get("nextLink") or ""
        return found

    async def site_host(self, app: str) -> str:
        """The host name under which the function app answers."""
        absent = self._not_there("function app", app, self.group)
        site = await self._ask("GET", self._site(app), f"read the function app {app}", absent)
        return str(site["properties"]["defaultHostName"])

    async def function_key(self, app: str, function: str) -> str:
        """The key `default` of this function, which opens no other."""
        absent = Refused(
            f"the function app {app} has no function {function} yet",
            "Deploy the app first: azd deploy. Then run the command again.",
        )
        path = self._site(app, f"/functions/{quote(function)}/listkeys")
        keys = await self._ask("POST", path, f"read the key of the function {function}", absent)
        key = keys.get("default") or (keys.get("properties") or {}).get("default")
        if not key:
            raise Refused(
                f"the function {function} has no key named default",
                f"az functionapp function keys set --name {app} --resource-group {self.group} "
                f"--function-name {function} --key-name default, and run the command again.",
            )
        return str(key)

    def _new_link(self, wanted: Link, location: str, identity: Identity) -> IotHubDefinitionDescription:
        kind, user = link_by(identity, self.dps, self.dps_group)
        made = IotHubDefinitionDescription(location=location, host_name=wanted.host, authentication_type=kind)
        if user:
            made.selected_user_assigned_identity_resource_id = user
        return made

    @property
    def _names(self) -> dict[str, str]:
        """By keyword: the SDK's operations take the two in either order."""
        return {"resource_group_name": self.dps_group, "provisioning_service_name": self.dps}

    def _site(self, app: str, rest: str = "") -> str:
        base = f"/subscriptions/{self.subscription}/resourceGroups/{quote(self.group)}/providers/Microsoft.Web/sites"
        return f"{base}/{quote(app)}{rest}?api-version={WEB_VERSION}"

    async def _ask(self, method: str, path: str, doing: str, absent: Refused) -> dict[str, Any]:
        async with _told(doing, absent):
            response = await self.client.send_request(HttpRequest(method, path))
            response.raise_for_status()
        found: dict[str, Any] = response.json()
        return found

    def _not_there(self, what: str, name: str, group: str) -> Refused:
        return Refused(
            f"there is no {what} {name} in the resource group {group} of the subscription {self.subscription}",
            "Check --subscription, --resource-group and the name, or provision it first: azd provision.",
        )


_NO_SUBSCRIPTION: Final = Refused("there is no such subscription", "Check --subscription.")


@asynccontextmanager
async def _told(doing: str, absent: Refused) -> AsyncIterator[None]:
    """Azure's errors as refusals; `absent` for 404."""
    try:
        yield
    except TimeoutError as error:
        raise Refused(f"Azure has begun to {doing} and has not ended within {CHANGE_SECONDS:.0f} s", AGAIN) from error
    except HttpResponseError as error:
        if error.status_code == 404:
            raise absent from error
        error.message = _message(error)
        if error.status_code in (409, 412):
            raise ChangedMeanwhile(error.message) from error
        raise by_azure(error, doing, ROLE) from error
    except AzureError as error:
        raise by_azure(error, doing, ROLE) from error


def _message(error: HttpResponseError) -> str:
    """Resource Manager wraps its errors in `error`, Microsoft.Devices does not."""
    try:
        body = json.loads(error.response.text()) if error.response else {}
    except (ValueError, AttributeError):
        return error.message
    found = body.get("error", body) if isinstance(body, dict) else {}
    return f"{found.get('code', '')} {found.get('message', '')}".strip() or error.message


def _links(description: ProvisioningServiceDescription) -> list[IotHubDefinitionDescription]:
    return description.properties.iot_hubs or []


def _host(link: IotHubDefinitionDescription) -> str:
    """Links of before 2026 show the host as their name or in the connection string alone."""
    in_connection = re.match("HostName=([^;]+)", link.connection_string or "", re.IGNORECASE)
    return link.host_name or link.name or (in_connection[1] if in_connection else "")


def _applies(link: IotHubDefinitionDescription) -> bool:
    return link.apply_allocation_policy is not False
