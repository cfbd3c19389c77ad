"""The figures of docs/operations.md: the table is the tool's, and the tool's figures are what the flows do."""

import math
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from shared.adapters import ledger_index, ledger_rows
from shared.adapters.tables import Row
from shared.core.allocation import Registration
from shared.core.fleet import Claim, LedgerCertificate
from shared.core.identity import registration_key
from shared.flows.ports.index import Due
from tests.conftest import REPOSITORY
from tests.fakes.life import Flows, Post
from tests.fakes.revocation import FakeRevokedList
from tests.fakes.world import HUB_HOSTS, Fakes, fakes
from tests.flows.rotating import HUB, LINKED, Live
from tests.monitor.test_timers import minutes, schedules
from tools import sizing
from tools.sizing import Fleet, main, shown, table

OPERATIONS = REPOSITORY / "docs" / "operations.md"
# What each call of a port is for Table Storage. Index rows are written one by one: four for a certificate, one that
# says where events wait. Rows that name issuing CAs are the same for a day's certificates, and do not count.
TABLE_REQUESTS = {
    "ledger.load": 1,
    "ledger.claim": 1,
    "ledger.record": 1 + 4 + 1,
    "ledger.commit": 1,
    "schedule.add": 1,
    "schedule.drop": 1,
    "hints.drop": 2,
}
# The sweep looks for hints once for all devices, which is no cost of one.
OF_ALL = ("hints.unfinished", "watermarks.put", "chain.fetch")


async def renewed() -> tuple[Mapping[str, int], int]:
    """The calls of one renewal, and how many events it publishes; connections are counted apart."""
    world = fakes()
    post = Post(world, Flows(world, FakeRevokedList(world.calls, page_size=50)))
    device = world.device()
    first = (await world.birth(device)).issued
    there = Live(world, device, first)
    registers(world, there, first)
    await post.deliver()
    await post.app.sweep.run()
    world.calls.made.clear()
    published = len(world.topic.published)
    day = first.certificate.renewal_due(0.8)
    world.clock.set(day)
    due = Due(device.id, first.certificate.serial)
    await post.app.renew.nudge(due, day.date())
    await post.deliver()
    second = await there.renew()
    asked = Registration(device.id, "birthcert", LINKED, second.certificate.thumbprint, HUB_HOSTS[HUB])
    await world.provision.allocate(asked)
    registers(world, there, second)
    for seconds in (0, 16, 86_400 + 10):
        world.clock.forward(seconds=seconds)
        await post.deliver()
    await world.provision.dps_registered(device.id)
    await post.app.renew.nudge(due, day.date())
    await post.app.sweep.run()
    return Counter(world.calls.made), len(world.topic.published) - published


def registers(world: Fakes, there: Live, certificate: LedgerCertificate) -> None:
    """DPS writes into the hub by itself."""
    thumbprint = certificate.certificate.thumbprint
    world.hubs.put(HUB, there.device.id, thumbprint, thumbprint)
    world.enrollments.registrations[registration_key(there.device.id)] = HUB_HOSTS[HUB]


def about(stated: float, counted: float) -> bool:
    """A figure for planning may be off by a fifth; and by one, where it is small."""
    return math.isclose(stated, counted, rel_tol=0.2) or abs(stated - counted) <= 1


@pytest.mark.anyio
async def test_a_renewal_costs_what_the_tool_says() -> None:
    made, published = await renewed()
    requests = sum(TABLE_REQUESTS.get(name, 0) * count for name, count in made.items())
    hints = made["work.publish"]  # a commit with events writes a hint before
    assert about(sizing.TABLE_REQUESTS, requests + hints)
    registry = made["hubs.identity"] + made["hubs.put_thumbprints"]
    assert about(sizing.REGISTRY_OPERATIONS, registry + 1)
    assert about(sizing.TWIN_UPDATES, made["hubs.tag"] + made["hubs.desire"])
    assert about(sizing.DPS_OPERATIONS, made["enrollments.registration"] + 1)
    assert about(sizing.QUEUE_MESSAGES, made["work.settle"] + made["work.publish"] + 1)
    assert made["upstream.issue"] == sizing.ORDERS
    assert published == sizing.EVENTS_PUBLISHED
    counted = {*TABLE_REQUESTS, *OF_ALL, "announcements.publish", "upstream.issue"}
    assert {name for name in made if name.partition(".")[0] not in ("hubs", "work", "enrollments")} <= counted


@pytest.mark.anyio
async def test_a_connection_costs_what_the_tool_says() -> None:
    world = fakes()
    there = Live(world, world.device(), (await world.birth(world.device())).issued)
    registers(world, there, there.newest)
    await world.provision.device_created(HUB, there.device.id)
    world.calls.made.clear()
    await world.provision.device_connected(HUB, there.device.id, "01", world.clock(), connected=False)
    made = Counter(world.calls.made)
    assert sum(TABLE_REQUESTS.get(name, 0) * count for name, count in made.items()) == (
        sizing.TABLE_REQUESTS_OF_CONNECTION
    )


@pytest.mark.anyio
async def test_a_certificate_takes_the_room_that_the_tool_says() -> None:
    world = fakes()
    device = world.device()
    issued = (await world.birth(device)).issued
    made = issued.certificate
    claim = Claim("0" * 64, "issued", world.clock(), made.serial)
    rows = [ledger_rows.certificate_row(device.id, issued), ledger_rows.claim_row(device.id, claim)]
    rows += [row for _, row in ledger_index.certificate_rows(device.id, made, made.renewal_due(0.8).date())]
    assert about(sizing.CERTIFICATE_BYTES, sum(map(size, rows)) - len(made.der) + 1_000)


def size(row: Row) -> int:
    """Text has two bytes a character in Table Storage, and each property its name."""
    keys = 4 + 2 * (len(row["PartitionKey"]) + len(row["RowKey"]))
    others = {name: value for name, value in row.items() if name not in ("PartitionKey", "RowKey")}
    return keys + sum(8 + 2 * len(name) + _size(value) for name, value in others.items())


def _size(value: Any) -> int:  # noqa: ANN401 - a property of any type
    match value:
        case str():
            return 4 + 2 * len(value)
        case bytes():
            return 4 + len(value)
        case datetime():
            return 8
        case _:
            return 0


def test_timers_run_as_often_as_the_tool_says() -> None:
    assert sum(24 * 60 / minutes(schedule) for schedule in schedules().values()) == sizing.TIMERS_A_DAY


def test_an_instance_that_is_asked_all_the_time_works_all_day_and_no_longer() -> None:
    assert math.isclose(sizing.working(10), 10, rel_tol=0.001)
    assert math.isclose(sizing.working(1e9), 24 * 60 * 60)


def test_the_table_of_the_page_is_the_tools() -> None:
    """Run `python -m tools.sizing` after a change."""
    fleets = [Fleet(one) for one in (1_000, 100_000, 1_000_000)]
    assert table(fleets) in OPERATIONS.read_text(encoding="utf-8")


def test_ten_times_the_fleet_is_ten_times_the_renewals_and_half_the_lifetime_twice() -> None:
    small, large = Fleet(1_000), Fleet(10_000)
    assert math.isclose(large.renewals, 10 * small.renewals)
    assert math.isclose(Fleet(1_000, lifetime_days=45).renewals, 2 * small.renewals)
    assert math.isclose(small.renewals, 1_000 / 72)


def test_a_fleet_of_one_day_must_renew_in_the_time_between_renewal_point_and_end() -> None:
    """100,000 devices in a fifth of 90 days."""
    assert math.isclose(Fleet(100_000).at_once, 100_000 / (18 * 24 * 60))


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.01, "under 0.1"), (0.14, "0.1"), (3.86, "3.9"), (9.97, "10"), (42.4, "42"), (13_889, "14,000")],
)
def test_figures_are_round(value: float, text: str) -> None:
    assert shown(value) == text


def test_the_command_takes_a_fleet_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["5000", "--lifetime-days", "30", "--connections", "0"]) == 0
    assert capsys.readouterr().out == table([Fleet(5_000, 30.0, connections=0.0)])


@pytest.mark.parametrize("arguments", [["0"], ["5", "--lifetime-days", "0"], ["5", "--renewal-point", "1"]])
def test_a_fleet_that_cannot_be_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)


def test_the_readme_has_the_same_bill() -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for devices in (1_000, 100_000, 1_000_000):
        assert f"| {devices:,} | {shown(Fleet(devices).month)} |\n" in readme
