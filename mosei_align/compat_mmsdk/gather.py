"""All rows that a sequence has for one video, in the order in which mmsdk aligns them.

Legend: N = rows, D = columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from mosei_align.compat_mmsdk.sequences import Array, Entries, Rows
from mosei_schemas.errors import InputError


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """The entries of one video, put together and sorted by start.

    Attributes:
        features: (N, D)
        intervals: (N, 2)
        order: (N,) where each row was before it was sorted.
    """

    features: Array
    intervals: Array
    order: Rows


def gather(entries: Entries, *, sequence: str, video: str) -> Gathered:
    """Put the entries of one video together in their order and sort the rows by start, equal ones as they come.

    Raises:
        InputError: the entries' features have different widths, at which mmsdk crashes.
    """
    parts = list(entries.values())
    if len(parts) == 1:
        features, intervals = parts[0].features, parts[0].intervals
    else:
        try:
            features = np.concatenate([entry.features for entry in parts])
            intervals = np.concatenate([entry.intervals for entry in parts])
        except (ValueError, TypeError) as error:
            shapes = ", ".join(f"{entry.features.dtype}{entry.features.shape}" for entry in parts)
            raise InputError(
                f"{sequence}: the video's entries do not fit together: {shapes}",
                ident=video,
                remedy="mmsdk crashes on this: take all but one of the entries out, or use another policy",
            ) from error
    order = start_order(intervals)
    if order is None:
        return Gathered(features, intervals, np.arange(len(intervals)))
    return Gathered(features[order], intervals[order], order)


def joined_intervals(intervals: Mapping[str, Array]) -> Array:
    """(N, 2) the intervals of a video's entries, one after the other."""
    parts = list(intervals.values())
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def start_order(intervals: Array) -> Rows | None:
    """The stable order of the rows' starts; None where they are in order.

    mmsdk sorts with Python's `sorted`, whose order where a start is NaN depends on the algorithm; so it is asked too.
    """
    start_s = intervals[:, 0]
    if np.isnan(start_s).any():
        return np.array(sorted(range(len(start_s)), key=start_s.tolist().__getitem__), np.int64)
    if not (start_s[1:] < start_s[:-1]).any():
        return None
    return np.argsort(start_s, kind="stable")
