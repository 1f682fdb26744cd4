"""The interval algebra against loops that say what is meant."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosei_align.intervals import Runs, SortedIntervals, Spans, owned_words, owned_words_of_each, uniform_bins

Span = tuple[float, float]

# A coarse grid makes touching, equal, nested and zero-length intervals common; other floats come on top.
grid = st.sampled_from([k / 4 for k in range(-4, 17)])
anywhere = st.floats(-1e3, 1e5, allow_nan=False)
points = st.one_of(grid, grid, anywhere)
odd = st.sampled_from([math.nan, math.inf, -math.inf])
spans = st.tuples(points, points).map(lambda pair: (min(pair), max(pair)))


def next_up(x: float) -> float:
    return math.nextafter(x, math.inf)


def widened(span: Span) -> Span:
    """An instant has the smallest length there is."""
    return span[0], max(span[1], next_up(span[0]))


def overlap(a: Span, b: Span) -> bool:
    (a0, a1), (b0, b1) = widened(a), widened(b)
    return a0 < b1 and b0 < a1


def sorted_intervals(rows: list[Span]) -> SortedIntervals:
    return SortedIntervals.of(np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], float))


def span(start: float, end: float) -> Spans:
    return Spans.covering(np.array([start]), np.array([end]))


@settings(max_examples=300)
@given(st.lists(st.tuples(st.one_of(points, odd), st.one_of(points, odd)), min_size=1, max_size=8), st.booleans())
def test_intervals_in_plain_order_are_known_as_such(rows: list[Span], in_order: bool) -> None:
    rows = sorted(rows) if in_order else rows
    starts, ends = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], float)
    are_plain = all(math.isfinite(a) and math.isfinite(b) and a < b for a, b in rows)
    are_plain &= all(a[0] <= b[0] and a[1] <= b[1] for a, b in itertools.pairwise(rows))
    found = SortedIntervals.if_plain(starts, ends)
    assert (found is not None) == are_plain
    if found is not None:
        expected = SortedIntervals.of(starts, ends)
        assert not found.nested
        assert not expected.nested
        for name in ("start_s", "end_s", "reach_s"):
            assert getattr(found, name).tolist() == getattr(expected, name).tolist()


@settings(max_examples=300)
@given(rows=st.lists(spans, max_size=9), query=spans)
def test_overlapping_finds_what_a_loop_finds(rows: list[Span], query: Span) -> None:
    rows.sort(key=lambda row: row[0])
    expected = [k for k, row in enumerate(rows) if overlap(row, query)]
    assert sorted_intervals(rows).runs(span(*query)).numbers().tolist() == expected


@settings(max_examples=300)
@given(rows=st.lists(spans, max_size=9), queries=st.lists(spans, min_size=1, max_size=5))
def test_candidates_hold_all_and_nothing_else_unless_nested(rows: list[Span], queries: list[Span]) -> None:
    rows.sort(key=lambda row: row[0])
    intervals = sorted_intervals(rows)
    ends = [widened(row)[1] for row in rows]
    assert intervals.nested == any(ends[i] > ends[k] for k in range(len(rows)) for i in range(k))
    first, last = intervals.candidates(np.array([q[0] for q in queries]), np.array([q[1] for q in queries]))
    for query, a, b in zip(queries, first.tolist(), last.tolist(), strict=True):
        assert 0 <= a <= b <= len(rows)
        found = {k for k, row in enumerate(rows) if overlap(row, query)}
        assert found <= set(range(a, b))
        if not intervals.nested:
            assert found == set(range(a, b))


@pytest.mark.parametrize(
    ("rows", "query", "found"),
    [
        ([(0, 1), (1, 2), (2, 3)], (1, 2), [1]),
        ([(0, 1), (1, 2)], (1, 1), [1]),
        ([(1, 1)], (1, 1), [0]),
        ([(1, 1)], (0, 1), []),
        ([(1, 1)], (1, 2), [0]),
        ([(0, 10), (1, 2), (3, 4)], (2.5, 2.75), [0]),
        ([(0, 10), (1, 2), (3, 4)], (2, 3.5), [0, 2]),
        ([(0, 1), (0, 1), (0, 3)], (0.5, 2), [0, 1, 2]),
        ([], (0, 1), []),
        ([(0, 1)], (1, 2), []),
        ([(2, 3)], (1, 2), []),
    ],
)
def test_overlapping_by_hand(rows: list[Span], query: Span, found: list[int]) -> None:
    assert sorted_intervals(rows).runs(span(*query)).numbers().tolist() == found


def owned_slowly(words: list[Span], segment: Span) -> list[int]:
    segment = widened(segment)
    inside = [k for k, (a, b) in enumerate(words) if segment[0] <= a + (b - a) / 2 < segment[1]]
    if inside:
        return inside
    best: tuple[float, int] | None = None
    for k, word in enumerate(words):
        a, b = widened(word)
        shared = min(b, segment[1]) - max(a, segment[0])
        if shared > 0 and (best is None or shared > best[0]):
            best = shared, k
    return [] if best is None else [best[1]]


@settings(max_examples=400)
@given(words=st.lists(spans, max_size=8), segment=spans)
def test_owned_words_are_those_of_a_loop(words: list[Span], segment: Span) -> None:
    words.sort(key=lambda word: word[0])
    starts, ends = np.array([w[0] for w in words], float), np.array([w[1] for w in words], float)
    assert owned_words(starts, ends, *segment).tolist() == owned_slowly(words, segment)


@settings(max_examples=200)
@given(words=st.lists(spans, min_size=1, max_size=8), segment=spans)
def test_a_segment_that_overlaps_a_word_never_goes_without(words: list[Span], segment: Span) -> None:
    words.sort(key=lambda word: word[0])
    starts, ends = np.array([w[0] for w in words], float), np.array([w[1] for w in words], float)
    owned = owned_words(starts, ends, *segment).tolist()
    assert bool(owned) == any(overlap(word, segment) for word in words)
    assert all(overlap(words[k], segment) for k in owned)


@settings(max_examples=200)
@given(words=st.lists(spans, min_size=1, max_size=8), cuts=st.lists(points, min_size=2, max_size=5, unique=True))
def test_neighbouring_segments_share_no_midpoint_and_lose_none(words: list[Span], cuts: list[float]) -> None:
    words.sort(key=lambda word: word[0])
    cuts.sort()
    starts, ends = np.array([w[0] for w in words], float), np.array([w[1] for w in words], float)
    whole = owned_slowly(words, (cuts[0], cuts[-1]))
    if not any(cuts[0] <= a + (b - a) / 2 < cuts[-1] for a, b in words):
        return
    pieces = [owned_words(starts, ends, a, b).tolist() for a, b in itertools.pairwise(cuts)]
    by_midpoint = [
        [k for k in piece if a <= words[k][0] + (words[k][1] - words[k][0]) / 2 < b]
        for piece, a, b in zip(pieces, cuts, cuts[1:], strict=False)
    ]
    assert sorted(k for piece in by_midpoint for k in piece) == whole


@pytest.mark.parametrize(
    ("words", "segment", "owned"),
    [
        ([(0, 1), (1, 2)], (0, 2), [0, 1]),
        ([(0, 1), (1, 2)], (0.5, 1.5), [0]),
        ([(0, 1), (1, 2)], (0.6, 1.4), [0]),
        ([(0, 1), (1, 2)], (0.7, 1.4), [1]),
        ([(0, 1)], (0.7, 0.7), [0]),
        ([(0, 1)], (0.5, 0.5), [0]),
        ([(0, 1)], (1, 1), []),
        ([(1, 1)], (1, 1), [0]),
        ([(1, 1)], (0, 1), []),
        ([(0, 1)], (1, 2), []),
        ([(0, 4), (2, 3)], (3.2, 3.6), [0]),
        ([], (0, 1), []),
    ],
)
def test_owned_words_by_hand(words: list[Span], segment: Span, owned: list[int]) -> None:
    starts, ends = np.array([w[0] for w in words], float), np.array([w[1] for w in words], float)
    assert owned_words(starts, ends, *segment).tolist() == owned


@settings(max_examples=200)
@given(start=st.floats(-10, 1e4), length=st.floats(0, 50), width=st.sampled_from([0.25, 0.1, 1 / 3, 1.0]))
def test_bins_tile_the_segment(start: float, length: float, width: float) -> None:
    end = start + length
    starts, ends = uniform_bins(start, end, width)
    assert len(starts) == len(ends) >= 1
    assert starts[0] == start
    assert ends[-1] == end
    assert starts[1:].tolist() == ends[:-1].tolist()
    assert (ends[:-1] - starts[:-1]) == pytest.approx(width, abs=1e-9)
    assert 0 <= ends[-1] - starts[-1] <= width * (1 + 1e-6) + 1e-9
    assert len(starts) == 1 or ends[-1] - starts[-1] > 0.9e-6 * width


@pytest.mark.parametrize(
    ("start", "end", "edges"),
    [
        (0, 1, [0, 0.25, 0.5, 0.75, 1]),
        (0, 0.6, [0, 0.25, 0.5, 0.6]),
        (1, 1.1, [1, 1.1]),
        (2, 2, [2, 2]),
        (0, 0.5 + 1e-8, [0, 0.25, 0.5 + 1e-8]),
        (-0.4, 0.1, [-0.4, -0.15, 0.1]),
    ],
)
def test_bins_by_hand(start: float, end: float, edges: list[float]) -> None:
    starts, ends = uniform_bins(start, end, 0.25)
    assert [*starts.tolist(), ends.tolist()[-1]] == pytest.approx(edges, abs=1e-12)
    assert len(starts) == len(edges) - 1


def test_no_bin_is_a_sliver_of_less_than_a_microsecond() -> None:
    starts, ends = uniform_bins(0.0, 0.5 + 5e-7, 0.25)
    assert (ends - starts).min() >= 1e-6


@settings(max_examples=300)
@given(rows=st.lists(spans, max_size=9), queries=st.lists(spans, max_size=5))
def test_rows_of_spans_are_those_that_overlap_any_of_them(rows: list[Span], queries: list[Span]) -> None:
    rows.sort(key=lambda row: row[0])
    needed = Spans.covering(np.array([q[0] for q in queries], float), np.array([q[1] for q in queries], float))
    expected = [k for k, row in enumerate(rows) if any(overlap(row, query) for query in queries)]
    intervals = sorted_intervals(rows)
    runs = intervals.runs(needed)
    assert runs.numbers().tolist() == expected
    assert len(runs) == len(expected)
    assert np.flatnonzero(needed.touch(intervals.start_s, intervals.end_s)).tolist() == expected
    # The places among the rows that are needed: of every row number, in the runs or not, those before it.
    everywhere = range(-1, len(rows) + 2)
    assert runs.places(np.array(everywhere)).tolist() == [sum(k < row for k in expected) for row in everywhere]
    assert Runs.of(np.array(expected, int)).numbers().tolist() == expected
    assert [n for a, b in Runs.of(np.array(expected, int)).pairs() for n in range(a, b)] == expected
    pairs = Runs.of(np.array(expected, int)).pairs()
    assert all(a < b for a, b in pairs)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(pairs))


@settings(max_examples=300)
@given(rows=st.lists(spans, max_size=9), segments=st.lists(spans, max_size=5))
def test_words_of_all_segments_at_once_are_those_of_each(rows: list[Span], segments: list[Span]) -> None:
    rows.sort(key=lambda row: row[0])
    starts, ends = np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], float)
    found, counts = owned_words_of_each(
        starts, ends, np.array([s[0] for s in segments], float), np.array([s[1] for s in segments], float)
    )
    expected = [owned_words(starts, ends, *segment).tolist() for segment in segments]
    assert counts.tolist() == [len(own) for own in expected]
    assert found.tolist() == [word for own in expected for word in own]


def spans_of(rows: list[Span]) -> Spans:
    return Spans.covering(np.array([r[0] for r in rows], float), np.array([r[1] for r in rows], float))


@settings(max_examples=300)
@given(rows=st.lists(spans, max_size=8))
def test_a_cover_is_disjoint_in_order_and_the_union_no_more_no_less(rows: list[Span]) -> None:
    cover = spans_of(rows)
    stretches = list(zip(cover.start_s.tolist(), cover.end_s.tolist(), strict=True))
    assert all(a < b for a, b in stretches)
    assert all(one[1] < other[0] for one, other in itertools.pairwise(stretches))
    wide = [widened(row) for row in rows]
    edges = sorted({x for row in wide for x in row} | {x for stretch in stretches for x in stretch})
    # Between two neighbouring edges nothing changes, so the edges and what lies between them are all there is to ask.
    for point in edges + [a + (b - a) / 2 for a, b in itertools.pairwise(edges)]:
        assert any(a <= point < b for a, b in stretches) == any(a <= point < b for a, b in wide)


@settings(max_examples=400)
@given(rows=st.lists(spans, max_size=8), asked=st.lists(spans, max_size=8))
def test_an_interval_touches_a_cover_if_it_overlaps_one_of_its_parts(rows: list[Span], asked: list[Span]) -> None:
    touched = spans_of(rows).touch(np.array([a[0] for a in asked], float), np.array([a[1] for a in asked], float))
    assert touched.dtype == np.bool_
    assert touched.tolist() == [any(overlap(one, row) for row in rows) for one in asked]


def test_spans_by_hand() -> None:
    cover = spans_of([(5, 6), (0, 1), (1, 2), (0.5, 0.75), (3, 3), (5.5, 7)])
    assert cover.start_s.tolist() == [0, 3, 5]
    assert cover.end_s.tolist() == [2, next_up(3.0), 7]
    starts, ends = np.array([2.0, 2.5, 3.0, 3.1, -1.0, 6.9, 7.0]), np.array([3.0, 3.5, 3.0, 5.0, 0.0, 9.0, 7.0])
    assert cover.touch(starts, ends).tolist() == [False, True, True, False, False, True, False]
    assert spans_of([]).touch(starts, ends).tolist() == [False] * 7
    assert cover.touch(np.empty(0), np.empty(0)).tolist() == []
