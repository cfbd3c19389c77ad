"""What Kestrel makes of a request target before anything is matched, and what the app sees of it as its URL."""

import re
from urllib.parse import parse_qsl, quote, urlsplit

_ESCAPES = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_URL_SAFE = "/!$&'()*+,;=:@-._~"
_KEPT = re.compile(r"%[0-9A-Fa-f]{2}|[^%]+|%")


class BadTargetError(ValueError):
    """Kestrel answers 400 before the host sees the request."""


def split(target: str) -> tuple[str, str]:
    """Path and raw query of a request target; an absolute-form target (RFC 9112 section 3.2.2) gives its own path."""
    if target.startswith("/"):
        path, _, query = target.partition("?")
        return path, query
    parts = urlsplit(target)
    return parts.path or "/", parts.query


def decoded(path: str) -> str:
    """Percent-decoded once and cleaned of dot segments, as Kestrel does (aspnetcore: UrlDecoder, PathNormalizer).

    `%2F` stays as it is, and so does what is not UTF-8; a NUL is refused.
    """
    if not path.isascii():
        raise BadTargetError("the path holds bytes that should be percent-encoded")
    if "%" in path:
        path = _ESCAPES.sub(lambda run: _unescaped(run.group()), path)
    return _without_dots(path) if "/." in path else path


def _unescaped(run: str) -> str:
    octets = bytes.fromhex(run.replace("%", ""))
    out: list[str] = []
    i = 0
    while i < len(octets):
        first = octets[i]
        if first == 0:
            raise BadTargetError("the path holds a NUL")
        size = 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4
        try:
            character = octets[i : i + size].decode()
        except UnicodeDecodeError:
            character, size = run[3 * i : 3 * i + 3], 1
        out.append(run[3 * i : 3 * i + 3] if character == "/" else character)
        i += size
    return "".join(out)


def _without_dots(path: str) -> str:
    """RFC 3986 section 5.2.4."""
    out: list[str] = []
    parts = path.split("/")[1:]
    for i, part in enumerate(parts):
        last = i == len(parts) - 1
        if part == "..":
            out = out[:-1]
        elif part != ".":
            out.append(part)
            continue
        if last:
            out.append("")
    return "/" + "/".join(out)


def url(scheme: str, host: str, path: str, query: str) -> str:
    """`{scheme}://{host}{path}{query}` (host: GrpcMessageConversionExtensions.ToRpcHttp; PathString re-encodes)."""
    if not path.isalnum():
        path = "".join(
            part if len(part) == 3 and part[0] == "%" else quote(part, safe=_URL_SAFE) for part in _KEPT.findall(path)
        )
    return f"{scheme}://{host}{path}{'?' if query else ''}{query}"


def query_values(query: str) -> dict[str, str]:
    """Names compared without case, repeated values joined by ",", empty values left out (host: ToRpcHttp)."""
    if not query:
        return {}
    names: dict[str, str] = {}
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        values.setdefault(names.setdefault(name.lower(), name), []).append(value)
    return {name: joined for name, given in values.items() if (joined := ",".join(given))}
