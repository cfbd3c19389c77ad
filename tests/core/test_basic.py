"""HTTP Basic: what is read, and what lets somebody in."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.basic import CHALLENGE, BasicCredentials, matches, parse
from shared.core.errors import Unauthenticated


def basic(content: bytes) -> str:
    return "Basic " + base64.b64encode(content).decode()


@pytest.mark.parametrize(
    ("header", "user", "password"),
    [
        (basic(b"user:secret"), b"user", b"secret"),
        (basic(b":otp"), b"", b"otp"),
        (basic(b"user:"), b"user", b""),
        (basic(b"user:a:b"), b"user", b"a:b"),
        (basic("user:pässword".encode()), b"user", "pässword".encode()),
        (basic(b"user:\xff\x00"), b"user", b"\xff\x00"),
        ("bAsIc " + base64.b64encode(b"a:b").decode(), b"a", b"b"),
        ("  Basic   " + base64.b64encode(b"a:b").decode() + "  ", b"a", b"b"),
    ],
)
def test_credentials_are_read(header: str, user: bytes, password: bytes) -> None:
    assert parse(header) == BasicCredentials(user, password)


@pytest.mark.parametrize(
    "header",
    [
        *(
            "",
            "Basic",
            "Basic ",
            "Bearer x",
            "Basic !!!",
            "Basic é",
            "Digest username=x",
            "Basic dXNlcg",
            basic(b"code"),
        ),
        *("NUNVQUNRVVZI", "Basic NUNVQUNRVVZI", "Bearer " + base64.b64encode(b"user:secret").decode(), basic(b"")),
        *(basic(b"a:b") + ", " + basic(b"a:b"), basic(b"a:b") + "\x00"),
    ],
)
def test_anything_else_is_unauthenticated_with_a_challenge(header: str) -> None:
    with pytest.raises(Unauthenticated) as refused:
        parse(header)
    assert refused.value.challenge
    assert CHALLENGE.startswith("Basic realm=")


@given(st.text() | st.text().map(lambda text: f"Basic {text}") | st.binary().map(basic))
def test_any_header_is_read_or_unauthenticated(header: str) -> None:
    try:
        found = parse(header)
    except Unauthenticated:
        return
    assert b":" not in found.user


@given(st.binary(max_size=20).filter(lambda user: b":" not in user), st.binary(max_size=20))
def test_what_is_sent_is_what_is_read(user: bytes, password: bytes) -> None:
    assert parse(basic(user + b":" + password)) == BasicCredentials(user, password)


def test_the_secret_lets_in_and_nothing_else_does() -> None:
    assert matches(BasicCredentials(b"user", b"secret"), "user:secret")
    assert matches(BasicCredentials(b"user", b"secret"), "user:secret\n")
    assert matches(BasicCredentials(b"", b"secret"), ":secret")
    assert matches(BasicCredentials(b"user", "pässword".encode()), "user:pässword")
    for user, password in [(b"user", b"Secret"), (b"User", b"secret"), (b"user", b"secret "), (b"", b"secret")]:
        assert not matches(BasicCredentials(user, password), "user:secret")


@pytest.mark.parametrize("secret", ["", ":", "user:", "user"])
def test_a_secret_without_password_lets_nobody_in(secret: str) -> None:
    for user, password in [(b"", b""), (b"user", b""), (b"", b"user")]:
        assert not matches(BasicCredentials(user, password), secret)


def test_the_password_is_in_no_repr() -> None:
    assert "secret" not in repr(parse(basic(b"user:secret")))
