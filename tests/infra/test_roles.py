"""The app's identity may do what the code does, and nothing else: calls of SDKs here, role assignments in Bicep there.

A new client of an SDK, a new call of one, a role that is missing, and a role that no call needs: each fails here.
"""

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from tests.conftest import REPOSITORY
from tests.infra.bicep import FILES, INFRA, read

ADAPTERS: Final = sorted((REPOSITORY / "shared").rglob("*.py"))

# What speaks to Azure. The second of each IoT Hub pair is reached through the first.
CLIENTS: Final = {
    ("azure.data.tables.aio", "TableServiceClient"),
    ("azure.data.tables.aio", "TableClient"),
    ("azure.storage.queue.aio", "QueueServiceClient"),
    ("azure.storage.queue.aio", "QueueClient"),
    ("azure.storage.blob.aio", "BlobServiceClient"),
    ("azure.storage.blob.aio", "BlobClient"),
    ("azure.keyvault.secrets.aio", "SecretClient"),
    ("azure.eventgrid.aio", "EventGridPublisherClient"),
    ("azure.iot.hub", "IoTHubRegistryManager"),
}
BENEATH: Final = {("azure.iot.hub.protocol.operations", "DevicesOperations")}

TABLES: Final = "Microsoft.Storage/storageAccounts/tableServices/tables"
QUEUES: Final = "Microsoft.Storage/storageAccounts/queueServices/queues"
BLOBS: Final = "Microsoft.Storage/storageAccounts/blobServices/containers"
HUBS: Final = "Microsoft.Devices/IotHubs"
DPS: Final = "Microsoft.Devices/provisioningServices"
SEND: Final = "Microsoft.EventGrid/events/send/action"

# Each call with the permission that it takes: learn.microsoft.com/rest/api/storageservices/authorize-with-azure-active-
# directory, /azure/iot-hub/authenticate-authorize-azure-ad, /azure/key-vault/general/rbac-guide, /azure/event-grid/
# security-authorization. Nothing for calls that stay in the process.
CALLS: Final = {
    "create_table_if_not_exists": f"{TABLES}/write",
    "get_entity": f"{TABLES}/entities/read",
    "query_entities": f"{TABLES}/entities/read",
    "create_entity": f"{TABLES}/entities/write",
    "update_entity": f"{TABLES}/entities/write",
    "upsert_entity": f"{TABLES}/entities/write",
    "submit_transaction": f"{TABLES}/entities/write",
    "delete_entity": f"{TABLES}/entities/delete",
    "get_table_client": "",
    "create_queue": f"{QUEUES}/write",
    "get_queue_properties": f"{QUEUES}/read",
    "send_message": f"{QUEUES}/messages/write",
    "peek_messages": f"{QUEUES}/messages/read",
    "receive_messages": f"{QUEUES}/messages/process/action",
    "delete_message": f"{QUEUES}/messages/delete",
    "get_queue_client": "",
    "create_container": f"{BLOBS}/write",
    "upload_blob": f"{BLOBS}/blobs/write",
    "stage_block": f"{BLOBS}/blobs/write",
    "commit_block_list": f"{BLOBS}/blobs/write",
    "get_block_list": f"{BLOBS}/blobs/read",
    "get_blob_properties": f"{BLOBS}/blobs/read",
    "download_blob": f"{BLOBS}/blobs/read",
    "get_blob_client": "",
    "get_secret": "Microsoft.KeyVault/vaults/secrets/getSecret/action",
    "send": SEND,
    "get_device": f"{HUBS}/devices/read",
    "create_or_update_identity": f"{HUBS}/devices/write",
    "delete_device": f"{HUBS}/devices/delete",
    "get_twin": f"{HUBS}/twins/read",
    "update_twin": f"{HUBS}/twins/write",
    "invoke_device_method": f"{HUBS}/directMethods/invoke/action",
    "from_token_credential": "",
}
# DPS has no SDK: the paths of its service API, in the adapters that speak it.
PATHS: Final = {
    "enrollments": f"{DPS}/enrollments/write",
    "enrollmentGroups": f"{DPS}/enrollmentGroups/write",
    "registrations": f"{DPS}/registrationStates/read",
}
# What the Functions host does with the same identity, in our name.
HOST: Final = {
    "hostStorage": {f"{BLOBS}/blobs/write"},  # package, keys, leases, checkpoints
    "ledger": {f"{QUEUES}/messages/process/action"},  # queue triggers
    "eventHubs::dpsLogs": {"Microsoft.EventHub/namespaces/eventhubs/messages/receive/action"},
    "insights": {"Microsoft.Insights/Telemetry/Write"},
}

# learn.microsoft.com/azure/role-based-access-control/built-in-roles
GRANTS: Final = {
    "Azure Event Hubs Data Receiver": {"Microsoft.EventHub/*/receive/action"},
    "Device Provisioning Service Data Contributor": {f"{DPS}/*"},
    "EventGrid Data Sender": {SEND},
    "IoT Hub Data Contributor": {f"{HUBS}/*"},
    "IoT Hub Registry Contributor": {f"{HUBS}/devices/*"},
    "IoT Hub Twin Contributor": {f"{HUBS}/twins/*"},
    "Key Vault Secrets User": {
        "Microsoft.KeyVault/vaults/secrets/getSecret/action",
        "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
    },
    "Monitoring Metrics Publisher": {"Microsoft.Insights/Metrics/Write", "Microsoft.Insights/Telemetry/Write"},
    "Storage Blob Data Contributor": {f"{BLOBS}/*"},
    "Storage Blob Data Owner": {f"{BLOBS}/*"},
    "Storage Queue Data Contributor": {f"{QUEUES}/*"},
    "Storage Table Data Contributor": {f"{TABLES}/*"},
}

# Who else is given a role: on what, and which.
OTHERS: Final = {
    ("deliveryPrincipalId", "hostStorage::blobs::deadLetterContainer", "Storage Blob Data Contributor"),
    ("linkPrincipalId", "hub", "IoT Hub Data Contributor"),
    ("deployerId", "vault", "Key Vault Secrets Officer"),
    ("deployerId", "dps", "Device Provisioning Service Data Contributor"),
}


def imported() -> set[tuple[str, str]]:
    """Clients of Azure's SDKs that any of our modules imports."""
    found = set()
    for path in ADAPTERS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("azure."):
                names = (
                    name.name for name in node.names if re.search(r"(Client|Manager|Consumer|Producer)$", name.name)
                )
                found |= {(node.module or "", name) for name in names}
    return found


def called() -> set[str]:
    """Methods of those clients that our modules call. `send` is HTTP's word too: of Event Grid it is in one module."""
    methods = {
        name
        for module, client in CLIENTS | BENEATH
        for name, _ in inspect.getmembers(getattr(importlib.import_module(module), client), callable)
        if not name.startswith("_")
    } - {"close"}
    found = set()
    for path in ADAPTERS:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods:
                found |= {node.func.attr} - ({"send"} if path.name != "event_topic.py" else set())
    return found


def dps_paths() -> set[str]:
    sources = (path.read_text(encoding="utf-8") for path in ADAPTERS if path.name.startswith("dps"))
    return {name for source in sources for name in re.findall(r'f?"/(\w+)/?[{"]', source)}


def assigned() -> Iterator[tuple[str, str, str, str]]:
    """Principal, scope, role and condition of each role assignment in Bicep."""
    for path in FILES:
        bicep = read(path)
        for one in bicep.of("resource").values():
            if one.target.startswith("Microsoft.Authorization/roleAssignments@"):
                role = re.search(r"roles\['([^']+)'\]", bicep.value(one.body, "properties", "roleDefinitionId"))
                assert role, f"{path.name}: {one.name}"
                condition = re.search(r"= if \((.*)\) \{", (one.node.text or b"").decode())
                who = bicep.value(one.body, "properties", "principalId")
                yield who, bicep.value(one.body, "scope"), role[1], condition[1] if condition else ""


def needed() -> dict[str, set[str]]:
    """The permissions that the app needs on each scope."""
    of = {TABLES: "ledger", QUEUES: "ledger", BLOBS: "ledger", HUBS: "hub", DPS: "dps"}
    of |= {"Microsoft.KeyVault": "vault", "Microsoft.EventGrid": "topic"}
    found = {scope: set(actions) for scope, actions in HOST.items()}
    for action in filter(None, (CALLS | PATHS).values()):
        scope = next(scope for begin, scope in of.items() if action.startswith(begin))
        found.setdefault(scope, set()).add(action)
    return found


def granted(roles: set[str], action: str) -> bool:
    return any(fnmatchcase(action, pattern) for role in roles for pattern in GRANTS[role])


def on(scope: str, *, methods: bool) -> set[str]:
    """Roles of the app's identity there, with direct methods in the profiles or without."""
    without = {"", "!directMethods"}
    conditions = {"", "directMethods"} if methods else without
    return {
        role for who, where, role, if_ in assigned() if (who, where) == ("principalId", scope) and if_ in conditions
    }


def test_every_client_of_an_sdk_is_known_here() -> None:
    assert imported() == CLIENTS


def test_every_call_of_an_sdk_is_known_here() -> None:
    assert called() == set(CALLS)
    assert dps_paths() == set(PATHS)


def test_every_call_is_allowed_where_profiles_name_a_direct_method() -> None:
    for scope, actions in needed().items():
        missing = {action for action in actions if not granted(on(scope, methods=True), action)}
        assert missing == set(), scope


def test_without_direct_methods_calling_one_is_all_that_is_not_allowed() -> None:
    missing = {
        action
        for scope, actions in needed().items()
        for action in actions
        if not granted(on(scope, methods=False), action)
    }
    assert missing == {CALLS["invoke_device_method"]}


def test_no_role_is_given_that_no_call_needs() -> None:
    for scope, actions in needed().items():
        for methods in (True, False):
            roles = on(scope, methods=methods)
            for role in roles:
                assert any(granted({role}, one) and not granted(roles - {role}, one) for one in actions), (scope, role)
    assert {where for who, where, _, _ in assigned() if who == "principalId"} == set(needed())


def test_who_else_is_given_a_role_is_known_here() -> None:
    assert {(who, scope, role) for who, scope, role, _ in assigned() if who != "principalId"} == OTHERS


def test_every_role_says_why_and_exists() -> None:
    ids = json.loads((INFRA / "roles.json").read_text(encoding="utf-8"))
    assert set(ids) == {role for _, _, role, _ in assigned()}
    assert all(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", one) for one in ids.values())
    for path in (INFRA / "roles.bicep", INFRA / "iot/hub-access.bicep", INFRA / "iot/dps-access.bicep"):
        bicep = read(path)
        for one in bicep.of("resource").values():
            if not one.existing:
                assert len(bicep.value(one.body, "properties", "description").split()) >= 3, one.name
                assert bicep.value(one.body, "scope"), one.name


def test_no_role_reaches_beyond_the_data_plane() -> None:
    """Names of Azure's roles for managing resources, which none of ours is."""
    management = re.compile(r"^(Owner|Contributor|Reader|.* Administrator|.*Account Contributor|Website Contributor)$")
    assert not [role for _, _, role, _ in assigned() if management.match(role)]


def test_bicep_of_microsoft_gives_no_roles_of_its_own() -> None:
    for path in FILES:
        bicep = read(path)
        for module in bicep.of("module").values():
            assert "params.roleAssignments" not in set(bicep.paths(module.body)), Path(path).name
