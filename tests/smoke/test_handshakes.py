"""TLS as the smoke test tries it, against servers that speak versions of it which they should not."""

import ssl
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from infra.smoke import handshakes
from infra.smoke.checks import Finding
from infra.smoke.site import Site
from infra.smoke.wire import Address
from tests.sandbox.serving import tls_context


class Handler(BaseHTTPRequestHandler):
    """Answers what its server says, whatever is asked."""

    def answer(self) -> None:
        status, location = getattr(self.server, "answers", (200, ""))
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = answer  # noqa: N815 - as http.server looks for them

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def server(context: ssl.SSLContext | None, answers: tuple[int, str] = (200, "")) -> Iterator[int]:
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.answers = answers  # type: ignore[attr-defined] # read by the handler
    if context is not None:
        made.socket = context.wrap_socket(made.socket, server_side=True)
    made.handle_error = lambda *_: None  # type: ignore[method-assign] # handshakes that fail are what is tried here
    thread = threading.Thread(target=made.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made.server_address[1]
    finally:
        made.shutdown()
        thread.join()
        made.server_close()


def found(folder: Path, context: ssl.SSLContext, *, plain: int = 9, ca: bool = True) -> dict[str, Finding]:
    with server(context) as port:
        address = Address("localhost", port, str(folder / "tls-root.pem") if ca else "")
        return {one.check.name: one for one in handshakes.checks(Site(address), plain)}


def test_a_server_as_it_should_be(tmp_path: Path) -> None:
    context = tls_context(tmp_path)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    rows = found(tmp_path, context)
    assert {one.verdict for one in rows.values()} == {"OK"}
    assert rows["TLS 1.3"].came == "TLSv1.3"


def test_a_server_that_still_speaks_tls_1_1_is_found(tmp_path: Path) -> None:
    context = tls_context(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    row = found(tmp_path, context)["TLS 1.1"]
    assert row.fails
    assert row.came == "accepted: TLSv1.1"


def test_a_certificate_that_nobody_trusts_is_found(tmp_path: Path) -> None:
    row = found(tmp_path, tls_context(tmp_path), ca=False)["TLS"]
    assert row.fails
    assert "--ca" in row.do


def test_http_2_and_no_tls_1_3_fail_nothing(tmp_path: Path) -> None:
    context = tls_context(tmp_path)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    rows = found(tmp_path, context)
    assert {name for name, one in rows.items() if one.verdict == "DIFFERS"} == {"TLS 1.3", "HTTP/2"}
    assert not any(one.fails for one in rows.values())


@pytest.mark.parametrize(
    ("answers", "fails"),
    [
        ((301, "https://localhost/"), False),
        ((308, "https://localhost/"), False),
        ((403, ""), False),
        ((301, "http://localhost/elsewhere"), True),
        ((200, ""), True),
    ],
)
def test_plain_http_may_lead_to_https_and_to_nothing_else(
    tmp_path: Path, answers: tuple[int, str], *, fails: bool
) -> None:
    with server(None, answers) as port:
        assert found(tmp_path, tls_context(tmp_path), plain=port)["plain HTTP"].fails == fails


def test_a_server_that_does_not_answer_is_no_answer_as_expected() -> None:
    rows = list(handshakes.checks(Site(Address("localhost", 9)), 9))
    assert {one.verdict for one in rows if one.check.name in {"TLS", "TLS 1.1"}} == {"DIFFERS"}
    assert all(one.do for one in rows if one.verdict == "DIFFERS")
