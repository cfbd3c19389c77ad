"""The command line, and what azd's environment says where it is silent."""

from pathlib import Path

import pytest

from infra.setup.arguments import DEFAULT_PROFILES, parse

AZD = {
    "AZURE_SUBSCRIPTION_ID": "sub",
    "AZURE_RESOURCE_GROUP": "group",
    "AZURE_DPS_NAME": "dps",
    "AZURE_FUNCTION_APP_NAME": "app",
    "KEY_VAULT_URL": "https://vault.vault.azure.net/",
    "IOT_HUBS": "hub-1=one.azure-devices.net",
}


def test_an_azd_hook_needs_no_argument() -> None:
    options = parse([], AZD)
    assert (options.subscription, options.resource_group, options.dps) == ("sub", "group", "dps")
    assert (options.function_app, options.vault_url) == ("app", "https://vault.vault.azure.net")
    assert options.dps_group == "group"
    assert options.hub_hosts == {"hub-1": "one.azure-devices.net"}
    assert options.profiles == DEFAULT_PROFILES
    assert DEFAULT_PROFILES.is_file()
    assert (options.plan, options.secrets, options.host, options.check_enrollment) == (False, "", "", None)


def test_a_dps_of_before_may_be_in_another_resource_group() -> None:
    elsewhere = AZD | {"AZURE_DPS_RESOURCE_GROUP": "theirs"}
    assert (parse([], elsewhere).dps_group, parse([], elsewhere).resource_group) == ("theirs", "group")
    assert parse(["--dps-resource-group", "mine"], elsewhere).dps_group == "mine"


def test_an_argument_goes_before_the_environment() -> None:
    given = [
        "--dps",
        "mine",
        "--hub",
        "a=a.net",
        "--hub",
        "b=b.net",
        "--profiles",
        "own.toml",
        "--host",
        "https://est.me/",
    ]
    options = parse(given, AZD | {"PROFILES_PATH": "theirs.toml"})
    assert options.dps == "mine"
    assert options.hub_hosts == {"a": "a.net", "b": "b.net"}
    assert options.profiles == Path("own.toml")
    assert options.host == "est.me"
    assert parse([], AZD | {"PROFILES_PATH": "theirs.toml"}).profiles == Path("theirs.toml")


def test_the_check_of_an_enrollment_is_asked_for_with_and_without_a_file() -> None:
    assert parse(["--check-enrollment"], AZD).check_enrollment == ""
    assert parse(["--check-enrollment", "passcode"], AZD).check_enrollment == "passcode"


@pytest.mark.parametrize(
    ("arguments", "lacks", "said"),
    [
        ([], "AZURE_SUBSCRIPTION_ID", "--subscription is missing, and AZURE_SUBSCRIPTION_ID is not set"),
        ([], "IOT_HUBS", "IOT_HUBS: must name at least one hub"),
        (["--hub", "no-host"], "", "is not name=host"),
        (["--vault-url", "http://vault"], "", "--vault-url is no https:// address"),
        (["--secret", "value"], "", "unrecognized arguments"),
        (["--nonsense"], "", "unrecognized arguments"),
    ],
)
def test_a_wrong_usage_ends_with_status_2(
    arguments: list[str], lacks: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(arguments, {name: value for name, value in AZD.items() if name != lacks})
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
