"""Reading TOML tables with types: each problem is noted under its path, and reading goes on to find the others."""

import re
from collections.abc import Iterable
from typing import Any, Final

_SECRET_NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}")  # Key Vault's own rule


class Table:
    """One table: typed reads that note a problem under its path and go on. `close` notes what was not read."""

    def __init__(self, path: str, content: object, problems: list[str]) -> None:
        self.path = path
        self.problems = problems
        self.content: dict[str, Any] = content if isinstance(content, dict) else {}
        self.unread = set(self.content)
        if not isinstance(content, dict):
            problems.append(f"{path}: must be a table")

    def problem(self, key: str, text: str) -> None:
        self.problems.append(f"{self.path}.{key}: {text}" if self.path else f"{key}: {text}")

    def take(self, key: str, kind: type, otherwise: Any = None) -> Any:  # noqa: ANN401 - TOML values
        """The value of a key; a required one when `otherwise` is None."""
        self.unread.discard(key)
        value = self.content.get(key, otherwise)
        if value is None:
            self.problem(key, "is missing")
        # TOML's true is no number, though Python's is.
        elif kind is float and type(value) is int:
            return float(value)
        elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            self.problem(key, f"must be a {_KINDS[kind]}")
        else:
            return value
        return kind()

    def number(self, key: str, otherwise: int, least: int = 0) -> int:
        value: int = self.take(key, int, otherwise)
        if value < least:
            self.problem(key, f"must be at least {least}")
        return value

    def table(self, key: str, otherwise: dict[str, Any] | None = None) -> "Table":
        return Table(f"{self.path}.{key}" if self.path else key, self.take(key, dict, otherwise), self.problems)

    def optional_table(self, key: str) -> "Table | None":
        return self.table(key) if key in self.content else None

    def choice(self, key: str, allowed: Iterable[str], otherwise: str | None = None) -> str:
        value: str = self.take(key, str, otherwise)
        if value and value not in allowed:
            self.problem(key, f"{value!r} is not one of {', '.join(allowed)}")
        return value

    def strings(self, key: str, allowed: Iterable[str] = (), otherwise: list[str] | None = None) -> tuple[str, ...]:
        values = self.take(key, list, otherwise)
        for value in values:
            if not isinstance(value, str) or (allowed and value not in allowed):
                self.problem(key, f"{value!r} is not one of {', '.join(allowed)}" if allowed else "must hold strings")
        return tuple(value for value in values if isinstance(value, str))

    def url(self, key: str) -> str:
        value: str = self.take(key, str)
        if value and not re.fullmatch(r"https://[^\s/?#]+[^\s?#]*", value):
            self.problem(key, "must be an https:// address without query")
        return value.rstrip("/")

    def secret(self, key: str) -> str:
        value: str = self.take(key, str)
        if value and not _SECRET_NAME.fullmatch(value):
            self.problem(key, "must be the name of a Key Vault secret (letters, digits and -), not its value")
        return value

    def close(self) -> None:
        for key in sorted(self.unread):
            self.problem(key, "is not known here")


_KINDS: Final = {
    str: "string",
    int: "whole number",
    float: "number",
    bool: "true or false",
    list: "list",
    dict: "table",
}
