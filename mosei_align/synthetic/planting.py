"""Putting the planned defects into the arrays.

Legend: F = frames, D = columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.coverage import Stream
from mosei_align.synthetic.plan import Trouble
from mosei_schemas.names import State

Array = npt.NDArray[Any]
Entry = tuple[str, Array | None, Array | None]
"""The key, the features and the intervals of one entry of a `.csd` file."""

INF_COLUMN: Final = 7
"""The COVAREP column that holds -inf in the official file."""
# Values are damaged at frames 1, 6, 11, ... and times at 3, 8, 13, ...: never two neighbours, so that every two
# frames in a row have a valid one.
_CYCLE: Final = 5
_VALUES_AT: Final = 1
_TIMES_AT: Final = 3
_ROUNDING: Final = 1e-6


def damage(
    frames: npt.NDArray[np.float32],
    times: npt.NDArray[np.floating],
    stream: Stream,
    rate_hz: float,
    rng: np.random.Generator,
    *,
    faces: bool,
) -> None:
    """Damage a stream's frames and times in place, as planned.

    Args:
        frames: (F, D) whole frames.
        times: (F, 2) their intervals in seconds.
        stream: what is wrong.
        rate_hz: frames a second.
        rng: the video's stream.
        faces: lasting damage is an all-zero row (no face found); else it is -inf in column 7.
    """
    dead = ~_live(stream, len(frames), rate_hz)
    if faces:
        frames[dead] = 0.0
    else:
        frames[dead, INF_COLUMN] = -np.inf
    if stream.inf_share > 0:
        frames[_scattered(len(frames), _VALUES_AT, stream.inf_share, rng), INF_COLUMN] = -np.inf
        frames[:2, INF_COLUMN] = -np.inf
    if stream.nan_share > 0:
        hit = _scattered(len(frames), _VALUES_AT, stream.nan_share, rng)
        half = len(hit) // 2
        frames[hit[:half]] = np.nan
        frames[hit[half:], rng.integers(frames.shape[1])] = np.nan
    if stream.nan_time_share > 0:
        times[_scattered(len(frames), _TIMES_AT, stream.nan_time_share, rng)] = np.nan


def entries(
    video_id: str, frames: Array, times: Array, stream: Stream, rng: np.random.Generator
) -> Iterator[tuple[str, Array, Array]]:
    """The entries that hold a stream: one, or a second with a quarter of the frames again; perhaps out of order."""
    if stream.shuffled:
        order = _shuffled(len(frames), rng)
        frames, times = frames[order], times[order]
    yield video_id, frames, times
    if stream.repeated:
        quarter = max(len(frames) // 4, 1)
        start = int(rng.integers(len(frames) - quarter + 1))
        yield f"{video_id}[0]", frames[start : start + quarter], times[start : start + quarter]


def broken(key: str, features: Array, intervals: Array, trouble: Trouble | None) -> Entry | None:
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


def _live(stream: Stream, count: int, rate_hz: float) -> npt.NDArray[np.bool_]:
    """(F,) the frames that lie wholly in a live stretch."""
    live = np.zeros(count, np.bool_)
    for start_s, end_s in stream.live:
        live[int(np.ceil(start_s * rate_hz - _ROUNDING)) : int(end_s * rate_hz + _ROUNDING)] = True
    return live


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
