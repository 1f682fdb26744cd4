"""Interval algebra, nothing else: which rows of a sorted sequence overlap a query, which words a segment owns.

Intervals are half-open, [start, end). One of no length counts as an instant: [t, t + the smallest step of a float64).
Legend: N = rows of the sequence, Q = queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

Seconds = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]


class Spans(NamedTuple):
    """Stretches of time, disjoint and in order: what of a video is needed.

    Attributes:
        start_s, end_s: (M,) each stretch, of positive length.
    """

    start_s: Seconds
    end_s: Seconds

    @classmethod
    def covering(cls, start_s: Seconds, end_s: Seconds) -> Spans:
        """The union of intervals in any order."""
        order = np.argsort(start_s, kind="stable")
        starts, reach = start_s[order], np.maximum.accumulate(_widened(start_s, end_s)[order])
        first = np.flatnonzero(np.concatenate(([True], starts[1:] > reach[:-1]))) if len(starts) else order
        last = np.append(first[1:] - 1, len(starts) - 1) if len(starts) else order
        return cls(starts[first], reach[last])

    def touch(self, start_s: Seconds, end_s: Seconds) -> npt.NDArray[np.bool_]:
        """(N,) which intervals overlap a stretch. Only the last stretch that begins before an interval ends can."""
        last = np.searchsorted(self.start_s, _widened(start_s, end_s), side="left") - 1
        if not len(self.start_s):
            return np.zeros(len(start_s), np.bool_)
        touched: npt.NDArray[np.bool_] = (last >= 0) & (start_s < self.end_s[last])
        return touched


@dataclass(frozen=True, slots=True)
class Runs:
    """Rows of a sequence as runs of neighbours, disjoint and in order.

    Attributes:
        first, last: (M,) each run, the rows first ... last - 1.
        before: (M + 1,) how many rows the runs before it have; the last number counts them all.
    """

    first: Indices
    last: Indices
    before: Indices

    @classmethod
    def between(cls, first: Indices, last: Indices) -> Self:
        """Runs whose ends are known; those without rows are left out."""
        some = last > first
        if np.count_nonzero(some) < len(some):
            first, last = first[some], last[some]
        before = np.zeros(len(first) + 1, np.int64)
        np.cumsum(last - first, out=before[1:])
        return cls(first, last, before)

    @classmethod
    def of(cls, rows: Indices) -> Self:
        """Ascending row numbers as runs."""
        if not len(rows):
            return cls.between(rows, rows)
        begins = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        ends = np.append(begins[1:], len(rows)) - 1
        return cls.between(rows[begins], rows[ends] + 1)

    @classmethod
    def whole(cls, count: int) -> Self:
        """All rows of a sequence that has `count`."""
        return cls.between(np.array([0]), np.array([count]))

    def __len__(self) -> int:
        return int(self.before[-1])

    def places(self, rows: Indices) -> Indices:
        """How many rows of the runs come before each of some row numbers: where a row stands that belongs to a run."""
        if not len(self.first):
            return np.zeros(len(rows), np.int64)
        run = np.maximum(self.first.searchsorted(rows, side="right") - 1, 0)
        inside = np.minimum(rows, self.last[run]) - self.first[run]
        return self.before[run] + np.maximum(inside, 0)

    def numbers(self) -> Indices:
        """The row numbers, in order."""
        return numbers_between(self.first, self.last)

    def pairs(self) -> list[tuple[int, int]]:
        """(first, last) of every run."""
        return list(zip(self.first.tolist(), self.last.tolist(), strict=True))


@dataclass(frozen=True, slots=True)
class SortedIntervals:
    """Intervals in order of start, ready to be asked which of them overlap something.

    Attributes:
        start_s, end_s: (N,), an instant already widened to its smallest positive length.
        reach_s: (N,), the latest end so far; sorted even where intervals nest.
        nested: whether some interval ends after a later one does.
    """

    start_s: Seconds
    end_s: Seconds
    reach_s: Seconds
    nested: bool

    @classmethod
    def of(cls, start_s: Seconds, end_s: Seconds) -> SortedIntervals:
        """Prepare intervals that are sorted by start, with start <= end."""
        ends = _widened(start_s, end_s)
        nested = bool(np.count_nonzero(ends[1:] < ends[:-1]))
        return cls(start_s, ends, np.maximum.accumulate(ends) if nested else ends, nested)

    @classmethod
    def if_plain(cls, start_s: Seconds, end_s: Seconds) -> Self | None:
        """Intervals that need no preparation: finite, of positive length, in order of start and of end; else None."""
        rows = len(start_s)
        plain = (
            np.count_nonzero(end_s > start_s) == rows  # Comparisons with NaN are false.
            and np.count_nonzero(start_s[1:] >= start_s[:-1]) == rows - 1
            and np.count_nonzero(end_s[1:] >= end_s[:-1]) == rows - 1
            and start_s[0] > -np.inf
            and end_s[-1] < np.inf
        )
        return cls(start_s, end_s, end_s, False) if plain else None

    def __len__(self) -> int:
        return len(self.start_s)

    def candidates(self, start_s: Seconds, end_s: Seconds) -> tuple[Indices, Indices]:
        """For each query the rows [first, last) outside of which no row overlaps it; exact unless `nested`."""
        first = self.reach_s.searchsorted(start_s, side="right")
        last = self.start_s.searchsorted(_widened(start_s, end_s), side="left")
        return first, np.maximum(last, first)

    def runs(self, spans: Spans) -> Runs:
        """The rows that overlap one of some disjoint stretches."""
        return self.runs_among(spans, *self.candidates(spans.start_s, spans.end_s))

    def runs_among(self, spans: Spans, first: Indices, last: Indices) -> Runs:
        """`runs`, where the `candidates` of the stretches are known."""
        # A row may reach from one stretch into the next.
        runs = Runs.between(np.concatenate((first[:1], np.maximum(first[1:], last[:-1]))), last)
        if not self.nested:
            return runs
        rows = runs.numbers()
        return Runs.of(rows[spans.touch(self.start_s[rows], self.end_s[rows])])


def owned_words(start_s: Seconds, end_s: Seconds, segment_start_s: float, segment_end_s: float) -> Indices:
    """The words that a segment owns: those whose midpoint lies in it; if there is none, the one it overlaps most.

    So overlapping label intervals never tear a word in two, and a segment that overlaps words never loses them all.
    Where two words overlap it equally, the earlier one is taken.

    Args:
        start_s, end_s: (N,) word times, sorted by start.
        segment_start_s, segment_end_s: the segment; one of no length (real MOSI has one) is an instant like any other.

    Returns:
        Indices of the words, in order; empty where no word overlaps the segment.
    """
    segment_end_s = max(segment_end_s, float(np.nextafter(segment_start_s, np.inf)))
    midpoints = start_s + (end_s - start_s) / 2
    owned = np.flatnonzero((midpoints >= segment_start_s) & (midpoints < segment_end_s))
    if len(owned):
        return owned
    shared = np.minimum(_widened(start_s, end_s), segment_end_s) - np.maximum(start_s, segment_start_s)
    if not len(shared) or shared.max() <= 0:
        return owned
    return np.array([shared.argmax()])


def owned_words_of_each(
    start_s: Seconds, end_s: Seconds, segment_start_s: Seconds, segment_end_s: Seconds
) -> tuple[Indices, Indices]:
    """`owned_words` of every one of Q segments, found at once where the words' midpoints are in order too.

    Returns:
        Those of all segments, one after the other, and (Q,) how many each has.
    """
    midpoints = start_s + (end_s - start_s) / 2
    if np.count_nonzero(midpoints[1:] < midpoints[:-1]):
        times = zip(segment_start_s.tolist(), segment_end_s.tolist(), strict=True)
        found = [np.empty(0, np.int64), *(owned_words(start_s, end_s, *segment) for segment in times)]
        return np.concatenate(found), np.array([len(own) for own in found[1:]], np.int64)
    first = midpoints.searchsorted(segment_start_s, side="left")
    last = midpoints.searchsorted(_widened(segment_start_s, segment_end_s), side="left")
    for k in np.flatnonzero(last <= first).tolist():
        own = owned_words(start_s, end_s, segment_start_s[k], segment_end_s[k])
        first[k], last[k] = (own[0], own[0] + 1) if len(own) else (0, 0)
    return numbers_between(first, last), last - first


def numbers_between(first: Indices, last: Indices) -> Indices:
    """The numbers first ... last - 1 of several stretches, one stretch after the other."""
    counts = last - first
    ends = np.cumsum(counts)
    found: Indices = np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - ends + counts, counts)
    return found


def uniform_bins(start_s: float, end_s: float, width_s: float) -> tuple[Seconds, Seconds]:
    """Cut [start, end) into bins of one width, the last one as long as what is left (but no sliver under 1 us)."""
    count = max(1, int(np.ceil((end_s - start_s - 1e-6) / width_s)))
    edges = start_s + np.arange(count + 1, dtype=np.float64) * width_s
    edges[-1] = end_s
    return edges[:-1], edges[1:]


def _widened(start_s: Seconds, end_s: Seconds) -> Seconds:
    """The ends, where an instant ends at the next float64 after its start; the same array where there is none."""
    instants = end_s <= start_s
    return np.where(instants, np.nextafter(start_s, np.inf), end_s) if np.count_nonzero(instants) else end_s
