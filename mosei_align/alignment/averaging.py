"""Means of frames over steps, for several videos at once, in windows of rows that fit the processor's cache.

A window is read, checked, made float64 and summed while it is in the cache; nothing of a modality is ever in memory but
one window and the means. All steps of a window are summed at once, invalid frames as zeros. Legend: V = videos,
R = rows of a video that are read, S = steps of a video, Q = its segments, D = width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple, Self

import numpy as np

from mosei_align.alignment.frames import Bools, Features, FrameRule, FrameTally, odd_rows
from mosei_align.intervals import Indices, Seconds
from mosei_align.sources.rows import NoRows, Rows

_WINDOW_BYTES: Final = 5 << 18
"""What the rows of a window take: smaller ones fit a nearer cache, but each costs some twenty calls of numpy."""


class Ranges(NamedTuple):
    """K stretches of a video's time by the rows that overlap them.

    Attributes:
        first, last: (K,) places first ... last - 1 among the rows that are read.
        start_s: (K,) where intervals nest, only those of these rows overlap the stretch that end after this.
    """

    first: Indices
    last: Indices
    start_s: Seconds

    @classmethod
    def empty(cls, count: int) -> Self:
        """Stretches that no row overlaps."""
        none = np.zeros(count, np.int64)
        return cls(none, none, np.zeros(count))


class Wanted(NamedTuple):
    """What is wanted of one modality of one video.

    Attributes:
        rows: R rows.
        steps: S steps to take means over.
        segments: Q segments to count frames in.
        end_s: (R,) where the rows' intervals nest: where each ends; else None.
    """

    rows: Rows
    steps: Ranges
    segments: Ranges
    end_s: Seconds | None

    @classmethod
    def nothing(cls, steps: int, segments: int) -> Self:
        """No rows, as of a video that has not the modality."""
        return cls(NoRows(), Ranges.empty(steps), Ranges.empty(segments), None)


class Averaged(NamedTuple):
    """One modality of one video, averaged; its arrays are parts of those for all videos.

    Attributes:
        values: (S, D) the mean over the valid frames of each step, taken in float64; zeros where not valid.
        valid: (S,) whether the step has a valid frame; under `column`, whether every column has a finite value.
        frames, invalid_frames: (Q,) frames that overlap each segment, and how many of them are not valid.
        tally: what was found in the rows that were read.
        problem: why they could not be read (then nothing was found in them); empty where they could.
    """

    values: Features
    valid: Bools
    frames: Indices
    invalid_frames: Indices
    tally: FrameTally
    problem: str


def average(wanted: Sequence[Wanted], width: int, rule: FrameRule) -> list[Averaged]:
    """Average one modality of V videos.

    Args:
        wanted: of each video.
        width: D.
        rule: which frames count.
    """
    work = _Averaging(wanted, width, rule)
    work.run()
    return work.results()


class _Averaging:
    """The rows of all videos one after the other, under one numbering; so are their steps."""

    def __init__(self, wanted: Sequence[Wanted], width: int, rule: FrameRule) -> None:
        self._wanted, self._rule = wanted, rule
        self._window = max(1, _WINDOW_BYTES // (4 * width))
        self._bases = _running([len(w.rows) for w in wanted])
        self._steps = _running([len(w.steps.first) for w in wanted])
        rows, steps = int(self._bases[-1]), int(self._steps[-1])
        self._values, self._valid = np.empty((steps, width), np.float32), np.zeros(steps, np.bool_)
        self._bad, self._zero = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
        self._bad_values = np.zeros((len(wanted), width), np.int64)
        self._problems = [""] * len(wanted)
        first, last = self._numbered("steps")
        has_rows = last > first
        some = np.flatnonzero(has_rows)
        self._values[~has_rows] = 0
        # In order of their first rows; those without a row stay out.
        self._order = some[np.argsort(first[some], kind="stable")]
        self._first, self._last = first[self._order], last[self._order]
        self._nested = np.repeat([w.end_s is not None for w in wanted], np.diff(self._steps))[self._order]
        self._single, self._double = np.empty((0, width), np.float32), np.empty((0, width + width % 2))

    def run(self) -> None:
        """Go through all rows, a window at a time."""
        begin, total = 0, int(self._bases[-1])
        while begin < total:
            end = self._end_of_window(begin)
            a, b = self._first.searchsorted((begin, end)).tolist()
            # Steps that begin here are finished here: their last rows are read again with the next window.
            reach = max(end, int(self._last[a:b].max(initial=0)))
            self._average(self._read(begin, reach), begin, end, slice(a, b))
            begin = end

    def results(self) -> list[Averaged]:
        """What was found, by video."""
        for k in (k for k, problem in enumerate(self._problems) if problem):
            steps, rows = slice(self._steps[k], self._steps[k + 1]), slice(self._bases[k], self._bases[k + 1])
            self._values[steps], self._valid[steps], self._bad_values[k] = 0, False, 0
            self._bad[rows] = self._zero[rows] = False
        valid = self._rule.valid(self._bad, self._zero)
        counted = ~self._zero if self._rule.zero_is_none else np.ones(len(valid), np.bool_)
        first, last = self._numbered("segments")
        frames = last - first - _among(~counted, first, last)
        invalid = _among(counted & ~valid, first, last)
        bad, zero = (_among(flags, self._bases[:-1], self._bases[1:]).tolist() for flags in (self._bad, self._zero))
        found, segments = [], _running([len(w.segments.first) for w in self._wanted]).tolist()
        for k, wanted in enumerate(self._wanted):
            mine, steps = slice(segments[k], segments[k + 1]), slice(self._steps[k], self._steps[k + 1])
            if wanted.end_s is not None:
                self._count_nested(k, counted, valid, frames[mine], invalid[mine])
            if self._problems[k]:
                frames[mine] = invalid[mine] = 0
            by_column = self._bad_values[k]
            filled = int(by_column.sum()) if self._rule.nonfinite == "zero" else 0
            tally = FrameTally(bad[k], zero[k], filled, by_column)
            parts = self._values[steps], self._valid[steps], frames[mine], invalid[mine]
            found.append(Averaged(*parts, tally, self._problems[k]))
        return found

    def _numbered(self, what: str) -> tuple[Indices, Indices]:
        ranges: list[Ranges] = [getattr(w, what) for w in self._wanted]
        bases = np.repeat(self._bases[:-1], [len(r.first) for r in ranges])
        first, last = (np.concatenate([bases[:0], *(getattr(r, end) for r in ranges)]) for end in ("first", "last"))
        return first + bases, last + bases

    def _end_of_window(self, begin: int) -> int:
        end = min(begin + self._window, int(self._bases[-1]))
        video = int(np.searchsorted(self._bases, end, side="right")) - 1
        if video == len(self._wanted) or self._wanted[video].rows.divisible:
            return end
        start = int(self._bases[video])
        return start if start > begin else int(self._bases[video + 1])

    def _read(self, begin: int, reach: int) -> Features:
        """Rows begin ... reach - 1; zeros where they cannot be read."""
        if reach - begin > len(self._single):
            self._single = np.empty((reach - begin, self._single.shape[1]), np.float32)
        rows = self._single[: reach - begin]
        video = int(np.searchsorted(self._bases, begin, side="right")) - 1
        done = begin
        while done < reach:
            base, stop = int(self._bases[video]), min(int(self._bases[video + 1]), reach)
            if stop > done:
                target = rows[done - begin : stop - begin]
                try:
                    self._wanted[video].rows.into(done - base, target)
                except OSError as error:
                    self._problems[video] = str(error) or type(error).__name__
                    target[:] = 0
            done, video = max(done, stop), video + 1
        return rows

    def _average(self, rows: Features, begin: int, end: int, steps: slice) -> None:
        """Take the means of the steps that begin in a window, and note what its rows are like."""
        first, last = self._first[steps] - begin, self._last[steps] - begin
        zero, bad, bad_rows, wrong = odd_rows(rows)
        self._zero[begin:end] = zero[: end - begin]
        usable, counts, loose = self._rule.valid(bad, zero), last - first, self._nested[steps]
        if len(bad_rows):
            self._note(wrong, bad_rows, begin, end)
            if self._rule.nonfinite == "column":
                loose = loose | (_among(bad, first, last) > 0)
            elif self._rule.nonfinite == "frame":
                rows[bad_rows] = 0
            else:
                rows[bad_rows] = np.where(wrong, 0, rows[bad_rows])
        counts -= _among(~usable, first, last)
        # Steps that are neighbours have their means put in place at once.
        where = _as_slice(self._order[steps])
        means = self._values[where] if isinstance(where, slice) else np.empty((len(first), rows.shape[1]), np.float32)
        self._means(rows, first, last, counts, means)
        valid = counts > 0
        for k in loose.nonzero()[0].tolist():
            places = first[k] + np.flatnonzero(usable[first[k] : last[k]])
            mean = self._rule.mean(rows[self._overlapping(places, begin, steps.start + k)])
            valid[k] = mean is not None
            means[k] = 0 if mean is None else mean
        if np.count_nonzero(valid) < len(valid):
            means[~valid] = 0
        self._valid[where] = valid
        if not isinstance(where, slice):
            self._values[where] = means

    def _means(self, rows: Features, first: Indices, last: Indices, counts: Indices, means: Features) -> None:
        """Write the sums of rows first ... last - 1, taken in float64 and divided by `counts`, into `means`, (n, D)."""
        (several,) = (last - first > 1).nonzero()
        if len(several) == len(first):
            if len(first):
                self._means_of_several(rows, first, last, counts, means)
            return
        np.take(rows, first, axis=0, out=means, mode="clip")  # There is nothing to clip; "raise" would copy twice.
        if len(several):
            found = np.empty((len(several), rows.shape[1]), np.float32)
            self._means_of_several(rows, first[several], last[several], counts[several], found)
            means[several] = found

    def _means_of_several(
        self, rows: Features, first: Indices, last: Indices, counts: Indices, means: Features
    ) -> None:
        """`_means`, where each is over more than one row."""
        if len(rows) >= len(self._double):
            self._double = np.zeros((len(rows) + 1, self._double.shape[1]))
        # `reduceat` wants where each sum begins and where it ends, so one row behind the last. What it costs is setting
        # out on a column of a sum, so two columns are taken for the parts of one complex number.
        wide, width = self._double[: len(rows) + 1], rows.shape[1]
        wide[:-1, :width], wide[-1] = rows, 0
        bounds = np.empty(2 * len(first), np.int64)
        bounds[::2], bounds[1::2] = first, last
        with np.errstate(invalid="ignore"):
            sums = np.add.reduceat(wide.view(np.complex128), bounds, axis=0)[::2].view(np.float64)[:, :width]
            np.divide(sums, np.maximum(counts, 1)[:, None], out=means, casting="same_kind")

    def _note(self, wrong: Bools, bad_rows: Indices, begin: int, end: int) -> None:
        """Remember which rows have a NaN or an infinity, and where; those that the next window reads too, it notes."""
        places = begin + bad_rows[: bad_rows.searchsorted(end - begin)]
        self._bad[places] = True
        # Rows of a video are neighbours.
        first = 0
        while first < len(places):
            video = int(self._bases.searchsorted(places[first], side="right")) - 1
            last = int(places.searchsorted(self._bases[video + 1]))
            self._bad_values[video] += wrong[first:last].sum(axis=0)
            first = last

    def _overlapping(self, places: Indices, begin: int, number: int) -> Indices:
        """Of rows of a window those that overlap a step (its number in the order)."""
        if not self._nested[number]:
            return places
        step = int(self._order[number])
        video = int(np.searchsorted(self._steps, step, side="right")) - 1
        wanted = self._wanted[video]
        assert wanted.end_s is not None
        ends = wanted.end_s[places + begin - int(self._bases[video])]
        later: Bools = ends > wanted.steps.start_s[step - int(self._steps[video])]
        return places[later]

    def _count_nested(self, video: int, counted: Bools, valid: Bools, frames: Indices, invalid: Indices) -> None:
        wanted, base = self._wanted[video], int(self._bases[video])
        assert wanted.end_s is not None
        for k, (first, last, start_s) in enumerate(zip(*wanted.segments, strict=True)):
            rows = first + np.flatnonzero(wanted.end_s[first:last] > start_s)
            rows = base + rows[counted[base + rows]]
            frames[k], invalid[k] = len(rows), len(rows) - valid[rows].sum()


def _among(flags: Bools, first: Indices, last: Indices) -> Indices:
    """(n,) how many of the flags first ... last - 1 are set; of the few that are set, all are looked up."""
    (places,) = flags.nonzero()
    if not len(places):
        return np.zeros(len(first), np.int64)
    found: Indices = places.searchsorted(last) - places.searchsorted(first)
    return found


def _as_slice(places: Indices) -> Indices | slice:
    """The same places, as a slice where they are neighbours in order."""
    count = len(places)
    neighbours = (
        count and places[-1] - places[0] == count - 1 and np.count_nonzero(places[1:] > places[:-1]) == count - 1
    )
    return slice(int(places[0]), int(places[-1]) + 1) if neighbours else places


def _running(numbers: Sequence[int]) -> Indices:
    """(n + 1,) the sum of the first k."""
    before = np.zeros(len(numbers) + 1, np.int64)
    np.cumsum(numbers, out=before[1:])
    return before
