"""Columns of feature vectors as Parquet pages: what Arrow's writer makes of them, in half the time.

A column is `list<fixed_size_list<float>[D]>` with a step in every row. Parquet stores its values one after the other,
each with a repetition level (0: a new row, 1: a new step, 2: the same step) and a definition level (2: there is a
value). Arrow's writer makes these for every value; they follow from D and the rows' lengths alone.

The numbers are those of the Parquet format (`parquet.thrift`, `Encodings.md`). Legend: R = rows, S = steps, D = width.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mosei_align.dataset.arrow_arrays import values_of
from mosei_align.dataset.thrift import I32, STRUCT, varint, write_struct

RLE: Final = 3
BYTE_STREAM_SPLIT: Final = 9
DATA_PAGE: Final = 0
_DATA_PAGE_HEADER: Final = 5
_NEW_ROW, _NEW_STEP, _SAME_STEP = range(3)
_THERE: Final = 2
_TOGETHER: Final = 1 << 17
"""So many values are split at once: the shifted ones lie in the core's cache."""
_ONE: Final = varint(1 << 1)
"""A run of one level: its length, doubled."""


class Vectors(NamedTuple):
    """The feature vectors of R rows.

    Attributes:
        offsets: (R + 1,) where the steps of each row begin; every row has one at least.
        values: (S, D) float32.
    """

    offsets: npt.NDArray[np.int64]
    values: npt.NDArray[np.float32]

    @classmethod
    def of(cls, column: pa.ChunkedArray) -> Self | None:
        """The vectors of a column; None where it is of another type, or a row or a value is missing in it."""
        kind = column.type
        if not (pa.types.is_list(kind) and pa.types.is_fixed_size_list(kind.value_type)):
            return None
        if not pa.types.is_float32(kind.value_type.value_type) or not kind.value_type.list_size:
            return None
        # Even a single chunk would be copied.
        lists = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
        if not len(lists) or lists.null_count or lists.values.null_count or lists.values.values.null_count:
            return None
        offsets = values_of(lists.offsets).astype(np.int64)
        if not (offsets[1:] > offsets[:-1]).all():
            return None
        # `values` are those of all lists, and of a list of one size all of them, whatever slices are looked at.
        flat = values_of(lists.values.values).reshape(-1, kind.value_type.list_size)
        begin = lists.values.offset + offsets[0]
        return cls(offsets - offsets[0], flat[begin : begin + offsets[-1] - offsets[0]])

    def rows(self, first: int, last: int) -> Vectors:
        """Those of the rows first ... last - 1."""
        offsets = self.offsets[first : last + 1]
        return Vectors(offsets - offsets[0], self.values[offsets[0] : offsets[-1]])


class VectorChunk(NamedTuple):
    """A column of a row group as it stands in the file, with what its footer says of it.

    Attributes:
        parts: header, page, header, page, ...
        bytes_unpacked: of headers and pages before they are packed.
        levels: how many values have repetition level 0, 1 and 2.
    """

    parts: list[Any]
    bytes_unpacked: int
    levels: tuple[int, int, int]

    @property
    def pages(self) -> int:
        """How many pages."""
        return len(self.parts) // 2

    @property
    def values(self) -> int:
        """How many floats: each has a level."""
        return sum(self.levels)

    @property
    def bytes_stored(self) -> int:
        """What the chunk takes in the file."""
        return sum(len(part) for part in self.parts)


def encode(vectors: Vectors, codec: pa.Codec, page_bytes: int) -> VectorChunk:
    """One column of one row group.

    Args:
        vectors: of the row group's rows.
        codec: packs each page.
        page_bytes: what the values of a page come to at most; but a page has a step at least.
    """
    steps, width = vectors.values.shape
    begins = np.zeros(steps, np.bool_)
    begins[vectors.offsets[:-1]] = True
    parts: list[Any] = []
    unpacked = 0
    for first, last in _pages(vectors.offsets, max(1, page_bytes // (4 * width))):
        page = _page(vectors.values[first:last], begins[first:last])
        packed = codec.compress(page)
        header = _header((last - first) * width, len(page), len(packed))
        parts += (header, packed)
        unpacked += len(header) + len(page)
    rows = len(vectors.offsets) - 1
    return VectorChunk(parts, unpacked, (rows, steps - rows, steps * (width - 1)))


def _pages(offsets: npt.NDArray[np.int64], most: int) -> list[tuple[int, int]]:
    """Cut steps into pages of `most` steps at most: between two rows, except where one row alone is too long."""
    found, first = [], 0
    while first < offsets[-1]:
        fitting = int(offsets[np.searchsorted(offsets, first + most, side="right") - 1])
        last = fitting if fitting > first else min(first + most, int(offsets[-1]))
        found.append((first, last))
        first = last
    return found


def _page(values: npt.NDArray[np.float32], begins: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """A page before it is packed: both kinds of levels, each behind its length, then the values split by byte."""
    repeated = _repetition(begins, values.shape[1])
    defined = varint(values.size << 1) + bytes((_THERE,))
    levels = b"".join((len(repeated).to_bytes(4, "little"), repeated, len(defined).to_bytes(4, "little"), defined))
    page = np.empty(len(levels) + values.nbytes, np.uint8)
    page[: len(levels)] = np.frombuffer(levels, np.uint8)
    _split_bytes(values, page[len(levels) :])
    return page


def _split_bytes(values: npt.NDArray[np.float32], target: npt.NDArray[np.uint8]) -> None:
    """Write the lowest bytes of all values into `target`, then all second ones, and so on.

    Shifting numbers and cutting them down to bytes takes half as long as picking every fourth byte.
    """
    numbers = np.ascontiguousarray(values, np.float32).view(np.uint32).reshape(-1)
    planes, room = target.reshape(4, -1), np.empty(min(len(numbers), _TOGETHER), np.uint32)
    for first in range(0, len(numbers), _TOGETHER):
        some = numbers[first : first + _TOGETHER]
        for place, plane in enumerate(planes[:, first : first + _TOGETHER]):
            plane[:] = np.right_shift(some, 8 * place, out=room[: len(some)]) if place else some


def _repetition(begins: npt.NDArray[np.bool_], width: int) -> bytes:
    """Runs of repetition levels: for each step one value that begins it, then the others."""
    step = _ONE + bytes((_NEW_STEP,))
    if width > 1:
        step += varint((width - 1) << 1) + bytes((_SAME_STEP,))
    runs = np.tile(np.frombuffer(step, np.uint8), (len(begins), 1))
    runs[begins, len(_ONE)] = _NEW_ROW
    return runs.tobytes()


def _header(values: int, unpacked: int, packed: int) -> bytes:
    about = {1: (I32, values), 2: (I32, BYTE_STREAM_SPLIT), 3: (I32, RLE), 4: (I32, RLE)}
    page = {1: (I32, DATA_PAGE), 2: (I32, unpacked), 3: (I32, packed), _DATA_PAGE_HEADER: (STRUCT, about)}
    return write_struct(page)
