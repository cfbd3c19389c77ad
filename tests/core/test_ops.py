"""Bodies, keys and callers of the operators' API: strict, bounded, and never a surprise."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.core import ops
from shared.core.errors import Malformed, Refusal, TooLarge
from shared.core.names import is_plain
from shared.core.ops import Command, Deed
from shared.core.revocation import Reason

DEEDS: tuple[Deed, ...] = ("revoke", "decommission", "hold", "restore", "renew")


def body(**fields: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps(fields).encode()


def read(deed: Deed, content: bytes) -> Command:
    return ops.action(deed, content, key="k", caller="c")


@pytest.mark.parametrize("deed", DEEDS)
def test_reason_and_comment_are_read(deed: Deed) -> None:
    found = read(deed, body(reason="keyCompromise", comment="lost “at sea”"))
    assert found == Command("k", "c", "lost “at sea”", Reason.KEY_COMPROMISE)


def test_what_can_be_undone_needs_no_reason() -> None:
    assert read("hold", b"{}").why is Reason.CERTIFICATE_HOLD
    assert read("restore", b" {} ").why is Reason.UNSPECIFIED
    assert read("renew", b"{}").why is Reason.UNSPECIFIED


@pytest.mark.parametrize("deed", ["revoke", "decommission"])
def test_what_cannot_be_undone_needs_one_that_says_so(deed: Deed) -> None:
    with pytest.raises(Malformed, match=r'"reason": one of unspecified, keyCompromise'):
        read(deed, b"{}")
    with pytest.raises(Malformed, match="use hold"):
        read(deed, body(reason="certificateHold"))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "JSON object"),
        (b"null", "JSON object"),
        (b"[]", "JSON object"),
        (b'"{}"', "JSON object"),
        (b"{} {}", "JSON object"),
        (b"\xef\xbb\xbf{}", "JSON object"),
        ('{"comment": "x"}'.encode("utf-16"), "JSON object"),
        (b'{"comment": "\xff"}', "JSON object"),
        (b'{"comment": NaN}', "JSON object"),
        (b"[" * 16_000, "JSON object"),
        (b'{"comment": ' + b"9" * 5_000 + b"}", "JSON object"),
        (b'{"reason": "superseded", "reason": "superseded"}', "twice"),
        (b'{"comment": {"a": 1, "a": 1}}', "twice"),
        (body(comment=7), '"comment" must be text'),
        (body(comment=None), '"comment" must be text'),
        (body(reason=["keyCompromise"]), '"reason" must be text'),
        (body(reason="KeyCompromise"), "must be one of unspecified"),
        (body(reason=""), "must be one of"),
        (body(comment="x" * 401), "400 characters"),
        (body(comment="two\nlines"), "one line"),
        (body(comment="\u202eevil"), "plain text"),
        (body(comment="\ud800"), "plain text"),
    ],
)
def test_a_body_that_breaks_its_form_is_refused_and_the_text_says_where(content: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        read("hold", content)


def test_unknown_fields_are_named_escaped_and_bounded() -> None:
    with pytest.raises(Malformed) as caught:
        read("hold", body(**{"Reason": 1, "a\nb": 1, "ü" * 100: 1, **{f"z{number}": 1 for number in range(9)}}))
    assert caught.value.public.startswith('the body has unknown fields: "Reason", "a\\nb", "z0", "z1", "z2", …; known')
    with pytest.raises(Malformed, match=r'unknown fields: "\\u00fc\\u00fc') as caught:
        read("hold", body(**{"ü" * 100: 1}))
    assert len(caught.value.public) < 350


def test_a_body_over_the_limit_is_too_large() -> None:
    longest = b"{}" + b" " * (ops.MAX_BODY - 2)
    assert read("hold", longest).comment == ""
    with pytest.raises(TooLarge):
        read("hold", longest + b" ")


@given(
    st.binary(max_size=200)
    | st.text(max_size=100).map(str.encode)
    | st.dictionaries(
        st.sampled_from(["reason", "comment", "limit", "x"]),
        st.none() | st.integers() | st.text() | st.lists(st.text()),
    ).map(lambda fields: json.dumps(fields).encode())
)
@example(b'{"limit": 1e400}')
def test_no_body_does_anything_but_be_read_or_be_refused(content: bytes) -> None:
    refused = []
    for deed in DEEDS:
        try:
            assert len(read(deed, content).comment) <= ops.MAX_COMMENT
        except Refusal as refusal:
            refused.append(refusal.public)
    try:
        assert 1 <= ops.replay(content, key="k", caller="c").limit <= ops.MAX_REPLAY
    except Refusal as refusal:
        refused.append(refusal.public)
    assert all(is_plain(line) for line in refused)


def test_a_replay_is_bounded() -> None:
    assert ops.replay(b"{}", key="k", caller="c") == Command("k", "c", limit=32)
    assert ops.replay(body(limit=100, comment="x"), key="k", caller="c") == Command("k", "c", "x", limit=100)
    for limit in (0, 101, -1, True, 1.0, "1", None):
        with pytest.raises(Malformed, match="1 to 100"):
            ops.replay(body(limit=limit), key="k", caller="c")


@pytest.mark.parametrize(
    "key", ["k", "~", "!" * 128, "8e03978e-40d5-43dd-bc93-6894a57f9324", '"quoted, too"'.replace(" ", "")]
)
def test_a_key_is_visible_ascii(key: str) -> None:
    assert ops.idempotency_key(key) == key


@pytest.mark.parametrize("key", ["", "x" * 129, "a b", "a\tb", "a\n", "ü", "\x7f"])
def test_anything_else_is_no_key(key: str) -> None:
    with pytest.raises(Malformed, match="Idempotency-Key"):
        ops.idempotency_key(key)


def test_a_caller_who_signed_in_is_told_from_one_who_says_a_name() -> None:
    assert ops.caller("zoe@example.com", "somebody") == "zoe@example.com (signed in)"
    assert ops.caller("", " Zoë ") == "Zoë (function key)"
    assert ops.caller("", "zoe@example.com (signed in)") == "zoe@example.com (signed in) (function key)"
    assert ops.caller(" ", " ") == "function key"


@pytest.mark.parametrize("name", ["x" * 129, "a\nb", "\u200b", "\x1b[31m"])
def test_a_name_that_is_no_plain_text_is_refused(name: str) -> None:
    for names in ((name, ""), ("", name)):
        with pytest.raises(Malformed, match="plain text"):
            ops.caller(*names)


def test_requests_are_the_same_when_they_want_the_same() -> None:
    wish = Command("k1", "Zoë", "lost", Reason.SUPERSEDED, 3)
    same = ops.fingerprint("hold", wish)
    assert ops.fingerprint("hold", Command("k2", "Max", "lost", Reason.SUPERSEDED, 3)) == same
    others = [
        ("revoke", wish),
        ("hold", Command("k1", "Zoë", "found", Reason.SUPERSEDED, 3)),
        ("hold", Command("k1", "Zoë", "lost", Reason.UNSPECIFIED, 3)),
        ("hold", Command("k1", "Zoë", "lost", Reason.SUPERSEDED, 4)),
    ]
    assert same not in [ops.fingerprint(*one) for one in others]


@given(st.text(), st.text(), st.text(), st.text())
def test_two_requests_have_one_id_only_when_scope_and_key_agree(a: str, b: str, c: str, d: str) -> None:
    assert (ops.request_id(a, b) == ops.request_id(c, d)) == ((a, b) == (c, d))
    assert len(ops.request_id(a, b)) == 36
