"""REST of IoT Trust Manager over certificates that exist: list, get, revoke; and the sandbox's own list for tests.

List: path, filters and record fields as DigiCert's customers call it (see the marks); revoke:
https://dev.digicert.com/en/digicert-one/iot-device-manager/iot-certificates/revoke-certificate/
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from aiohttp import web

from sandbox import pki
from sandbox.digicert import faults
from sandbox.digicert.access import Access, admit_rest
from sandbox.digicert.ca import METHODS, Ca, Issued
from sandbox.digicert.errors import problem
from sandbox.digicert.rest import BASE, found, object_of
from sandbox.web import fault_kind

# RFC 5280's `superseded` is not on the page, and `suspended` is.
REASONS: Final = {
    "unspecified",
    "key_compromise",
    "affiliation_changed",
    "suspended",
    "cessation_of_operation",
    "certificate_hold",
    "privilege_withdrawn",
    "aa_compromise",
}
HOLDS: Final = {"suspended", "certificate_hold"}
FILTERS: Final[dict[str, Callable[[Issued, str, datetime], bool]]] = {
    "enrollment_profile_id": lambda each, value, _: each.profile == value,
    "enrollment_method": lambda each, value, _: METHODS[each.profile] == value,
    "certificate_type": lambda _, value, __: value == "x509",
    "common_name": lambda each, value, _: each.common_name == value,
    "status": lambda each, value, now: each.status(now) == value,
}


def routes(ca: Ca, granted: Access) -> list[web.RouteDef]:
    async def list_all(request: web.Request) -> web.Response:
        admit_rest(request, granted)
        bad = faults.before(request)
        if bad is not None:
            return bad
        limit, offset = number(request, "limit", 20, 1, 1000), number(request, "offset", 0, 0, 1 << 31)
        entries = matching(ca, dict(request.query))
        now = ca.world.clock.now()
        records = [record(each, now) for each in entries[offset : offset + limit]]
        return web.json_response({"limit": limit, "offset": offset, "total": len(entries), "records": records})

    async def get(request: web.Request) -> web.Response:
        """(unsure) The sibling of /renew and /revoke, not seen on any page."""
        admit_rest(request, granted)
        entry = found(ca, request)
        bad = faults.before(request, "no_pem")
        if bad is not None:
            return bad
        pem = {} if fault_kind(request) == "no_pem" else {"pem": pki.certificate_pem(*ca.chain(entry))}
        return web.json_response(record(entry, ca.world.clock.now()) | pem)

    async def revoke(request: web.Request) -> web.Response:
        """Answers without content; that the number is 204 is (unsure)."""
        admit_rest(request, granted)
        entry = found(ca, request)
        reason, date = revocation_of(await object_of(request, {"reason", "revocation_date", "comments"}))
        if entry.revocation is not None and entry.revocation.reason not in HOLDS:
            raise problem(400, "invalid_input", "the certificate is revoked already")  # (unsure)
        bad = faults.before(request)
        if bad is not None:
            return bad
        ca.revoke(entry, reason, date)
        return web.Response(status=204)

    async def issued(_: web.Request) -> web.Response:
        """Not DigiCert's: what tests read to see that a key was certified once."""
        now = ca.world.clock.now()
        shown = [
            {
                "common_name": each.common_name,
                "serial": each.serial_number,
                "spki_sha256": each.spki_sha256,
                "profile": each.profile,
                "status": each.status(now),
            }
            for each in ca.issued
        ]
        return web.json_response(shown)

    return [
        web.get(f"{BASE}/", list_all),
        web.get(f"{BASE}/{{id}}", get),
        web.put(f"{BASE}/{{id}}/revoke", revoke),
        web.get("/sandbox/issued", issued),
    ]


def revocation_of(body: dict[str, Any]) -> tuple[str, datetime | None]:
    reason, comments = body.get("reason"), body.get("comments", "")
    if not isinstance(reason, str) or reason not in REASONS:
        raise problem(400, "invalid_input", f"reason must be one of {', '.join(sorted(REASONS))}")
    if not isinstance(comments, str):
        raise problem(400, "invalid_input", "comments must be text")
    return reason, moment(body["revocation_date"]) if "revocation_date" in body else None


def matching(ca: Ca, filters: dict[str, str]) -> list[Issued]:
    """Newest first (unsure)."""
    filters = {name: value for name, value in filters.items() if name not in {"limit", "offset"}}
    if unknown := sorted(set(filters) - set(FILTERS)):
        raise problem(400, "invalid_input", f"unknown filters: {', '.join(unknown)}")
    now = ca.world.clock.now()
    entries = ca.by_name.get(filters["common_name"], []) if "common_name" in filters else ca.issued
    tests = [(FILTERS[name], value) for name, value in filters.items()]
    return [each for each in reversed(entries) if all(test(each, value, now) for test, value in tests)]


def record(entry: Issued, now: datetime) -> dict[str, Any]:
    """`id`, `common_name`, `serial_number` and `status` are seen in clients; the other fields are (unsure)."""
    return {
        "id": entry.id,
        "common_name": entry.common_name,
        "serial_number": entry.serial_number,
        "status": entry.status(now),
        "enrollment_profile_id": entry.profile,
        "device_identifier": entry.device,
        "valid_from": entry.certificate.not_valid_before_utc.isoformat().replace("+00:00", "Z"),
        "valid_to": entry.certificate.not_valid_after_utc.isoformat().replace("+00:00", "Z"),
    }


def number(request: web.Request, name: str, default: int, least: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise problem(400, "invalid_input", f"{name} must be a number from {least} to {most}")
    return int(text)


def moment(text: object) -> datetime:
    """RFC 3339, with an offset."""
    try:
        date = datetime.fromisoformat(text if isinstance(text, str) else "")
    except ValueError as error:
        raise problem(400, "invalid_input", "revocation_date must be RFC 3339") from error
    if date.tzinfo is None:
        raise problem(400, "invalid_input", "revocation_date must have an offset")
    return date.astimezone(UTC)
