"""The client certificate on its way through the front end: forged, real, and both at once.

The app believes one header. Whoever can write that header himself can be any device, so a forged one must not arrive;
and where a real one does not, no device can renew.
"""

from collections.abc import Generator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509

from infra.smoke import strangers
from infra.smoke.checks import Check, Finding, attempt, settle
from infra.smoke.site import Site
from infra.smoke.wire import Answer, Silent

_BODY: Final = b"AAAA"
_NOBODY: Final = Check("no credentials", "POST simpleenroll as nobody", "401 or 403, in the app's own words")
_ARRIVES: Final = Check(
    "certificate arrives",
    "POST simpleenroll with a self-signed certificate in TLS",
    "the app speaks of the certificate; it reads base64 and PEM",
)
_EXPIRED: Final = Check(
    "expired certificate",
    "the same with one that has ended",
    "it arrives too: accept_expired_days relies on that",
    must=False,
)
_FORGED: Final = Check(
    "forged header", "the header, in four forms and three spellings, without a certificate in TLS", "as nobody"
)
_BOTH: Final = Check("own copy replaced", "a certificate in TLS and a forged header beside it", "as without the header")
_SWITCH_ON: Final = (
    "azd env set BIRTHCERT_CLIENT_CERTIFICATE_HEADER X-ARR-ClientCert && azd provision; the site has to have "
    "clientCertEnabled and clientCertMode Optional. Then run the smoke test again, before any device comes."
)
STRICT: Final = "A front end that checks chains itself may do so; then `renewal` has to hold, which shows a known one."
SWITCH_OFF: Final = (
    'AT ONCE: azd env set BIRTHCERT_CLIENT_CERTIFICATE_HEADER "" && azd provision. Whoever writes this header is any '
    "device. Then put a gateway in front that removes it, and proves itself in X-Front-End-Secret."
)


@dataclass(frozen=True, slots=True)
class Front:
    """`nobody` is what somebody without any credential is told."""

    site: Site
    header: str
    nobody: Answer
    stranger: str = field(repr=False)

    def post(self, *forged: tuple[str, str], identity: str = "") -> Answer:
        return self.site.enroll(_BODY, forged, identity)


def checks(site: Site, header: str, now: datetime) -> Generator[Finding]:
    stranger = strangers.fresh(now)
    found, nobody = attempt(_NOBODY, _nobody, site)
    yield found
    if nobody is None:
        return
    front = Front(site, header, nobody, stranger)
    arrives = settle(_ARRIVES, _arrives, front, stranger)
    yield arrives
    yield settle(_EXPIRED, _expired, front, strangers.expired(now))
    read = arrives.verdict == "OK"
    yield settle(_FORGED, _forged, front, read=read)
    yield settle(_BOTH, _both, front, read=read)


def reaches_app(site: Site, identity: str) -> bool:
    """Whether the app answers who shows a certificate that nobody knows. A front end may refuse it by itself."""
    try:
        return site.enroll(_BODY, identity=identity).by_app
    except Silent:
        return False


def _nobody(check: Check, site: Site) -> tuple[Finding, Answer | None]:
    answer = site.enroll(_BODY)
    if answer.status in {401, 403} and answer.by_app:
        return check.holds(answer.said), answer
    return check.differs(answer.said, "Is this the app? Look at its log, and at what stands before it."), None


def _arrives(check: Check, front: Front, identity: str) -> Finding:
    if not reaches_app(front.site, identity):
        return check.unknown("the front end refuses it, or does not answer", STRICT)
    answer = front.post(identity=identity)
    if answer.said == front.nobody.said:
        return check.differs(f"as nobody: {answer.said}", _SWITCH_ON)
    if answer.status == 400:
        return check.differs(answer.said, "The front end writes it in another form than base64 of DER, or PEM.")
    if "certificate" not in answer.line:
        do = "The front end has to send X-Front-End-Secret, as the secret of FRONT_END_SECRET_NAME in Key Vault says."
        return check.differs(answer.said, do)
    return check.holds(answer.said)


def _expired(check: Check, front: Front, identity: str) -> Finding:
    answer = front.post(identity=identity)
    if answer.by_app and answer.said != front.nobody.said:
        return check.holds(answer.said)
    return check.differs(answer.said, "accept_expired_days in profiles.toml is of no use here: set it to 0.")


def _forged(check: Check, front: Front, *, read: bool) -> Finding:
    names = (front.header, front.header.lower(), front.header.replace("-", "_"))
    certificate = x509.load_pem_x509_certificate(front.stranger.encode())
    for form, value in {"garbage": strangers.GARBAGE, **strangers.forms(certificate)}.items():
        for name in names:
            answer = front.post((name, value))
            if arrived(answer, front.nobody):
                return check.differs(f"{name}, {form}: {answer.said}", SWITCH_OFF)
    if not read:
        return check.unknown("as nobody; but the app reads no such header, or none arrives", _SWITCH_ON)
    return check.holds(f"as nobody: {front.nobody.said}")


def arrived(answer: Answer, nobody: Answer) -> bool:
    """Whether the app has believed a header, or tried to read it.

    Not where the front end itself refuses it, nor where it came without the proof of the front end ("not allowed").
    """
    unproven = answer.said.startswith("403 not allowed")
    return answer.status < 400 or (answer.by_app and answer.said != nobody.said and not unproven)


def _both(check: Check, front: Front, *, read: bool) -> Finding:
    if not read:
        return check.unknown("the app does not see the certificate in TLS", _SWITCH_ON)
    real = front.post(identity=front.stranger)
    both = front.post((front.header, strangers.GARBAGE), identity=front.stranger)
    if both.said == real.said:
        return check.holds(both.said)
    return check.differs(f"{both.said}, instead of {real.said}", SWITCH_OFF)
