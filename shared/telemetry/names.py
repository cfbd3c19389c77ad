"""Every name that operators search by: events and their fields, metrics and their dimensions, flows.

The queries, the workbook and the alerts of `infra/monitor/` use these names. `tests/monitor` holds both sides to them:
no query may ask for a name that is not here, and the code emits all that is here and nothing else.

Dimensions are bounded: each value is a word of our own, or a name out of the configuration (a profile's label, a host).
What a device or a stranger chose is never one. It stands in the events, which cost the same whatever it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from shared.core import errors
from shared.core.census import STEPS
from shared.core.est import Operation
from shared.core.lifecycle import Kind

# One span each, opened by the trigger; what is called outside has spans below it.
type Flow = Literal[
    "est",
    "allocation",
    "ops",
    "hub_event",
    "dps_record",
    "settle",
    "nudge",
    "saga",
    "publish",
    "batch",
    "adopt",
    "expiry_scan",
    "sweep",
    "revocation_sync",
    "trust_reconcile",
    "backlog",
    "census",
]
FLOWS: Final[tuple[Flow, ...]] = get_args(Flow.__value__)

# How one request to DigiCert ONE or DPS went. `silent`: no answer; `abandoned`: whoever waited has given up.
type Answer = Literal["answered", "refused", "throttled", "failed", "silent", "abandoned"]
ANSWERS: Final[tuple[Answer, ...]] = get_args(Answer.__value__)


def _fields(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Every log record of ours is one event: its name, and the fields that it may have.
EVENTS: Final[Mapping[str, frozenset[str]]] = {
    "est": _fields("request_id operation label status ms outcome reason cause device_id principal serial not_after"),
    "allocation": _fields("request_id device_id hub outcome adoption reason cause"),
    "ops": _fields(
        "request_id operation status outcome reason cause device_id caller comment key stated_reason"
        " queue limit moved serial saga done batch block bytes state rows refused label"
    ),
    "hub_event": _fields("event_id kind device_id hub outcome"),
    "hub_event_ignored": _fields("event_id kind reason"),
    "hub_event_poison": _fields("event_id kind reason cause queue"),
    "secret_renewed": _fields("event_id kind secret held reason"),
    "dps_registered": _fields("device_id outcome"),
    "dps_refused": _fields("device_id reason address outcome"),
    "dps_record_ignored": _fields("reason"),
    "dps_record_poison": _fields("device_id reason cause"),
    "settle": _fields("device_id label reason cause"),
    "nudge": _fields("device_id serial outcome urgency reached"),
    "saga": _fields("device_id saga done"),
    "publish": _fields("device_id events"),
    "adopt": _fields("device_id hub thumbprint outcome serial reason"),
    "batch": _fields("batch state row reason cause"),
    "batch_wake": _fields("woken"),
    "expiry_scan": _fields("days nudges spread_s"),
    "sweep": _fields("finished stuck"),
    "stuck": _fields("device_id kind since cause"),
    "revocation_sync": _fields("source alert blocked left"),
    "trust_reconcile": _fields("about alert group changed"),
    "census": _fields("certificates"),
    "monitor": _fields("cause"),
}


@dataclass(frozen=True, slots=True)
class Metric:
    """`dimensions` maps each to the values that it can have; none are listed where the configuration names them."""

    name: str
    unit: str
    description: str
    dimensions: Mapping[str, tuple[str, ...]]


_OF_CONFIGURATION: Final = ()
LEVELS: Final = ("info", "warning", "error")
REFUSALS: Final = tuple(
    name for name, one in vars(errors).items() if isinstance(one, type) and issubclass(one, errors.Refusal)
)
OPERATIONS: Final = tuple(one.value for one in Operation)
NUDGES: Final = ("nudged", "later", "unknown", "renewed", "revoked", "blocked", "expired")
_HANDLED: Final = ("Done", "LeftAlone", "UnknownDevice", "ShutOut", "LookedUp", "UnknownHub")

# What the field `outcome` of an event can say.
OUTCOMES: Final[Mapping[str, tuple[str, ...]]] = {
    "est": ("CaCertificates", "CsrAttributes", "Enrolled", "Pending", "InternalError", *REFUSALS),
    "allocation": ("Provisioned", "Reprovisioned", *REFUSALS),
    "ops": ("Answered", "InternalError", *REFUSALS),
    "hub_event": _HANDLED,
    "dps_registered": _HANDLED,
    "dps_refused": _HANDLED,
    "nudge": NUDGES,
    "adopt": ("adopted", "known", "not taken"),
}

HAPPENED: Final = Metric(
    "birthcert.events", "1", "Events in the log, by name and level", {"event": tuple(EVENTS), "level": LEVELS}
)
LIFECYCLE: Final = Metric(
    "birthcert.lifecycle",
    "1",
    "What the ledger has written down of devices: issued, renewed, blocked, …",
    {"event": get_args(Kind.__value__), "label": _OF_CONFIGURATION},
)
REFUSED: Final = Metric(
    "birthcert.refused",
    "1",
    "Requests that were refused, by the trigger and the class of shared/core/errors.py",
    {"trigger": ("est", "allocation", "ops"), "outcome": REFUSALS},
)
NUDGED: Final = Metric(
    "birthcert.nudged",
    "1",
    "Certificates that were due, and whether their device was asked to renew",
    {
        "outcome": NUDGES,
        "urgency": ("", "due", "soon", "urgent"),
    },
)
UPSTREAM_SECONDS: Final = Metric(
    "birthcert.upstream.seconds",
    "s",
    "Each request to DigiCert ONE and DPS, with how it went",
    {"host": _OF_CONFIGURATION, "answer": ANSWERS},
)
CIRCUIT_OPEN: Final = Metric(
    "birthcert.circuit.open",
    "1",
    "1 while nothing is sent to the host because it fails, else 0",
    {"host": _OF_CONFIGURATION},
)
EXPIRING: Final = Metric(
    "birthcert.expiring",
    "1",
    "Certificates that devices use, by the days that are left of them",
    {"label": _OF_CONFIGURATION, "days": STEPS},
)
DUE: Final = Metric("birthcert.due", "1", "Certificates that the expiry scan found due for renewal", {})
STUCK: Final = Metric("birthcert.stuck", "1", "Devices whose saga or events cannot go on", {})
SAGA_AGE: Final = Metric("birthcert.saga.age", "s", "Since when the oldest unfinished saga was begun, or 0", {})
QUEUE_AGE: Final = Metric(
    "birthcert.queue.age",
    "s",
    "How long the oldest message has been waiting since it was to be handled, or 0",
    {"queue": _OF_CONFIGURATION},
)
QUEUE_POISON: Final = Metric(
    "birthcert.queue.poison", "1", "Messages in the poison queue", {"queue": _OF_CONFIGURATION}
)
SYNC_LEFT: Final = Metric("birthcert.sync.left", "1", "Revocations at the CA that are still to be looked up", {})

METRICS: Final = (
    HAPPENED,
    LIFECYCLE,
    REFUSED,
    NUDGED,
    UPSTREAM_SECONDS,
    CIRCUIT_OPEN,
    EXPIRING,
    DUE,
    STUCK,
    SAGA_AGE,
    QUEUE_AGE,
    QUEUE_POISON,
    SYNC_LEFT,
)
