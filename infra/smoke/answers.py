"""The answers of the app: what clients read in them, health, and what is shut for who has no key."""

from collections.abc import Callable, Generator
from typing import Final

import httpx
from cryptography import x509

from infra.smoke.checks import Check, Finding, settle
from infra.smoke.site import Ops, Site
from infra.smoke.wire import Answer, Request, send
from shared.adapters.digicert_est import certificates
from shared.core import est
from shared.core.chain import check_chain
from shared.core.errors import Refusal

# libest compares these with case.
_SPELLED: Final = ("Content-Type", "Content-Length", "Content-Transfer-Encoding")
_EVENTS: Final = "/runtime/webhooks/eventgrid?functionName=hub_events"
_SHUT: Final = (
    ("GET", "/api/sagas"),
    ("GET", "/api/readyz"),
    ("POST", "/api/devices/smoke-nobody/revoke"),
    ("POST", "/api/allocation"),
    ("POST", _EVENTS),
    ("GET", "/admin/functions"),
)


def checks(site: Site, ops: Ops | None) -> Generator[Finding]:
    for check, look in _LOOKS:
        yield settle(check, look, site)
    if ops is not None:
        yield settle(_OPENS, _opens, ops)


def afterwards(ops: Ops) -> Generator[Finding]:
    """What is left behind when all else is done."""
    yield settle(_POISON, _poison, ops)


def chain(answer: Answer) -> tuple[x509.Certificate, ...]:
    """The certificates of a certs-only answer. Raises UpstreamRefused."""
    return tuple(
        certificates(httpx.Response(200, headers={"Content-Type": answer.header("Content-Type")}, content=answer.body))
    )


def same(check: Check, answer: Answer, leaf: x509.Certificate) -> Finding:
    """Whether the answer holds this certificate, and not another one that had to be ordered."""
    if answer.status != 200:
        return check.differs(answer.said, "Look into the app's log under the request id.")
    try:
        found = chain(answer)
    except Refusal as refusal:
        return check.differs(f"{refusal.public}: {refusal.cause}", "Look into the app's log.")
    if found == (leaf,):
        return check.holds("the same")
    return check.differs("another certificate", "Each costs money: is the profile's table [upstream.lookup] in order?")


def _cacerts(check: Check, site: Site) -> Finding:
    answer = site.get(site.est("cacerts"))
    if answer.status != 200:
        return check.differs(answer.said, "The app cannot reach DigiCert ONE: /api/readyz and the app's log say why.")
    try:
        found = check_chain(chain(answer))
    except Refusal as refusal:
        return check.differs(f"{refusal.public}: {refusal.cause}", "Check the profile's table [ca].")
    return check.holds(", ".join(one.subject.rfc4514_string() for one in found))


def _shape(check: Check, site: Site) -> Finding:
    answer = site.get(site.est("cacerts"))
    if answer.header("Transfer-Encoding") or answer.header("Content-Length") != str(len(answer.body)):
        return check.differs(
            "in chunks, without a length", "libest and strongSwan cannot read it: look at the gateway."
        )
    if answer.header("Content-Type") != est.CA_CERTS or answer.header("Cache-Control") != "no-store":
        came = f"{answer.header('Content-Type')}; Cache-Control {answer.header('Cache-Control') or 'missing'}"
        return check.differs(came, "Something between changes headers: look at the gateway.")
    if answer.header("Content-Encoding"):
        return check.differs(
            f"compressed: {answer.header('Content-Encoding')}", "Switch compression off in the gateway."
        )
    return check.holds(f"{answer.header('Content-Type')}, {len(answer.body)} bytes")


def _spelling(check: Check, site: Site) -> Finding:
    names = [name for name, _ in site.get(site.est("cacerts")).pairs]
    lost = [name for name in _SPELLED if name not in names]
    if not lost:
        return check.holds(", ".join(_SPELLED))
    shown = [name for name in names if name.lower() in {one.lower() for one in lost}]
    return check.differs(", ".join(shown) or "missing", "libest's estclient fails; Azure's client and others do not.")


def _csrattrs(check: Check, site: Site) -> Finding:
    answer = site.get(site.est("csrattrs"))
    if answer.status == 200 and answer.header("Content-Type").startswith("application/csrattrs"):
        return check.holds(f"200, {len(answer.body)} bytes")
    return check.differs(answer.said, "Look at the app's log, under the request id.")


def _health(check: Check, site: Site) -> Finding:
    live, ready = site.get("/healthz"), site.get("/readyz")
    if (live.status, ready.status) == (200, 200):
        return check.holds("200, 200")
    return check.differs(
        f"{live.status}, {ready.said}",
        "GET /api/readyz with a function key tells the reasons. A role that was given just now counts after minutes.",
    )


def _shut(check: Check, site: Site) -> Finding:
    seen = []
    for method, path in _SHUT:
        answer = send(site.server, Request(method, path, b"{}", (("Content-Type", "application/json"),)))
        seen.append(str(answer.status))
        if answer.status not in {401, 403, 404} or "problem" in answer.header("Content-Type"):
            return check.differs(
                f"{method} {path}: {answer.said}", "AT ONCE: shut the site, and see who may call this."
            )
    return check.holds(", ".join(seen))


def _opens(check: Check, ops: Ops) -> Finding:
    answer = ops.get("/api/readyz")
    if answer.status == 200:
        return check.holds("200")
    if answer.status == 401:
        return check.differs("401", "A host key is needed: az functionapp keys list --name APP --resource-group GROUP.")
    return check.differs(answer.said, "It names what does not answer, and why.")


def _poison(check: Check, ops: Ops) -> Finding:
    counts = ops.poison()
    if counts is None:
        return check.unknown("not told", "GET /api/poison says why.")
    waiting = {queue: count for queue, count in counts.items() if count}
    if not waiting:
        return check.holds("none")
    shown = ", ".join(f"{queue} {count}" for queue, count in waiting.items())
    return check.differs(shown, "docs/operations.md, poison-messages: an event that nobody could read is among them.")


_OPENS: Final = Check("operators' key", "GET /api/readyz with the function key", "200: all that is needed answers")
_POISON: Final = Check("poison messages", "GET /api/poison", "none: events had the forms that are known", must=False)
_LOOKS: Final[tuple[tuple[Check, Callable[[Check, Site], Finding]], ...]] = (
    (Check("health", "GET /healthz, GET /readyz", "200, 200"), _health),
    (Check("shut doors", "operators' API, webhooks and /admin without a key", "401, 403 or 404"), _shut),
    (Check("cacerts", "GET cacerts as nobody", "a complete chain up to its root"), _cacerts),
    (Check("shape of answers", "GET cacerts", "its exact type, a length, no chunks, no-store"), _shape),
    (Check("spelling of headers", "GET cacerts", ", ".join(_SPELLED), must=False), _spelling),
    (Check("csrattrs", "GET csrattrs as nobody", "200 application/csrattrs"), _csrattrs),
)
