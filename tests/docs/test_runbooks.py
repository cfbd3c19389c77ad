"""What docs/operations.md has people do by hand does what it says."""

from pathlib import Path

import pytest

from shared.core.issuer import thumbprint
from shared.core.rotation import Slots
from tests.docs.test_configuration import example, loaded, within
from tests.flows.rolling import GROUP, a_world, issue, newest, served, slots


@pytest.mark.anyio
@pytest.mark.parametrize("row_is_deleted", [True, False])
async def test_a_compromised_ca_is_thrown_out_by_hand_and_does_not_come_back(row_is_deleted: bool) -> None:
    """Without the third step it would: it has living certificates."""
    world = a_world()
    await issue(world)
    bad = world.ca.hierarchy.ica.certificate
    await served(world)
    world.clock.forward(days=1)
    world.ca.roll()
    world.ca.announced.remove(bad)
    world.groups.make(GROUP, Slots(newest(world)))
    if row_is_deleted:
        del world.watermarks.values["chain-devices"]
    assert (bad in await served(world)) is not row_is_deleted
    await world.trust.run()
    assert slots(world) == (newest(world), "" if row_is_deleted else thumbprint(bad))


@pytest.mark.anyio
async def test_with_the_new_ca_in_both_slots_none_is_free_for_the_old_one() -> None:
    world = a_world()
    await issue(world)
    await served(world)
    world.clock.forward(days=1)
    world.ca.roll()
    world.groups.make(GROUP, Slots(newest(world), newest(world)))
    await world.trust.run()
    assert slots(world) == (newest(world), newest(world))


def test_est_can_be_closed_while_the_ledger_is_rebuilt(tmp_path: Path) -> None:
    content = example()
    authentication = within(content, "profiles.LABEL.authentication")
    authentication.clear()
    authentication |= {"one_time_passcodes": True, "issued_certificate": False}
    assert "one_time_passcodes=True" in loaded(tmp_path, content)
