"""Headers of HDF5's objects as bytes: a list of messages, of which arrays and groups of one kind have the same.

Numbers and names as in `layout`.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

HEADER_LIMIT: Final = 512
"""Longer headers than HDF5 makes for plain arrays are left to it."""
PREFIX: Final = Struct("<BxH4xI4x")
"""Version, number of messages, their bytes."""
_MESSAGE: Final = Struct("<HHB3x")
"""Type, bytes, flags."""
_CONSTANT: Final = 1
"""The flag of a message that does not change; all others make HDF5 look elsewhere or refuse."""
_ROOM, _CHANGED = 0x00, 0x12
_CHANGED_START: Final = 1
_DATE: Final = 4
"""Where the date stands in its message, behind a version and three bytes of nothing."""

Span = tuple[int, int]
"""First byte, last byte + 1."""


class Form:
    """A header that was understood: others of its form differ from it in a few numbers only.

    Args:
        header: begins with that header.
        messages: what `messages_of` says of it.
        numbers: where 8-byte numbers stand that may differ. So may the date.
    """

    def __init__(self, header: bytes, messages: dict[int, Span], numbers: list[Span]) -> None:
        self._bytes = PREFIX.size + PREFIX.unpack_from(header)[2]
        dates = [(start + _DATE, stop) for kind, (start, stop) in messages.items() if kind == _CHANGED]
        fixed, varied, at = ["<"], ["<"], 0
        for start, stop in sorted([*numbers, *dates, (self._bytes, self._bytes)]):
            count = stop - start
            fixed.append(f"{start - at}s{count}x")
            varied.append(f"{start - at}x" + (f"{count // 8}Q" if (start, stop) in numbers else f"{count}x"))
            at = stop
        self._fixed, self._varied = Struct("".join(fixed)), Struct("".join(varied))
        self._expected = self._fixed.unpack_from(header)

    def read(self, raw: bytes) -> tuple[int, ...] | None:
        """The numbers of the header that this begins with, in their order; None where it is of another form."""
        if len(raw) < self._bytes or self._fixed.unpack_from(raw) != self._expected:
            return None
        return self._varied.unpack_from(raw)


def messages_of(raw: bytes, expected: frozenset[int]) -> dict[int, Span] | None:
    """Where the messages of a header in one piece have their content, by type; `raw` begins with the header.

    It has each of the expected messages once and no more than a date besides, which is among those returned; None for
    any other header.
    """
    if len(raw) < PREFIX.size:
        return None
    version, count, length = PREFIX.unpack_from(raw)
    at, end = PREFIX.size, PREFIX.size + length
    if version != 1 or end > len(raw):
        return None
    found: dict[int, Span] = {}
    dates: dict[int, Span] = {}
    for _ in range(count):
        if at + _MESSAGE.size > end:
            return None
        kind, length, flags = _MESSAGE.unpack_from(raw, at)
        start = at + _MESSAGE.size
        at = start + length
        if at > end or length % 8 or flags > _CONSTANT:
            return None
        if kind in expected and kind not in found:
            found[kind] = (start, at)
        elif kind == _CHANGED and length == 8 and raw[start] == _CHANGED_START:
            dates[kind] = (start, at)
        elif kind != _ROOM:
            return None
    return found | dates if at == end and len(found) == len(expected) else None
