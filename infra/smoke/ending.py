"""The test device is revoked: refused everywhere from then on, its connection ended, its identity taken away."""

from collections.abc import Iterator
from typing import Final

from infra.smoke import hub
from infra.smoke.checks import Check, Finding, settle
from infra.smoke.registering import Registered, register
from infra.smoke.site import Json
from infra.smoke.trial import Living, Trial
from infra.smoke.wire import Answer

_LIVE_SECONDS: Final = 30.0
_SAGA: Final = "docs/operations.md, sagas-stuck: the cause names the system and what is missing, mostly a role."
_REVOKED: Final = Check("revocation", "POST /api/devices/ID/revoke", "done in DPS, in the hub and at DigiCert ONE")
_EST: Final = Check("refused by EST", "simpleenroll with its certificate, and as at first", "403, twice")
_DPS: Final = Check("refused by DPS", "register with its certificate", "not assigned")
_HUB: Final = Check("refused by the hub", "a message over HTTPS", "401 or 403")
_CUT: Final = Check(
    "connection cut", "the open MQTT connection", f"ended by the hub within {_LIVE_SECONDS:.0f} s", must=False
)
_GONE: Final = Check(
    "its end told", "GET /api/devices/ID", "not connected: DeviceDisconnected has a higher sequenceNumber", must=False
)
_LOGGED: Final = Check(
    "DPS logs reach the app",
    "GET /api/devices/ID after DPS has refused it",
    "why DPS refused: by the Event Hub",
    must=False,
)
_ASKED: Final = Check(
    "DPS asks the app", "its block taken out of DPS, then register", "400209 with the app's 403: the webhook says no"
)
_AWAY: Final = Check("taken away", "POST /api/devices/ID/decommission, then a message", "done; 401, 403 or 404")
_PUBLISHED: Final = Check("events published", "GET /api/devices/ID", "no lifecycle event waits for the topic")


def checks(trial: Trial, living: Living) -> Iterator[Finding]:
    name, registered = living.newest.name, living.registered
    yield settle(_REVOKED, _blocked, trial, name, "revoke")
    yield settle(_EST, _est, trial, living)
    if registered is not None:
        yield settle(_DPS, _dps, trial, living)
        yield settle(_HUB, _hub, trial, living, registered)
        yield from _line(trial, living)
        yield settle(_LOGGED, _logged, trial, name)
        yield settle(_ASKED, _asked, trial, living)
    yield settle(_AWAY, _away, trial, living)
    yield settle(_PUBLISHED, _published, trial, name)


def _blocked(check: Check, trial: Trial, name: str, verb: str) -> Finding:
    answer = trial.ops.act(name, verb, "cessationOfOperation")
    if answer.status not in {200, 202}:
        return check.differs(_problem(answer), "GET /api/sagas?stuck=true; the device is still let in.")
    record, seconds = trial.until(name, lambda one: _saga(one).get("verb") == verb and bool(_saga(one).get("done")))
    if record is not None:
        return check.holds(f"done, after {seconds:.1f} s")
    steps = _saga(trial.ops.device(name) or {}).get("steps", ())
    undone = [f"{one['name']}: {one.get('error') or 'not yet'}" for one in steps if not one.get("done_at")]
    return check.differs("; ".join(undone) or "not known", _SAGA)


def _est(check: Check, trial: Trial, living: Living) -> Finding:
    body = living.born.body
    headers, identity = trial.bootstrap
    came = (trial.site.enroll(body, identity=living.newest.pem()), trial.site.enroll(body, headers, identity))
    shown = "; ".join(answer.said for answer in came)
    if all(answer.status == 403 for answer in came):
        return check.holds(shown)
    return check.differs(shown, "The ledger does not hold the block: GET /api/devices/ID.")


def _dps(check: Check, trial: Trial, living: Living) -> Finding:
    answer = _register(trial, living)
    if answer.assigned:
        return check.differs(answer.told, "The enrollment of the device in DPS is not disabled: " + _SAGA)
    return check.holds(answer.told)


def _hub(check: Check, trial: Trial, living: Living, registered: Registered) -> Finding:
    answer = hub.message(trial.options.dps_endpoint.other(registered.hub), living.newest)
    if answer.status in {401, 403, 404}:
        return check.holds(str(answer.status))
    return check.differs(answer.said, "The identity in the hub is not disabled: " + _SAGA)


def _line(trial: Trial, living: Living) -> Iterator[Finding]:
    if living.line is None:
        return
    if living.line.lost.wait(min(_LIVE_SECONDS, trial.options.wait)):
        yield _CUT.holds("ended")
    else:
        do = "Count on it that a live connection outlasts a revocation: az iot hub has no way to cut it."
        yield _CUT.differs(f"still open after {min(_LIVE_SECONDS, trial.options.wait):.0f} s", do)
    living.line.close()
    yield settle(_GONE, _told_gone, trial, living.newest.name)


def _told_gone(check: Check, trial: Trial, name: str) -> Finding:
    record, seconds = trial.until(name, lambda one: not (one.get("connection") or {}).get("connected"))
    if record is not None:
        return check.holds(f"not connected, after {seconds:.0f} s")
    return check.differs(f"connected, {seconds:.0f} s later", "Does the subscription take DeviceDisconnected?")


def _logged(check: Check, trial: Trial, name: str) -> Finding:
    record, seconds = trial.until(name, lambda one: one.get("failure") is not None)
    if record is not None:
        return check.holds(f"{record['failure']['reason']}, after {seconds:.0f} s")
    do = "Azure takes minutes: look at GET /api/devices/ID later. Then at the diagnostic setting birthcert of the DPS."
    return check.unknown(f"nothing within {seconds:.0f} s", do)


def _asked(check: Check, trial: Trial, living: Living) -> Finding:
    """DPS would let the device in again by its group; only the webhook keeps it out. The next step blocks it again."""
    if not trial.options.dps_service:
        do = "Name the DPS with --dps-service HOST or DPS_HOST, and sign in: az login."
        return check.unknown("not tried", do)
    from infra.smoke import entries  # with Azure's SDKs, which nothing else here needs

    try:
        entries.unblock(trial.options.dps_service, living.newest.name)
    except entries.NotDone as error:
        do = "Sign in with az login, as one who has Device Provisioning Service Data Contributor on the DPS."
        return check.unknown(str(error), do)
    answer = _register(trial, living)
    if answer.assigned:
        do = "DPS does not ask: the enrollment group needs custom allocation by the webhook. python -m infra.setup."
        return check.differs(answer.told, do)
    if answer.code == "400209" and "403" in answer.reason:
        return check.holds(answer.told)
    if answer.code == "400209":
        return check.differs(
            answer.told, "The webhook's key, or the app's log, event allocation. python -m infra.setup."
        )
    return check.unknown(answer.told, "DPS refuses it by itself: a device with an enrollment of its own, perhaps.")


def _away(check: Check, trial: Trial, living: Living) -> Finding:
    found = _blocked(check, trial, living.newest.name, "decommission")
    if found.verdict != "OK" or living.registered is None:
        return found
    return _hub(check, trial, living, living.registered)


def _published(check: Check, trial: Trial, name: str) -> Finding:
    record, seconds = trial.until(name, lambda one: one.get("events_unpublished") == 0)
    if record is not None:
        return check.holds(f"none, after {seconds:.0f} s")
    do = "May the app write to the topic? EVENT_TOPIC_URL, and the role Event Grid Data Sender."
    return check.differs(f"some still wait after {seconds:.0f} s", do)


def quietly(trial: Trial, name: str) -> None:
    """What can still be done for a device that the checks have left behind. Raises Silent."""
    record = trial.ops.device(name)
    if record is not None and record.get("certificates_total"):
        trial.ops.act(name, "decommission", "cessationOfOperation")


def _register(trial: Trial, living: Living) -> Registered:
    return register(trial.options.dps_endpoint, trial.options.id_scope, living.newest, trial.options.wait)


def _saga(record: Json) -> Json:
    found = record.get("saga")
    return found if isinstance(found, dict) else {}


def _problem(answer: Answer) -> str:
    """The API's errors are problem details (RFC 9457)."""
    return f"{answer.status} {answer.json.get('detail') or answer.line[:150]}".strip()
