"""Headers of HDF5's objects as bytes: a list of messages, of which arrays and groups of one kind have the same.

All headers of a file are looked at together. Numbers and names as in `layout`. Legend: N = headers, M = some of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.uint64]
Places = npt.NDArray[np.int64]
Span = tuple[int, int]
"""First byte, last byte + 1."""
About = TypeVar("About")

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
_MOST_FORMS: Final = 16
"""How many forms all headers are compared with; a file has one or two."""


@dataclass(frozen=True, slots=True)
class Stretches:
    """What stands at N places of a file.

    Attributes:
        raw: (N, K) bytes, zeros behind the end of the file.
        known: (N,) how many of these bytes the file has.
    """

    raw: Bytes
    known: Places

    def numbers(self, at: int) -> Numbers:
        """(N,) the 8-byte numbers at one place of each."""
        return numbers_at(self.raw, at, at + 8)[:, 0]

    def begin_with(self, start: bytes) -> npt.NDArray[np.bool_]:
        """(N,) which begin with these bytes."""
        same: npt.NDArray[np.bool_] = (self.raw[:, : len(start)] == np.frombuffer(start, np.uint8)).all(axis=1)
        return same & (self.known >= len(start))


def numbers_at(raw: Bytes, start: int, stop: int) -> Numbers:
    """(M, k) the 8-byte numbers that stand in these columns of (M, K) bytes."""
    return np.ascontiguousarray(raw[:, start:stop]).view("<u8")


class Form:
    """A header that was understood: others of its form differ from it in a few numbers only.

    Args:
        header: begins with that header.
        messages: what `messages_of` says of it.
        numbers: where 8-byte numbers stand that may differ. So may the date.
    """

    def __init__(self, header: bytes, messages: dict[int, Span], numbers: list[Span]) -> None:
        self._header = np.frombuffer(header, np.uint8, PREFIX.size + PREFIX.unpack_from(header)[2])
        self._fixed = np.ones(len(self._header), np.bool_)
        dates = [(start + _DATE, stop) for kind, (start, stop) in messages.items() if kind == _CHANGED]
        for start, stop in (*numbers, *dates):
            self._fixed[start:stop] = False

    def among(self, heads: Stretches, places: Places) -> npt.NDArray[np.bool_]:
        """(M,) which of M headers have this form."""
        differ = (heads.raw[places, : len(self._header)] != self._header) & self._fixed
        same: npt.NDArray[np.bool_] = ~differ.any(axis=1)
        return same & (heads.known[places] >= len(self._header))


def by_form(
    heads: Stretches, understood: Callable[[bytes], tuple[Form, About] | None]
) -> Iterator[tuple[Places, About]]:
    """Sort headers by form, a form at a time; those that are not understood are left out.

    Args:
        heads: the headers.
        understood: tells the form of the header that some bytes begin with, and what headers of this form have in
            common.
    """
    rest, forms = np.arange(len(heads.raw)), 0
    while len(rest):
        found = understood(heads.raw[rest[0], : heads.known[rest[0]]].tobytes())
        if found is None:
            rest = rest[1:]
            continue
        form, about = found
        if forms == _MOST_FORMS:  # Where no two headers are alike, comparing all with all would take for ever.
            yield rest[:1], about
            rest = rest[1:]
            continue
        same = form.among(heads, rest)
        forms += 1
        yield rest[same], about
        rest = rest[~same]


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
