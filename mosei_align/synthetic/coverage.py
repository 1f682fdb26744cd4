"""Which times of a stream are damaged, and what that means for a segment, reckoned on the plan and never on arrays.

Everything here leaves a margin: where the outcome would hang on a single frame, the answer is "in doubt", and whoever
plants damage then plants it elsewhere.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from mosei_align.synthetic.timeline import Times
from mosei_schemas.names import State

CLEAR_S: Final = 0.1
"""A stretch as long as this has a valid frame for certain: scattered damage never hits two neighbouring frames."""
EDGE_S: Final = 0.02
"""Two times closer than this are too close to say which comes first."""
_BIN_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Stream:
    """What is wrong with a video's audio or video frames.

    Attributes:
        live: (L, 2) disjoint stretches of seconds with no lasting damage; outside them every frame is invalid.
        stops_s: there is no frame after this.
        nan_share: share of scattered frames with NaN values.
        inf_share: share of scattered frames with -inf in column 7; where positive, the first two frames have it too.
        nan_time_share: share of scattered frames whose interval is NaN.
        shuffled: some frames are out of the order of time.
        repeated: a quarter of the frames comes again under a second key.
    """

    live: Times
    stops_s: float
    nan_share: float = 0.0
    inf_share: float = 0.0
    nan_time_share: float = 0.0
    shuffled: bool = False
    repeated: bool = False


def whole_stream(duration_s: float) -> Stream:
    """A stream without damage."""
    return Stream(np.array([[0.0, duration_s]]), duration_s)


def kill(stream: Stream, start_s: float, end_s: float) -> Stream:
    """The stream with every frame invalid that touches [start_s, end_s)."""
    left = np.stack([stream.live[:, 0], np.minimum(stream.live[:, 1], start_s)], axis=1)
    right = np.stack([np.maximum(stream.live[:, 0], end_s), stream.live[:, 1]], axis=1)
    both = np.concatenate([left, right])
    both = both[both[:, 1] > both[:, 0]]
    return replace(stream, live=both[np.argsort(both[:, 0])])


def stop(stream: Stream, at_s: float) -> Stream:
    """The stream without the frames that end after `at_s`."""
    return replace(kill(stream, at_s, np.inf), stops_s=min(at_s, stream.stops_s))


def exposure(stream: Stream, steps: Times) -> Times:
    """(N,) seconds of each step's longest undamaged stretch; where negative, the distance to the nearest one."""
    if not len(stream.live):
        return np.full(len(steps), -np.inf)
    overlap = np.minimum(steps[:, None, 1], stream.live[:, 1]) - np.maximum(steps[:, None, 0], stream.live[:, 0])
    return np.asarray(overlap.max(axis=1))


def clear_steps(stream: Stream, steps: Times) -> int:
    """How many of the steps (N, 2) have a valid frame for certain."""
    return int((exposure(stream, steps) >= CLEAR_S).sum())


def state_in(stream: Stream, start_s: float, steps: Times) -> State | None:
    """What becomes of the stream in a segment that begins at `start_s` and has `steps` (N, 2); None if in doubt."""
    if start_s >= stream.stops_s + EDGE_S:
        return State.NO_OVERLAP
    if start_s > stream.stops_s - EDGE_S:
        return None
    if clear_steps(stream, steps):
        return State.OK
    return State.ALL_INVALID if (exposure(stream, steps) <= -EDGE_S).all() else None


def uniform_steps(start_s: float, end_s: float) -> Times:
    """The quarter-second steps (N, 2) of a segment without words."""
    starts = np.arange(start_s, end_s, _BIN_S)
    return np.stack([starts, np.minimum(starts + _BIN_S, end_s)], axis=1)
