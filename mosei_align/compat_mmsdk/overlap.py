"""Which rows of a sequence mmsdk gives to which reference row, and how it clips them.

Legend: N = rows of the sequence, Q = reference rows, M = (row, reference row) pairs that overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from mosei_align.compat_mmsdk.sequences import Array, Rows

EPSILON_S: Final = 10e-6
"""mmsdk's tolerance: intervals that touch overlap, intervals shorter than this do not count."""
_MARGIN_S: Final = 2e-5
_CHUNK: Final = 1 << 16
"""Pairs looked at together, which bounds the memory where one row spans the whole video."""


_Clipper = Callable[[Array, Array, Rows], Array]


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """The rows of a sequence by reference row.

    Attributes:
        rows: (M,) row numbers; those of reference row q are rows[bounds[q] : bounds[q + 1]], ascending.
        intervals: (M, 2) the rows' intervals, clipped to the reference row.
        bounds: (Q + 1,)
    """

    rows: Rows
    intervals: Array
    bounds: Rows


def too_short(reference: Array) -> Array:
    """(Q, 2) -> (Q,) whether mmsdk skips the reference row; one with a NaN it does not skip."""
    with np.errstate(invalid="ignore", over="ignore"):
        length = np.abs(reference[:, 0] - reference[:, 1])
    # mmsdk compares scalars, for which numpy 1 has another precision than for arrays.
    return np.asarray(length.astype(np.result_type(length.dtype.type(0), EPSILON_S)) < EPSILON_S)


def overlaps(intervals: Array, reference: Array) -> Overlaps:
    """Select and clip; exactly the rows, bits and types that mmsdk comes to.

    Args:
        intervals: (N, 2), in any order; rows with a NaN overlap nothing.
        reference: (Q, 2); rows that are `too_short` get nothing.
    """
    usable = np.flatnonzero(~np.isnan(intervals).any(axis=1))
    start_s = intervals[usable, 0].astype(np.float64)
    sorted_already = not (start_s[1:] < start_s[:-1]).any()
    if not sorted_already:
        usable = usable[np.argsort(start_s, kind="stable")]
        start_s = intervals[usable, 0].astype(np.float64)
    first, last = _candidates(start_s, intervals[usable, 1].astype(np.float64), reference)
    last = np.where(too_short(reference), first, last)
    kind = np.result_type(intervals, reference.dtype.type(0))
    clip = _clip_literally if negative_zero(intervals) or negative_zero(reference) else _clip
    parts = [(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 2), kind))]
    for begin, stop in _chunks(last - first):
        rows, owner = _flat(first[begin:stop], last[begin:stop], begin)
        rows = usable[rows] if sorted_already else _ascending(usable[rows], owner)
        parts.append(_exact(intervals, reference, rows, owner, clip))
    rows, owner, clipped = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return Overlaps(rows, clipped, np.searchsorted(owner, np.arange(len(reference) + 1)))


def negative_zero(values: Array) -> bool:
    """Whether there is a -0.0, of which numpy's minimum and maximum choose by the shape of what they are given."""
    return bool(((values == 0) & np.signbit(values)).any())


def _candidates(start_s: Array, end_s: Array, reference: Array) -> tuple[Rows, Rows]:
    """For each reference row the range of sorted rows outside of which none overlaps it."""
    reach_s = np.maximum.accumulate(end_s) if len(end_s) else end_s
    wanted = reference.astype(np.float64)
    first = np.searchsorted(reach_s, wanted[:, 0] - _MARGIN_S, side="left")
    last = np.searchsorted(start_s, wanted[:, 1] + _MARGIN_S, side="right")
    return first, np.maximum(first, last)


def _chunks(counts: Rows) -> list[tuple[int, int]]:
    """Cut the reference rows so that each part has at most `_CHUNK` candidates, or is one row."""
    total = np.cumsum(counts)
    found, first = [], 0
    while first < len(counts):
        done = int(total[first - 1]) if first else 0
        last = max(first + 1, int(np.searchsorted(total, done + _CHUNK, side="right")))
        found.append((first, last))
        first = last
    return found


def _flat(first: Rows, last: Rows, begin: int) -> tuple[Rows, Rows]:
    """Ranges of reference rows `begin`, `begin` + 1, ... as (positions, reference rows), one pair a candidate."""
    counts = last - first
    shift = first - (np.cumsum(counts) - counts)
    owner = np.repeat(np.arange(begin, begin + len(counts)), counts)
    return np.arange(len(owner)) + np.repeat(shift, counts), owner


def _ascending(rows: Rows, owner: Rows) -> Rows:
    return rows[np.lexsort((rows, owner))]


def _exact(intervals: Array, reference: Array, rows: Rows, owner: Rows, clip: _Clipper) -> tuple[Rows, Rows, Array]:
    """Of the candidates those that mmsdk keeps: (rows, reference rows, clipped intervals)."""
    row, target = intervals[rows], reference[owner]
    with np.errstate(invalid="ignore", over="ignore"):
        touches = (target[:, 1] - row[:, 0] > -EPSILON_S) & (row[:, 1] - target[:, 0] > -EPSILON_S)
        rows, owner = rows[touches], owner[touches]
        clipped = clip(row[touches], reference, owner)
        long = np.abs(clipped[:, 0] - clipped[:, 1]) > EPSILON_S
    return rows[long], owner[long], clipped[long]


def _clip(row: Array, reference: Array, owner: Rows) -> Array:
    """Cut rows to their reference rows, in the type that numpy gives to an array and a scalar."""
    kind = np.result_type(row, reference.dtype.type(0))
    row, target = row.astype(kind), reference.astype(kind)[owner]
    return np.stack([np.maximum(row[:, 0], target[:, 0]), np.minimum(row[:, 1], target[:, 1])], axis=1)


def _clip_literally(row: Array, reference: Array, owner: Rows) -> Array:
    """The same with mmsdk's own calls, a reference row at a time."""
    parts = [np.empty((0, 2), np.result_type(row, reference.dtype.type(0)))]
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    for first, last in pairwise([*starts.tolist(), len(owner)]):
        start_s, end_s = reference[owner[first]]
        part = row[first:last]
        parts.append(np.stack([np.maximum(part[:, 0], start_s), np.minimum(part[:, 1], end_s)], axis=1))
    return np.concatenate(parts)
