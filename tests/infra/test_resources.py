"""The settings of resources that security rests on, one by one."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

import pytest

from shared.core.events import DeviceConnection, DeviceCreated, DeviceDeleted, parse_event
from tests.conftest import REPOSITORY
from tests.infra.bicep import INFRA, read, text


def given(file: str, module: str, *names: str) -> str:
    bicep = read(INFRA / file)
    return bicep.value(bicep.of("module")[module].body, "params", *names)


@cache
def bindings() -> dict[str, list[dict[str, Any]]]:
    """Of each function, as the host is told; in a process of its own, because an app can be indexed once."""
    program = (
        "import json, function_app\n"
        "print(json.dumps({one.get_function_name(): [b.get_dict_repr() for b in one.get_bindings()]"
        " for one in function_app.app.get_functions()}, default=str))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, check=True, timeout=60)
    found: dict[str, list[dict[str, Any]]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("names", "value"),
    [
        (("clientCertEnabled",), "true"),
        (("clientCertMode",), "Optional"),
        (("clientCertExclusionPaths",), ""),  # one would end TLS 1.3 and large bodies
        (("httpsOnly",), "true"),
        (("siteConfig", "minTlsVersion"), "1.2"),
        (("siteConfig", "scmMinTlsVersion"), "1.2"),
        (("siteConfig", "ftpsState"), "Disabled"),
        (("functionAppConfig", "runtime", "version"), "3.13"),
        (("functionAppConfig", "deployment", "storage", "authentication", "type"), "UserAssignedIdentity"),
    ],
)
def test_the_site_is_closed_to_all_but_its_purpose(names: tuple[str, ...], value: str) -> None:
    assert given("app.bicep", "site", *names) == value


def test_both_plans_run_the_same_python() -> None:
    bicep = read(INFRA / "app.bicep")
    version = given("app.bicep", "site", "functionAppConfig", "runtime", "version")
    assert bicep.value(bicep.of("var")["premiumSite"].body, "linuxFxVersion") == f"PYTHON|{version}"


@pytest.mark.parametrize(
    ("file", "module", "name", "value"),
    [
        ("storage.bicep", "account", "allowSharedKeyAccess", "false"),
        ("storage.bicep", "account", "allowBlobPublicAccess", "false"),
        ("storage.bicep", "account", "minimumTlsVersion", "TLS1_2"),
        ("vault.bicep", "vault", "enableRbacAuthorization", "true"),
        ("vault.bicep", "vault", "enablePurgeProtection", "true"),
        ("observability.bicep", "insights", "disableLocalAuth", "true"),
        ("events.bicep", "topic", "disableLocalAuth", "true"),
        ("events.bicep", "topic", "inputSchema", "CloudEventSchemaV1_0"),
        ("iot/main.bicep", "hub", "disableLocalAuth", "true"),
        ("iot/main.bicep", "hub", "disableModuleSAS", "false"),  # no key of the hub, and IoT Edge has nothing else
        ("iot/main.bicep", "hub", "restrictOutboundNetworkAccess", "false"),  # else telemetry goes nowhere
        ("iot/dps-logs.bicep", "namespace", "disableLocalAuth", "false"),  # Azure Monitor sends by a key; see there
    ],
)
def test_keys_open_nothing(file: str, module: str, name: str, value: str) -> None:
    assert given(file, module, name) == value


OPEN: Final = "empty(endpointSubnetId) ? 'Enabled' : 'Disabled"
ACL: Final = "empty(endpointSubnetId) ? 'Allow' : 'Deny"


@pytest.mark.parametrize(
    ("file", "module", "names", "value"),
    [
        ("storage.bicep", "account", ("publicNetworkAccess",), OPEN),
        ("storage.bicep", "account", ("networkAcls", "defaultAction"), ACL),
        ("storage.bicep", "account", ("privateEndpoints",), "empty(endpointSubnetId) ? [] : endpoints"),
        ("vault.bicep", "vault", ("publicNetworkAccess",), "closed ? 'Disabled' : 'Enabled"),
        ("vault.bicep", "vault", ("networkAcls", "defaultAction"), ACL),
        ("vault.bicep", "vault", ("privateEndpoints",), "empty(endpointSubnetId) ? [] : [endpoint]"),
        ("events.bicep", "topic", ("publicNetworkAccess",), OPEN),
        ("events.bicep", "topic", ("privateEndpoints",), "empty(endpointSubnetId) ? [] : [endpoint]"),
        ("iot/dps-logs.bicep", "namespace", ("networkRuleSets",), "empty(endpointSubnetId) ? null : closed"),
        ("iot/dps-logs.bicep", "namespace", ("privateEndpoints",), "empty(endpointSubnetId) ? [] : [endpoint]"),
        ("app.bicep", "site", ("virtualNetworkSubnetResourceId",), "empty(subnetId) ? null : subnetId"),
        ("app.bicep", "site", ("publicNetworkAccess",), "Enabled"),  # devices, DPS and Event Grid call it
        ("iot/main.bicep", "hub", ("publicNetworkAccess",), "Enabled"),  # devices connect from anywhere
    ],
)
def test_with_a_private_network_nothing_that_holds_secrets_or_state_is_public(
    file: str, module: str, names: tuple[str, ...], value: str
) -> None:
    assert given(file, module, *names) == value


def test_a_private_vault_is_open_to_the_address_that_deploys_and_to_no_other() -> None:
    bicep = read(INFRA / "vault.bicep")
    assert text(bicep.of("var")["closed"].body) == "!empty(endpointSubnetId) && empty(deployerAddress)"
    rules = given("vault.bicep", "vault", "networkAcls", "ipRules")
    assert rules == "empty(deployerAddress) ? [] : [{ value: deployerAddress }]"


def test_the_event_hub_of_a_private_network_lets_in_azure_monitor_alone() -> None:
    bicep = read(INFRA / "iot/dps-logs.bicep")
    closed = bicep.of("var")["closed"].body
    assert bicep.value(closed, "publicNetworkAccess") == "Disabled"
    assert bicep.value(closed, "trustedServiceAccessEnabled") == "true"


@pytest.mark.parametrize("module", ["hostStorage", "ledger", "events", "vault", "iot"])
def test_each_of_them_is_told_of_the_private_network(module: str) -> None:
    main = read(INFRA / "main.bicep")
    assert main.value(main.of("module")[module].body, "params", "endpointSubnetId") == "endpointSubnetId"
    subnet = text(main.of("var")["endpointSubnetId"].body)
    assert subnet == "privateNetwork ? network!.outputs.endpointSubnetId : ''"


def test_the_dps_takes_no_keys_and_has_none_of_the_hubs() -> None:
    bicep = read(INFRA / "iot/dps.bicep")
    dps = bicep.of("resource")["dps"].body
    assert bicep.value(dps, "properties", "disableLocalAuth") == "true"
    assert bicep.value(dps, "properties", "iotHubs", "authenticationType") == "UserAssigned"


def test_dps_sends_what_the_app_reads() -> None:
    bicep = read(INFRA / "iot/dps-diagnostics.bicep")
    assert bicep.value(bicep.of("resource")["records"].body, "properties", "logs", "category") == "DeviceOperations"


def test_event_grid_delivers_what_the_app_understands_to_functions_that_exist() -> None:
    bicep = read(INFRA / "subscriptions/main.bicep")
    triggered = {name for name, found in bindings().items() if any(one["type"] == "eventGridTrigger" for one in found)}
    modules = {
        bicep.value(one.body, "params", "functionId").rpartition("/")[2]: one for one in bicep.of("module").values()
    }
    assert set(modules) == triggered == {"hub_events", "secret_renewed"}
    kinds = bicep.value(modules["hub_events"].body, "params", "eventTypes").replace("'", "").strip("[]").split()
    data = {
        "hubName": "hub",
        "deviceId": "device",
        "twin": {"deviceId": "device"},
        "deviceConnectionStateEventInfo": {"sequenceNumber": "1"},
    }
    parsed = [parse_event(kind, data, datetime(2026, 1, 1, tzinfo=UTC)) for kind in kinds]
    assert [type(one) for one in parsed] == [DeviceCreated, DeviceDeleted, DeviceConnection, DeviceConnection]


def test_what_cannot_be_delivered_is_kept() -> None:
    def said(*names: str) -> str:
        return given("subscriptions/subscription.bicep", "subscription", *names)

    assert (said("retryPolicy", "maxDeliveryAttempts"), said("retryPolicy", "eventTimeToLiveInMinutes")) == (
        "30",
        "1440",
    )
    kept = said("deadLetterWithResourceIdentity", "deadLetterDestination", "properties", "blobContainerName")
    main, roles = read(INFRA / "main.bicep"), read(INFRA / "roles.bicep")
    assert f"'{kept}'" in main.value(main.of("module")["hostStorage"].body, "params", "containers")
    assert roles.value(roles.of("resource")["deadLetterContainer"].body, "name") == kept


def test_a_direct_method_in_the_profiles_needs_its_role() -> None:
    """The shipped profiles name none, and so the default grants none."""
    shipped = (REPOSITORY / "profiles.toml").read_text(encoding="utf-8")
    assert 'direct_method = ""' in shipped
    default = read(INFRA / "main.bicep").of("param")["directMethods"].body
    assert default is not None
    assert default.text == b"false"
