"""Putting the planned defects into the arrays.

Legend: F = frames, D = columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.coverage import Stream
from mosei_align.synthetic.plan import Trouble
from mosei_align.synthetic.rows import Array, Rows
from mosei_schemas.names import State

Indices = npt.NDArray[np.int64]
Entry = tuple[str, Array | Rows | None, Array | Rows | None]
"""The key, the features and the intervals of one entry of a `.csd` file."""

INF_COLUMN: Final = 7
"""The COVAREP column that holds -inf in the official file."""
# Values are damaged at frames 1, 6, 11, ... and times at 3, 8, 13, ...: never two neighbours, so that every two
# frames in a row have a valid one.
_CYCLE: Final = 5
_VALUES_AT: Final = 1
_TIMES_AT: Final = 3
_ROUNDING: Final = 1e-6


@dataclass(frozen=True, slots=True)
class Damage:
    """What is done to the values of a stream, frame by frame.

    Attributes:
        live: (L, 2) first and last + 1 of the frames without lasting damage.
        faces: lasting damage is an all-zero row (no face found); else it is -inf in column 7.
        infinite: frames with -inf in column 7, ascending.
        nan_rows: frames that are NaN throughout, ascending.
        nan_cells: frames that are NaN in `nan_column`, ascending.
    """

    live: Indices
    faces: bool
    infinite: Indices
    nan_rows: Indices
    nan_cells: Indices
    nan_column: int

    def apply(self, frames: npt.NDArray[np.float32], first: int) -> None:
        """Damage the frames (F, D) from number `first` on, in place."""
        last = first + len(frames)
        dead = np.ones(len(frames), np.bool_)
        for start, stop in np.clip(self.live, first, last) - first:
            dead[start:stop] = False
        if dead.any():
            frames[dead, slice(None) if self.faces else INF_COLUMN] = 0.0 if self.faces else -np.inf
        frames[among(self.infinite, first, last), INF_COLUMN] = -np.inf
        frames[among(self.nan_rows, first, last)] = np.nan
        frames[among(self.nan_cells, first, last), self.nan_column] = np.nan


def draw_damage(
    stream: Stream, count: int, width: int, rate_hz: float, rng: np.random.Generator, *, faces: bool
) -> tuple[Damage, Indices]:
    """Draw the damage that is planned for a stream.

    Args:
        stream: what is wrong.
        count: F.
        width: D.
        rate_hz: frames a second.
        rng: the video's stream.
        faces: see `Damage`.

    Returns:
        What is done to the values, and the frames whose interval is NaN, ascending.
    """
    infinite = nan_rows = nan_cells = untimed = np.empty(0, np.int64)
    column = 0
    if stream.inf_share > 0:
        infinite = _scattered(count, _VALUES_AT, stream.inf_share, rng)
        infinite = np.union1d(infinite, np.arange(min(2, count)))
    if stream.nan_share > 0:
        hit = _scattered(count, _VALUES_AT, stream.nan_share, rng)
        half = len(hit) // 2
        nan_rows, nan_cells = np.sort(hit[:half]), np.sort(hit[half:])
        column = int(rng.integers(width))
    if stream.nan_time_share > 0:
        untimed = np.sort(_scattered(count, _TIMES_AT, stream.nan_time_share, rng))
    damage = Damage(_live(stream, count, rate_hz), faces, infinite, nan_rows, nan_cells, column)
    return damage, untimed


def among(numbers: Indices, first: int, last: int) -> Indices:
    """Those of the ascending `numbers` from `first` up to `last`, counted from `first`."""
    low, high = np.searchsorted(numbers, [first, last])
    return numbers[low:high] - first


def entries(
    video_id: str, frames: Rows, times: Rows, stream: Stream, rng: np.random.Generator
) -> Iterator[tuple[str, Rows, Rows]]:
    """The entries that hold a stream: one, or a second with a quarter of the frames again; perhaps out of order."""
    if stream.shuffled:
        order = _shuffled(len(frames), rng)
        frames, times = frames.ordered(order), times.ordered(order)
    yield video_id, frames, times
    if stream.repeated:
        quarter = max(len(frames) // 4, 1)
        start = int(rng.integers(len(frames) - quarter + 1))
        yield f"{video_id}[0]", frames[start : start + quarter], times[start : start + quarter]


def broken(key: str, features: Array | Rows, intervals: Array | Rows, trouble: Trouble | None) -> Entry | None:
    """The entry with a trouble of the whole sequence in it; None where it is missing."""
    if trouble is None:
        return key, features, intervals
    if trouble.state is State.ID_MISSING:
        return None
    if trouble.state is State.EMPTY:
        return key, features[:0], intervals[:0]
    if trouble.state is State.MISSING_ARRAY:
        return (key, None, intervals) if trouble.array == "features" else (key, features, None)
    assert trouble.state is State.LENGTH_MISMATCH
    fewer = len(features) - max(1, len(features) // 50)
    return (key, features[:fewer], intervals) if trouble.array == "features" else (key, features, intervals[:fewer])


def _live(stream: Stream, count: int, rate_hz: float) -> Indices:
    """(L, 2) first and last + 1 of the frames that lie wholly in each live stretch."""
    spans = [
        (int(np.ceil(start_s * rate_hz - _ROUNDING)), int(end_s * rate_hz + _ROUNDING))
        for start_s, end_s in stream.live
    ]
    return np.clip(np.array(spans, np.int64).reshape(-1, 2), 0, count)


def _scattered(count: int, at: int, share: float, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Single frames, about `share` of all and at least one, in random order."""
    places = np.arange(at, count, _CYCLE)
    return rng.choice(places, min(max(1, round(share * count)), len(places)), replace=False)


def _shuffled(count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """An order in which some stretches run backwards."""
    order = np.arange(count)
    length = max(2, count // 20)
    for start in rng.integers(0, max(count - length, 1), 3):
        order[start : start + length] = order[start : start + length][::-1].copy()
    return order
