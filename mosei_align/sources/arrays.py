"""What is known of an array before its values are read, as HDF5 tells it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Self, TypeGuard

import h5py
import numpy as np
import numpy.typing as npt

from mosei_align.sources.hdf5 import plain_offset, plain_type, storage_problem

Numbers = npt.NDArray[np.int64]

MOST_SIDES: Final = 4
KIND, OFFSET, RANK, SIDES = 0, 1, 2, slice(3, 3 + MOST_SIDES)
NOWHERE: Final = -1
_LONGEST_SIDE: Final = 2**62


class ArrayInfo(NamedTuple):
    """What the index knows of one HDF5 dataset."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any] | None
    """None where the type is one that no `.csd` file has a use for."""
    problem: str = ""
    """Why the array must not be read; empty where it may."""
    offset: int | None = None
    """Where its values lie in the file, in one piece and unpacked; None where only HDF5 can read them."""


def is_usual(info: ArrayInfo | None) -> TypeGuard[ArrayInfo]:
    """Whether `ArrayInfos` can hold what is known of an array."""
    if info is None or info.dtype is None or info.problem:
        return False
    return len(info.shape) <= MOST_SIDES and max(info.shape, default=0) <= _LONGEST_SIDE


@dataclass(frozen=True, slots=True)
class ArrayInfos:
    """N usual arrays as numbers: a tenth of what objects take, in memory and on the way to another process.

    Attributes:
        dtypes: the types that occur.
        numbers: (N, 7) for each which type, where its values lie (-1 for None), how many sides, and these, then zeros.
    """

    dtypes: tuple[np.dtype[Any], ...]
    numbers: Numbers

    @classmethod
    def of(cls, infos: Sequence[ArrayInfo]) -> Self:
        """Arrays that are usual."""
        dtypes = _Dtypes()
        numbers = np.zeros((len(infos), SIDES.stop), np.int64)
        for row, (shape, dtype, _, offset) in zip(numbers, infos, strict=True):
            row[KIND], row[OFFSET] = dtypes.number_of(dtype), NOWHERE if offset is None else offset
            row[RANK], row[SIDES][: len(shape)] = len(shape), shape
        return cls(dtypes.all(), numbers)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """Those of all parts, one after the other."""
        dtypes = _Dtypes()
        numbers = np.concatenate([np.empty((0, SIDES.stop), np.int64), *(part.numbers for part in parts)])
        done = 0
        for part in parts:
            which = np.array([dtypes.number_of(dtype) for dtype in part.dtypes], np.int64)
            numbers[done : done + len(part), KIND] = which[part.kinds]
            done += len(part)
        return cls(dtypes.all(), numbers)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def kinds(self) -> Numbers:
        """(N,) which of the types each has."""
        return self.numbers[:, KIND]

    @property
    def sides(self) -> Numbers:
        """(N, 4) the shapes, then zeros."""
        return self.numbers[:, SIDES]

    @property
    def ranks(self) -> Numbers:
        """(N,) the lengths of the shapes."""
        return self.numbers[:, RANK]

    def of_rows(self, rows: Numbers) -> Self:
        """(M,) those with these numbers."""
        return replace(self, numbers=self.numbers[rows])

    def info(self, number: int) -> ArrayInfo:
        """One of them."""
        kind, offset, rank, *sides = self.numbers[number].tolist()
        return ArrayInfo(tuple(sides[:rank]), self.dtypes[kind], "", None if offset == NOWHERE else offset)

    def bytes_unpacked(self) -> int:
        """What they take in memory, as stored."""
        sizes = np.where(np.arange(MOST_SIDES) < self.ranks[:, None], self.sides, 1).prod(axis=1)
        counts = np.array([dtype.itemsize for dtype in self.dtypes], np.int64)[self.kinds]
        return sum((sizes * counts).tolist())


class _Dtypes:
    """Types by number; those that print differently are different, although numpy may call them equal."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[Any, str], int] = {}

    def number_of(self, dtype: np.dtype[Any] | None) -> int:
        assert dtype is not None
        return self._numbers.setdefault((dtype, dtype.byteorder), len(self._numbers))

    def all(self) -> tuple[np.dtype[Any], ...]:
        return tuple(dtype for dtype, _ in self._numbers)


def describe(group: h5py.h5g.GroupID, name: bytes, file_bytes: int) -> ArrayInfo:
    """Ask HDF5 about one member of a group in a file of `file_bytes`."""
    child = h5py.h5o.open(group, name)
    if not isinstance(child, h5py.h5d.DatasetID):
        return ArrayInfo((), None, "is a group, not an array")
    kind, shape = child.get_type(), child.shape
    if shape is None:
        return ArrayInfo((), None, "holds nothing at all")
    dtype = plain_type(kind)
    if dtype is not None:
        offset = plain_offset(child, math.prod(shape) * dtype.itemsize, file_bytes)
        if offset is not None:
            return ArrayInfo(shape, dtype, "", offset)
    number = kind.get_class() in (h5py.h5t.FLOAT, h5py.h5t.INTEGER)
    if not (number or (kind.get_class() == h5py.h5t.STRING and not kind.is_variable_str())):
        return ArrayInfo(shape, None, "holds neither numbers nor fixed-length strings")
    dtype = child.dtype
    return ArrayInfo(shape, dtype, storage_problem(child, math.prod(shape) * dtype.itemsize))
