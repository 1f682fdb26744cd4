"""Feature rows of a video that are asked for a window at a time, wherever they come from.

Legend: R = rows that were asked for, D = width.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mosei_align.intervals import Indices, Runs
from mosei_align.sources.arrays import ArrayInfo
from mosei_align.sources.csd import CsdFile

Features = npt.NDArray[np.float32]


class Rows(Protocol):
    """R rows of D float32 values each."""

    @property
    def divisible(self) -> bool:
        """Whether a part of the rows costs a part of the work; else they are best had all at once."""

    def __len__(self) -> int:
        """R."""

    def into(self, first: int, target: Features) -> None:
        """Write the rows from number `first` on into `target`, as many as it holds.

        Raises:
            OSError: the array is damaged.
            InputError: the operating system cannot read the file, or it is no longer what it was.
        """


class NoRows:
    """Rows of what is not there."""

    divisible = True

    def __len__(self) -> int:
        return 0

    def into(self, first: int, target: Features) -> None:
        """See `Rows.into`."""
        assert not first
        assert not len(target)


class RowsInPlace:
    """Rows that lie in a file as they are in memory, in runs."""

    divisible = True

    def __init__(self, file: CsdFile, info: ArrayInfo, runs: Runs) -> None:
        self._file, self._info = file, info
        self._first, self._before = runs.first.tolist(), runs.before.tolist()

    def __len__(self) -> int:
        return int(self._before[-1])

    def into(self, first: int, target: Features) -> None:
        """See `Rows.into`."""
        before, done, wanted = self._before, 0, len(target)
        run = bisect_right(before, first) - 1
        while done < wanted:
            skipped = first + done - before[run]
            stop = min(done + before[run + 1] - before[run] - skipped, wanted)
            self._file.read_in_place(self._info, self._first[run] + skipped, target[done:stop])
            done, run = stop, run + 1


class RowsByNumber:
    """Rows that something else reads by their numbers: out of memory, or from packed, unsorted or divided arrays."""

    def __init__(self, numbers: Indices, read: Callable[[Indices], npt.NDArray[Any]], *, divisible: bool) -> None:
        self._numbers, self._read, self.divisible = numbers, read, divisible

    def __len__(self) -> int:
        return len(self._numbers)

    def into(self, first: int, target: Features) -> None:
        """See `Rows.into`."""
        target[:] = self._read(self._numbers[first : first + len(target)])
