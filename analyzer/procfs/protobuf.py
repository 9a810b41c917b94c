"""Messages of Protocol Buffers in an image of CRIU: what is written there, by field numbers.

An image is two magic numbers (the inventory has but its own), then messages, each after its length
in four bytes (criu/include/magic.h). Of the encoding only the wire types are needed.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WORD: Final = struct.Struct("<I")
# IMG_COMMON_MAGIC, which comes first, and INVENTORY_MAGIC.
_HEADS: Final = {0x54564319: 2 * _WORD.size, 0x58313116: _WORD.size}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST: Final = 64

Fields = dict[int, list[int | bytes]]
"""A message: the values of each field, in their order."""


def messages(data: bytes, payload: int = 0) -> Iterator[Fields]:
    """Yield the messages of an image; ValueError, IndexError or struct.error for what is none.

    With `payload`, each is followed by as many bytes as that field of it says.
    """
    (magic,) = _WORD.unpack_from(data)
    if magic not in _HEADS:
        raise ValueError(magic)
    at = _HEADS[magic]
    while at < len(data):
        (size,) = _WORD.unpack_from(data, at)
        at += _WORD.size
        if at + size > len(data):
            raise ValueError(size)
        found = fields(data[at : at + size])
        yield found
        at += size + (number(found, payload) if payload else 0)


def fields(data: bytes) -> Fields:
    """Return the fields of a message by number; ValueError or IndexError for what is none."""
    found: Fields = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: int | bytes
        wire = key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
        elif wire in {_FIXED64, _FIXED32}:
            size = 8 if wire == _FIXED64 else 4
            value, at = int.from_bytes(data[at : at + size], "little"), at + size
        elif wire == _BYTES:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(key)
        if at > len(data):
            raise ValueError(at)
        found.setdefault(key >> 3, []).append(value)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < _LONGEST:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 -- the bit that says that more follows
            return value, at
        shift += 7
    raise ValueError(at)


def number(told: Mapping[int, list[int | bytes]], field: int) -> int:
    """Return the last value of a field that is a number, 0 where there is none."""
    value = told.get(field, [0])[-1]
    return value if isinstance(value, int) else 0


def numbers(told: Mapping[int, list[int | bytes]], field: int) -> list[int]:
    """Return all values of a field that are numbers."""
    return [value for value in told.get(field, []) if isinstance(value, int)]


def content(told: Mapping[int, list[int | bytes]], field: int) -> bytes:
    """Return the last value of a field that is bytes, none where there is none."""
    value = told.get(field, [b""])[-1]
    return value if isinstance(value, bytes) else b""


def inner(told: Mapping[int, list[int | bytes]], field: int) -> Fields:
    """Return a message in a message; what is none has no fields."""
    try:
        return fields(content(told, field))
    except (ValueError, IndexError):
        return {}


def inners(told: Mapping[int, list[int | bytes]], field: int) -> list[Fields]:
    """Return the messages that a field has in a message; what is none has no fields."""
    return [inner({field: [value]}, field) for value in told.get(field, [])]
