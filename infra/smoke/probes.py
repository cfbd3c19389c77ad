"""Requests as devices and strangers send them: bodies, methods, labels, paths, and the shape of the answers."""

from collections.abc import Callable, Generator
from datetime import datetime
from typing import Final

from infra.smoke import front, strangers
from infra.smoke.checks import Check, Finding, settle
from infra.smoke.site import BASE, PKCS10, Site
from infra.smoke.wire import Answer, Request, send
from shared.core.csr import MAX_BODY

OVER_LIMIT: Final = b"A" * (MAX_BODY + 1024)
LARGE: Final = b"A" * (110 * 1024)
_NO_LABEL: Final = "smoke-no-such-label"
_WRONG: Final = (
    ("GET", "simpleenroll", 405, "POST"),
    ("PUT", "simplereenroll", 405, "POST"),
    ("POST", "cacerts", 405, "GET, HEAD"),
    ("DELETE", "csrattrs", 405, "GET, HEAD"),
    ("POST", "serverkeygen", 501, ""),
)
_RENEGOTIATED: Final = (
    "A 403 that is not the app's means that TLS is renegotiated: clientCertMode Optional or Required, and no path in "
    "clientCertExclusionPaths."
)
_LENGTH: Final = "Devices have to send Content-Length: globalsign's estclient does not, Azure's does."


def checks(site: Site, now: datetime) -> Generator[Finding]:
    identity = strangers.fresh(now)
    for check, look in _LOOKS:
        yield settle(check, look, site)
    yield settle(_LARGE, _large, site, "")
    yield settle(_LARGE_KNOWN, _large, site, identity)


def _posted(site: Site, body: bytes, *, chunked: bool = False, expect: bool = False, identity: str = "") -> Answer:
    request = Request("POST", site.est("simpleenroll"), body, PKCS10, chunked, expect)
    return send(site.server, request, identity)


def _chunked(check: Check, site: Site) -> Finding:
    answer = _posted(site, OVER_LIMIT, chunked=True)
    if answer.by_app and answer.status == 413:
        return check.holds("413 by the app: all of it has arrived")
    if answer.by_app and answer.status == 400:
        return check.as_fact().differs(f"the app says that it is lost: {answer.said}", _LENGTH)
    if answer.by_app:
        return check.differs(f"lost without a word: {answer.said}", f"The front end drops bodies. {_LENGTH}")
    return check.differs(f"not the app: {answer.said}", _LENGTH)


def _large(check: Check, site: Site, identity: str) -> Finding:
    if identity and not front.reaches_app(site, identity):
        return check.unknown("the front end refuses a certificate that nobody knows", front.STRICT)
    answer = _posted(site, LARGE, identity=identity)
    if answer.by_app and answer.status == 413:
        return check.holds("413 by the app: all of it has arrived")
    do = _RENEGOTIATED if answer.status == 403 else "Something between loses bodies: look at the gateway's limits."
    return check.differs(answer.said, do)


def _expect(check: Check, site: Site) -> Finding:
    answer = _posted(site, OVER_LIMIT, expect=True)
    if answer.by_app and answer.status == 413:
        return check.holds("413 by the app: all of it has arrived")
    return check.differs(answer.said, "curl sends this header before large bodies alone; EST has none.")


def _redirects(check: Check, site: Site) -> Finding:
    cacerts = site.est("cacerts")
    seen = []
    for path in (f"{cacerts}/", BASE, f"{BASE}/", f"{BASE}//cacerts", cacerts.replace("/", "//", 1)):
        answer = site.get(path)
        seen.append(str(answer.status))
        if 300 <= answer.status < 400 or answer.header("Location"):
            do = "Devices follow none, and one to http:// gives a password away: switch it off in the front end."
            return check.differs(f"{path}: {answer.status} to {answer.header('Location')}", do)
    return check.holds(", ".join(seen))


def _unknown_label(check: Check, site: Site) -> Finding:
    answer = site.get(f"{BASE}/{_NO_LABEL}/cacerts")
    kind = answer.header("Content-Type")
    if answer.status == 404 and answer.by_app and kind.startswith("text/plain"):
        return check.holds(answer.said)
    return check.differs(f"{answer.said} ({kind})", "The app answers it elsewhere, or not at all: look at its log.")


def _head(check: Check, site: Site) -> Finding:
    got = site.get(site.est("cacerts"))
    head = send(site.server, Request("HEAD", site.est("cacerts")))
    if (head.status, head.header("Content-Type")) != (got.status, got.header("Content-Type")) or head.body:
        return check.differs(f"{head.status} {head.header('Content-Type')}", "A monitor that sends HEAD is misled.")
    if head.header("Content-Length") != got.header("Content-Length"):
        shown = head.header("Content-Length") or "none"
        return check.as_fact().differs(f"{head.status}; Content-Length {shown}", "Nothing: the length may be left out.")
    return check.holds(f"{head.status}, with the length of GET")


def _methods(check: Check, site: Site) -> Finding:
    for method, operation, status, allow in _WRONG:
        answer = send(site.server, Request(method, site.est(operation)))
        if (answer.status, answer.header("Allow")) != (status, allow):
            came = f"{method} {operation}: {answer.said}, Allow {answer.header('Allow') or 'missing'}"
            return check.differs(came, "The platform answers in the app's place: look at the routes and the gateway.")
    return check.holds(f"405 with Allow, 501 for {_WRONG[-1][1]}")


def _encoded(check: Check, site: Site) -> Finding:
    answer = site.get(site.est("%63acerts"))
    if answer.status == 404:
        return check.holds("404")
    do = "The front end shows the app no X-WAWS-Unencoded-URL. Harmless: the label is looked up decoded, too."
    return check.differs(answer.said[:60], do)


def _raw_url(check: Check, site: Site) -> Finding:
    answer = site.get(site.est("cacerts"), [("X-WAWS-Unencoded-URL", "/forged")])
    if answer.status == 200:
        return check.holds("200: it does not arrive")
    return check.differs(answer.said[:60], "Harmless: both paths must name the same, so it shuts out its sender alone.")


def _doubled(check: Check, site: Site) -> Finding:
    answer = site.enroll(b"AAAA", [("Content-Type", "text/plain")])
    if answer.status == 400:
        return check.holds(answer.said)
    return check.differs(answer.said, "Nothing: then one of the two counts.")


_CHUNKED: Final = Check("chunked body", "POST of 65 KB in chunks, no length", "413 by the app, which has read it")
_LARGE: Final = Check("body over 100 KB", "POST of 110 KB", "413 by the app, which has read it")
_LARGE_KNOWN: Final = Check("… with a certificate", "the same with a certificate in TLS", "413 by the app")
_EXPECT: Final = Check("100-continue", "a body that waits for 100", "413 by the app", must=False)
_REDIRECTS: Final = Check("redirect probe", "a trailing slash, no operation, doubled slashes", "404, and no redirect")
_LABEL: Final = Check("unknown label", f"GET {BASE}/{_NO_LABEL}/cacerts", "404 by the app: one line, with a request id")
_HEAD: Final = Check("HEAD", "HEAD cacerts", "200, no body, the length of GET")
_METHODS: Final = Check("wrong method", ", ".join(f"{one} {two}" for one, two, *_ in _WRONG), "405 with Allow, or 501")
_ENCODED: Final = Check("raw path", "GET %63acerts", "404: the app sees the path as it was sent", must=False)
_RAW_URL: Final = Check(
    "forged raw path",
    "GET cacerts with X-WAWS-Unencoded-URL of another path",
    "200: the front end replaces it",
    must=False,
)
_DOUBLED: Final = Check("header sent twice", "two Content-Type lines", "400: nobody chooses one of them", must=False)
_LOOKS: Final[tuple[tuple[Check, Callable[[Check, Site], Finding]], ...]] = (
    (_REDIRECTS, _redirects),
    (_LABEL, _unknown_label),
    (_HEAD, _head),
    (_METHODS, _methods),
    (_ENCODED, _encoded),
    (_RAW_URL, _raw_url),
    (_DOUBLED, _doubled),
    (_EXPECT, _expect),
    (_CHUNKED, _chunked),
)
