"""The part of IoT Hub's query language that the sandbox speaks:

    SELECT * FROM devices [WHERE condition]

with conditions made of `path op literal` (op: = != <> < <= > >=), `path IN [literal, ...]`, IS_DEFINED(path),
STARTSWITH(path, 'text'), NOT, AND, OR and parentheses. Everything else is refused, as a sandbox that guesses is of
no use. https://learn.microsoft.com/azure/iot-hub/iot-hub-devguide-query-language
"""

import json
import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

Json = dict[str, Any]
Condition = Callable[[Json], bool]

QUERY: Final = re.compile(
    r"\s*SELECT\s+\*\s+FROM\s+devices(?:\s+WHERE\s+(?P<condition>.+?))?\s*", re.IGNORECASE | re.DOTALL
)
TOKEN: Final = re.compile(
    r"\s*(?P<token>'(?:[^'\\]|\\.)*'|-?\d+(?:\.\d+)?|[\w$-]+(?:\.[\w$-]+)*|<=|>=|!=|<>|[=<>()\[\],])"
)
ROOTS: Final = {"deviceId", "status", "tags", "properties", "connectionState", "authenticationType", "capabilities"}
UNDEFINED: Final = object()
OPERATORS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class QueryError(ValueError):
    """The text is not in the subset above."""


def compile_query(text: str) -> Condition:
    """A test for the twins that the query selects."""
    match = QUERY.fullmatch(text)
    if match is None:
        raise QueryError("only SELECT * FROM devices [WHERE ...] is known to the sandbox")
    condition = match["condition"]
    if condition is None:
        return lambda _: True
    parser = Parser(tokens_of(condition))
    parsed = parser.either()
    if parser.peek():
        raise QueryError(f"unexpected {parser.peek()}")
    return parsed


def tokens_of(text: str) -> list[str]:
    tokens, position = [], 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None:
            raise QueryError(f"unexpected {text[position:]}")
        tokens.append(match["token"])
        position = match.end()
    return tokens


@dataclass
class Parser:
    tokens: list[str]
    position: int = 0

    def peek(self) -> str:
        return self.tokens[self.position] if self.position < len(self.tokens) else ""

    def take(self, *expected: str) -> str:
        token = self.peek()
        if not token or (expected and token.upper() not in expected):
            raise QueryError(f"expected {' or '.join(expected) or 'more'}, not {token or 'the end'}")
        self.position += 1
        return token

    def either(self) -> Condition:
        parts = [self.both()]
        while self.peek().upper() == "OR":
            self.take()
            parts.append(self.both())
        return lambda twin: any(part(twin) for part in parts)

    def both(self) -> Condition:
        parts = [self.one()]
        while self.peek().upper() == "AND":
            self.take()
            parts.append(self.one())
        return lambda twin: all(part(twin) for part in parts)

    def one(self) -> Condition:
        match self.peek().upper():
            case "NOT":
                self.take()
                inner = self.one()
                return lambda twin: not inner(twin)
            case "(":
                self.take()
                inner = self.either()
                self.take(")")
                return inner
            case "IS_DEFINED":
                self.take()
                self.take("(")
                path = self.path()
                self.take(")")
                return lambda twin: value_at(twin, path) is not UNDEFINED
            case "STARTSWITH":
                return self.starts_with()
            case _:
                return self.comparison()

    def starts_with(self) -> Condition:
        self.take("STARTSWITH")
        self.take("(")
        path = self.path()
        self.take(",")
        start = self.literal()
        self.take(")")
        if not isinstance(start, str):
            raise QueryError("STARTSWITH takes a text")
        return lambda twin: isinstance(value := value_at(twin, path), str) and value.startswith(start)

    def comparison(self) -> Condition:
        path = self.path()
        token = self.take("IN", *OPERATORS).upper()
        if token != "IN":
            expected = self.literal()
            return lambda twin: compared(OPERATORS[token], value_at(twin, path), expected)
        self.take("[")
        members = [self.literal()]
        while self.take(",", "]") == ",":
            members.append(self.literal())
        return lambda twin: any(compared(operator.eq, value_at(twin, path), member) for member in members)

    def path(self) -> list[str]:
        path = self.take().split(".")
        if path[0] not in ROOTS:
            raise QueryError(f"unknown property {path[0]}")
        return path

    def literal(self) -> str | float | bool | None:
        token = self.take()
        if token.startswith("'"):
            return re.sub(r"\\(.)", r"\1", token[1:-1])
        if token.lower() in {"true", "false", "null"}:
            token = token.lower()
        try:
            value: str | float | bool | None = json.loads(token)
        except ValueError as error:
            raise QueryError(f"not a literal: {token}") from error
        return value


def value_at(twin: Json, path: list[str]) -> object:
    value: object = twin
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return UNDEFINED
        value = value[name]
    return value


def compared(operation: Callable[[Any, Any], bool], left: object, right: object) -> bool:
    """False where either side is undefined or the types differ, as the language has it."""
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    alike = type(left) is type(right) or (numbers and not isinstance(left, bool) and not isinstance(right, bool))
    return left is not UNDEFINED and alike and operation(left, right)
