"""Arrays that are made a few rows at a time, when they are written: only their description travels and waits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Source(Protocol):
    """An array of rows that makes any stretch of itself, always the same."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """What it is stored as."""

    def make(self, start: int, stop: int) -> Array:
        """(stop - start, columns) the rows from `start` up to `stop`."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a source, in some order; cut and ordered like an array.

    Attributes:
        source: the whole array.
        start, stop: the stretch of it, or of `order`.
        order: indices of rows, near to each other where they are neighbours; None for the source's own order.
    """

    source: Source
    start: int
    stop: int
    order: npt.NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, part: slice) -> Rows:
        start, stop, step = part.indices(len(self))
        assert step == 1
        return replace(self, start=self.start + start, stop=self.start + max(start, stop))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), self.source.shape[1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """What it is stored as."""
        return self.source.dtype

    @property
    def row_bytes(self) -> int:
        """The size of one row."""
        return self.source.shape[1] * self.dtype.itemsize

    def ordered(self, order: npt.NDArray[np.int64]) -> Rows:
        """All rows, in another order."""
        assert self.order is None
        assert self.start == 0
        assert len(order) == len(self)
        return replace(self, order=order)

    def make(self, start: int, stop: int) -> Array:
        """(stop - start, columns) the rows from `start` up to `stop`."""
        first, last = self.start + start, self.start + stop
        if self.order is None or start == stop:
            return self.source.make(first, last)
        wanted = self.order[first:last]
        lowest = int(wanted.min())
        return np.asarray(self.source.make(lowest, int(wanted.max()) + 1)[wanted - lowest])


def all_rows(source: Source) -> Rows:
    """Every row of a source."""
    return Rows(source, 0, source.shape[0])
