"""The one table from refusals to statuses, and the form of every error body."""

import pytest

from functions import http
from shared.core import errors
from shared.core.client_certificate import NotTrusted
from shared.core.errors import Refusal
from tests.functions.calling import REQUEST_ID


def families(kind: type[Refusal]) -> list[type[Refusal]]:
    return [kind, *(one for below in kind.__subclasses__() for one in families(below))]


def made(kind: type[Refusal]) -> Refusal:
    match kind:
        case errors.Unauthenticated:
            return errors.Unauthenticated("say who you are", challenge=True)
        case errors.MethodNotAllowed:
            return errors.MethodNotAllowed("not so", allow=("GET", "HEAD"))
        case kind if issubclass(kind, errors.Again):
            return kind("later", retry_after=7)
        case _:
            return kind("no")


# What is only drawn above others, or never leaves the flow that raises it.
INNER = {Refusal, errors.Again, NotTrusted}


@pytest.mark.parametrize("kind", [kind for kind in families(Refusal) if kind not in INNER])
def test_every_refusal_has_a_status_and_one_readable_line(kind: type[Refusal]) -> None:
    response = http.refused(made(kind), REQUEST_ID)
    assert response.status_code == http.status_of(made(kind)) != 500
    body = response.get_body().decode()
    assert body.endswith(f" (request {REQUEST_ID})\n")
    assert body.count("\n") == 1
    assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert response.headers["Content-Length"] == str(len(body))
    assert response.headers["Cache-Control"] == "no-store"
    assert ("Allow" in response.headers) == (response.status_code == 405)
    assert ("WWW-Authenticate" in response.headers) == (response.status_code == 401)
    assert ("Retry-After" in response.headers) == (response.status_code in (429, 503, 504))


def test_an_error_line_is_short_and_says_nothing_of_the_cause() -> None:
    refusal = errors.Misconfigured("x" * 1000, cause="KEY_VAULT_URL: must be set")
    body = http.refused(refusal, REQUEST_ID).get_body().decode()
    assert len(body) < 300
    assert "KEY_VAULT_URL" not in body


def test_no_challenge_is_sent_where_no_passcode_would_be_taken() -> None:
    refusal = errors.Unauthenticated("who are you", challenge=False)
    assert "WWW-Authenticate" not in http.refused(refusal, REQUEST_ID).headers
