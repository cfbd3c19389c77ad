"""Targets and methods: what is not an EST operation by its exact name, and what never gets past the front end."""

import pytest

from sandbox.device import Identity
from tests.e2e import csr, wire
from tests.e2e.est import BASE, PKCS10, Site, encoded, leaf, path, refused

GOOD = encoded(csr.request())

NOT_FOUND = {
    "dots that lead to a good path": "/.well-known/est/x/../simpleenroll",
    "encoded dots that lead to a good path": "/.well-known/est/x/%2e%2e/simpleenroll",
    "one dot": "/.well-known/est/./simpleenroll",
    "encoded slash": "/.well-known/est/a%2Fb/simpleenroll",
    "slash encoded twice": "/.well-known/est/a%252Fb/simpleenroll",
    "CR LF": "/.well-known/est/a%0d%0ab/simpleenroll",
    "no UTF-8": "/.well-known/est/%ff/simpleenroll",
    "no escape": "/.well-known/est/%zz/simpleenroll",
    "a parameter": "/.well-known/est/est;x=1/simpleenroll",
    "a backslash": "/.well-known/est/a\\b/simpleenroll",
    "an escaped letter in the label": "/.well-known/est/%65st/simpleenroll",
    "the name of an operation as label": "/.well-known/est/cacerts/simpleenroll",
    "a reserved label": "/.well-known/est/crls/simpleenroll",
    "a label of 65 characters": f"/.well-known/est/{'a' * 65}/simpleenroll",
    "a label of 7,000 characters": f"/.well-known/est/{'a' * 7000}/simpleenroll",
    "an escaped letter in the operation": "/.well-known/est/%73impleenroll",
    "capitals": "/.well-known/est/SIMPLEENROLL",
    "trailing slash": "/.well-known/est/simpleenroll/",
    "two slashes": "/.well-known/est//simpleenroll",
    "two labels": "/.well-known/est/est/rest/simpleenroll",
    "no operation": "/.well-known/est/",
    "an unknown operation": "/.well-known/est/healthcheck",
    "a fragment": "/.well-known/est/simpleenroll#f",
    "unknown label": "/.well-known/est/nobody/simpleenroll",
    "a label in capitals": "/.well-known/est/EST/simpleenroll",
    "an unknown label before the path": "/nobody/.well-known/est/simpleenroll",
    "absolute form": "https://127.0.0.1:8443/.well-known/est/simpleenroll",
    "the path in capitals": "/.Well-Known/EST/simpleenroll",
}

# What the Functions host does not hand to any function, or the front end's parser does not hand to the host.
NOBODYS = {
    "a label of dots": ("/.well-known/est/../simpleenroll", 404),
    "encoded dots": ("/.well-known/est/%2e%2e/simpleenroll", 404),
    "NUL": ("/.well-known/est/a%00b/simpleenroll", 400),
    "two slashes before est": ("/.well-known//est/simpleenroll", 404),
    "a target of 9,000 characters": (f"/.well-known/est/{'a' * 9000}/simpleenroll", 400),
    "nothing after est": ("/.well-known/est", 404),
    "another path": ("/est/simpleenroll", 404),
}


@pytest.mark.parametrize("case", NOT_FOUND)
def test_only_the_exact_path_is_an_operation(site: Site, hostile: Identity, case: str) -> None:
    with site.nothing_issued():
        refused(site.call("POST", NOT_FOUND[case], GOOD, (PKCS10,), hostile), 404)


@pytest.mark.parametrize("case", NOBODYS)
def test_some_targets_reach_no_function(site: Site, hostile: Identity, case: str) -> None:
    target, status = NOBODYS[case]
    with site.nothing_issued():
        assert site.call("POST", target, GOOD, (PKCS10,), hostile).status == status


@pytest.mark.parametrize(
    "target", [f"{BASE}/simpleenroll?x=1", f"{BASE}/simpleenroll?", "/est/.well-known/est/simpleenroll"]
)
def test_a_query_changes_nothing_and_a_label_may_stand_before(site: Site, hostile: Identity, target: str) -> None:
    leaf(site.call("POST", target, GOOD, (PKCS10,), hostile))


@pytest.mark.parametrize("operation", ["simpleenroll", "simplereenroll"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "OPTIONS", "DELETE", "PATCH"])
def test_enrollment_takes_post_alone(site: Site, hostile: Identity, method: str, operation: str) -> None:
    with site.nothing_issued():
        answer = site.call(method, path(operation, "est"), GOOD if method == "PUT" else b"", (PKCS10,), hostile)
        refused(answer, 405, "takes POST", head=method == "HEAD")
        assert answer.header("Allow") == "POST"


@pytest.mark.parametrize("operation", ["cacerts", "csrattrs"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_reading_takes_get_and_head(site: Site, method: str, operation: str) -> None:
    answer = site.call(method, path(operation))
    refused(answer, 405, "takes GET and HEAD")
    assert answer.header("Allow") == "GET, HEAD"


@pytest.mark.parametrize(
    ("method", "operation"), [("GET", "simpleenroll"), ("POST", "cacerts"), ("POST", "fullcmc")], ids=str
)
def test_an_unknown_label_is_not_found_whatever_the_method(site: Site, method: str, operation: str) -> None:
    refused(site.call(method, path(operation, "nobody")), 404)


@pytest.mark.parametrize("operation", ["serverkeygen", "fullcmc"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_what_is_switched_off_is_not_implemented(site: Site, hostile: Identity, method: str, operation: str) -> None:
    """For any method, and before anybody is asked who he is: RFC 7030 section 4.3.2."""
    with site.nothing_issued():
        refused(site.call(method, path(operation), GOOD, (PKCS10,), hostile), 501, "not offered")
        refused(site.call(method, path(operation, "est")), 501, "not offered")


HEAD = "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: 127.0.0.1:8443\r\n"
LENGTH = f"Content-Length: {len(GOOD)}\r\n"
TYPE = "Content-Type: application/pkcs10\r\n"


@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(f"{HEAD}{TYPE}{LENGTH}Transfer-Encoding: chunked\r\n", 400, id="both lengths"),
        pytest.param(f"{HEAD}{TYPE}{LENGTH}Content-Length: 5\r\n", 400, id="two lengths"),
        pytest.param(f"{HEAD}{TYPE}Content-Length: -1\r\n", 400, id="negative length"),
        pytest.param(f"{HEAD}{TYPE}Content-Length: {len(GOOD)}, {len(GOOD)}\r\n", 400, id="a list of lengths"),
        pytest.param(f"{HEAD.replace('POST', 'post')}{TYPE}{LENGTH}", 400, id="lower-case method"),
        pytest.param(f"{HEAD.replace('POST', 'ENROLL')}{TYPE}{LENGTH}", 400, id="unknown method"),
        pytest.param(f"{HEAD}{TYPE}{LENGTH}X-ARR-ClientCert: {'A' * 70_000}\r\n", 431, id="header of 70 KB"),
        pytest.param(f"{HEAD}{TYPE}{LENGTH}X-ARR-ClientCert : AAAA\r\n", 400, id="space before the colon"),
        pytest.param(f"{HEAD}{TYPE}{LENGTH}X-Folded: a\r\n  b: c\r\n", 400, id="folded header"),
        pytest.param(f"{HEAD}{TYPE}{LENGTH}X-Control: a\x01b\r\n", 400, id="control character"),
        pytest.param(f"{HEAD.partition('Host')[0]}{TYPE}{LENGTH}", 400, id="no Host"),
        pytest.param(f"{HEAD}Host: other.example\r\n{TYPE}{LENGTH}", 400, id="two Hosts"),
    ],
)
def test_the_front_end_refuses_bad_framing(site: Site, hostile: Identity, head: str, status: int) -> None:
    """Its own answers, without the app's words: what matters is that the app never sees two readings of a request."""
    with site.nothing_issued():
        answer = wire.send(site.tls(hostile), f"{head}\r\n".encode("latin-1"), GOOD)
        assert answer.status == status, answer.text
