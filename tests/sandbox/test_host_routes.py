"""Route templates of the function host."""

import pytest

from sandbox.host.routes import RouteError, Table, parse

GUID = "0e57c0de-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    ("template", "path", "values"),
    [
        ("", "/", {}),
        ("a/b", "/A/b", {}),
        ("a/b", "/a/b/", {}),
        ("a/b", "/a", None),
        ("a/b", "/a/b/c", None),
        ("a/b", "/a/b//", None),
        ("a/{x}", "/a/Y%2F", {"x": "Y%2F"}),
        ("a/{x}", "/a/", None),
        ("a/{x}/c", "/a//c", None),
        ("a/{x?}", "/a", {}),
        ("a/{x?}", "/a/", {}),
        ("a/{x?}", "/a/b", {"x": "b"}),
        ("a/{x?}", "/a/b/c", None),
        ("{*rest}", "/", {}),
        ("{*rest}", "/a//b/", {"rest": "a//b/"}),
        ("a/{**rest}", "/a/b/c", {"rest": "b/c"}),
        ("a/{*rest}", "/b", None),
        ("{id:int}", "/-12", {"id": "-12"}),
        ("{id:int}", "/2147483648", None),
        ("{id:int}", "/1a", None),
        ("{id:long}", "/2147483648", {"id": "2147483648"}),
        ("{id:guid}", f"/{GUID}", {"id": GUID}),
        ("{id:guid}", "/no", None),
        ("{id:bool}", "/True", {"id": "True"}),
        ("{id:alpha:minlength(2)}", "/a", None),
        ("{id:alpha:minlength(2)}", "/ab", {"id": "ab"}),
        ("{id:length(2,3)}", "/abcd", None),
        ("{id:length(3)}", "/abc", {"id": "abc"}),
        ("{id:maxlength(3)}", "/abcd", None),
        ("{id:range(1,9)}", "/10", None),
        ("{id:min(1)}", "/0", None),
        ("{id:max(9)}", "/9", {"id": "9"}),
    ],
)
def test_a_template_fits_or_not(template: str, path: str, values: dict[str, str] | None) -> None:
    found = Table("", [parse("f", template)]).match("GET", path)
    assert (found[1] if found is not None else None) == values


@pytest.mark.parametrize(
    "template",
    ["{id:regex(a)}", "{id:integer}", "{id:length(1,2,3)}", "{a}-{b}", "{a=1}", "{*a}/b", "{a?}/b", "a//b", "{}"],
)
def test_a_template_that_is_not_played_is_refused(template: str) -> None:
    with pytest.raises(RouteError, match="route"):
        parse("f", template)


def test_the_prefix_belongs_to_every_route() -> None:
    table = Table("api/v1", [parse("f", "a")])
    assert table.match("GET", "/API/v1/a") == ("f", {})
    assert table.match("GET", "/a") is None


def test_the_method_belongs_to_the_route() -> None:
    table = Table("", [parse("a", "x", ["get"]), parse("b", "x", ["POST"])])
    assert table.match("GET", "/x") == ("a", {})
    assert table.match("POST", "/x") == ("b", {})
    assert table.match("PUT", "/x") is None


def test_functions_are_tried_in_the_order_of_their_names() -> None:
    table = Table("", [parse("B", "x/{id}"), parse("a", "x/recent"), parse("c", "{*rest}")])
    assert table.match("GET", "/x/recent") == ("a", {})
    assert table.match("GET", "/x/1") == ("B", {"id": "1"})
    assert table.match("GET", "/y") == ("c", {"rest": "y"})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("x/{id}", "x/recent"),
        ("{*rest}", "x/{id}"),
        ("{*rest}", ".well-known/est/cacerts"),
        ("x/{id}", "x/{id:int}"),
        ("{a}/b", "x/b"),
        ("x/{id?}", "x"),
    ],
)
def test_a_name_that_hides_a_more_specific_route_is_refused(first: str, second: str) -> None:
    with pytest.raises(RouteError, match="shadowed"):
        Table("", [parse("a", first), parse("b", second)])
    Table("", [parse("b", first), parse("a", second)])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("est/{op}", "est/{label}/{op}"),
        ("est/{label}/enroll", "est/other/renew"),
        ("x/{id:int}", "x/recent"),
        ("x/{id:int}", "x/{id:guid}"),
        ("{a}/b", "x/c"),
    ],
)
def test_routes_that_never_meet_may_have_any_names(first: str, second: str) -> None:
    Table("", [parse("a", first), parse("b", second)])
    Table("", [parse("b", first), parse("a", second)])


def test_routes_with_other_methods_never_meet() -> None:
    Table("", [parse("a", "x/{id}", ["GET"]), parse("b", "x/recent", ["POST"])])
