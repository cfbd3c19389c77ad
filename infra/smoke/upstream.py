"""DigiCert ONE asked directly, for what its pages leave open: it issues nothing, and revokes the test's own at most."""

import json
import tomllib
import uuid
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode, urlsplit

from infra.smoke.arguments import Options
from infra.smoke.checks import Check, Finding, attempt, settle
from infra.smoke.credentials import Credentials, Unusable
from infra.smoke.trial import Living
from infra.smoke.wire import Address, Answer, Request, address, send
from shared import profiles
from shared.core.errors import Misconfigured
from shared.core.profile import Profile, RestUpstream

_LIST: Final = "/iot/api/v1/certificate"
_JSON: Final = (("Content-Type", "application/json"), ("Accept", "application/json"))
_PKCS10: Final = (("Content-Type", "application/pkcs10"), ("Content-Transfer-Encoding", "base64"))
_PAGE: Final = 100
_CEASED: Final = {"reason": "cessation_of_operation", "comments": "smoke test"}
_NOTHING: Final = "Nothing: the app is built for either."
_LISTS: Final = "shared/adapters/digicert_list.py reads this list."

type Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Platform:
    """`est` is None for a label that speaks REST alone, `rest` where no table tells of it."""

    est: tuple[Address, str] | None
    rest: Address | None
    profile: str
    key: str = field(repr=False)

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Raises Silent."""
        content = b"" if body is None else json.dumps(body).encode()
        headers = (*_JSON, ("x-api-key", self.key))
        if self.rest is None:
            raise ValueError("there is no REST interface to ask")
        return send(self.rest, Request(method, path, content, headers))

    def listed(self, **filters: str) -> Answer:
        return self.ask("GET", f"{_LIST}/?{urlencode({**filters, 'limit': str(_PAGE)})}")


def platform(options: Options, given: Credentials) -> Platform | None:
    """Where the label's certificates come from; None without an API key. Raises Unusable."""
    if not given.digicert_key:
        return None
    profile = _profile(options)
    rest = profile.upstream if isinstance(profile.upstream, RestUpstream) else profile.lookup
    est = None if isinstance(profile.upstream, RestUpstream) else urlsplit(profile.upstream.url)
    ca = options.server.ca
    return Platform(
        est=(address(est.netloc, ca), est.path.rstrip("/")) if est else None,
        rest=address(urlsplit(rest.url).netloc, ca) if rest else None,
        profile=rest.enrollment_profile_id if rest else "",
        key=given.digicert_key,
    )


def _profile(options: Options) -> Profile:
    """The label's profile; the hubs do not matter here, so any name is a good one."""
    try:
        tables = tomllib.loads(options.profiles.read_text(encoding="utf-8")).get("profiles", {})
        hubs = {hub for table in tables.values() for hub in table.get("hubs", ())}
        known = profiles.load(options.profiles, dict.fromkeys(hubs, ""))
        return known.by_label[options.label or known.default]
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise Unusable(f"--profiles: {options.profiles} cannot be read: {error}") from error
    except Misconfigured as error:
        raise Unusable(f"--profiles is not in order: {error.cause}") from error
    except KeyError as error:
        raise Unusable(f"--profiles has no label {options.label}") from error


def checks(platform: Platform) -> Generator[Finding]:
    if platform.est is not None:
        yield settle(_OPEN, _open, platform.est, "cacerts")
        yield settle(_ATTRIBUTES, _open, platform.est, "csrattrs")
        yield settle(_CHALLENGE, _challenge, platform)
        yield settle(_BY_KEY, _by_key, platform)
    if platform.rest is not None:
        yield settle(_UNKNOWN, _unknown, platform)


def issued(platform: Platform, living: Living) -> Iterator[Finding]:
    """What it says of the certificates of the test device; the older one is revoked there, behind the app's back."""
    if platform.rest is None:
        return
    records: list[Record] = []
    yield settle(_ENVELOPE, _envelope, platform, living, records)
    if not records:
        return
    yield settle(_SERIAL, _serial, records[0], living)
    yield settle(_PEM, _pem, records[0])
    yield settle(_BY_ID, _by_id, platform, records[0])
    yield settle(_FILTER, _filter, platform, living)
    if living.newest.serial != living.born.identity.serial:
        found, first = attempt(_SUPERSEDED, _superseded, platform, _at(str(records[0]["id"])))
        yield found
        if first is not None:
            yield _STATUS.holds("204") if first.status == 204 else _STATUS.differs(_form(first), _NOTHING)
            yield settle(_TWICE, _twice, platform, _at(str(records[0]["id"])))


def _open(check: Check, est: tuple[Address, str], operation: str) -> Finding:
    server, base = est
    answer = send(server, Request("GET", f"{base}/{operation}"))
    if answer.status == 200:
        return check.holds("200")
    return check.differs(_form(answer), "The app sends its credentials; or the profile's table [ca] names a file.")


def _challenge(check: Check, platform: Platform) -> Finding:
    answer = _posted(platform, ())
    challenge = answer.header("WWW-Authenticate").partition(" ")[0]
    if answer.status == 401 and challenge:
        return check.holds(f"401, {challenge}; {_form(answer)}")
    return check.differs(f"{challenge or 'no challenge'}; {_form(answer)}", _NOTHING)


def _by_key(check: Check, platform: Platform) -> Finding:
    answer = _posted(platform, (("x-api-key", platform.key),))
    if answer.status in {401, 403}:
        return check.holds(_form(answer))
    return check.differs(_form(answer), "An API key may do for a passcode: see to it who holds it.")


def _unknown(check: Check, platform: Platform) -> Finding:
    answer = platform.ask("GET", f"{_LIST}/{uuid.UUID(int=0)}")
    if answer.status == 404 and "errors" in answer.json:
        return check.holds(_form(answer))
    return check.differs(_form(answer), "A key without the right to read? " + _LISTS)


def _envelope(check: Check, platform: Platform, living: Living, records: list[Record]) -> Finding:
    answer = platform.listed(common_name=living.newest.name)
    found = answer.json
    listed = [one for one in found.get("records") or () if isinstance(one, dict) and one.get("id")]
    records += [one for one in listed if _hex(one.get("serial_number")) == living.born.identity.serial]
    if answer.status != 200 or not records:
        return check.differs(f"{_form(answer)}: {len(listed)} records", _LISTS)
    if {"total", "limit", "offset"} <= found.keys():
        return check.holds(f"{len(listed)} records, total {found['total']}")
    return check.differs(f"members {', '.join(sorted(found))}", _LISTS)


def _serial(check: Check, record: Record, living: Living) -> Finding:
    shown, own = str(record.get("serial_number")), living.born.identity.serial
    if shown.strip("0123456789ABCDEF") == "" and len(shown) % 2 == 0:
        return check.holds(f"{shown[:8]}…, {len(shown)} digits for {len(own)}")
    return check.differs(f"{shown[:12]}…", _NOTHING)


def _pem(check: Check, record: Record) -> Finding:
    if not record.get("pem"):
        return check.holds("absent")
    return check.differs("there", "Nothing: the app then spares itself a request.")


def _by_id(check: Check, platform: Platform, record: Record) -> Finding:
    answer = platform.ask("GET", _at(str(record["id"])))
    if answer.status == 200 and answer.json.get("pem"):
        return check.holds("200, with pem")
    return check.differs(_form(answer), "A certificate whose answer was lost cannot be found again. " + _LISTS)


def _filter(check: Check, platform: Platform, living: Living) -> Finding:
    answer = platform.listed(common_name=living.newest.name, enrollment_profile_id=f"IOT_{uuid.UUID(int=0)}")
    if answer.status >= 400 or not answer.json.get("records"):
        return check.holds(_form(answer))
    return check.differs("all records, in spite of it", "The app sees other profiles' certificates: " + _LISTS)


def _superseded(check: Check, platform: Platform, at: str) -> tuple[Finding, Answer | None]:
    """The first answer that may have revoked it."""
    answer = platform.ask("PUT", f"{at}/revoke", {"reason": "superseded", "comments": "smoke test"})
    if answer.status < 400:
        return check.differs(_form(answer), "core/revocation.py may send it for superseded."), answer
    return check.holds(_form(answer)), platform.ask("PUT", f"{at}/revoke", _CEASED)


def _twice(check: Check, platform: Platform, at: str) -> Finding:
    answer = platform.ask("PUT", f"{at}/revoke", _CEASED)
    status = platform.ask("GET", at).json.get("status")
    came = f"{_form(answer)}; status {status}"
    if answer.status in {200, 204, 400, 404, 409, 422} and status == "REVOKED":
        return check.holds(came)
    return check.differs(came, "shared/adapters/digicert_revocation.py takes it for a failure.")


def _posted(platform: Platform, headers: tuple[tuple[str, str], ...]) -> Answer:
    """No request at all, so that nothing can be issued."""
    if platform.est is None:
        raise ValueError("there is no EST to ask")
    server, base = platform.est
    return send(server, Request("POST", f"{base}/simpleenroll", b"AAAA", (*_PKCS10, *headers)))


def _at(ident: str) -> str:
    return f"{_LIST}/{quote(ident, safe='')}"


def _form(answer: Answer) -> str:
    """Status and shape of an answer, and none of its values but an error's code."""
    content = answer.json
    if not answer.body:
        return f"{answer.status}, empty"
    if not content:
        return f"{answer.status} {answer.header('Content-Type') or 'no type'}"
    errors = content.get("errors") or [content.get("error") or {}]
    code = errors[0].get("code") if isinstance(errors, list) and isinstance(errors[0], dict) else None
    return f"{answer.status} JSON {', '.join(sorted(content))}{f': {code}' if code else ''}"


def _hex(shown: object) -> str:
    try:
        return f"{int(str(shown), 16):x}"
    except ValueError:
        return ""


def _fact(name: str, tried: str, expected: str) -> Check:
    return Check(name, tried, expected, must=False)


_OPEN: Final = _fact("its cacerts", "GET cacerts as nobody", "200: open to everybody")
_ATTRIBUTES: Final = _fact("its csrattrs", "GET csrattrs as nobody", "200")
_CHALLENGE: Final = _fact("its challenge", "POST simpleenroll as nobody", "401 with WWW-Authenticate")
_BY_KEY: Final = _fact("API key at EST", "POST simpleenroll with x-api-key", "401 or 403: it opens REST alone")
_UNKNOWN: Final = _fact("form of its errors", "GET a certificate that is not there", "404 JSON errors")
_ENVELOPE: Final = _fact("its list", "the certificates of the test device", "records, total, limit, offset")
_SERIAL: Final = _fact("serial numbers", "serial_number in that list", "hex in capitals, an even number of digits")
_PEM: Final = _fact("pem in the list", "pem in that list", "absent: each certificate is read by its id")
_BY_ID: Final = _fact("one certificate", "GET the certificate by its id", "200 with pem")
_FILTER: Final = _fact("filter by profile", "that list, for a profile that is not there", "no records, or refused")
_SUPERSEDED: Final = _fact(
    "superseded", "revoke the older one for `superseded`", "refused: its page lists no such reason"
)
_STATUS: Final = _fact("status of a revocation", "revoke the older one", "204")
_TWICE: Final = _fact("revoked twice", "revoke it again", "2xx, or refused, and status REVOKED")
