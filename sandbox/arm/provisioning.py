"""The resource Microsoft.Devices/provisioningServices: read whole, written whole, and a while in transition after that.

https://learn.microsoft.com/rest/api/iot-dps/iot-dps-resource/create-or-update. The shapes of the answers, the header
`Azure-AsyncOperation` with its path and the numbers 400303 and 409301 are those of the service in 2023, as recorded by
Microsoft's CLI (github.com/Azure/azure-cli) and reported by users. No key is shown; one that comes back masked stays.
"""

import re
from typing import Final

from aiohttp import web

from sandbox.arm.errors import check_version, if_match, json_object, members, not_found, refusal
from sandbox.arm.state import DPS_NAME, LOCATION, RESOURCE_GROUP, SUBSCRIPTION, ArmState, Json, path

API_VERSION: Final = "2026-11-01"
BASE: Final = (
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/provisioningServices/{dps}"
)
OPERATIONS: Final = (
    "/subscriptions/{subscription}/providers/Microsoft.Devices/locations/{location}"
    "/provisioningserviceoperationresults/{operation}"
)
TOP: Final = {"location", "tags", "etag", "resourcegroup", "subscriptionid", "properties", "sku", "identity"}
PROPERTIES: Final = {
    "state",
    "publicNetworkAccess",
    "provisioningState",
    "iotHubs",
    "allocationPolicy",
    "enableDataResidency",
    "disableLocalAuth",
}
LINK: Final = {
    "applyAllocationPolicy",
    "allocationWeight",
    "hostName",
    "authenticationType",
    "selectedUserAssignedIdentityResourceId",
    "connectionString",
    "location",
}
MASKED: Final = "SharedAccessKey=****"


def routes(state: ArmState) -> list[web.RouteDef]:
    async def get(request: web.Request) -> web.Response:
        check_path(request)
        return web.json_response(shown(state))

    async def put(request: web.Request) -> web.Response:
        check_path(request)
        body = await json_object(request, TOP)
        if state.transitioning:
            text = "Invalid IotDpsState i.e. should be active/suspended, IotDpsState: Transitioning"
            raise refusal(409301, text)
        check_etags(state, if_match(request), body.get("etag"))
        properties = members(body.get("properties"), PROPERTIES, "properties")
        if body.get("location") != LOCATION or not body.get("sku"):
            raise refusal(400001, "location and sku are required, and the location cannot change.")
        state.identity = body.get("identity") or {"type": "None"}
        state.tags = body.get("tags") or {}
        state.link(read_links(state, properties.get("iotHubs") or []))
        operation = state.begin()
        state.dps.world.journal.write("Resource Manager", "hubs linked", hubs=[each["name"] for each in state.links])
        where = OPERATIONS.format(subscription=SUBSCRIPTION, location=LOCATION, operation=operation)
        url = f"https://{request.host}{where}?api-version={API_VERSION}&asyncinfo"
        return web.json_response(shown(state), status=201, headers={"Azure-AsyncOperation": url})

    async def result(request: web.Request) -> web.Response:
        check_version(request, API_VERSION)
        if request.match_info["operation"] not in state.operations:
            raise not_found("Devices/locations", "provisioningserviceoperationresults")
        return web.json_response({"status": "InProgress" if state.transitioning else "Succeeded"})

    return [web.get(BASE, get), web.put(BASE, put), web.get(OPERATIONS, result)]


def check_path(request: web.Request) -> None:
    """Names in paths are compared without case, as everywhere in Resource Manager."""
    check_version(request, API_VERSION)
    given = request.match_info
    for name, right in (("subscription", SUBSCRIPTION), ("group", RESOURCE_GROUP), ("dps", DPS_NAME)):
        if given[name].lower() != right.lower():
            raise not_found("Devices/provisioningServices", given["dps"])


def check_etags(state: ArmState, header: str | None, member: str | None) -> None:
    """The page wants the header where the body has a tag; what the service does with a stale one is (unsure)."""
    if any(given is not None and given not in {"*", state.etag} for given in (header, member)):
        raise refusal(412001, "The ETag does not match: the resource was changed since it was read.")


def read_links(state: ArmState, given: object) -> list[Json]:
    if not isinstance(given, list):
        raise refusal(400001, "iotHubs is no list.")
    links = [read_link(state, members(each, LINK, "a linked hub")) for each in given]
    names = [each["name"].lower() for each in links]
    if len(set(names)) != len(names):
        raise refusal(400303, "Cannot have duplicate iot hubs in description.")
    return links


def read_link(state: ArmState, given: Json) -> Json:
    """By the DPS's identity and the hub's host name, or by a connection string."""
    by = given.get("authenticationType") or "KeyBased"
    connection = str(given.get("connectionString") or "")
    host = str(given.get("hostName") or "")
    if by == "KeyBased":
        found = re.match(r"HostName=([^;]+);SharedAccessKeyName=[^;]+;SharedAccessKey=.+", connection)
        if found is None:
            raise refusal(400002, "connectionString is required when authenticationType is KeyBased.")
        host = found[1]
        if MASKED in connection and host.lower() not in {each["name"].lower() for each in state.links}:
            raise refusal(400002, "The connection string holds no key.")
        connection = re.sub("SharedAccessKey=.*", MASKED, connection)
    elif by not in str(state.identity["type"]):
        raise refusal(400002, f"The provisioning service has no identity for authenticationType {by}.")
    known = next((each for each in state.hubs if each.lower() == host.lower()), None)
    if known is None or not given.get("location"):
        raise refusal(400002, "hostName is not the one of an IoT hub, or location is missing.")
    shown_link = {"applyAllocationPolicy": True, "allocationWeight": 1} | given
    return shown_link | {"name": known, "hostName": known, "authenticationType": by, "connectionString": connection}


def shown(state: ArmState) -> Json:
    """A resource in transition shows no scope, as recorded."""
    busy = state.transitioning
    properties: Json = {
        "state": "Transitioning" if busy else "Active",
        "provisioningState": "Accepted" if busy else "Succeeded",
        "iotHubs": state.links,
        "allocationPolicy": "Hashed",
        "idScope": None if busy else state.dps.id_scope,
    }
    if not busy:
        properties["serviceOperationsHostName"] = state.service_host
        properties["deviceProvisioningHostName"] = state.service_host
    return {
        "etag": state.etag,
        "name": DPS_NAME,
        "location": LOCATION,
        "properties": properties,
        "resourcegroup": RESOURCE_GROUP,
        "type": "Microsoft.Devices/provisioningServices",
        "id": path(RESOURCE_GROUP, "Devices/provisioningServices", DPS_NAME),
        "subscriptionid": SUBSCRIPTION,
        "tags": state.tags,
        "sku": {"name": "S1", "tier": "Standard", "capacity": 1},
        "identity": state.identity,
    }
