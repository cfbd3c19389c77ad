"""Request targets as Kestrel reads them, and what becomes of them in the app's URL."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.host import paths


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/", "/"),
        ("/a%20b", "/a b"),
        ("/%2e%77ell-known/est", "/.well-known/est"),
        ("/a%2Fb/%2f", "/a%2Fb/%2f"),
        ("/%C3%A9", "/é"),
        ("/%C3", "/%C3"),
        ("/%ff%41", "/%ffA"),
        ("/%E2%82%AC%2F%E2%82", "/€%2F%E2%82"),
        ("/%F0%9F%98%80", "/😀"),
        ("/%zz%4", "/%zz%4"),
        ("/%2541", "/%41"),
        ("/a/../b", "/b"),
        ("/a/%2e%2E/b", "/b"),
        ("/../../a/.", "/a/"),
        ("/a/b/..", "/a/"),
        ("/a/./b//c", "/a/b//c"),
        ("/.a/..b", "/.a/..b"),
        ("/a+b", "/a+b"),
    ],
)
def test_a_path_is_decoded_once_and_cleaned(target: str, path: str) -> None:
    assert paths.decoded(target) == path


@pytest.mark.parametrize("target", ["/%00", "/a%20%00", "/é"])
def test_what_kestrel_refuses_is_refused(target: str) -> None:
    with pytest.raises(paths.BadTargetError):
        paths.decoded(target)


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        ("/a?b=c?d", ("/a", "b=c?d")),
        ("/a", ("/a", "")),
        ("//host/a?b", ("//host/a", "b")),
        ("http://host:1/a?b", ("/a", "b")),
        ("http://host", ("/", "")),
    ],
)
def test_a_target_splits_into_path_and_query(target: str, parts: tuple[str, str]) -> None:
    assert paths.split(target) == parts


def test_a_url_is_encoded_again() -> None:
    assert paths.url("https", "h:1", "/a b/%2F/é/50%", "x=%20") == "https://h:1/a%20b/%2F/%C3%A9/50%25?x=%20"


@given(st.text(st.characters(exclude_characters="/%\0", exclude_categories=["Cs"])))
def test_an_encoded_path_survives_the_way_there_and_back(name: str) -> None:
    encoded = paths.url("https", "h", f"/a{name}b", "").removeprefix("https://h")
    assert paths.decoded(encoded) == f"/a{name}b"


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("", {}),
        ("a=1&A=2&b", {"a": "1,2"}),
        ("a=x+y%2Bz", {"a": "x y+z"}),
        ("a=1;b=2", {"a": "1;b=2"}),
        ("c=&d=%26", {"d": "&"}),
    ],
)
def test_query_values_as_the_worker_gets_them(query: str, values: dict[str, str]) -> None:
    assert paths.query_values(query) == values
