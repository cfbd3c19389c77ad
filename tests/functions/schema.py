"""JSON Schema as far as docs/openapi.json uses it: enough to hold the document and what is answered together."""

from collections.abc import Iterator, Mapping
from typing import Any

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "object": dict,
    "array": list,
    "null": type(None),
}
_KNOWN = {
    "$ref", "type", "enum", "oneOf", "items", "maxItems", "properties", "required", "additionalProperties", "minimum",
    "maximum", "maxLength", "format", "description", "default",
}  # fmt: skip


def faults(document: Mapping[str, Any], schema: Mapping[str, Any], value: Any, at: str = "$") -> Iterator[str]:  # noqa: ANN401
    """Where the value is not as the schema says. A keyword that is not known here is a fault of the document."""
    yield from (f"{at}: keyword {one} is not checked" for one in schema.keys() - _KNOWN)
    if "$ref" in schema:
        name = schema["$ref"].removeprefix("#/components/schemas/")
        yield from faults(document, document["components"]["schemas"][name], value, at)
        return
    if "oneOf" in schema:
        fitting = [one for one in schema["oneOf"] if not list(faults(document, one, value, at))]
        if len(fitting) != 1:
            yield f"{at}: {value!r} fits {len(fitting)} forms"
        return
    kind = _TYPES[schema["type"]]
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        yield f"{at}: {value!r} is no {schema['type']}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{at}: {value!r} is none of {schema['enum']}"
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from faults(document, schema["items"], item, f"{at}[{number}]")
    if isinstance(value, dict):
        yield from _object(document, schema, value, at)


def _object(document: Mapping[str, Any], schema: Mapping[str, Any], value: dict[str, Any], at: str) -> Iterator[str]:
    properties: Mapping[str, Any] = schema.get("properties", {})
    more = schema.get("additionalProperties", True)
    yield from (f"{at}: {one} is missing" for one in schema.get("required", []) if one not in value)
    for name, inner in value.items():
        if name in properties:
            yield from faults(document, properties[name], inner, f"{at}.{name}")
        elif isinstance(more, dict):
            yield from faults(document, more, inner, f"{at}.{name}")
        elif not more:
            yield f"{at}: {name} is not described"
