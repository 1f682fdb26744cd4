"""Which frames are valid, and their means over steps, against plain Python."""

import math
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mosei_align.alignment.averaging import Averaged, Ranges, Wanted, average
from mosei_align.alignment.frames import FrameRule, nonfinite_rows, zero_rows
from mosei_align.intervals import SortedIntervals
from mosei_align.sources.rows import RowsByNumber
from mosei_schemas.manifest import NonFinite

NAN, INF = math.nan, math.inf
MODES: list[NonFinite] = ["frame", "column", "zero"]
Features = npt.NDArray[np.float32]

# Sums of these are exact in float64 in any order, so that a mean has one right answer, to the last bit.
dyadic = st.sampled_from([0.0, 0.0, 1.0, -2.5, 0.125, 3.0, 1000.0])
dirty = st.one_of(dyadic, dyadic, dyadic, st.sampled_from([NAN, INF, -INF]))
extreme = st.sampled_from([3.4e38, -3.4e38, 1e-45, -0.0, 0.0, 1.0, NAN, INF, -INF])


def matrix(elements: st.SearchStrategy[float], max_rows: int = 9) -> st.SearchStrategy[Features]:
    shapes = st.tuples(st.integers(0, max_rows), st.integers(1, 4))
    return shapes.flatmap(lambda shape: hnp.arrays(np.float32, shape, elements=elements.map(np.float32)))


@settings(max_examples=200)
@given(matrix(st.one_of(dirty, extreme)))
def test_nonfinite_rows_are_those_of_a_loop(features: Features) -> None:
    expected = [any(not math.isfinite(x) for x in row) for row in features.tolist()]
    assert nonfinite_rows(features).tolist() == expected


@settings(max_examples=200)
@given(matrix(st.one_of(dirty, extreme)))
def test_zero_rows_are_those_of_a_loop(features: Features) -> None:
    expected = [all(x == 0 for x in row) for row in features.tolist()]
    assert zero_rows(features).tolist() == expected


@pytest.mark.parametrize("width", [1, 35, 74, 713])
def test_a_single_bad_value_is_found_in_any_column(width: int) -> None:
    features = np.full((width, width), 3e38, np.float32)
    features[np.arange(width), np.arange(width)] = np.resize(np.array([NAN, INF, -INF], np.float32), width)
    assert nonfinite_rows(features).all()
    assert not nonfinite_rows(np.full((3, width), 3e38, np.float32)).any()


def asked(times: SortedIntervals, spans: list[tuple[float, float]]) -> Ranges:
    starts, ends = np.array([s[0] for s in spans], float), np.array([s[1] for s in spans], float)
    return Ranges(*times.candidates(starts, ends), starts)


def wanted(
    features: Features,
    times: list[tuple[float, float]],
    steps: list[tuple[float, float]],
    segments: list[tuple[float, float]] | None = None,
    *,
    divisible: bool = True,
) -> Wanted:
    """All rows of a video, with steps and segments by their times."""
    found = SortedIntervals.of(np.array([t[0] for t in times], float), np.array([t[1] for t in times], float))
    rows = RowsByNumber(np.arange(len(features)), features.__getitem__, divisible=divisible)
    ends = found.end_s if found.nested else None
    return Wanted(rows, asked(found, steps), asked(found, segments or []), ends)


def even(count: int) -> list[tuple[float, float]]:
    """Frames of a quarter of a second."""
    return [(k / 4, (k + 1) / 4) for k in range(count)]


def valid_slowly(row: list[float], mode: str, zero_is_invalid: bool) -> bool:
    if mode == "frame" and not all(map(math.isfinite, row)):
        return False
    return not (zero_is_invalid and all(x == 0 for x in row))


def mean_slowly(rows: list[list[float]], mode: str) -> list[float] | None:
    """The mean over valid rows, column by column, in float64; None where the step is not valid."""
    if not rows:
        return None
    if mode == "zero":
        rows = [[x if math.isfinite(x) else 0.0 for x in row] for row in rows]
    columns = [[x for x in column if math.isfinite(x)] for column in zip(*rows, strict=True)]
    if not all(columns):
        return None
    return [float(np.float32(math.fsum(column) / len(column))) for column in columns]


def overlaps(a: float, b: float, c: float, d: float) -> bool:
    b, d = max(b, math.nextafter(a, INF)), max(d, math.nextafter(c, INF))
    return a < d and c < b


grid = st.sampled_from([k / 4 for k in range(13)])
spans = st.tuples(grid, grid).map(lambda p: (min(p), max(p)))


@dataclass
class Video:
    """Frames, steps and segments of one video."""

    features: Features
    times: list[tuple[float, float]]
    steps: list[tuple[float, float]]
    segments: list[tuple[float, float]]
    divisible: bool
    readable: bool


@st.composite
def videos(draw: st.DrawFn) -> list[Video]:
    width = draw(st.integers(1, 4))
    found = []
    for _ in range(draw(st.integers(0, 4))):
        count = draw(st.integers(0, 9))
        features = draw(hnp.arrays(np.float32, (count, width), elements=dirty.map(np.float32)))
        times = sorted(draw(st.lists(spans, min_size=count, max_size=count)), key=lambda span: span[0])
        some = st.lists(spans, max_size=5)
        readable = draw(st.integers(0, 9)) > 0
        found.append(Video(features, times, draw(some), draw(some), draw(st.booleans()), readable))
    return found


def unreadable(numbers: Any) -> Any:
    del numbers
    raise OSError("the disk is gone")


@settings(max_examples=500)
@given(
    case=videos(),
    mode=st.sampled_from(MODES),
    zero_is_invalid=st.booleans(),
    zero_is_none=st.booleans(),
    window=st.sampled_from([1, 2, 3, 7, 1024]),
)
def test_several_videos_against_a_loop_to_the_last_bit(
    case: list[Video], mode: NonFinite, zero_is_invalid: bool, zero_is_none: bool, window: int
) -> None:
    """Means over steps, frames of segments and the tally, whatever the windows cut."""
    width = case[0].features.shape[1] if case else 1
    before = [video.features.copy() for video in case]
    asks = [wanted(v.features, v.times, v.steps, v.segments, divisible=v.divisible) for v in case]
    for video, ask in zip(case, asks, strict=True):
        if not video.readable:
            ask.rows._read = unreadable  # type: ignore[attr-defined]
    with mock.patch("mosei_align.alignment.averaging._WINDOW_BYTES", 4 * width * window):
        found = average(asks, width, FrameRule(mode, zero_is_invalid, zero_is_none))
    assert len(found) == len(case)
    for video, old, got in zip(case, before, found, strict=True):
        compare(video, got, mode, zero_is_invalid, zero_is_none)
        assert np.array_equal(video.features, old, equal_nan=True)


def compare(video: Video, got: Averaged, mode: str, zero_is_invalid: bool, zero_is_none: bool) -> None:
    """One video against the slow reading of the rules."""
    width = video.features.shape[1]
    assert got.values.dtype == np.float32
    assert got.values.shape == (len(video.steps), width)
    if not video.readable and len(video.features):
        assert got.problem == "the disk is gone"
        assert not got.values.any()
        assert not got.valid.any()
        assert (got.tally.rows_nonfinite, got.tally.rows_zero, got.tally.nonfinite_by_column.sum()) == (0, 0, 0)
        assert not got.frames.any()
        assert not got.invalid_frames.any()
        return
    assert got.problem == ""
    rows = video.features.tolist()
    valid = [valid_slowly(row, mode, zero_is_invalid) for row in rows]
    zero = [all(x == 0 for x in row) for row in rows]
    for step, mean, is_valid in zip(video.steps, got.values.tolist(), got.valid.tolist(), strict=True):
        chosen = [row for row, time, ok in zip(rows, video.times, valid, strict=True) if ok and overlaps(*time, *step)]
        expected = mean_slowly(chosen, mode)
        assert is_valid == (expected is not None)
        assert mean == (expected if expected is not None else [0.0] * width)
    counted = [not (zero_is_none and z) for z in zero]
    for span, count, bad in zip(video.segments, got.frames.tolist(), got.invalid_frames.tolist(), strict=True):
        seen = [k for k, time in enumerate(video.times) if counted[k] and overlaps(*time, *span)]
        assert (count, bad) == (len(seen), sum(not valid[k] for k in seen))
    bad_values = [[not math.isfinite(x) for x in row] for row in rows]
    assert got.tally.rows_nonfinite == sum(any(row) for row in bad_values)
    assert got.tally.rows_zero == sum(zero)
    assert got.tally.values_zero_filled == (sum(map(sum, bad_values)) if mode == "zero" else 0)
    assert got.tally.nonfinite_by_column.tolist() == [sum(row[c] for row in bad_values) for c in range(width)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("nested", [False, True])
def test_long_sequences_and_steps_in_any_order_to_the_last_bit(mode: NonFinite, nested: bool) -> None:
    """Thousands of frames, so that there are many windows, and steps longer than a window."""
    rng = np.random.default_rng(5)
    features = rng.integers(-64, 64, (6000, 3)).astype(np.float32) / 8
    features[rng.random(6000) < 0.2] = 0
    features[rng.random((6000, 3)) < 0.05] = NAN
    features[rng.random((6000, 3)) < 0.01] = INF
    starts = np.arange(6000) / 64
    ends = starts + 1 / 64
    if nested:
        ends[::500] += 2
    step_starts = rng.integers(-64, 6100, 300) / 64
    step_ends = step_starts + rng.choice([0, 0.25, 0.5, 1.5, 20, 90], 300)
    times = list(zip(starts.tolist(), ends.tolist(), strict=True))
    ask = wanted(features, times, list(zip(step_starts.tolist(), step_ends.tolist(), strict=True)))
    assert (ask.end_s is not None) == nested
    (found,) = average([ask], 3, FrameRule(mode, zero_is_invalid=True))
    for k in range(300):
        a, b = step_starts[k], max(step_ends[k], np.nextafter(step_starts[k], INF))
        mine = (starts < b) & (ends > a) & (features != 0).any(axis=1)
        if mode == "frame":
            mine &= np.isfinite(features).all(axis=1)
        expected = mean_slowly(features[mine].tolist(), mode)
        assert found.valid[k] == (expected is not None)
        assert found.values[k].tolist() == (expected or [0.0] * 3)


def test_a_window_is_all_that_is_in_memory() -> None:
    """Rows of a file are asked for a window at a time; packed ones all at once."""
    rows, width = 20_000, 100  # 8 MB
    features, sizes = np.ones((rows, width), np.float32), list[int]()

    def watched(numbers: Any) -> Features:
        sizes.append(len(numbers))
        return features[numbers]

    steps = [(k / 4, k / 4 + 2) for k in range(rows - 10)]
    asks = [
        wanted(features, even(rows), steps)._replace(rows=RowsByNumber(np.arange(rows), watched, divisible=divisible))
        for divisible in (True, False)
    ]
    (found,) = average(asks[:1], width, FrameRule("frame"))
    assert found.valid.all()
    assert max(sizes) * width * 4 < 1_400_000
    assert sum(sizes) < rows + 100
    sizes.clear()
    average([asks[1], asks[1]], width, FrameRule("frame"))
    assert sizes == [rows, rows]


def over(features: Features, start: float, end: float, rule: FrameRule | None = None) -> tuple[list[float], bool]:
    """The mean of quarter-second frames over one step, and whether it is valid."""
    ask = wanted(features, even(len(features)), [(start, end)])
    (found,) = average([ask], features.shape[1], rule or FrameRule("frame"))
    return found.values[0].tolist(), bool(found.valid[0])


def test_the_mean_is_taken_in_float64() -> None:
    # In float32 the ones would vanish beside 2**25, and the sum would overflow at 3e38.
    tall = np.array([[2.0**25, 3e38]] + [[1.0, 3e38]] * 31, np.float32)
    means, valid = over(tall, 0, 8)
    assert valid
    assert means == [float(np.float32((2.0**25 + 31) / 32)), float(np.float32(3e38))]


def test_what_each_mode_makes_of_a_bad_value() -> None:
    features = np.array([[1, 10], [NAN, 20], [3, 60]], np.float32)
    frame, column, zero = map(FrameRule, MODES)
    assert over(features, 0, 0.75, frame) == ([2, 35], True)
    assert over(features, 0, 0.75, column) == ([2, 30], True)
    assert over(features, 0, 0.75, zero) == ([float(np.float32(4 / 3)), 30], True)
    assert over(features, 0.25, 0.5, frame) == ([0, 0], False)
    assert over(features, 0.25, 0.5, column) == ([0, 0], False)
    assert over(features, 0.25, 0.5, zero) == ([0, 20], True)


def test_a_row_of_zeros_counts_only_where_zero_means_something() -> None:
    features = np.array([[0, 0], [4, 8]], np.float32)
    assert over(features, 0, 0.5) == ([2, 4], True)
    assert over(features, 0, 0.5, FrameRule("frame", zero_is_invalid=True)) == ([4, 8], True)
    assert over(features, 0, 0.25, FrameRule("frame", zero_is_invalid=True)) == ([0, 0], False)


def test_a_step_between_frames_and_an_instant() -> None:
    frames = np.array([[1], [2]], np.float32)
    assert over(frames, 0.5, 0.75) == ([0], False)
    assert over(frames, -1, 0) == ([0], False)
    assert over(frames, 0.25, 0.25) == ([2], True)
    assert over(frames, 0.1, 0.1) == ([1], True)


@pytest.mark.parametrize("width", [1, 2, 35, 74, 713, 768])
def test_wide_and_narrow_means_agree_with_numpy(width: int) -> None:
    rng = np.random.default_rng(width)
    features = rng.normal(size=(64, width)).astype(np.float32)
    means, valid = over(features, 2.0, 9.0)
    assert valid
    reference = features[8:36].astype(np.float64).mean(axis=0)
    assert np.array(means) == pytest.approx(reference, rel=1e-7, abs=1e-9)


def test_no_steps_no_frames_and_no_videos_give_nothing() -> None:
    ask = wanted(np.ones((3, 2), np.float32), even(3), [])
    empty = wanted(np.ones((0, 2), np.float32), [], [(0, 1)], [(0, 1)])
    first, second = average([ask, empty], 2, FrameRule("frame"))
    assert first.values.shape == (0, 2)
    assert first.valid.shape == (0,)
    assert (second.values.tolist(), second.valid.tolist(), second.frames.tolist()) == ([[0, 0]], [False], [0])
    assert average([], 2, FrameRule("frame")) == []


def test_a_video_without_the_modality_has_its_place_among_the_others() -> None:
    ask = wanted(np.ones((3, 2), np.float32), even(3), [(0, 1)], [(0, 1)])
    found = average([Wanted.nothing(1, 2), ask, Wanted.nothing(2, 0)], 2, FrameRule("frame"))
    assert [one.values.tolist() for one in found] == [[[0, 0]], [[1, 1]], [[0, 0], [0, 0]]]
    assert [one.valid.tolist() for one in found] == [[False], [True], [False, False]]
    assert [one.frames.tolist() for one in found] == [[0, 0], [3], []]
    assert [one.problem for one in found] == [""] * 3
    assert len({id(one.values.base) for one in found}) == 1
