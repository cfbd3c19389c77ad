"""TLS: which versions the front end speaks, and that nothing of the app is to be had without it."""

import socket
import ssl
import warnings
from collections.abc import Generator
from dataclasses import replace
from typing import Final

from infra.smoke.checks import Check, Finding, settle
from infra.smoke.site import BASE, Site
from infra.smoke.wire import Address, Request, Silent, send_plain

_SECONDS: Final = 20.0
_PLAIN_SECONDS: Final = 5.0
_TRUSTED: Final = Check(
    "TLS", "a handshake that checks the server's certificate", "trusted for this host; TLS 1.2 or 1.3"
)
_OLD: Final = Check("TLS 1.1", "a handshake with TLS 1.0 and 1.1 alone", "refused (RFC 8996)")
_NEW: Final = Check("TLS 1.3", "a handshake with TLS 1.3 alone", "accepted, beside client certificates", must=False)
_ALPN: Final = Check(
    "HTTP/2", "ALPN h2 and http/1.1", "http/1.1: HTTP/2 and client certificates do not mix", must=False
)
_PLAIN: Final = Check(
    "plain HTTP", "GET cacerts and POST simpleenroll on the port of HTTP", "closed, or sent to https://"
)
_LOCAL: Final = ("NO_PROTOCOLS_AVAILABLE", "NO_CIPHERS_AVAILABLE", "NO_CIPHER_MATCH")


def checks(site: Site, http_port: int) -> Generator[Finding]:
    yield settle(_TRUSTED, _trusted, site.server)
    yield settle(_OLD, _old, site.server)
    yield settle(_NEW, _new, site.server)
    yield settle(_ALPN, _alpn, site.server)
    yield _plain(_PLAIN, site, http_port)


def _trusted(check: Check, server: Address) -> Finding:
    try:
        version, _ = _shaken(server, server.context())
    except ssl.SSLCertVerificationError as error:
        return check.differs(
            error.verify_message, "Bind a certificate for this host name; --ca for a root of your own."
        )
    except OSError as error:
        raise Silent(str(error)) from error
    return check.holds(version)


def _old(check: Check, server: Address) -> Finding:
    context = server.context()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python says what this check is about
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    do = "Try it from a machine whose OpenSSL still has it: openssl s_client -tls1_1 -cipher DEFAULT@SECLEVEL=0."
    try:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")  # what OpenSSL would not offer by itself
        version, _ = _shaken(server, context)
    except ssl.SSLError as error:
        if error.reason in _LOCAL:
            return check.unknown(f"this machine cannot offer it ({error.reason})", do)
        return check.holds(f"refused ({error.reason})")
    except ConnectionResetError:
        return check.holds("refused (connection closed)")
    except OSError as error:
        raise Silent(str(error)) from error
    return check.differs(f"accepted: {version}", "Set minTlsVersion to 1.2 on the site, or in the gateway before it.")


def _new(check: Check, server: Address) -> Finding:
    context = server.context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    try:
        version, _ = _shaken(server, context)
    except OSError as error:
        return check.differs(f"not accepted: {error}", "Nothing: devices speak TLS 1.2 as well.")
    return check.holds(version)


def _alpn(check: Check, server: Address) -> Finding:
    context = server.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        _, chosen = _shaken(server, context)
    except OSError as error:
        raise Silent(str(error)) from error
    if chosen == "h2":
        do = "Set http20Enabled to false: a certificate that is asked for after the handshake needs HTTP/1.1."
        return check.differs("h2", do)
    return check.holds(chosen or "no ALPN, so HTTP/1.1")


def _shaken(server: Address, context: ssl.SSLContext) -> tuple[str, str]:
    with (
        socket.create_connection((server.name, server.port), timeout=_SECONDS) as plain,
        context.wrap_socket(plain, server_hostname=server.name) as shaken,
    ):
        return shaken.version() or "", shaken.selected_alpn_protocol() or ""


def _plain(check: Check, site: Site, port: int) -> Finding:
    """What is sent in the clear is lost already: neither a certificate nor a challenge may answer it."""
    server, came = replace(site.server, port=port), []
    for request in (Request("GET", f"{BASE}/cacerts"), Request("POST", site.est("simpleenroll"), b"x")):
        try:
            answer = send_plain(server, request, _PLAIN_SECONDS)
        except Silent as error:
            came.append(f"{request.method}: no HTTP ({error})")
            continue
        to = answer.header("Location")
        came.append(f"{request.method}: {answer.status} {to}".strip())
        away = answer.status in {301, 302, 307, 308} and to.startswith("https://")
        closed = answer.status >= 400 and not answer.by_app and not answer.header("WWW-Authenticate")
        if not away and not closed:
            return check.differs(came[-1], "Set httpsOnly on the site; in a gateway, close the port of HTTP.")
    return check.holds("; ".join(came))
