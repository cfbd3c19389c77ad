"""`python -m tools.sizing`: what a fleet asks of DPS, IoT Hub, storage and DigiCert ONE, and what drives the bill.

docs/operations.md holds the table of three fleets and says how each line is computed. What one renewal costs is counted
by tests/docs/test_sizing.py over the flows themselves; prices are list prices in US dollars, and old before long.
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

# One renewal of a device of an enrollment group that is asked to renew, does so, registers again and connects again.
ORDERS: Final = 1
DPS_OPERATIONS: Final = 2  # its registration, and our look at that
REGISTRY_OPERATIONS: Final = 5  # three looks and a write of ours, and DPS's write
# Of those so many fall into the minute in which it renews, and the rest a day later.
REGISTRY_AT_ONCE: Final = 4
TWIN_UPDATES: Final = 3  # the desired property, and the tags twice
TABLE_REQUESTS: Final = 32
QUEUE_MESSAGES: Final = 5
EVENTS_PUBLISHED: Final = 3  # Nudged, Renewed, Settled
LOG_LINES: Final = 10
EXECUTIONS: Final = 3 + QUEUE_MESSAGES  # the order, the webhook, the record of DPS
# A connection that begins or ends: one event of the hub, one look and one write in the ledger, one line in the log.
TABLE_REQUESTS_OF_CONNECTION: Final = 2
# What stays in the tables for good of each certificate of 1,000 bytes: its row, its claim, four index rows.
CERTIFICATE_BYTES: Final = 3_000
TIMERS_A_DAY: Final = 912
CENSUS_A_DAY: Final = 4
CENSUS_PAGE: Final = 1_000
LINE_BYTES: Final = 1_500
# The host's own record of each execution, beside what the app logs.
HOST_LINES: Final = 1

# learn.microsoft.com/azure/iot-hub/iot-hub-devguide-quotas-throttling, …/azure/iot-dps/about-iot-dps
REGISTRY_A_MINUTE_AND_UNIT: Final = 100  # S1 and S2
DEVICES_OF_A_HUB: Final = 1_000_000
REGISTRATIONS_OF_A_DPS: Final = 1_000_000
REGISTRATIONS_A_MINUTE: Final = 1_000

# One warm instance of Flex 20, a throughput unit of Event Hubs 22, storage and Key Vault 5: infra/README.md.
FIXED_MONTH: Final = 47
DPS_THOUSAND: Final = 0.12
EVENT_GRID_MILLION: Final = 0.60
LOG_GIGABYTE: Final = 2.80
EXECUTIONS_MILLION: Final = 0.40
# On Flex each function but HTTP has instances of its own, and an instance is billed while it works, for a second at
# least; the waiting one costs less while it works (learn.microsoft.com/azure/azure-functions/flex-consumption-plan).
GIGABYTES: Final = 2
ON_DEMAND_SECOND: Final = 0.000026 * GIGABYTES
WARM_SECOND: Final = 0.000016 * GIGABYTES
HTTP_SECONDS: Final = 3  # of one renewal: the order, which DigiCert ONE answers in about two, and the webhook
QUEUES_IN_USE: Final = 3  # nudge, settle, publish
_MINUTES: Final = 24 * 60
_SECONDS: Final = _MINUTES * 60
_MONTH: Final = 30


@dataclass(frozen=True)
class Fleet:
    """`renewal_point` is a share of the lifetime; `connections` are beginnings and ends together, a device and day."""

    devices: int
    lifetime_days: float = 90.0
    renewal_point: float = 0.8
    connections: float = 2.0

    @property
    def renewals(self) -> float:
        """A day, on average."""
        return self.devices / (self.lifetime_days * self.renewal_point)

    @property
    def at_once(self) -> float:
        """Devices a minute, where all were born on one day and have until the end of their certificates."""
        return self.devices / (self.lifetime_days * (1 - self.renewal_point) * _MINUTES)

    @property
    def connection_events(self) -> float:
        return self.devices * self.connections

    @property
    def executions(self) -> float:
        return self.renewals * EXECUTIONS + self.connection_events + TIMERS_A_DAY

    @property
    def log_lines(self) -> float:
        return self.renewals * LOG_LINES + self.connection_events + self.executions * HOST_LINES

    @property
    def table_requests(self) -> float:
        census = CENSUS_A_DAY * math.ceil(self.devices / CENSUS_PAGE)
        return self.renewals * TABLE_REQUESTS + self.connection_events * TABLE_REQUESTS_OF_CONNECTION + census

    @property
    def dps_month(self) -> float:
        return self.renewals * DPS_OPERATIONS * _MONTH / 1_000 * DPS_THOUSAND

    @property
    def event_grid_month(self) -> float:
        events = self.renewals * EVENTS_PUBLISHED + self.connection_events
        return events * _MONTH / 1e6 * EVENT_GRID_MILLION

    @property
    def log_month(self) -> float:
        return self.log_lines * _MONTH * LINE_BYTES / 1e9 * LOG_GIGABYTE

    @property
    def functions_month(self) -> float:
        """On Flex, beside the instance that waits; without the free grants, which are worth 2.70 $."""
        queues = QUEUES_IN_USE * working(self.renewals * QUEUE_MESSAGES / QUEUES_IN_USE)
        on_demand = working(self.connection_events) + queues + working(self.renewals) + TIMERS_A_DAY
        day = on_demand * ON_DEMAND_SECOND + working(self.renewals * HTTP_SECONDS) * WARM_SECOND
        return (day + self.executions / 1e6 * EXECUTIONS_MILLION) * _MONTH

    @property
    def month(self) -> float:
        """Without hubs, which are there for the devices' messages, and without DigiCert ONE."""
        return FIXED_MONTH + self.functions_month + self.dps_month + self.event_grid_month + self.log_month


def working(seconds: float) -> float:
    """Seconds of a day in which at least one of so many is at work, when they come at any time."""
    return _SECONDS * (1 - math.exp(-seconds / _SECONDS))


type Line = tuple[str, Callable[[Fleet], float]]

LINES: Final[tuple[Line, ...]] = (
    ("Renewals a day", lambda fleet: fleet.renewals),
    ("Certificates that DigiCert ONE issues a year", lambda fleet: fleet.renewals * ORDERS * 365),
    ("DPS operations a day", lambda fleet: fleet.renewals * DPS_OPERATIONS),
    ("Hub registry operations a day", lambda fleet: fleet.renewals * REGISTRY_OPERATIONS),
    ("Twin updates a day", lambda fleet: fleet.renewals * TWIN_UPDATES),
    ("Table requests a day", lambda fleet: fleet.table_requests),
    ("Queue messages a day", lambda fleet: fleet.renewals * QUEUE_MESSAGES),
    ("Events published a day", lambda fleet: fleet.renewals * EVENTS_PUBLISHED),
    ("Events of the hubs a day", lambda fleet: fleet.connection_events),
    ("Executions of functions a day", lambda fleet: fleet.executions),
    ("Ledger, GB more a year", lambda fleet: fleet.renewals * 365 * CERTIFICATE_BYTES / 1e9),
    ("If all were born on one day: devices to renew a minute", lambda fleet: fleet.at_once),
    (
        "… and units of S1 that this takes, all hubs together",
        lambda fleet: math.ceil(fleet.at_once * REGISTRY_AT_ONCE / REGISTRY_A_MINUTE_AND_UNIT),
    ),
    ("Hubs, at least", lambda fleet: math.ceil(fleet.devices / DEVICES_OF_A_HUB)),
    ("DPS instances, at least", lambda fleet: math.ceil(fleet.devices / REGISTRATIONS_OF_A_DPS)),
    ("Functions beside the waiting instance, $ a month", lambda fleet: fleet.functions_month),
    ("DPS, $ a month", lambda fleet: fleet.dps_month),
    ("Event Grid, $ a month", lambda fleet: fleet.event_grid_month),
    ("Logs, $ a month", lambda fleet: fleet.log_month),
    ("With all that every deployment has, $ a month", lambda fleet: fleet.month),
)


def table(fleets: Sequence[Fleet]) -> str:
    """Markdown: a line for each figure, a column for each fleet."""
    rows = [
        ["Devices", *(f"{fleet.devices:,}" for fleet in fleets)],
        ["---", *("---:" for _ in fleets)],
        *([name, *(shown(figure(fleet)) for fleet in fleets)] for name, figure in LINES),
    ]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def shown(value: float) -> str:
    """Two digits that count are more than an estimate knows."""
    if value >= 100:
        digits = 1 - math.floor(math.log10(value))
        return f"{round(value, digits):,.0f}"
    if value >= 9.95 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 0.1 else "under 0.1"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.sizing", description=__doc__)
    parser.add_argument("devices", nargs="*", type=int, default=[1_000, 100_000, 1_000_000], metavar="DEVICES")
    parser.add_argument("--lifetime-days", type=float, default=90.0, help="of a certificate (default 90)")
    parser.add_argument("--renewal-point", type=float, default=0.8, help="renewal_point of the profile (default 0.8)")
    text = "how often a device connects or disconnects a day, both counted (default 2)"
    parser.add_argument("--connections", type=float, default=2.0, help=text)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    parser = _parser()
    wanted = parser.parse_args(arguments)
    if min(wanted.devices) < 1 or wanted.lifetime_days <= 0 or not 0 < wanted.renewal_point < 1:
        parser.error("devices and days must be above 0, the renewal point between 0 and 1")
    fleets = [Fleet(one, wanted.lifetime_days, wanted.renewal_point, wanted.connections) for one in wanted.devices]
    print(table(fleets), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
