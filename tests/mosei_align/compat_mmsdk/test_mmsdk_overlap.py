"""The vectorised selection against the obvious one."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mosei_align.compat_mmsdk import overlap
from mosei_align.compat_mmsdk.overlap import overlaps, too_short

TIMES = st.one_of(
    st.builds(
        lambda step, shift: step * 0.25 + shift,
        st.integers(-4, 12),
        st.sampled_from([0.0, 4e-6, 1e-5, 1.2e-5, -1e-5, 2e-5]),
    ),
    st.floats(-2, 4).filter(lambda value: value != 0),
    st.sampled_from([np.nan, np.inf, -np.inf]),
)
INTERVALS = st.lists(st.tuples(TIMES, TIMES), max_size=24).map(lambda rows: np.array(rows, np.float64).reshape(-1, 2))


def check(intervals: Any, reference: Any, slow: Any) -> None:
    with np.errstate(invalid="ignore"):
        skipped = [bool(abs(start - end) < 10e-6) for start, end in reference]
        expected = [
            [] if skip else slow.kept(intervals, target) for skip, target in zip(skipped, reference, strict=True)
        ]
    assert too_short(reference).tolist() == skipped
    found = overlaps(intervals, reference)
    assert len(found.bounds) == len(reference) + 1
    for k, pairs in enumerate(expected):
        part = slice(found.bounds[k], found.bounds[k + 1])
        assert found.rows[part].tolist() == [row for row, _ in pairs]
        assert found.intervals[part].tobytes() == b"".join(clipped.tobytes() for _, clipped in pairs)


@given(INTERVALS, INTERVALS)
def test_any_rows_and_references(slow, intervals, reference) -> None:
    check(intervals, reference, slow)


@given(INTERVALS, INTERVALS)
def test_a_bounded_number_of_pairs_at_a_time_changes_nothing(slow, intervals, reference) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(overlap, "_CHUNK", 5)
        check(intervals, reference, slow)


def test_rows_and_references_that_just_touch(slow) -> None:
    reference = np.array([[1.0, 2.0], [2.0, 2.0 + 1e-5], [2.0, 2.0 + 9.9e-6], [5.0, 3.0]])
    edges = [1.0, 2.0]
    nudges = [-2e-5, -1.1e-5, -1e-5, -9.9e-6, 0.0, 9.9e-6, 1e-5, 1.1e-5, 2e-5]
    intervals = np.array([[a + x, a + x + length] for a in edges for x in nudges for length in (0.0, 1e-5, 2e-5, 1.0)])
    check(intervals, reference, slow)


@pytest.mark.parametrize("kinds", [("f4", "f8"), ("f8", "f4"), ("f4", "f4"), ("f8", "f8")])
def test_the_clipped_type_is_that_of_an_array_and_a_scalar(kinds: tuple[str, str]) -> None:
    intervals = np.array([[0.1, 0.5], [0.5, 0.9]], kinds[0])
    reference = np.array([[0.2, 0.7]], kinds[1])
    expected = np.stack(
        [np.maximum(intervals[:, 0], reference[0, 0]), np.minimum(intervals[:, 1], reference[0, 1])], axis=1
    )
    found = overlaps(intervals, reference).intervals
    assert found.dtype == expected.dtype
    assert found.tobytes() == expected.tobytes()


def test_negative_zeros_are_clipped_by_numpys_own_rules() -> None:
    intervals = np.array([[-0.0, 1.0], [0.0, 2.0], [-1.0, 3.0]])
    reference = np.array([[0.0, 4.0], [-0.0, 4.0]])
    found = overlaps(intervals, reference)
    for k, (start_s, end_s) in enumerate(reference):
        expected = np.stack([np.maximum(intervals[:, 0], start_s), np.minimum(intervals[:, 1], end_s)], axis=1)
        assert found.intervals[found.bounds[k] : found.bounds[k + 1]].tobytes() == expected.tobytes()


def test_a_row_that_spans_the_video_costs_no_memory() -> None:
    count = 20_000
    starts = np.arange(count) * 0.01
    intervals = np.stack([starts, starts + 0.01], axis=1)
    intervals[0, 1] = 1e9
    reference = np.stack([np.arange(2000) * 0.1, np.arange(2000) * 0.1 + 0.1], axis=1)
    tracemalloc.start()
    try:
        found = overlaps(intervals, reference)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.diff(found.bounds).min() >= 10
    assert peak < 300 << 20
