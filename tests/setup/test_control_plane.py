"""The control plane over Microsoft's SDK: its answers become values, new tries, or refusals with their remedies."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from infra.setup.control_plane import ControlPlane
from infra.setup.decide import HeldLink, Identity, Link
from infra.setup.refused import ChangedMeanwhile, Refused
from sandbox.arm.state import DPS_NAME, RESOURCE_GROUP, SITE_NAME, SUBSCRIPTION, linked
from tests.sandbox.resource_manager import HIERARCHY, HUBS, Stage, play

type Steps = Callable[[Stage, ControlPlane], Awaitable[None]]

ROOT = HIERARCHY.root.certificate
LOCATIONS = dict.fromkeys(HUBS, "westeurope")
NEW = Link("hub-a", HUBS[0], 1, new=True)


@pytest.fixture
def on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Steps], None]:
    async def joined(stage: Stage, steps: Steps) -> None:
        await steps(stage, ControlPlane(stage.client, SUBSCRIPTION, RESOURCE_GROUP, DPS_NAME, RESOURCE_GROUP))

    return lambda steps: play(tmp_path, monkeypatch, lambda stage: joined(stage, steps))


def test_hubs_are_linked_in_one_write_by_the_identity_of_the_dps(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage, plane: ControlPlane) -> None:
        found = await plane.service()
        assert (found.links, found.identity, found.active) == ((), Identity(system=True), True)
        await plane.link(found, [NEW, Link("hub-b", HUBS[1], 0, new=True)], await plane.hub_locations())
        after = await plane.service()
        assert after.links == (HeldLink(HUBS[0], 1, applies=True), HeldLink(HUBS[1], 1, applies=False))
        assert [one["authenticationType"] for one in stage.state.links] == ["SystemAssigned"] * 2
        assert stage.writes() == [DPS_NAME]

    on(steps)


def test_a_link_of_before_keeps_its_key_when_its_weight_changes_and_another_comes(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage, plane: ControlPlane) -> None:
        masked = f"HostName={HUBS[0]};SharedAccessKeyName=owner;SharedAccessKey=****"
        old = linked(HUBS[0]) | {"authenticationType": "KeyBased", "connectionString": masked}
        del old["hostName"]  # as links of before 2026 are shown
        stage.state.link([old])
        found = await plane.service()
        assert found.links == (HeldLink(HUBS[0], 1, applies=True),)
        await plane.link(found, [Link("a", HUBS[0], 4, new=False), Link("b", HUBS[1], 1, new=True)], LOCATIONS)
        kept, added = stage.state.links
        assert (kept["authenticationType"], kept["connectionString"], kept["allocationWeight"]) == (
            "KeyBased",
            masked,
            4,
        )
        assert (added["name"], added["authenticationType"]) == (HUBS[1], "SystemAssigned")

    on(steps)


def test_a_dps_with_one_user_assigned_identity_links_by_that(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage, plane: ControlPlane) -> None:
        stage.state.identity = {"type": "UserAssigned", "userAssignedIdentities": {"/identities/dps": {}}}
        await plane.link(await plane.service(), [NEW], LOCATIONS)
        (link,) = stage.state.links
        assert link["authenticationType"] == "UserAssigned"
        assert link["selectedUserAssignedIdentityResourceId"] == "/identities/dps"

    on(steps)


def test_a_dps_that_was_changed_or_is_in_transition_is_to_be_read_again(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage, plane: ControlPlane) -> None:
        stale = await plane.service()
        stage.state.etag = "AAAAnew="
        with pytest.raises(ChangedMeanwhile, match="ETag does not match"):
            await plane.link(stale, [NEW], LOCATIONS)
        found = await plane.service()
        stage.state.transition = 60.0
        stage.state.begin()
        assert not (await plane.service()).active
        with pytest.raises(ChangedMeanwhile, match="Transitioning"):
            await plane.link(found, [NEW], LOCATIONS)

    on(steps)


def test_a_root_is_uploaded_as_verified_or_the_answer_says_that_it_is_not(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage, plane: ControlPlane) -> None:
        stage.state.takes_verified = False
        assert await plane.upload("root", "", ROOT) is False
        (held,) = await plane.certificates()
        assert (held.name, held.verified) == ("root", False)
        with pytest.raises(ChangedMeanwhile):
            await plane.upload("root", "", ROOT)
        stage.state.takes_verified = True
        assert await plane.upload("root", held.etag, ROOT) is True
        assert stage.state.dps.verified == {"root": ROOT}

    on(steps)


def test_the_app_is_found_and_its_key_once_it_is_deployed(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage, plane: ControlPlane) -> None:
        assert await plane.site_host(SITE_NAME) == "app.azurewebsites.net"
        with pytest.raises(Refused, match="no function allocation yet") as refused:
            await plane.function_key(SITE_NAME, "allocation")
        assert "azd deploy" in refused.value.remedy
        stage.state.site.deployed = True
        assert await plane.function_key(SITE_NAME, "allocation") == "the/key=="
        with pytest.raises(Refused, match="there is no function app other"):
            await plane.site_host("other")

    on(steps)


def test_refusals_of_azure_are_told_with_their_remedies(on: Callable[[Steps], None]) -> None:
    async def steps(stage: Stage, plane: ControlPlane) -> None:
        with pytest.raises(Refused, match="there is no DPS other in the resource group sandbox") as refused:
            await ControlPlane(stage.client, SUBSCRIPTION, RESOURCE_GROUP, "other", RESOURCE_GROUP).service()
        assert "azd provision" in refused.value.remedy
        stage.fault("forbidden")
        with pytest.raises(Refused, match=r"does not let us read the DPS.*AuthorizationFailed") as refused:
            await plane.service()
        assert "the role Contributor on the resource group" in refused.value.remedy
        stage.fault("throttle", times=9)
        with pytest.raises(Refused, match="Azure throttles us") as refused:
            await plane.certificates()
        assert "run the command again" in refused.value.remedy
        stage.world.faults.planned.clear()
        stage.fault("drop", times=9)
        with pytest.raises(Refused, match="does not answer when asked to list the IoT hubs"):
            await plane.hub_locations()

    on(steps)
