"""The labelled rows of one video, in the order of the file: every one of them must end up in the account.

Legend: N = label rows, K = label columns.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_align.sources.entries import Entry
from mosei_align.sources.sequence import problem_of
from mosei_schemas.errors import InputError
from mosei_schemas.names import Reason, State

LONGEST_S: Final = 86_400.0
MOST_ROWS: Final = 100_000
"""Label rows of one video: more than one for each second of the longest."""


@dataclass(frozen=True, slots=True)
class LabelRows:
    """The labels of one video.

    Attributes:
        start_s, end_s: (N,) as in the file, NaN where the file has no usable intervals.
        values: (N, K) float32 raw labels; zeros where `problems` speaks of the arrays.
        problems: N reasons to drop the row before anything is aligned, None where there is none.
    """

    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    values: npt.NDArray[np.float32]
    problems: tuple[Reason | None, ...]


def read_labels(file: CsdFile, index: CsdIndex, video_id: str) -> LabelRows:
    """Read the label rows of one video; `id`, `id[0]`, ... are numbered through. A video without labels has none."""
    width = index.columns
    starts, ends, values = [np.empty(0)], [np.empty(0)], [np.empty((0, width), np.float32)]
    problems: list[Reason | None] = []
    for entry in index.entries.get(video_id, ()):
        times, rows, readable = _read_entry(file, entry, width, index.is_text)
        starts.append(times[:, 0])
        ends.append(times[:, 1])
        values.append(rows)
        problems += _row_problems(times, rows) if readable else [Reason.LABEL_ARRAYS] * len(rows)
    return LabelRows(np.concatenate(starts), np.concatenate(ends), np.concatenate(values), tuple(problems))


def _read_entry(
    file: CsdFile, entry: Entry, width: int, is_text: bool
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32], bool]:
    """Intervals (n, 2), values (n, K) and whether they can be believed; a segment is a row of the intervals."""
    state, _ = problem_of(entry, width, is_text)
    if state is State.EMPTY:
        return np.empty((0, 2)), np.empty((0, width), np.float32), True
    if state is State.OK:
        with contextlib.suppress(OSError):
            times, values = file.read_rows(entry, "intervals"), file.read_rows(entry, "features")
            with np.errstate(over="ignore", invalid="ignore"):
                return times.astype(np.float64), values.astype(np.float32), True
    count = _claimed_rows(entry)
    times = np.full((count, 2), np.nan)
    intervals = entry.intervals
    if intervals and not intervals.problem and intervals.shape == (count, 2) and count:
        with contextlib.suppress(OSError):
            times = file.read_rows(entry, "intervals").astype(np.float64)
    return times, np.zeros((count, width), np.float32), False


def check_number(labels: CsdIndex) -> None:
    """Refuse a label file in which a video has more rows than any has: each becomes a row of the account.

    Raises:
        InputError: there is such a video.
    """
    for video, entries in labels.entries.items():
        rows = sum(_claimed_rows(entry) for entry in entries)
        if rows > MOST_ROWS:
            raise InputError(
                f"{rows:,} label rows in one video; up to {MOST_ROWS:,} are read",
                path=labels.path,
                ident=video,
                remedy="correct the label file",
            )


def _claimed_rows(entry: Entry) -> int:
    """How many segments a damaged entry speaks of: its intervals, else its feature rows."""
    for info in (entry.intervals, entry.features):
        # A shape with a zero in it stores nothing, so nothing vouches for its other numbers.
        if info is not None and not info.problem and info.shape and 0 not in info.shape:
            return info.shape[0]
    return 0


def _row_problems(times: npt.NDArray[np.float64], values: npt.NDArray[np.float32]) -> list[Reason | None]:
    """For each of n rows why it cannot be aligned, from intervals (n, 2) and labels (n, K)."""
    with np.errstate(invalid="ignore", over="ignore"):
        lasts = times[:, 1] - times[:, 0]
    sound_time = np.isfinite(times).all(axis=1) & (lasts >= 0) & (lasts <= LONGEST_S)
    problems: list[Reason | None] = [None if sound else Reason.LABEL_TIME for sound in sound_time.tolist()]
    for row in np.flatnonzero(sound_time & ~np.isfinite(values).all(axis=1)).tolist():
        problems[row] = Reason.LABEL_VALUE
    return problems
