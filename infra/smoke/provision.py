"""The test device registers with DPS, which asks the app, and the hub tells the app through Event Grid."""

from collections.abc import Generator
from typing import Final

from infra.smoke import hub
from infra.smoke.checks import Check, Finding, attempt, settle
from infra.smoke.device import Identity
from infra.smoke.registering import Registered, register
from infra.smoke.trial import Born, Trial

_REGISTERS: Final = Check("DPS registers it", "register, with the certificate and its chain", "assigned to a hub")
_FIRST: Final = Check("first answer of DPS", "the answer to register", "202 with Retry-After", must=False)
_SHOWN: Final = Check(
    "certificate in DPS's answer", "registrationState.x509", "empty: DPS tells nobody which one it saw", must=False
)
_WEBHOOK: Final = Check(
    "certificate in the webhook", "deviceRuntimeContext.x509 of DPS's call", "perhaps; the app needs none", must=False
)
_BOUND: Final = Check("Event Grid reaches the app", "GET /api/devices/ID after that", "the hub, by DeviceCreated")
_LET_IN: Final = Check("hub lets it in", "a message over HTTPS to that hub", "204: DPS has written the thumbprint")
_TO_SEE: Final = (
    "Let a test enrollment group call an address of your own, and read it there; core/allocation.py knows one form."
)
_REMEDIES: Final = {
    "400209": "The webhook lacks its key in the enrollment group, or cannot be reached: python -m infra.setup.",
    "401002": "DPS does not trust the CA, or the chain: python -m infra.setup; docs/operations.md, dps-refuses.",
    "404201": "DPS knows no such ID scope or enrollment: check --id-scope, and the profile's table [dps].",
}


def checks(trial: Trial, born: Born) -> Generator[Finding, None, Registered | None]:
    """How DPS has registered the device, if it has."""
    found, registered = attempt(_REGISTERS, _registers, trial, born.identity)
    yield found
    if registered is None:
        return None
    yield _first(_FIRST, registered)
    yield _shown(_SHOWN, registered)
    if not registered.assigned:
        return None
    yield _WEBHOOK.unknown("not to be seen from outside", _TO_SEE)
    yield settle(_BOUND, _bound, trial, born.identity)
    yield settle(_LET_IN, let_in, trial, registered, born.identity)
    return registered


def let_in(check: Check, trial: Trial, registered: Registered, identity: Identity) -> Finding:
    answer = hub.message(trial.options.dps_endpoint.other(registered.hub), identity)
    if answer.status in {200, 204}:
        return check.holds(str(answer.status))
    do = "Which thumbprints has the identity? az iot hub device-identity show. Which certificate did DPS write there?"
    return check.differs(answer.said, do)


def _registers(check: Check, trial: Trial, identity: Identity) -> tuple[Finding, Registered | None]:
    answer = register(trial.options.dps_endpoint, trial.options.id_scope, identity, trial.options.wait)
    if answer.assigned:
        return check.holds(f"assigned to {answer.hub}"), answer
    other = "docs/operations.md, dps-refuses; the app's log, event allocation."
    return check.differs(answer.told, _REMEDIES.get(answer.code, other)), answer


def _first(check: Check, registered: Registered) -> Finding:
    first = registered.first
    came = f"{first.status}, Retry-After {first.header('Retry-After') or 'missing'}"
    if first.status == 202 and first.header("Retry-After"):
        return check.holds(came)
    return check.differs(came, "Nothing: devices poll until it ends.")


def _shown(check: Check, registered: Registered) -> Finding:
    if not registered.x509:
        return check.holds("empty")
    members = ", ".join(sorted(registered.x509)) if isinstance(registered.x509, dict) else "no object"
    return check.differs(members, "The webhook may see as much: core/allocation.py reads a guess of its members.")


def _bound(check: Check, trial: Trial, identity: Identity) -> Finding:
    """DPS's own log would tell the app too, but takes minutes; the connection below is told by Event Grid alone."""
    record, seconds = trial.until(identity.name, lambda one: bool(one.get("hub")))
    if record is not None:
        return check.holds(f"{record['hub']}, after {seconds:.1f} s")
    do = "Is there a subscription of hub_events to the hub's system topic? Its metrics tell failed deliveries."
    return check.differs(f"no hub within {seconds:.0f} s", do)
