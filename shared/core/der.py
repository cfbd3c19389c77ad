"""A reader of DER for the few things that `cryptography` does not show: raw key algorithms and attribute counts.

It is used only on bytes that `cryptography` has already accepted as strict DER, so it refuses little by itself.
"""

from collections.abc import Iterator
from typing import NamedTuple

from shared.core.errors import Malformed

OID, SEQUENCE, SET, CONTEXT_0 = 0x06, 0x30, 0x31, 0xA0


class Value(NamedTuple):
    """One tag, length and content; `raw` is all three."""

    tag: int
    content: bytes
    raw: bytes


def values(content: bytes) -> Iterator[Value]:
    """The values that stand one after the other in `content`. Raises Malformed when they do not fill it exactly."""
    position = 0
    while position < len(content):
        start = position
        header = content[position : position + 2]
        if len(header) < 2:
            raise Malformed("the DER structure is cut off")
        tag, length = header
        if tag & 0x1F == 0x1F:
            raise Malformed("the DER structure holds a tag of more than one byte")
        position += 2
        if length >= 0x80:
            octets = length & 0x7F
            length = int.from_bytes(content[position : position + octets])
            position += octets
        end = position + length
        if end > len(content):
            raise Malformed("the DER structure is cut off")
        yield Value(tag, content[position:end], content[start:end])
        position = end


def encode(tag: int, *contents: bytes) -> bytes:
    """The DER form of a value; contents are shorter than 64 KiB."""
    content = b"".join(contents)
    size = len(content)
    if size < 0x80:
        length = bytes([size])
    elif size < 0x100:
        length = bytes([0x81, size])
    else:
        length = bytes([0x82]) + size.to_bytes(2)
    return bytes([tag]) + length + content


def encode_oid(dotted: str) -> bytes:
    """An object identifier."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    content = bytearray()
    for arc in [first * 40 + second, *rest]:
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        content += bytes(reversed(groups))
    return encode(OID, bytes(content))


def encode_integer(number: int) -> bytes:
    """A positive integer."""
    return encode(0x02, number.to_bytes(number.bit_length() // 8 + 1))
