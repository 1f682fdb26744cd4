"""One modality of one video, cleaned: rows in time order, every interval usable, every repair counted.

Legend: N = rows, D = width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mosei_align.sources.csd import CsdFile, CsdIndex, Entry
from mosei_schemas.names import State

Seconds = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class VideoSequence:
    """One modality of one video.

    Attributes:
        state: OK, or why there is nothing to align.
        detail: for people: what is wrong, empty where nothing is.
        start_s, end_s: (N,) float64, sorted by start; start <= end, all finite.
        features: (N, D) float32, or (N,) bytes for words.
        rows_read: rows in the file.
        rows_dropped: rows with a NaN, infinite or inverted interval.
        was_unsorted: the rows were not in order of start.
    """

    state: State
    start_s: Seconds
    end_s: Seconds
    features: npt.NDArray[Any]
    detail: str = ""
    rows_read: int = 0
    rows_dropped: int = 0
    was_unsorted: bool = False

    def __len__(self) -> int:
        return len(self.start_s)

    def tokens(self) -> list[str]:
        """The words of a word sequence, as text."""
        return [token.decode("utf-8", "replace") for token in self.features.tolist()] if len(self) else []


_NO_TIMES: Final[Seconds] = np.empty(0, np.float64)


def unusable(state: State, width: int, detail: str = "", rows_read: int = 0, rows_dropped: int = 0) -> VideoSequence:
    """A sequence with nothing in it, and why."""
    return VideoSequence(state, _NO_TIMES, _NO_TIMES, np.empty((0, width), np.float32), detail, rows_read, rows_dropped)


def problem_of(entry: Entry, width: int | None, is_text: bool) -> tuple[State, str]:
    """What the index alone says is wrong with an entry; (OK, "") where nothing is."""
    features, intervals = entry.features, entry.intervals
    for name, info in (("features", features), ("intervals", intervals)):
        if info is None:
            return State.MISSING_ARRAY, f"no '{name}'"
        if info.problem:
            return State.BAD_ARRAY, f"'{name}' {info.problem}"
    assert features is not None
    assert intervals is not None
    if 0 in (*features.shape, *intervals.shape) and features.shape[:1] == intervals.shape[:1]:
        return State.EMPTY, "no rows"
    if len(intervals.shape) != 2 or intervals.shape[1] != 2 or intervals.dtype is None or intervals.dtype.kind == "S":
        return State.BAD_ARRAY, f"'intervals' have shape {intervals.shape}, not (n, 2)"
    if len(features.shape) != 2 or features.dtype is None or (features.dtype.kind == "S") != is_text:
        return State.BAD_ARRAY, f"'features' have shape {features.shape} and type {features.dtype}"
    if features.shape[0] != intervals.shape[0]:
        return State.LENGTH_MISMATCH, f"{features.shape[0]} feature rows, {intervals.shape[0]} intervals"
    if width is not None and features.shape[1] != width:
        return State.BAD_ARRAY, f"{features.shape[1]} columns, other videos have {width}"
    return State.OK, ""


def read_sequence(file: CsdFile, index: CsdIndex, video_id: str) -> VideoSequence:
    """Read one modality of one video; all its entries (`id`, `id[k]`) together.

    Trouble with one video is an answer (see `State`), not an error: the other videos go on.
    """
    width = index.columns
    entries = index.entries.get(video_id, ())
    if not entries:
        return unusable(State.ID_MISSING, width, "the video is not in the file")
    usable = []
    for entry in entries:
        state, detail = problem_of(entry, index.width, index.is_text)
        if state is State.EMPTY:
            continue
        if state is not State.OK:
            return unusable(state, width, detail)
        usable.append(entry)
    if not usable:
        return unusable(State.EMPTY, width, "no rows")
    try:
        intervals = [file.read(e.path, b"intervals", np.float64) for e in usable]
        features = [file.read(e.path, b"features", "S" if index.is_text else np.float32) for e in usable]
    except OSError as error:
        return unusable(State.BAD_ARRAY, width, f"HDF5 cannot read it ({error})")
    return _cleaned(_joined(intervals), _joined(features), width)


def _joined(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _cleaned(intervals: Seconds, features: npt.NDArray[Any], width: int) -> VideoSequence:
    start_s, end_s = intervals[:, 0], intervals[:, 1]
    rows_read = len(start_s)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(start_s) & np.isfinite(end_s) & (end_s >= start_s)
    dropped = rows_read - int(good.sum())
    if dropped == rows_read:
        return unusable(State.EMPTY, width, "no row has a usable interval", rows_read, dropped)
    if dropped:
        start_s, end_s, features = start_s[good], end_s[good], features[good]
    was_unsorted = bool((np.diff(start_s) < 0).any())
    if was_unsorted:
        order = np.argsort(start_s, kind="stable")
        start_s, end_s, features = start_s[order], end_s[order], features[order]
    if features.dtype.kind == "S":
        features = features[:, 0]
    return VideoSequence(
        State.OK,
        np.ascontiguousarray(start_s),
        np.ascontiguousarray(end_s),
        features,
        rows_read=rows_read,
        rows_dropped=dropped,
        was_unsorted=was_unsorted,
    )
