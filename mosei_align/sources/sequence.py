"""One modality of one video, cleaned: rows in time order, every interval usable, every repair counted.

Times are read first (`open_stream`), features only where somebody needs them (`Stream.rows`): two thirds of a corpus
lie outside every labelled segment.

Legend: N = rows, D = width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mosei_align.intervals import Indices, Runs, SortedIntervals
from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_align.sources.entries import Entry
from mosei_align.sources.hdf5 import UNPACKED_LIMIT, UNPACKED_SHARE
from mosei_align.sources.rows import Rows, RowsByNumber, RowsInPlace
from mosei_align.sources.summary import bytes_of
from mosei_schemas.names import State

Seconds = npt.NDArray[np.float64]


class SequenceFacts(NamedTuple):
    """What the account keeps of one modality of one video; names as in `VideoSequence`, `rows_read` of its rows."""

    state: State
    width: int
    rows: int = 0
    rows_read: int = 0
    rows_dropped: int = 0
    was_unsorted: bool = False


@dataclass(frozen=True, slots=True)
class VideoSequence:
    """One modality of one video, read whole, or its first rows.

    Attributes:
        state: OK, or why there is nothing to align.
        detail: for people: what is wrong, empty where nothing is.
        start_s, end_s: (N,) float64, sorted by start; start <= end, all finite.
        features: (N, D) float32, or (N,) bytes for words.
        rows: rows in the file.
        rows_dropped: of these, rows with a NaN, infinite or inverted interval.
        was_unsorted: the rows were not in order of start.
    """

    state: State
    start_s: Seconds
    end_s: Seconds
    features: npt.NDArray[Any]
    detail: str = ""
    rows: int = 0
    rows_dropped: int = 0
    was_unsorted: bool = False

    is_read: ClassVar[bool] = True

    def __len__(self) -> int:
        return len(self.start_s)

    @property
    def facts(self) -> SequenceFacts:
        """What the account keeps."""
        width = self.features.shape[1] if self.features.ndim == 2 else 1
        return SequenceFacts(self.state, width, self.rows, len(self), self.rows_dropped, self.was_unsorted)

    @property
    def times(self) -> SortedIntervals:
        """(N,) the intervals, ready for questions."""
        return SortedIntervals.of(self.start_s, self.end_s)

    def read(self) -> VideoSequence:
        """Itself (see `Readable`)."""
        return self

    def rows_of(self, runs: Runs) -> Rows:
        """See `Readable.rows_of`."""
        return RowsByNumber(runs.numbers(), self.features.__getitem__, divisible=True)

    def tokens(self) -> list[str]:
        """The words of a word sequence, as text."""
        return decoded(self.features) if len(self) else []


class Readable(Protocol):
    """A modality of a video whose times are known and whose features can be had: a `Stream` or a `VideoSequence`."""

    @property
    def state(self) -> State:
        """OK, or why there is nothing to align."""

    @property
    def facts(self) -> SequenceFacts:
        """What the account keeps."""

    @property
    def start_s(self) -> Seconds:
        """(N,) sorted."""

    @property
    def end_s(self) -> Seconds:
        """(N,)."""

    @property
    def times(self) -> SortedIntervals:
        """(N,) the intervals, ready for questions."""

    def read(self) -> VideoSequence:
        """All of it."""

    @property
    def is_read(self) -> bool:
        """Whether all features are here, so that reading only some of them saves nothing."""

    def rows_of(self, runs: Runs) -> Rows:
        """The features of some rows, to be read."""


class Stream(NamedTuple):
    """One modality of one video with its times read and its features not yet.

    Attributes:
        state, detail, end_s, rows, rows_dropped, was_unsorted: as in `VideoSequence`.
        width: D.
        times: (N,) the intervals, ready for questions; an instant is widened there, not in `end_s`.
        order: (N,) for each row its number in the file, the entries of the video one after the other; None where that
            is its number here too.
        entries: the usable entries, in order.
    """

    state: State
    detail: str
    width: int
    times: SortedIntervals
    end_s: Seconds
    rows: int
    rows_dropped: int
    was_unsorted: bool
    order: Indices | None
    entries: tuple[Entry, ...]
    file: CsdFile | None

    @property
    def is_read(self) -> bool:
        """See `Readable`."""
        return False

    @property
    def start_s(self) -> Seconds:
        """(N,) sorted."""
        return self.times.start_s

    @property
    def facts(self) -> SequenceFacts:
        """What the account keeps; nothing is read yet."""
        return SequenceFacts(self.state, self.width, self.rows, 0, self.rows_dropped, self.was_unsorted)

    def read(self) -> VideoSequence:
        """Read it whole. Values that HDF5 cannot read are an answer (`State.BAD_ARRAY`), not an error."""
        if self.state is not State.OK:
            return unusable(self.state, self.width, self.detail, self.rows, self.rows_dropped)
        try:
            features = self._features(None)
        except OSError as error:
            return unusable(State.BAD_ARRAY, self.width, f"HDF5 cannot read it ({error})")
        told = self.rows, self.rows_dropped, self.was_unsorted
        return VideoSequence(State.OK, self.start_s, self.end_s, features, "", *told)

    def rows_of(self, runs: Runs) -> Rows:
        """See `Readable.rows_of`."""
        assert self.file is not None
        arrays = [entry.features for entry in self.entries if entry.features is not None]
        in_place = all(info.offset is not None for info in arrays)
        if in_place and len(arrays) == 1 and self.order is None:
            return RowsInPlace(self.file, arrays[0], runs)
        return RowsByNumber(runs.numbers(), self._features, divisible=in_place)

    def _features(self, numbers: Indices | None) -> npt.NDArray[Any]:
        """The rows with these numbers (None: all), read once and in the order of the file, then put in that of time."""
        assert self.file is not None
        if numbers is None and self.order is None:
            return self._joined([self.file.read_rows(entry, "features") for entry in self.entries])
        numbers = np.arange(len(self.end_s)) if numbers is None else numbers
        order = numbers if self.order is None else self.order[numbers]
        in_file = order if self.order is None else np.sort(order)
        blocks, first = [], 0
        for entry in self.entries:
            assert entry.features is not None
            count = entry.features.shape[0]
            mine = in_file
            if len(self.entries) > 1:
                mine = in_file[np.searchsorted(in_file, first) : np.searchsorted(in_file, first + count)] - first
            blocks.append(self.file.read_rows(entry, "features", Runs.of(mine).pairs()))
            first += count
        values = self._joined(blocks)
        return values if order is in_file else values[np.searchsorted(in_file, order)]

    @staticmethod
    def _joined(blocks: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
        values = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        return values[:, 0] if values.dtype.kind == "S" else _single(values)


def decoded(tokens: npt.NDArray[np.bytes_]) -> list[str]:
    """Words of a word sequence as text."""
    return [token.decode("utf-8", "replace") for token in tokens.tolist()]


_NO_TIMES: Final[Seconds] = np.empty(0, np.float64)
_NEVER: Final = SortedIntervals.of(_NO_TIMES, _NO_TIMES)


def unusable(state: State, width: int, detail: str = "", rows: int = 0, rows_dropped: int = 0) -> VideoSequence:
    """A sequence with nothing in it, and why."""
    return VideoSequence(state, _NO_TIMES, _NO_TIMES, np.empty((0, width), np.float32), detail, rows, rows_dropped)


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


def open_stream(file: CsdFile, index: CsdIndex, video_id: str) -> Stream:
    """Read the times of one modality of one video; all its entries (`id`, `id[k]`) together.

    Trouble with one video is an answer (see `State`), not an error: the other videos go on.
    """
    width = index.columns
    entries = index.entries.get(video_id, ())
    if not entries:
        return _closed(State.ID_MISSING, width, "the video is not in the file")
    usable = []
    for entry in entries:
        state, detail = problem_of(entry, index.width, index.is_text)
        if state is State.EMPTY:
            continue
        if state is not State.OK:
            return _closed(state, width, detail)
        usable.append(entry)
    if not usable:
        return _closed(State.EMPTY, width, "no rows")
    claimed = sum(map(bytes_of, usable)) if len(usable) > 1 else 0
    if claimed > max(UNPACKED_LIMIT, UNPACKED_SHARE * file.file_bytes):
        return _closed(State.BAD_ARRAY, width, f"its entries come to {claimed} bytes, the file to {file.file_bytes}")
    try:
        blocks = [file.read_rows(e, "intervals").astype(np.float64, copy=False) for e in usable]
    except OSError as error:
        return _closed(State.BAD_ARRAY, width, f"HDF5 cannot read it ({error})")
    intervals = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    return _in_order(intervals, width, tuple(usable), file)


def read_sequence(file: CsdFile, index: CsdIndex, video_id: str) -> VideoSequence:
    """Read one modality of one video whole."""
    return open_stream(file, index, video_id).read()


def read_first_rows(file: CsdFile, index: CsdIndex, video_id: str, count: int | None) -> VideoSequence:
    """The first rows (None: all) of the video's own entry as they stand in the file, whatever their times.

    Times may be NaN, inverted or out of order: nobody asks them.
    """
    entries = [e for e in index.entries.get(video_id, ()) if e.path == video_id.encode()]
    if not entries:
        return unusable(State.ID_MISSING, index.columns, "the video is not in the file")
    state, detail = problem_of(entries[0], index.width, index.is_text)
    if state is not State.OK:
        return unusable(state, index.columns, detail)
    assert entries[0].features is not None
    rows = entries[0].features.shape[0]
    runs = [(0, rows if count is None else min(count, rows))]
    try:
        times = file.read_rows(entries[0], "intervals", runs).astype(np.float64)
        features = file.read_rows(entries[0], "features", runs)
        features = features if index.is_text else _single(features)
    except OSError as error:
        return unusable(State.BAD_ARRAY, index.columns, f"HDF5 cannot read it ({error})")
    return VideoSequence(State.OK, times[:, 0], times[:, 1], features, rows=rows)


def _single(values: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float32, copy=False)


def _closed(state: State, width: int, detail: str, rows: int = 0, rows_dropped: int = 0) -> Stream:
    return Stream(state, detail, width, _NEVER, _NO_TIMES, rows, rows_dropped, False, None, (), None)


def _in_order(intervals: Seconds, width: int, entries: tuple[Entry, ...], file: CsdFile) -> Stream:
    start_s, end_s = np.ascontiguousarray(intervals.T)
    rows = len(start_s)
    times = SortedIntervals.if_plain(start_s, end_s)
    if times is not None:
        return Stream(State.OK, "", width, times, end_s, rows, 0, False, None, entries, file)
    # Comparisons with NaN are false.
    order = np.flatnonzero((start_s > -np.inf) & (end_s >= start_s) & (end_s < np.inf))
    dropped = rows - len(order)
    if dropped == rows:
        return _closed(State.EMPTY, width, "no row has a usable interval", rows, dropped)
    was_unsorted = bool((np.diff(start_s[order]) < 0).any())
    if was_unsorted:
        order = order[np.argsort(start_s[order], kind="stable")]
    times, in_file = SortedIntervals.of(start_s[order], end_s[order]), order if dropped or was_unsorted else None
    return Stream(State.OK, "", width, times, end_s[order], rows, dropped, was_unsorted, in_file, entries, file)
