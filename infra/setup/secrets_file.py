"""The secrets that are handed to setup: a TOML file, or standard input. Never an argument, never the environment."""

import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

from infra.setup.refused import Refused
from infra.setup.wanted import HOW_TO, SecretForm, value_problem


def read(source: str, named: Mapping[str, SecretForm]) -> dict[str, str]:
    """The values by the names that profiles use; empty where `source` is. Raises Refused."""
    if not source:
        return {}
    text = _text(source)
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at .*\)", str(error))  # what stands before it may quote the file
        raise Refused(f"the secrets cannot be read as TOML {where[0] if where else ''}", template(named)) from None
    problems = [problem for name, value in content.items() if (problem := _problem(name, value, named))]
    if problems:
        raise Refused("; ".join(problems), template(named))
    return {name: value.strip() for name, value in content.items()}


def _text(source: str) -> str:
    try:
        return sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Refused("the secrets are no text in UTF-8", "Save them as UTF-8.") from None
    except OSError as error:
        raise Refused(f"the secrets cannot be read: {error}", "Name a file, or - for standard input.") from error


def _problem(name: str, value: object, named: Mapping[str, SecretForm]) -> str:
    if name not in named:
        return f"no profile names a secret {name!r}"
    if not isinstance(value, str):
        return f"the value of {name} is no text"
    problem = value_problem(named[name], value)
    return f"the value of {name} {problem}" if problem else ""


def template(named: Mapping[str, SecretForm]) -> str:
    """What the file looks like, for who has to write it."""
    lines = "\n".join(f"    {name} = {HOW_TO[form]}" for name, form in sorted(named.items()))
    return f"Hand them over with --secrets FILE, or --secrets - for standard input, as TOML:\n{lines}"
