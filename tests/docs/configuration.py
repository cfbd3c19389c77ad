"""Writes docs/configuration.md: `python -m tests.docs.configuration > docs/configuration.md`.

What a key is comes from the code, what it means from docs/configuration.toml, so that neither can be forgotten.
"""

import json
import sys
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from tests.conftest import REPOSITORY
from tests.docs.keys import Key, read

FILE: Final = REPOSITORY / "docs" / "configuration.md"
WORDS: Final[Mapping[str, Any]] = tomllib.loads((REPOSITORY / "docs" / "configuration.toml").read_text("utf-8"))

HEAD: Final = """\
# Configuration

Two places: *app settings*, which say where the Azure resources are, and `profiles.toml`, which says what each label
grants to its devices. Secrets stand in neither: profiles name them, and Key Vault holds their values.

<!-- runnable -->
```sh
(set -a; . .sandbox/env; .venv/bin/python -m shared.settings)
```

`python -m shared.settings` reads both as the app would, here with the settings of the sandbox, and prints every problem
with its place and its remedy. `azd` runs it before each deployment. An app whose configuration is wrong answers devices
with 503, and `/readyz` with `configuration`. Each process reads both once: a change of an app setting restarts the app,
and `profiles.toml` is part of the package, so that `azd deploy` brings another one. A new version of a secret is taken
up without either, within five minutes.

This page is made from the code and from `docs/configuration.toml`; `tests/docs` compares them.
"""
SETTINGS: Final = """\
## App settings

`infra/app.bicep` sets them from the [parameters of a deployment](../infra/README.md#parameters), all but those that say
so. What is set elsewhere, as in the portal, is gone after the next `azd provision`.
"""
CONNECTIONS: Final = """\
### Connections of the triggers

Queue triggers also read `STORAGE__queueServiceUri` from above.
"""
HOST: Final = """\
### Host and worker

Birthcert itself reads none of these.
"""
PROFILES: Final = """\
## Profiles

TOML. A key that is not known is a problem, like a value of the wrong type. [profiles.toml](../profiles.toml) is an
example of one label; the sandbox's five stand in `.sandbox/profiles.toml` once it has run.
"""


def document() -> str:
    return "".join([HEAD, *_settings(), "\n", PROFILES, *_profiles()])


def _settings() -> Iterator[str]:
    yield f"\n{SETTINGS}\n"
    yield _table(("Setting", "Default", "Means"), (_setting(name, words) for name, words in WORDS["settings"].items()))
    for text, part in ((CONNECTIONS, "connections"), (HOST, "host")):
        yield f"\n{text}\n"
        yield _table(("Setting", "Means"), ((f"`{name}`", words["text"]) for name, words in WORDS[part].items()))


def _setting(name: str, words: Mapping[str, str]) -> tuple[str, ...]:
    default = words.get("default")
    return f"`{name}`", "required" if default is None else f"`{default}`" if default else "empty", words["text"]


def _profiles() -> Iterator[str]:
    keys = {one.path: one for one in read()}
    for table, text in WORDS["tables"].items():
        within = [keys[path] for path in WORDS["keys"] if path in keys and keys[path].table == table]
        shown = textwrap.fill(text, 120, break_on_hyphens=False)
        yield f"\n### {f'`{table}`' if table else 'Top'}\n\n{shown}\n\n"
        yield _table(("Key", "Value", "Default", "Means"), (_row(one, WORDS["keys"][one.path]) for one in within))


def _row(key: Key, words: Mapping[str, str]) -> tuple[str, ...]:
    return f"`{key.name}`", words.get("value") or _value(key), words.get("when") or _default(key), words["text"]


def _value(key: Key) -> str:
    if key.allowed:
        named = ", ".join(f"`{one}`" for one in key.allowed)
        return f"{key.kind} {named}"
    return key.kind


def _default(key: Key) -> str:
    if key.default is None:
        return "required"
    if key.is_table:
        return "none"
    return f"`{json.dumps(key.default)}`"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '\\|') for cell in line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(document())
