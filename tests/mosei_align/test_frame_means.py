"""Which frames are valid, and their means over steps, against plain Python."""

import math
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mosei_align.alignment.frames import Frames, check_frames, count_frames, nonfinite_rows, step_means, zero_rows
from mosei_align.sources.sequence import VideoSequence
from mosei_schemas.manifest import NonFinite
from mosei_schemas.names import State

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


@settings(max_examples=200, deadline=None)
@given(matrix(st.one_of(dirty, extreme)))
def test_nonfinite_rows_are_those_of_a_loop(features: Features) -> None:
    expected = [any(not math.isfinite(x) for x in row) for row in features.tolist()]
    assert nonfinite_rows(features).tolist() == expected


@settings(max_examples=200, deadline=None)
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


def sequence(features: Features, starts: list[float], ends: list[float]) -> VideoSequence:
    return VideoSequence(State.OK, np.array(starts, float), np.array(ends, float), features)


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


@settings(max_examples=300, deadline=None)
@given(
    features=matrix(dirty),
    times=st.lists(spans, min_size=9, max_size=9),
    steps=st.lists(spans, max_size=5),
    mode=st.sampled_from(MODES),
    zero_is_invalid=st.booleans(),
    block=st.sampled_from([1, 2, 3, 1024]),
)
def test_means_over_steps_to_the_last_bit(
    features: Features,
    times: list[tuple[float, float]],
    steps: list[tuple[float, float]],
    mode: NonFinite,
    zero_is_invalid: bool,
    block: int,
) -> None:
    times = sorted(times[: len(features)], key=lambda span: span[0])
    before = features.copy()
    rows = sequence(features, [t[0] for t in times], [t[1] for t in times])
    frames = check_frames(rows, nonfinite=mode, zero_is_invalid=zero_is_invalid)
    valid = [valid_slowly(row, mode, zero_is_invalid) for row in features.tolist()]
    assert frames.valid.tolist() == valid
    with mock.patch("mosei_align.alignment.frames._BLOCK_ROWS", block):
        starts, ends = np.array([s[0] for s in steps], float), np.array([s[1] for s in steps], float)
        means, usable = step_means(frames, starts, ends)
    assert means.dtype == np.float32
    assert means.shape == (len(steps), features.shape[1])
    for step, got, is_valid in zip(steps, means.tolist(), usable.tolist(), strict=True):
        chosen = [
            row for row, time, ok in zip(features.tolist(), times, valid, strict=True) if ok and overlaps(*time, *step)
        ]
        expected = mean_slowly(chosen, mode)
        assert is_valid == (expected is not None)
        assert got == (expected if expected is not None else [0.0] * features.shape[1])
    assert np.array_equal(features, before, equal_nan=True)


@settings(max_examples=200, deadline=None)
@given(
    features=matrix(dirty),
    times=st.lists(spans, min_size=9, max_size=9),
    asked=st.lists(spans, max_size=5),
    mode=st.sampled_from(MODES),
    data=st.data(),
)
def test_frames_are_counted_as_a_loop_counts_them(
    features: Features, times: list[tuple[float, float]], asked: list[tuple[float, float]], mode: NonFinite, data: Any
) -> None:
    times = sorted(times[: len(features)], key=lambda span: span[0])
    rows = sequence(features, [t[0] for t in times], [t[1] for t in times])
    frames = check_frames(rows, nonfinite=mode, zero_is_invalid=True)
    counted = data.draw(st.lists(st.booleans(), min_size=len(times), max_size=len(times)))
    starts, ends = np.array([s[0] for s in asked], float), np.array([s[1] for s in asked], float)
    some, lost = count_frames(frames, starts, ends, np.array(counted, bool))
    valid = [valid_slowly(row, mode, True) for row in features.tolist()]
    for span, count, bad in zip(asked, some.tolist(), lost.tolist(), strict=True):
        seen = [k for k, time in enumerate(times) if counted[k] and overlaps(*time, *span)]
        assert (count, bad) == (len(seen), sum(not valid[k] for k in seen))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("nested", [False, True])
def test_long_sequences_and_steps_in_any_order_to_the_last_bit(mode: NonFinite, nested: bool) -> None:
    """Thousands of frames, so that there are many blocks, and steps longer than a block."""
    rng = np.random.default_rng(5)
    features = rng.integers(-64, 64, (6000, 3)).astype(np.float32) / 8
    features[rng.random(6000) < 0.2] = 0
    features[rng.random((6000, 3)) < 0.05] = NAN
    features[rng.random((6000, 3)) < 0.01] = INF
    starts = np.arange(6000) / 64
    ends = starts + 1 / 64
    if nested:
        ends[::500] += 2
    frames = check_frames(VideoSequence(State.OK, starts, ends, features), nonfinite=mode, zero_is_invalid=True)
    assert frames.times.nested == nested
    step_starts = rng.integers(-64, 6100, 300) / 64
    step_ends = step_starts + rng.choice([0, 0.25, 0.5, 1.5, 20, 90], 300)
    means, valid = step_means(frames, step_starts, step_ends)
    for k in range(300):
        a, b = step_starts[k], max(step_ends[k], np.nextafter(step_starts[k], INF))
        mine = (starts < b) & (ends > a) & (features != 0).any(axis=1)
        if mode == "frame":
            mine &= np.isfinite(features).all(axis=1)
        expected = mean_slowly(features[mine].tolist(), mode)
        assert valid[k] == (expected is not None)
        assert means[k].tolist() == (expected or [0.0] * 3)


@settings(max_examples=100, deadline=None)
@given(features=matrix(dirty), mode=st.sampled_from(MODES), zero_is_invalid=st.booleans())
def test_the_tally_counts_what_is_there(features: Features, mode: NonFinite, zero_is_invalid: bool) -> None:
    times = list(range(len(features)))
    rows = sequence(features, times, [t + 1 for t in times])  # type: ignore[arg-type]
    tally = check_frames(rows, nonfinite=mode, zero_is_invalid=zero_is_invalid).tally
    values = features.tolist()
    bad = [[not math.isfinite(x) for x in row] for row in values]
    assert tally.rows_nonfinite == sum(any(row) for row in bad)
    assert tally.rows_zero == sum(all(x == 0 for x in row) for row in values)
    assert tally.values_zero_filled == (sum(map(sum, bad)) if mode == "zero" else 0)
    assert tally.nonfinite_by_column.tolist() == [sum(column) for column in zip(*bad, strict=True)] or not values


def uniform_frames(features: Features, mode: NonFinite = "frame", zero_is_invalid: bool = False) -> Frames:
    count = len(features)
    rows = sequence(features, [k / 4 for k in range(count)], [(k + 1) / 4 for k in range(count)])
    return check_frames(rows, nonfinite=mode, zero_is_invalid=zero_is_invalid)


def over(frames: Frames, start: float, end: float) -> tuple[list[float], bool]:
    means, valid = step_means(frames, np.array([start]), np.array([end]))
    return means[0].tolist(), bool(valid[0])


def test_the_mean_is_taken_in_float64() -> None:
    # In float32 the ones would vanish beside 2**25, and the sum would overflow at 3e38.
    tall = np.array([[2.0**25, 3e38]] + [[1.0, 3e38]] * 31, np.float32)
    means, valid = over(uniform_frames(tall), 0, 8)
    assert valid
    assert means == [float(np.float32((2.0**25 + 31) / 32)), float(np.float32(3e38))]


def test_what_each_mode_makes_of_a_bad_value() -> None:
    features = np.array([[1, 10], [NAN, 20], [3, 60]], np.float32)
    assert over(uniform_frames(features, "frame"), 0, 0.75) == ([2, 35], True)
    assert over(uniform_frames(features, "column"), 0, 0.75) == ([2, 30], True)
    assert over(uniform_frames(features, "zero"), 0, 0.75) == ([float(np.float32(4 / 3)), 30], True)
    assert over(uniform_frames(features, "frame"), 0.25, 0.5) == ([0, 0], False)
    assert over(uniform_frames(features, "column"), 0.25, 0.5) == ([0, 0], False)
    assert over(uniform_frames(features, "zero"), 0.25, 0.5) == ([0, 20], True)


def test_a_row_of_zeros_counts_only_where_zero_means_something() -> None:
    features = np.array([[0, 0], [4, 8]], np.float32)
    assert over(uniform_frames(features), 0, 0.5) == ([2, 4], True)
    assert over(uniform_frames(features, zero_is_invalid=True), 0, 0.5) == ([4, 8], True)
    assert over(uniform_frames(features, zero_is_invalid=True), 0, 0.25) == ([0, 0], False)


def test_a_step_between_frames_and_an_instant() -> None:
    frames = uniform_frames(np.array([[1], [2]], np.float32))
    assert over(frames, 0.5, 0.75) == ([0], False)
    assert over(frames, -1, 0) == ([0], False)
    assert over(frames, 0.25, 0.25) == ([2], True)
    assert over(frames, 0.1, 0.1) == ([1], True)


@pytest.mark.parametrize("width", [1, 2, 74, 713, 768])
def test_wide_and_narrow_means_agree_with_numpy(width: int) -> None:
    rng = np.random.default_rng(width)
    features = rng.normal(size=(64, width)).astype(np.float32)
    means, valid = over(uniform_frames(features), 2.0, 9.0)
    assert valid
    reference = features[8:36].astype(np.float64).mean(axis=0)
    assert np.array(means) == pytest.approx(reference, rel=1e-7, abs=1e-9)


def test_no_steps_and_no_frames_give_nothing() -> None:
    frames = uniform_frames(np.ones((3, 2), np.float32))
    means, valid = step_means(frames, np.empty(0), np.empty(0))
    assert means.shape == (0, 2)
    assert valid.shape == (0,)


def test_the_frames_of_a_sequence_are_not_copied_unless_they_must_change() -> None:
    clean: Any = np.ones((3, 2), np.float32)
    assert check_frames(sequence(clean, [0, 1, 2], [1, 2, 3]), nonfinite="zero", zero_is_invalid=True).features is clean
