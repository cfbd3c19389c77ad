"""The test device renews with its certificate, and uses the new one at its hub without registering again."""

from collections.abc import Generator
from typing import Final

from infra.smoke import answers, hub
from infra.smoke.checks import Check, Finding, attempt, settle
from infra.smoke.device import Identity, request
from infra.smoke.hub import Line
from infra.smoke.provision import let_in
from infra.smoke.registering import Registered
from infra.smoke.site import Json
from infra.smoke.trial import Born, Living, Trial
from infra.smoke.wire import Silent
from shared.core.errors import Refusal

_RENEWS: Final = Check(
    "renewal", "simpleenroll with a new key, and the certificate in TLS", "200 with a new certificate of the same name"
)
_BY_NAME: Final = Check("simplereenroll", "the same request to simplereenroll", "the same certificate")
_BESIDE: Final = Check(
    "new one let in", "a message to the hub with the new certificate", "204, though DPS knows nothing"
)
_STILL: Final = Check(
    "old one still let in", "a message to the hub with the old certificate", "204, until that is settled"
)
_LINE: Final = Check("MQTT", "a connection to the hub with the new certificate", "accepted")
_TOLD: Final = Check(
    "connection events",
    "GET /api/devices/ID after that",
    "connected: Event Grid has told, with a sequenceNumber of the known form",
)
_SETTLED: Final = Check(
    "proof of use", "GET /api/devices/ID after that", "the new certificate is the one in use: the twin has said so"
)
_EVENTS: Final = (
    "Does the subscription take DeviceConnected, and has the hub a tier that raises it? Queue hub-events-poison holds "
    "what could not be read."
)


def checks(trial: Trial, born: Born, registered: Registered | None) -> Generator[Finding, None, Living]:
    found, newest = attempt(_RENEWS, _renewed, trial, born)
    yield found
    if newest is None:
        return Living(born, born.identity, registered)
    identity, body = newest
    yield settle(_BY_NAME, _by_name, trial, born, identity, body)
    if registered is None:
        return Living(born, identity, None)
    yield settle(_BESIDE, let_in, trial, registered, identity)
    yield settle(_STILL, let_in, trial, registered, born.identity)
    line = yield from _connected(trial, registered, identity)
    return Living(born, identity, registered, line)


def _renewed(check: Check, trial: Trial, born: Born) -> tuple[Finding, tuple[Identity, bytes] | None]:
    old = born.identity
    key = born.wanted.key()
    body = request(old.name, key, born.wanted.digest())
    answer = trial.site.enroll(body, identity=old.pem())
    if answer.status != 200:
        do = "The certificate has to come through the front end: see what is said of it above."
        return check.differs(answer.said, do), None
    try:
        (leaf,) = answers.chain(answer)
    except (Refusal, ValueError) as error:
        return check.differs(f"no certificate: {error}", "Look into the app's log."), None
    identity = Identity(old.name, key, leaf, old.authorities)
    if leaf.public_key() != key.public_key() or leaf.subject != old.leaf.subject:
        return check.differs("a certificate of another key or name", "Look into the app's log."), None
    return check.holds(f"{identity.serial}, until {leaf.not_valid_after_utc:%Y-%m-%d}"), (identity, body)


def _by_name(check: Check, trial: Trial, born: Born, identity: Identity, body: bytes) -> Finding:
    answer = trial.site.enroll(body, identity=born.identity.pem(), operation="simplereenroll")
    return answers.same(check, answer, identity.leaf)


def _connected(trial: Trial, registered: Registered, identity: Identity) -> Generator[Finding, None, Line | None]:
    """The connection, which is kept open."""
    server = trial.options.dps_endpoint.other(registered.hub)
    try:
        line = hub.connect(server, identity, websockets=trial.options.websockets)
    except Silent as error:
        do = (
            "Port 8883 may be shut from here: try --websockets, or another network. HTTPS has let it in, or not, above."
        )
        yield _LINE.as_fact().unknown(str(error), do)
        yield _TOLD.unknown("no connection to tell of", do)
        return None
    yield _LINE.holds("accepted")
    yield settle(_TOLD, _told, trial, identity)
    yield settle(_SETTLED, _settled, trial, identity)
    return line


def _told(check: Check, trial: Trial, identity: Identity) -> Finding:
    record, seconds = trial.until(identity.name, lambda one: bool(_part(one, "connection").get("connected")))
    if record is not None:
        return check.holds(f"connected, after {seconds:.0f} s")
    return check.differs(f"nothing within {seconds:.0f} s", _EVENTS)


def _settled(check: Check, trial: Trial, identity: Identity) -> Finding:
    record, seconds = trial.until(identity.name, lambda one: _part(one, "rotation").get("current") == identity.serial)
    if record is not None:
        return check.holds(f"settled, after {seconds:.0f} s")
    state = _part(trial.ops.device(identity.name) or {}, "rotation").get("state")
    return check.differs(f"{state} after {seconds:.0f} s", "May the app read twins? docs/operations.md, queues-late.")


def _part(record: Json, name: str) -> Json:
    found = record.get(name)
    return found if isinstance(found, dict) else {}
