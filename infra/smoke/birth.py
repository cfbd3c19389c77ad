"""The test device's first certificate: asked for as a device does, asked for again, and then forged."""

import secrets
import time
from collections.abc import Generator
from typing import Final

from infra.smoke import answers, front, strangers
from infra.smoke.checks import Check, Finding, attempt, settle
from infra.smoke.device import Identity, Wanted, request, wanted
from infra.smoke.trial import Born, Trial
from infra.smoke.wire import Answer
from shared.core import est
from shared.core.certificate import is_issued_by
from shared.core.errors import Refusal

_QUICK: Final = 15.0
_LONGEST_REST: Final = 30.0
_LOG: Final = "Look into the app's log under the request id; the certificate is taken back by decommission."
_REMEDIES: Final = {
    401: "The user or the password is wrong: compare it with the secret that the profile names.",
    403: "The profile does not let this device enroll: see its table [authentication], and unknown_devices.",
    404: "The app has other profiles: see --label.",
    502: "DigiCert ONE refuses: its enrollment profile and credential, in the app's log under the request id.",
}
_FREE: Final = Check("a new name", "GET /api/devices/ID", "not known yet, or without a certificate")
_WAY_BACK: Final = Check("a way back", "POST /api/devices/NOBODY/revoke", "404 by the app: the key may revoke")
_BIRTH: Final = Check("birth", "simpleenroll with the bootstrap credential", "200 with one certificate of this CA")
_AT_ONCE: Final = Check(
    "issued at once", "the first answer to it", "200; Azure's client takes 202 for a failure", must=False
)
_IN_TIME: Final = Check(
    "time of a birth",
    "from the request to the certificate",
    f"under {_QUICK:.0f} s; Azure's client waits 30",
    must=False,
)
_AGAIN: Final = Check("issue once", "the same request again", "the same certificate, and no other order")
_CHUNKED: Final = Check("chunked birth", "the same request in chunks", "the same certificate", must=False)
_FORGED: Final = Check("good certificate, forged", "that certificate in the header alone, not in TLS", "as nobody")


def name(trial: Trial) -> str:
    """What the device is called. Raises Unusable."""
    if trial.options.device:
        return trial.options.device
    return trial.credentials.named() if trial.credentials.is_certificate else f"smoke-{secrets.token_hex(4)}"


def free(trial: Trial, name: str) -> Generator[Finding, None, Wanted | None]:
    """The kind of key that the device may have, if its name is free and there is a way to end it."""
    found, asked = attempt(_FREE, _free, trial, name)
    yield found
    if asked is None:
        return None
    back = settle(_WAY_BACK, _way_back, trial)
    yield back
    return None if back.fails else asked


def checks(trial: Trial, name: str, asked: Wanted) -> Generator[Finding, None, Born | None]:
    """The device, if it has a certificate of its own."""
    begin, seen = time.monotonic(), list[Answer]()
    found, born = attempt(_BIRTH, _born, trial, name, asked, seen)
    seconds = time.monotonic() - begin
    yield found
    if seen and seen[0].status in {200, 202}:
        yield _at_once(_AT_ONCE, seen[0])
    if born is None:
        return None
    do = "DigiCert ONE, or a cold start: run it again; docs/operations.md, slow-answers."
    yield _IN_TIME.holds(f"{seconds:.1f} s") if seconds < _QUICK else _IN_TIME.differs(f"{seconds:.1f} s", do)
    yield settle(_AGAIN, _again, trial, born, chunked=False)
    yield settle(_CHUNKED, _again, trial, born, chunked=True)
    yield settle(_FORGED, _forged, trial, born)
    return born


def _free(check: Check, trial: Trial, name: str) -> tuple[Finding, Wanted | None]:
    """A device that is in use must not be revoked by a test. And what kind of key a new one may have."""
    answer = trial.ops.look(name)
    if answer.status == 200 and answer.json.get("certificates_total"):
        do = "It would be revoked: take another name, or factory certificate."
        return check.differs(f"{name} has certificates", do), None
    if answer.status != 200 and answer.json.get("status") != 404:
        return check.differs(answer.said, "The function key has to be a host key, and the host the app's."), None
    return check.holds(f"{name} is free"), wanted(trial.site.get(trial.site.est("csrattrs")).body)


def _way_back(check: Check, trial: Trial) -> Finding:
    answer = trial.ops.act(f"smoke-nobody-{secrets.token_hex(4)}", "revoke", "cessationOfOperation")
    if answer.json.get("status") == 404:
        return check.holds("404 by the app")
    return check.differs(answer.said, "What is born now could not be revoked: give a host key, which opens it.")


def _born(check: Check, trial: Trial, name: str, asked: Wanted, seen: list[Answer]) -> tuple[Finding, Born | None]:
    """`seen` gets each answer to the request."""
    key = asked.key()
    body = request(name, key, asked.digest())
    answer = _asked(trial, body, seen)
    if answer.status == 202:
        do = "Approve the order in DigiCert ONE, and let the enrollment profile approve by itself."
        return check.differs(f"202 for {trial.options.wait:.0f} s: {answer.said}", do), None
    if answer.status != 200:
        return check.differs(answer.said, _REMEDIES.get(answer.status, _LOG)), None
    try:
        leaf, *others = answers.chain(answer)
        authorities = answers.chain(trial.site.get(trial.site.est("cacerts")))
    except (Refusal, ValueError) as error:
        return check.differs(f"no certificate: {error}", _LOG), None
    if answer.header("Content-Type") != est.CERTS_ONLY:
        do = "libest compares it letter by letter: does the gateway change it?"
        return check.differs(f"Content-Type {answer.header('Content-Type')}", do), None
    if others or leaf.public_key() != key.public_key() or not is_issued_by(leaf, authorities):
        return check.differs("a certificate of another key or CA, or more than one", _LOG), None
    born = Born(Identity(name, key, leaf, authorities), asked, body)
    return check.holds(f"{name}: {born.identity.serial}, until {leaf.not_valid_after_utc:%Y-%m-%d}"), born


def _asked(trial: Trial, body: bytes, seen: list[Answer]) -> Answer:
    """The same request again for as long as DigiCert ONE has not decided (RFC 7030 §4.2.3)."""
    headers, identity = trial.bootstrap
    end = time.monotonic() + trial.options.wait
    while True:
        answer = trial.site.enroll(body, headers, identity)
        seen.append(answer)
        after = answer.header("Retry-After")
        if answer.status != 202 or time.monotonic() > end:
            return answer
        time.sleep(min(float(after) if after.isdigit() else _LONGEST_REST, _LONGEST_REST, trial.options.wait))


def _at_once(check: Check, first: Answer) -> Finding:
    if first.status == 200:
        return check.holds("200")
    do = "The enrollment profile waits for approval: let DigiCert ONE approve by itself."
    return check.differs(f"202, Retry-After {first.header('Retry-After') or 'missing'}", do)


def _again(check: Check, trial: Trial, born: Born, *, chunked: bool) -> Finding:
    headers, identity = trial.bootstrap
    return answers.same(check, trial.site.enroll(born.body, headers, identity, chunked=chunked), born.identity.leaf)


def _forged(check: Check, trial: Trial, born: Born) -> Finding:
    """The sharpest form of the forged header: this certificate is good, so nothing but its way speaks against it."""
    nobody = trial.site.enroll(born.body)
    for form, value in strangers.forms(born.identity.leaf).items():
        answer = trial.site.enroll(born.body, [(trial.options.header, value)])
        if front.arrived(answer, nobody):
            return check.differs(f"{form}: {answer.said[:80]}", front.SWITCH_OFF)
    return check.holds(f"as nobody: {nobody.said}")
