"""The device's row and the last events in it."""

from shared.adapters import ledger_rows
from shared.core.fleet import MOST_RECENT, Device, RecentEvent
from shared.core.identity import DeviceId
from tests.fakes.clock import START

DEVICE = Device(DeviceId("dev-1"), "devices", START)
LONGEST = RecentEvent("decommissioned-" + "x" * 200, "decommissioned", START.replace(microsecond=1), "f" * 40)


def test_a_row_that_was_written_before_events_were_kept_has_none() -> None:
    row = ledger_rows.device_row(DEVICE, (LONGEST,))
    assert ledger_rows.recent(row) == (LONGEST,)
    del row["Recent"]
    assert ledger_rows.recent(row) == ()
    assert ledger_rows.device(row) == DEVICE


def test_the_last_events_take_far_less_than_a_property_may() -> None:
    """That is 64 KiB, with two bytes a character."""
    text = ledger_rows.device_row(DEVICE, [LONGEST] * MOST_RECENT)["Recent"]
    assert 2 * len(text) < 16 * 1024
