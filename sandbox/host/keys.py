"""Host keys and function keys: who may call what (learn.microsoft.com/azure/azure-functions/function-keys-how-to)."""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field


class KeysError(ValueError):
    pass


@dataclass(frozen=True)
class Keys:
    """The default host key, the master key, and the system key `eventgrid_extension`. Kept out of repr and logs.

    `own_keys` are keys of single functions, by name: each opens its function and no other.
    """

    function_key: str
    master_key: str
    event_grid_key: str
    own_keys: Mapping[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "Keys(…)"

    def open(self, level: str, presented: str, function: str = "") -> bool:
        """Whether `presented` opens `level`: anonymous, function, admin, or the system level of the Event Grid webhook.

        The master key opens everything; a system key opens nothing but its own extension's webhook.
        """
        match level:
            case "anonymous":
                return True
            case "function":
                own = self.own_keys.get(function, self.function_key)
                keys = (own, self.function_key, self.master_key)
                return any([_same(presented, key) for key in keys])  # noqa: C419 - all are compared, whichever is right
            case "admin":
                return _same(presented, self.master_key)
            case "event_grid":
                return _same(presented, self.event_grid_key) | _same(presented, self.master_key)
            case _:
                raise KeysError(f"unknown authLevel {level!r}")


def _same(presented: str, key: str) -> bool:
    return hmac.compare_digest(presented.encode("utf-8", "surrogateescape"), key.encode())


def from_line(line: str) -> Keys:
    """The first line of standard input: one JSON object with the three keys, and perhaps `own_keys`."""
    names = ["event_grid_key", "function_key", "master_key"]
    try:
        given = json.loads(line)
    except ValueError as error:
        raise KeysError(f"the first line of standard input is no JSON object with {', '.join(names)}") from error
    own = given.pop("own_keys", {}) if isinstance(given, dict) else {}
    if not isinstance(given, dict) or sorted(given) != names or not all([*given.values(), *own.values()]):
        raise KeysError(f"the first line of standard input must hold exactly {', '.join(names)}, none empty")
    return Keys(**{name: str(given[name]) for name in names}, own_keys={name: str(key) for name, key in own.items()})
