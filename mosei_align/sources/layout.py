"""Reading where plain arrays lie from the bytes of the file: HDF5 gives the same answer, and takes ten times as long.

An answer is given for one form only, the one that HDF5 writes unless told otherwise: a group that holds `features` and
`intervals` and nothing else, both contiguous arrays of the usual floats or of fixed-length strings. Anything else, and
anything that is odd in the least, is left to HDF5: None means "ask it".

The numbers are those of the HDF5 File Format Specification, version 3.0. All of them are little-endian.
"""

from __future__ import annotations

import math
import os
from functools import lru_cache
from struct import Struct
from typing import Any, Final, Self

import numpy as np

from mosei_align.sources.arrays import ArrayInfo
from mosei_align.sources.headers import HEADER_LIMIT, PREFIX, Form, messages_of

_NOWHERE: Final = 2**64 - 1
"""HDF5's address of what has no place in the file."""

_SUPERBLOCK: Final = Struct("<8sB4xBBxHH4xQ8xQQ")
"""Signature, version, bytes of an address and of a length, both tree ranks, base address, end, driver block."""
_SUPERBLOCK_START: Final = (b"\x89HDF\r\n\x1a\n", 0, 8, 8)

_SPACE, _TYPE, _FILL, _LAYOUT, _TABLE = 0x01, 0x03, 0x05, 0x08, 0x11
_GROUP: Final = frozenset({_TABLE})
_ARRAY: Final = frozenset({_SPACE, _TYPE, _FILL, _LAYOUT})

_ADDRESSES: Final = Struct("<QQ")
_TREE: Final = Struct("<24sQQQ")
"""Fixed part, then: name before, address of the only symbol node, last name in it."""
_TREE_START: Final = b"TREE" + bytes((0, 0, 1, 0)) + b"\xff" * 16
"""A tree of group nodes that is one leaf with one child and has no neighbours."""
_HEAP: Final = Struct("<8sQQQ")
"""Fixed part, bytes of the names, first free block in them (1: none), their address."""
_HEAP_START: Final = b"HEAP" + bytes(4)
_HEAP_USUAL: Final = 120
"""What the heap of a group takes that never had other members: its names follow its own header."""
_HEAP_LIMIT: Final = 512
_HEAP_FULL: Final = 1
_SYMBOLS: Final = Struct("<8sQQI20xQQI20x")
"""Fixed part, then twice: name, address of the header, what is kept beside it (a soft link, for instance)."""
_SYMBOLS_START: Final = b"SNOD" + bytes((1, 0, 2, 0))

_MOST_FORMS: Final = 4
"""How many forms of headers are remembered; a file has one or two."""

_DIMENSIONS: Final = tuple(Struct(f"<{rank}Q") for rank in range(5))
_SHAPE_AT: Final = 8
_FILL_BY_DEFAULT: Final = bytes((2, 2, 2, 1, 0, 0, 0, 0))
_CONTIGUOUS: Final = Struct("<BBQQ")
_CONTIGUOUS_START: Final = (3, 1)
_PLACE_AT: Final = 2
_FLOAT: Final = Struct("<BBBxIHHBBBBI")
_STRING: Final = Struct("<BBHI")
_STRING_LIMIT: Final = 1 << 16


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
        self._groups: list[Form] = []
        self._arrays: list[tuple[Form, int, np.dtype[Any]]] = []

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

    def arrays(self, address: int) -> tuple[ArrayInfo, ArrayInfo] | None:
        """`features` and `intervals` of the entry whose header is at `address`; None where HDF5 must be asked.

        Raises:
            OSError: the file cannot be read.
        """
        members = self._members(address)
        if members is None:
            return None
        features = self._array(members[0])
        if features is None:
            return None
        intervals = self._array(members[1])
        return None if intervals is None else (features, intervals)

    def _read(self, address: int, count: int, claimed: int) -> bytes | None:
        """The first `count` bytes of something that takes `claimed` bytes; None where it reaches behind the end."""
        if address + claimed > self._end:
            return None
        raw = os.pread(self._descriptor, count, address)
        return raw if len(raw) == count else None

    def _head(self, address: int) -> bytes:
        """What stands at an address up to the end, but no more than a header may have."""
        count = min(PREFIX.size + HEADER_LIMIT, self._end - address)
        return os.pread(self._descriptor, count, address) if count >= PREFIX.size else b""

    def _members(self, address: int) -> tuple[int, int] | None:
        """Where the headers of `features` and `intervals` are, if the group has just these two."""
        addresses = self._table(self._head(address))
        if addresses is None:
            return None
        tree_address, heap_address = addresses
        tree = self._read(tree_address, _TREE.size, self._tree_bytes)
        names = self._names(heap_address)
        if tree is None or names is None:
            return None
        fixed, before, symbols_address, last = _TREE.unpack(tree)
        # The empty name lies at 0.
        if fixed != _TREE_START or before or names[0]:
            return None
        symbols = self._read(symbols_address, _SYMBOLS.size, self._symbols_bytes)
        if symbols is None:
            return None
        fixed, first, features, first_kept, second, intervals, second_kept = _SYMBOLS.unpack(symbols)
        if fixed != _SYMBOLS_START or first_kept or second_kept or second != last:
            return None
        if names[first : first + 9] != b"features\0" or names[second : second + 10] != b"intervals\0":
            return None
        return features, intervals

    def _table(self, raw: bytes) -> tuple[int, ...] | None:
        """Where the tree and the heap of the group are whose header this begins with."""
        for form in self._groups:
            numbers = form.read(raw)
            if numbers is not None:
                return numbers
        messages = messages_of(raw, _GROUP)
        if messages is None:
            return None
        start, stop = messages[_TABLE]
        if stop - start != _ADDRESSES.size:
            return None
        if len(self._groups) < _MOST_FORMS:
            self._groups.append(Form(raw, messages, [(start, stop)]))
        return _ADDRESSES.unpack_from(raw, start)

    def _names(self, address: int) -> bytes | None:
        """The names in a heap with no more than one free block."""
        if address + _HEAP.size > self._end:
            return None
        raw = os.pread(self._descriptor, _HEAP_USUAL, address)
        if len(raw) < _HEAP.size:
            return None
        fixed, length, free, place = _HEAP.unpack_from(raw)
        if fixed != _HEAP_START or not 0 < length <= _HEAP_LIMIT:
            return None
        if place == address + _HEAP.size and place + length <= min(address + len(raw), self._end):
            names: bytes | None = raw[_HEAP.size : _HEAP.size + length]
        else:
            names = self._read(place, length, length)
        if names is None or free == _HEAP_FULL:
            return names
        if free + _ADDRESSES.size > length:
            return None
        following, free_bytes = _ADDRESSES.unpack_from(names, free)
        return names if following == _HEAP_FULL and free + free_bytes <= length else None

    def _array(self, address: int) -> ArrayInfo | None:
        raw = self._head(address)
        for form, rank, dtype in self._arrays:
            numbers = form.read(raw)
            if numbers is not None:
                sides, limits, (place, stored) = numbers[:rank], numbers[rank:-2], numbers[-2:]
                return self._placed(sides, dtype, place, stored) if limits in ((), sides) else None
        return self._new_array(raw)

    def _new_array(self, raw: bytes) -> ArrayInfo | None:
        """The array whose header this begins with, which is of no known form."""
        messages = messages_of(raw, _ARRAY)
        if messages is None:
            return None
        space, kind, fill, (start, stop) = (messages[message] for message in (_SPACE, _TYPE, _FILL, _LAYOUT))
        shape, dtype = _shape(raw[slice(*space)]), _dtype(raw[slice(*kind)])
        if shape is None or dtype is None or raw[slice(*fill)] != _FILL_BY_DEFAULT or stop - start < _CONTIGUOUS.size:
            return None
        version, storage, place, stored = _CONTIGUOUS.unpack_from(raw, start)
        if (version, storage) != _CONTIGUOUS_START:
            return None
        # In the order in which HDF5 writes them the numbers of the shape come first.
        if space[0] < start and len(self._arrays) < _MOST_FORMS:
            varying = [(space[0] + _SHAPE_AT, space[1]), (start + _PLACE_AT, start + _CONTIGUOUS.size)]
            self._arrays.append((Form(raw, messages, varying), len(shape), dtype))
        return self._placed(shape, dtype, place, stored)

    def _placed(self, shape: tuple[int, ...], dtype: np.dtype[Any], place: int, stored: int) -> ArrayInfo | None:
        if stored != math.prod(shape) * dtype.itemsize:
            return None
        # An array without values has no place, and the superblock is at 0.
        return ArrayInfo(shape, dtype, "", place) if stored and 0 < place <= self._end - stored else None


def _shape(message: bytes) -> tuple[int, ...] | None:
    """The dimensions of an array that cannot grow."""
    if len(message) < _SHAPE_AT:
        return None
    version, rank, with_limits = message[:3]
    if version != 1 or not 0 < rank < len(_DIMENSIONS) or with_limits > 1:
        return None
    sizes, size = message[_SHAPE_AT:], 8 * rank
    if len(sizes) != size * (1 + with_limits) or (with_limits and sizes[:size] != sizes[size:]):
        return None
    return _DIMENSIONS[rank].unpack_from(sizes)


@lru_cache(maxsize=1024)
def _dtype(message: bytes) -> np.dtype[Any] | None:
    """The type of a message, if `plain_type` has one for it; one object for all arrays, and so sent only once."""
    if len(message) != _STRING.size:
        return _FLOATS.get(message[: _FLOAT.size])
    kind, padding, rest, size = _STRING.unpack(message)
    # Padded with zeros, and called ASCII or UTF-8.
    plain = kind == 0x13 and padding in (0x01, 0x11) and not rest and 0 < size <= _STRING_LIMIT
    return np.dtype(f"S{size}") if plain else None
