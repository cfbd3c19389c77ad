"""What a deployment looks up: which IoT hubs there are, under which host the function app answers, and with which key.

https://learn.microsoft.com/rest/api/iothub/iot-hub-resource/list-by-subscription,
https://learn.microsoft.com/rest/api/appservice/web-apps/get and .../web-apps/list-function-keys
"""

from typing import Final

from aiohttp import web

from sandbox.arm.errors import check_version, not_found
from sandbox.arm.state import LOCATION, RESOURCE_GROUP, SITE_NAME, SUBSCRIPTION, ArmState, Json, path

HUBS: Final = "/subscriptions/{subscription}/providers/Microsoft.Devices/IotHubs"
SITE: Final = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Web/sites/{site}"
HUBS_VERSION: Final = "2023-06-30"
WEB_VERSION: Final = "2025-05-01"


def routes(state: ArmState) -> list[web.RouteDef]:
    async def hubs(request: web.Request) -> web.Response:
        """Those that the caller may read, wherever in the subscription."""
        check_version(request, HUBS_VERSION)
        if request.match_info["subscription"] != SUBSCRIPTION:
            raise not_found("Resources/subscriptions", request.match_info["subscription"])
        return web.json_response({"value": [hub(name.name, host) for host, name in state.hubs.items()]})

    async def site(request: web.Request) -> web.Response:
        check_site(request)
        properties = {"state": "Running", "defaultHostName": state.site.host}
        where = path(RESOURCE_GROUP, "Web/sites", SITE_NAME)
        return web.json_response({"id": where, "name": SITE_NAME, "location": LOCATION, "properties": properties})

    async def keys(request: web.Request) -> web.Response:
        """A flat object, although its specification says StringDictionary. Before a deployment there is no function."""
        check_site(request)
        function = request.match_info["function"]
        if not state.site.deployed or function not in state.site.keys:
            raise not_found("Web/sites/functions", function)
        return web.json_response({"default": state.site.keys[function]})

    return [web.get(HUBS, hubs), web.get(SITE, site), web.post(f"{SITE}/functions/{{function}}/listkeys", keys)]


def check_site(request: web.Request) -> None:
    check_version(request, WEB_VERSION)
    given = request.match_info
    for name, right in (("subscription", SUBSCRIPTION), ("group", RESOURCE_GROUP), ("site", SITE_NAME)):
        if given[name].lower() != right.lower():
            raise not_found("Web/sites", given["site"])


def hub(name: str, host: str) -> Json:
    return {
        "id": path(RESOURCE_GROUP, "Devices/IotHubs", name),
        "name": name,
        "type": "Microsoft.Devices/IotHubs",
        "location": LOCATION,
        "properties": {"state": "Active", "provisioningState": "Succeeded", "hostName": host},
        "sku": {"name": "S1", "tier": "Standard", "capacity": 1},
    }
