"""The app settings in Bicep are those that the code, the triggers and host.json read: none is missing, none is idle."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import pytest

from shared.core.errors import Misconfigured
from shared.settings import Monitoring, Settings
from tests.conftest import REPOSITORY
from tests.infra.bicep import INFRA, read
from tests.infra.test_resources import bindings

# What code reads, and a deployment has no use for.
NOT_SET: Final = {"PROFILES_PATH": "profiles.toml is part of the package"}

# learn.microsoft.com/azure/azure-functions/functions-app-settings
HOST: Final = {
    "AzureWebJobsStorage__blobServiceUri": "leases, function keys, checkpoints",
    "AzureWebJobsStorage__credential": "by identity",
    "AzureWebJobsStorage__clientId": "by which one",
    "AzureWebJobsDisableHomepage": "GET / shows nothing",
    "PYTHON_ENABLE_OPENTELEMETRY": "host.json says telemetryMode OpenTelemetry",
}
# What docs/operations.md says may be put there.
MAY_BE: Final = {"OTEL_TRACES_SAMPLER", "OTEL_TRACES_SAMPLER_ARG"}
PREMIUM: Final = {
    "FUNCTIONS_EXTENSION_VERSION": "Flex has it built in",
    "FUNCTIONS_WORKER_RUNTIME": "Flex has it in functionAppConfig",
    "ENABLE_ORYX_BUILD": "Flex builds without",
    "SCM_DO_BUILD_DURING_DEPLOYMENT": "Flex builds without",
}
# learn.microsoft.com/azure/azure-functions/functions-reference#common-properties-for-identity-based-connections
ADDRESSES: Final = {
    "queueTrigger": "queueServiceUri",
    "queue": "queueServiceUri",
    "eventHubTrigger": "fullyQualifiedNamespace",
}
BY_IDENTITY: Final = ("credential", "clientId")


class Noting(Mapping[str, str]):
    """An environment that is empty and remembers what it was asked for."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


def read_by_code() -> set[str]:
    environment = Noting()
    with pytest.raises(Misconfigured):
        Settings.from_environment(environment)
    Monitoring.from_environment(environment)
    return environment.asked


def read_by_triggers() -> set[str]:
    found = set()
    for one in (one for every in bindings().values() for one in every):
        if "connection" in one:
            found |= {f"{one['connection']}__{end}" for end in (ADDRESSES[one["type"]], *BY_IDENTITY)}
        found |= set(re.findall(r"%(\w+)%", " ".join(map(str, one.values()))))
    return found


def in_bicep(*variables: str) -> set[str]:
    bicep = read(INFRA / "app.bicep")
    return {name for variable in variables for name, _ in bicep.properties(bicep.of("var")[variable].body)}


def test_the_settings_in_bicep_are_those_that_are_read() -> None:
    host_json = set(re.findall(r"%(\w+)%", (REPOSITORY / "host.json").read_text(encoding="utf-8")))
    wanted = read_by_code() | read_by_triggers() | host_json | set(HOST)
    assert in_bicep("ownSettings", "connectionSettings", "hostSettings") - MAY_BE == wanted - set(NOT_SET)
    assert set(NOT_SET) <= wanted


def test_only_a_premium_plan_gets_what_flex_refuses() -> None:
    bicep = read(INFRA / "app.bicep")
    assert in_bicep("premiumSettings") == set(PREMIUM)
    union = bicep.value(bicep.of("var")["appSettings"].body, "properties")
    assert union == ("union(ownSettings, connectionSettings, hostSettings, plan == 'Premium' ? premiumSettings : {})")


def test_settings_that_nobody_wrote_here_do_not_stay() -> None:
    bicep = read(INFRA / "app.bicep")
    assert bicep.value(bicep.of("var")["appSettings"].body, "retainCurrentAppSettings") == "false"


def test_the_header_that_names_an_operator_counts_exactly_where_app_service_signs_in() -> None:
    """A forged one would be believed otherwise."""
    bicep = read(INFRA / "app.bicep")
    said = bicep.value(bicep.of("var")["ownSettings"].body, "PLATFORM_AUTHENTICATES")
    assert said == "empty(operatorsClientId) ? 'false' : 'true"
    site = bicep.of("module")["site"].body
    assert bicep.value(site, "params", "configs") == (
        "empty(operatorsClientId) ? [appSettings] : [appSettings, operatorsSignIn]"
    )


def test_no_client_certificate_is_trusted_unless_somebody_says_so() -> None:
    default = read(INFRA / "main.bicep").of("param")["clientCertificateHeader"].body
    assert default is not None
    assert default.text == b"''"
