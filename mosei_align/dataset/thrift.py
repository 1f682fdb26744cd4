"""Thrift's compact protocol, in which Parquet keeps its own facts: just enough to read, change and write a footer.

A struct is a dictionary from the number of a field to its kind and value; a list is a pair of its elements' kind and
the elements. What a field means is the reader's business (`parquet.thrift` of the Parquet format names them).
"""

from __future__ import annotations

from typing import Any, Final

TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = range(1, 13)
_SHORT_LIST: Final = 15
_LONGEST_STEP: Final = 15

Struct = dict[int, tuple[int, Any]]


def varint(number: int) -> bytes:
    """A number that is not negative, seven bits a byte, the lowest first."""
    found = bytearray()
    _write_unsigned(number, found)
    return bytes(found)


def read_struct(raw: bytes) -> Struct:
    """The struct that these bytes begin with.

    Raises:
        ValueError, IndexError: it is none, or holds something that no footer has (a map, a double).
    """
    return _read_struct(raw, 0)[0]


def write_struct(struct: Struct) -> bytes:
    """The bytes of a struct."""
    found = bytearray()
    _write_struct(struct, found)
    return bytes(found)


def _read_struct(raw: bytes, at: int) -> tuple[Struct, int]:
    """What stands at a place, and the place behind it; so do all that read."""
    found: Struct = {}
    number = 0
    while head := raw[at]:
        at += 1
        kind, step = head & 0xF, head >> 4
        if step:
            number += step
        else:
            number, at = _read_signed(raw, at)
        value, at = _read_value(raw, at, kind)
        found[number] = kind, value
    return found, at + 1


def _read_value(raw: bytes, at: int, kind: int) -> tuple[Any, int]:
    if I16 <= kind <= I64:
        return _read_signed(raw, at)
    if kind == BINARY:
        count, at = _read_unsigned(raw, at)
        return raw[at : at + count], at + count
    if kind == STRUCT:
        return _read_struct(raw, at)
    if kind == LIST:
        count, inner = raw[at] >> 4, raw[at] & 0xF
        at += 1
        if count == _SHORT_LIST:
            count, at = _read_unsigned(raw, at)
        # A flag is the kind itself in a field, and a byte in a list.
        inner_kind = BYTE if inner <= FALSE else inner
        elements = []
        for _ in range(count):
            value, at = _read_value(raw, at, inner_kind)
            elements.append(value)
        return (inner, elements), at
    if kind == BYTE:
        return raw[at], at + 1
    if kind <= FALSE:
        return None, at
    raise ValueError(f"thrift kind {kind}")


def _read_unsigned(raw: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while (byte := raw[at]) > 0x7F:
        number |= (byte & 0x7F) << shift
        shift += 7
        at += 1
    return number | byte << shift, at + 1


def _read_signed(raw: bytes, at: int) -> tuple[int, int]:
    number, at = _read_unsigned(raw, at)
    return number >> 1 ^ -(number & 1), at


def _write_struct(struct: Struct, found: bytearray) -> None:
    before = 0
    for number in sorted(struct):
        kind, value = struct[number]
        step = number - before
        if 0 < step <= _LONGEST_STEP:
            found.append(step << 4 | kind)
        else:
            found.append(kind)
            _write_signed(number, found)
        _write_value(kind, value, found)
        before = number
    found.append(0)


def _write_value(kind: int, value: Any, found: bytearray) -> None:
    if I16 <= kind <= I64:
        _write_signed(value, found)
    elif kind == BINARY:
        _write_unsigned(len(value), found)
        found += value
    elif kind == STRUCT:
        _write_struct(value, found)
    elif kind == LIST:
        inner, elements = value
        count = len(elements)
        found.append(min(count, _SHORT_LIST) << 4 | inner)
        if count >= _SHORT_LIST:
            _write_unsigned(count, found)
        inner_kind = BYTE if inner <= FALSE else inner
        for element in elements:
            _write_value(inner_kind, element, found)
    elif kind == BYTE:
        found.append(value)
    elif kind > FALSE:
        raise ValueError(f"thrift kind {kind}")


def _write_unsigned(number: int, found: bytearray) -> None:
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)


def _write_signed(number: int, found: bytearray) -> None:
    _write_unsigned(number << 1 ^ number >> 63, found)
