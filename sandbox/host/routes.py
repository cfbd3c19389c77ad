"""Route templates, matched as the real host matches them.

The real host keeps its functions in the order of their names, without case (host: FunctionMetadataManager), and takes
the first route that fits (ext: WebJobsRouteBuilder, a plain RouteCollection): ASP.NET Core's precedence of literals
over parameters does NOT hold there (azure-functions-host issues 3153 and 9876). So that an app behaves alike in both
worlds, an app in which a name shadows a more specific route is refused at start.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from uuid import UUID

ANY_METHOD: frozenset[str] = frozenset()

Test = Callable[[str], bool]


class RouteError(ValueError):
    pass


@dataclass(frozen=True)
class Segment:
    kind: str  # "literal", "parameter" or "rest"
    text: str  # the literal in lower case, or the parameter's name
    optional: bool = False
    tests: tuple[Test, ...] = ()

    @property
    def rank(self) -> int:
        """aspnetcore: RoutePrecedence.ComputeInboundPrecedenceDigit."""
        if self.kind == "literal":
            return 1
        return (2 if self.tests else 3) if self.kind == "parameter" else (4 if self.tests else 5)

    def fits(self, part: str) -> bool:
        if self.kind == "literal":
            return part.lower() == self.text
        return all(test(part) for test in self.tests)


@dataclass(frozen=True)
class Route:
    function: str
    template: str
    methods: frozenset[str]
    segments: tuple[Segment, ...]

    def match(self, parts: list[str]) -> dict[str, str] | None:
        values: dict[str, str] = {}
        for i, segment in enumerate(self.segments):
            if segment.kind == "rest":
                rest = "/".join(parts[i:])
                if rest:
                    values[segment.text] = rest
                return values if all(test(rest) for test in segment.tests) else None
            if i >= len(parts) or (i == len(parts) - 1 and not parts[i]):
                return values if segment.optional else None
            # An empty segment inside a path fits nothing (aspnetcore: TemplateMatcher).
            if not parts[i] or not segment.fits(parts[i]):
                return None
            if segment.kind == "parameter":
                values[segment.text] = parts[i]
        left = parts[len(self.segments) :]
        return values if not left or left == [""] else None  # one trailing slash is ignored


def parse(function: str, template: str, methods: Iterable[str] = ANY_METHOD) -> Route:
    segments = tuple(_segment(part, template) for part in template.split("/")) if template else ()
    for segment in segments[:-1]:
        if segment.optional or segment.kind == "rest":
            raise RouteError(f"route {template!r} of {function}: {segment.text!r} may only stand at the end")
    return Route(function, template, frozenset(method.upper() for method in methods), segments)


def _segment(part: str, template: str) -> Segment:
    if "{" not in part and "}" not in part:
        if not part:
            raise RouteError(f"route {template!r} holds an empty segment")
        return Segment("literal", part.lower())
    if not (part.startswith("{") and part.endswith("}")) or "{" in part[1:-1] or "=" in part:
        raise RouteError(f"route {template!r}: {part!r} (mixed segments and defaults) is not played in the sandbox")
    inner = part[1:-1]
    rest = inner.startswith("*")
    optional = inner.endswith("?")
    name, *constraints = inner.lstrip("*").rstrip("?").split(":")
    if not name.replace("_", "").isalnum():
        raise RouteError(f"route {template!r}: {name!r} is no parameter name")
    return Segment(
        "rest" if rest else "parameter", name, optional, tuple(_constraint(c, template) for c in constraints)
    )


# learn.microsoft.com/aspnet/core/fundamentals/routing (route constraints), those that need no culture and no regex.
_CONSTRAINTS: dict[tuple[str, int], Callable[..., Test]] = {
    ("int", 0): lambda: lambda value: _is_number(value, 32),
    ("long", 0): lambda: lambda value: _is_number(value, 64),
    ("bool", 0): lambda: lambda value: value.lower() in {"true", "false"},
    ("guid", 0): lambda: _is_guid,
    ("alpha", 0): lambda: lambda value: value.isascii() and value.isalpha(),
    ("minlength", 1): lambda least: lambda value: len(value) >= least,
    ("maxlength", 1): lambda most: lambda value: len(value) <= most,
    ("length", 1): lambda exact: lambda value: len(value) == exact,
    ("length", 2): lambda least, most: lambda value: least <= len(value) <= most,
    ("min", 1): lambda least: lambda value: _is_number(value, 64) and least <= int(value),
    ("max", 1): lambda most: lambda value: _is_number(value, 64) and int(value) <= most,
    ("range", 2): lambda least, most: lambda value: _is_number(value, 64) and least <= int(value) <= most,
}


def _constraint(text: str, template: str) -> Test:
    name, _, argument = text.rstrip(")").partition("(")
    numbers = argument.split(",") if argument else []
    make = _CONSTRAINTS.get((name, len(numbers)))
    if make is None or not all(number.strip().isdecimal() for number in numbers):
        raise RouteError(f"route {template!r}: the constraint {text!r} is not known in the sandbox")
    return make(*map(int, numbers))


def _is_number(value: str, bits: int) -> bool:
    digits = value.removeprefix("-")
    return digits.isascii() and digits.isdigit() and -(2 ** (bits - 1)) <= int(value) < 2 ** (bits - 1)


def _is_guid(value: str) -> bool:
    try:
        UUID(value)
    except ValueError:
        return False
    return True


class Table:
    """All routes under the prefix, in the real host's order."""

    def __init__(self, prefix: str, routes: Iterable[Route]) -> None:
        self._prefix = prefix.split("/") if prefix else []
        self._folded = [part.lower() for part in self._prefix]
        self._routes = sorted(routes, key=lambda route: route.function.lower())
        for i, later in enumerate(self._routes):
            for earlier in self._routes[:i]:
                if shadows(earlier, later):
                    raise RouteError(
                        f"route {later.template!r} of {later.function} is shadowed by {earlier.template!r} of "
                        f"{earlier.function}: Azure tries functions in the order of their names. Rename one of them."
                    )

    def match(self, method: str, path: str) -> tuple[str, dict[str, str]] | None:
        """The function and its route parameters.

        A known path with a wrong method is no match: the method is a constraint of the route (host:
        WebScriptHostHttpRoutesManager, HttpMethodRouteConstraint), so the host answers 404 and never 405.
        """
        parts = path.split("/")[1:]
        size = len(self._folded)
        if [part.lower() for part in parts[:size]] != self._folded:
            return None
        parts = parts[size:]
        for route in self._routes:
            if not route.methods or method in route.methods:
                values = route.match(parts)
                if values is not None:
                    return route.function, values
        return None


def shadows(earlier: Route, later: Route) -> bool:
    """Whether `earlier` takes requests that fit `later`, although `later` is the more specific of the two."""
    if earlier.methods and later.methods and not earlier.methods & later.methods:
        return False
    ranks = [segment.rank for segment in later.segments], [segment.rank for segment in earlier.segments]
    return ranks[0] < ranks[1] and _overlap(earlier.segments, later.segments)


def _overlap(a: tuple[Segment, ...], b: tuple[Segment, ...]) -> bool:
    """Whether some path fits both; two constraints of which neither meets a literal are taken to exclude each other."""
    if not a or not b:
        return all(segment.optional or segment.kind == "rest" for segment in a + b)
    if a[0].kind == "rest" or b[0].kind == "rest":
        return True
    if a[0].optional and b[0].optional:
        return True
    if a[0].kind == b[0].kind == "literal":
        same = a[0].text == b[0].text
    elif a[0].kind == b[0].kind:
        same = not (a[0].tests and b[0].tests)
    else:
        literal, parameter = (a[0], b[0]) if a[0].kind == "literal" else (b[0], a[0])
        same = parameter.fits(literal.text)
    return same and _overlap(a[1:], b[1:])
