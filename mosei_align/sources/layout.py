"""Reading where plain arrays lie from the bytes of the file: HDF5 gives the same answer, and takes ten times as long.

An answer is given for one form only, the one that HDF5 writes unless told otherwise: a group that holds `features` and
`intervals` and nothing else, both contiguous arrays of the usual floats or of fixed-length strings. Anything else, and
anything that is odd in the least, is left to HDF5.

All entries are looked up together, a level of the structure at a time: their headers, the tables of their members, the
headers of these. The numbers are those of the HDF5 File Format Specification, version 3.0. All of them are
little-endian. Legend: N = entries that are asked for, M = those that are plain as far as is known.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from struct import Struct
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mosei_align.sources.arrays import KIND, MOST_SIDES, OFFSET, RANK, SIDES, ArrayInfos
from mosei_align.sources.headers import (
    HEADER_LIMIT,
    PREFIX,
    Bytes,
    Form,
    Numbers,
    Places,
    Span,
    Stretches,
    by_form,
    messages_of,
    numbers_at,
)

Bools = npt.NDArray[np.bool_]

_NOWHERE: Final = 2**64 - 1
"""HDF5's address of what has no place in the file."""

_SUPERBLOCK: Final = Struct("<8sB4xBBxHH4xQ8xQQ")
"""Signature, version, bytes of an address and of a length, both tree ranks, base address, end, driver block."""
_SUPERBLOCK_START: Final = (b"\x89HDF\r\n\x1a\n", 0, 8, 8)

_SPACE, _TYPE, _FILL, _LAYOUT, _TABLE = 0x01, 0x03, 0x05, 0x08, 0x11
_GROUP: Final = frozenset({_TABLE})
_ARRAY: Final = frozenset({_SPACE, _TYPE, _FILL, _LAYOUT})
_ADDRESSES_BYTES: Final = 16


class _Tree:
    """A tree of group nodes that is one leaf with one child and has no neighbours."""

    START: Final = b"TREE" + bytes((0, 0, 1, 0)) + b"\xff" * 16
    BEFORE, SYMBOLS, LAST, BYTES = 24, 32, 40, 48
    """Where the name before stands, the address of the only symbol node, and the last name in it."""


class _Heap:
    """The names of a group, each ended by a zero byte, with one free block at most."""

    START: Final = b"HEAP" + bytes(4)
    LENGTH, FREE, NAMES, BYTES = 8, 16, 24, 32
    """Where the bytes of the names stand, the first free block in them, and their address."""
    LIMIT: Final = 512
    FULL: Final = 1
    FREE_BYTES: Final = 16


class _Symbols:
    """A node of two symbols: name, address of the header, what is kept beside it (a soft link, for instance)."""

    START: Final = b"SNOD" + bytes((1, 0, 2, 0))
    FIRST, SECOND, BYTES = 8, 48, 88
    ADDRESS, KEPT, KEPT_STOP = 8, 16, 20


_SIZES_AT: Final = 8
_FILL_BY_DEFAULT: Final = bytes((2, 2, 2, 1, 0, 0, 0, 0))
_CONTIGUOUS_START: Final = bytes((3, 1))
_PLACE_AT, _PLACE_STOP = 2, 18
"""Where the address of the values stands, and then their bytes."""
_FLOAT: Final = Struct("<BBBxIHHBBBBI")
_STRING: Final = Struct("<BBHI")
_STRING_LIMIT: Final = 1 << 16
_MUCH: Final = 1 << 20
"""More than any number of something that is looked at as a whole."""
_SAFE: Final = 2.0**62


def _float_message(size: int, big_endian: bool, exponent: int, mantissa: int, bias: int) -> bytes:
    """The message of a type of IEEE 754: implied leading bit, sign on top, then the exponent, then the mantissa."""
    bits = 8 * size
    return _FLOAT.pack(0x11, 0x20 | big_endian, bits - 1, size, 0, bits, mantissa, exponent, 0, mantissa, bias)


_FLOATS: Final[dict[bytes, np.dtype[Any]]] = {
    _float_message(4, False, 8, 23, 127): np.dtype("<f4"),
    _float_message(4, True, 8, 23, 127): np.dtype(">f4"),
    _float_message(8, False, 11, 52, 1023): np.dtype("<f8"),
    _float_message(8, True, 11, 52, 1023): np.dtype(">f8"),
}


class PlainEntries(NamedTuple):
    """What was found of N entries.

    Attributes:
        rows: (N,) the number of each among the M that are plain; -1 where HDF5 must be asked.
        features, intervals: M arrays each.
    """

    rows: Places
    features: ArrayInfos
    intervals: ArrayInfos


class PlainLayout:
    """A file whose plain entries can be looked up without HDF5.

    Args:
        descriptor: of the file; only read from, at the places that are asked for.
        end: where the file ends; nothing that reaches further is believed.
        symbols_bytes, tree_bytes: what a symbol node and a tree node take in this file.
    """

    def __init__(self, descriptor: int, end: int, symbols_bytes: int, tree_bytes: int) -> None:
        self._descriptor = descriptor
        self._end = end
        self._symbols_bytes = symbols_bytes
        self._tree_bytes = tree_bytes

    @classmethod
    def of(cls, descriptor: int, file_bytes: int) -> Self | None:
        """The layout of a file that HDF5 has opened; None where addresses in it mean anything but places in it."""
        raw = os.pread(descriptor, _SUPERBLOCK.size, 0)
        if len(raw) < _SUPERBLOCK.size:
            return None
        *start, leaf_rank, tree_rank, base, end, driver = _SUPERBLOCK.unpack(raw)
        if tuple(start) != _SUPERBLOCK_START or base or driver != _NOWHERE or not (leaf_rank and tree_rank):
            return None
        return cls(descriptor, min(end, file_bytes), 8 + 80 * leaf_rank, 32 + 32 * tree_rank)

    def entries(self, addresses: Sequence[int]) -> PlainEntries:
        """The plain ones among the entries whose headers are at some addresses.

        Raises:
            OSError: the file cannot be read.
        """
        at = np.array(addresses, np.uint64)
        groups, members = self._members(at)
        found, arrays = zip(*(self._arrays(column) for column in members), strict=True)
        (plain,) = (found[0] & found[1]).nonzero()
        rows = np.full(len(at), -1)
        rows[groups[plain]] = np.arange(len(plain))
        return PlainEntries(rows, *(infos.of_rows(plain) for infos in arrays))

    def _at(self, addresses: Numbers, count: int) -> Stretches:
        """`count` bytes at each address, as far as the file has them."""
        inside = addresses * (addresses < self._end)
        pieces = [os.pread(self._descriptor, count, place) for place in inside.tolist()]
        whole = b"".join(piece if len(piece) == count else piece.ljust(count, b"\0") for piece in pieces)
        known = np.minimum([len(piece) for piece in pieces], self._before_end(addresses))
        return Stretches(np.frombuffer(whole, np.uint8).reshape(len(pieces), count), known)

    def _before_end(self, addresses: Numbers) -> Places:
        """How many bytes there are from each address on, or many."""
        return _small(np.uint64(self._end) - np.minimum(addresses, np.uint64(self._end)))

    def _heads(self, addresses: Numbers) -> Stretches:
        """What stands at the addresses, but no more than a header may have."""
        return self._at(addresses, PREFIX.size + HEADER_LIMIT)

    def _members(self, addresses: Numbers) -> tuple[Places, tuple[Numbers, Numbers]]:
        """The groups, (M,), that have just `features` and `intervals`, and where the headers of these are."""
        heads = self._heads(addresses)
        tables = np.zeros((len(addresses), 2), np.uint64)
        groups = np.zeros(len(addresses), np.bool_)
        for same, span in by_form(heads, _group_form):
            tables[same], groups[same] = numbers_at(heads.raw[same], *span), True
        (places,) = groups.nonzero()
        tree_at, heap_at = tables[places].T
        tree = self._at(tree_at, _Tree.BYTES)
        names, lengths, has_names = self._names(heap_at)
        symbols_at = tree.numbers(_Tree.SYMBOLS)
        symbols = self._at(symbols_at, _Symbols.BYTES)
        first, second = (symbols.numbers(at) for at in (_Symbols.FIRST, _Symbols.SECOND))
        sound = (
            tree.begin_with(_Tree.START)
            & (self._before_end(tree_at) >= self._tree_bytes)
            # The empty name lies at 0.
            & (tree.numbers(_Tree.BEFORE) == 0)
            & has_names
            & (names[:, 0] == 0)
            & symbols.begin_with(_Symbols.START)
            & (symbols.known == _Symbols.BYTES)
            & (self._before_end(symbols_at) >= self._symbols_bytes)
            & (tree.numbers(_Tree.LAST) == second)
            & _stands_at(names, lengths, first, b"features\0")
            & _stands_at(names, lengths, second, b"intervals\0")
        )
        for start in (_Symbols.FIRST, _Symbols.SECOND):
            sound &= ~symbols.raw[:, start + _Symbols.KEPT : start + _Symbols.KEPT_STOP].any(axis=1)
        headers = [symbols.numbers(start + _Symbols.ADDRESS)[sound] for start in (_Symbols.FIRST, _Symbols.SECOND)]
        return places[sound], (headers[0], headers[1])

    def _names(self, addresses: Numbers) -> tuple[Bytes, Places, Bools]:
        """The bytes of the names in some heaps, (M, K), how many they are, and whether the heaps are sound."""
        heaps = self._at(addresses, _Heap.BYTES + _Heap.LIMIT)
        lengths, free = _small(heaps.numbers(_Heap.LENGTH)), _small(heaps.numbers(_Heap.FREE))
        places = heaps.numbers(_Heap.NAMES)
        names, known = heaps.raw[:, _Heap.BYTES :], heaps.known - _Heap.BYTES
        (elsewhere,) = (places != addresses + np.uint64(_Heap.BYTES)).nonzero()
        if len(elsewhere):
            others = self._at(places[elsewhere], _Heap.LIMIT)
            names = names.copy()
            names[elsewhere], known[elsewhere] = others.raw, others.known
        block = np.minimum(free, _Heap.LIMIT - _Heap.FREE_BYTES)[:, None] + np.arange(_Heap.FREE_BYTES)
        following, free_bytes = numbers_at(np.take_along_axis(names, block, 1), 0, _Heap.FREE_BYTES).T
        one_free_block = (
            (free + _Heap.FREE_BYTES <= lengths) & (following == _Heap.FULL) & (free + _small(free_bytes) <= lengths)
        )
        sound = heaps.begin_with(_Heap.START) & (lengths > 0) & (lengths <= np.minimum(known, _Heap.LIMIT))
        return names, lengths, sound & ((free == _Heap.FULL) | one_free_block)

    def _arrays(self, addresses: Numbers) -> tuple[Bools, ArrayInfos]:
        """Which headers at some addresses are those of plain arrays, and these arrays."""
        heads = self._heads(addresses)
        numbers = np.zeros((len(addresses), SIDES.stop), np.int64)
        found = np.zeros(len(addresses), np.bool_)
        dtypes: list[np.dtype[Any]] = []
        for same, array in by_form(heads, _array_form):
            raw, rank = heads.raw[same], array.rank
            sizes, (places, stored) = numbers_at(raw, *array.sizes), numbers_at(raw, *array.place).T
            sides, limits = sizes[:, :rank], sizes[:, rank:]
            with np.errstate(over="ignore"):
                is_sum = sides.prod(axis=1) * np.uint64(array.dtype.itemsize) == stored
                # Neither the product nor a side may be more than a number can hold.
                is_sum &= np.maximum(sides, 1).prod(axis=1, dtype=np.float64) * array.dtype.itemsize < _SAFE
            # An array without values has no place, and the superblock is at 0.
            inside = (stored > 0) & (places > 0) & (stored <= self._end) & (places <= np.uint64(self._end) - stored)
            sound = is_sum & inside & (limits == sides[:, : limits.shape[1]]).all(axis=1)
            mine = same[sound]
            found[mine] = True
            numbers[mine, KIND], numbers[mine, RANK], numbers[mine, OFFSET] = len(dtypes), rank, places[sound]
            numbers[mine, SIDES.start : SIDES.start + rank] = sides[sound]
            dtypes.append(array.dtype)
        return found, ArrayInfos(tuple(dtypes), numbers)


def _small(numbers: Numbers) -> Places:
    """The numbers, where they are small."""
    return np.minimum(numbers, _MUCH).astype(np.int64)


def _stands_at(names: Bytes, lengths: Places, at: Numbers, name: bytes) -> Bools:
    """(M,) whether a name stands at a place of each of M heaps of so many bytes."""
    first = _small(at)
    places = np.minimum(first, names.shape[1] - len(name))[:, None] + np.arange(len(name))
    same: Bools = (np.take_along_axis(names, places, 1) == np.frombuffer(name, np.uint8)).all(axis=1)
    return same & (first + len(name) <= lengths)


def _group_form(raw: bytes) -> tuple[Form, Span] | None:
    """The form of the group whose header this begins with, and where the addresses of its tree and heap stand."""
    messages = messages_of(raw, _GROUP)
    if messages is None:
        return None
    start, stop = messages[_TABLE]
    return (Form(raw, messages, [(start, stop)]), (start, stop)) if stop - start == _ADDRESSES_BYTES else None


class _Array(NamedTuple):
    """What arrays of one form have in common.

    Attributes:
        sizes: where the sides stand, and as many limits if it has those.
        place: where the address of the values stands, and their bytes.
    """

    rank: int
    dtype: np.dtype[Any]
    sizes: Span
    place: Span


def _array_form(raw: bytes) -> tuple[Form, _Array] | None:
    """The form of the array whose header this begins with."""
    messages = messages_of(raw, _ARRAY)
    if messages is None:
        return None
    space, kind, fill, layout = (messages[message] for message in (_SPACE, _TYPE, _FILL, _LAYOUT))
    rank, dtype = _rank(raw[slice(*space)]), _dtype(raw[slice(*kind)])
    place = layout[0] + _PLACE_AT, layout[0] + _PLACE_STOP
    if not rank or dtype is None or raw[slice(*fill)] != _FILL_BY_DEFAULT or place[1] > layout[1]:
        return None
    if not raw.startswith(_CONTIGUOUS_START, layout[0]):
        return None
    array = _Array(rank, dtype, (space[0] + _SIZES_AT, space[1]), place)
    return Form(raw, messages, [array.sizes, array.place]), array


def _rank(message: bytes) -> int:
    """How many sides an array has; 0 where it is none, or has more than are looked for."""
    if len(message) < _SIZES_AT:
        return 0
    version, rank, with_limits = message[:3]
    fits = version == 1 and rank <= MOST_SIDES and with_limits <= 1
    return rank if fits and len(message) == _SIZES_AT + 8 * rank * (1 + with_limits) else 0


def _dtype(message: bytes) -> np.dtype[Any] | None:
    """The type of a message, if `plain_type` has one for it."""
    if len(message) != _STRING.size:
        return _FLOATS.get(message[: _FLOAT.size])
    kind, padding, rest, size = _STRING.unpack(message)
    # Padded with zeros, and called ASCII or UTF-8.
    plain = kind == 0x13 and padding in (0x01, 0x11) and not rest and 0 < size <= _STRING_LIMIT
    return np.dtype(f"S{size}") if plain else None
