"""One modality of one video: every state, and every repair counted."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosei_align.sources.arrays import ArrayInfo
from mosei_align.sources.csd import CsdFile
from mosei_align.sources.entries import Entry
from mosei_align.sources.labels import LONGEST_S, LabelRows, read_labels
from mosei_align.sources.sequence import VideoSequence, problem_of
from mosei_schemas.names import Reason, State

F4, F8, S9 = np.dtype("f4"), np.dtype("f8"), np.dtype("S9")


def info(*shape: int, dtype: np.dtype[Any] | None = F4, problem: str = "") -> ArrayInfo:
    return ArrayInfo(shape, dtype, problem)


TIMES = info(4, 2, dtype=F8)


@pytest.mark.parametrize(
    ("features", "intervals", "state", "detail"),
    [
        (info(4, 3), TIMES, State.OK, ""),
        (info(4, 3, dtype=np.dtype("i8")), info(4, 2, dtype=np.dtype("i4")), State.OK, ""),
        (None, TIMES, State.MISSING_ARRAY, "no 'features'"),
        (info(4, 3), None, State.MISSING_ARRAY, "no 'intervals'"),
        (None, None, State.MISSING_ARRAY, "no 'features'"),
        (info(4, 3, problem="is odd"), TIMES, State.BAD_ARRAY, "'features' is odd"),
        (info(4, 3), info(4, 2, problem="is odd"), State.BAD_ARRAY, "'intervals' is odd"),
        (info(0, 3), info(0, 2), State.EMPTY, "no rows"),
        (info(0), info(0, 2), State.EMPTY, "no rows"),
        (info(0, 7), info(0, 2), State.EMPTY, "no rows"),
        (info(4, 0), TIMES, State.EMPTY, "no rows"),
        (info(0, 3), TIMES, State.LENGTH_MISMATCH, "0 feature rows, 4 intervals"),
        (info(5, 3), TIMES, State.LENGTH_MISMATCH, "5 feature rows, 4 intervals"),
        (info(4, 3), info(5, 2), State.LENGTH_MISMATCH, "4 feature rows, 5 intervals"),
        (info(4), TIMES, State.BAD_ARRAY, "'features' have shape (4,) and type float32"),
        (info(4, 3, 1), TIMES, State.BAD_ARRAY, "'features' have shape (4, 3, 1) and type float32"),
        (info(), TIMES, State.BAD_ARRAY, "'features' have shape () and type float32"),
        (info(4, 3), info(4, 3), State.BAD_ARRAY, "'intervals' have shape (4, 3), not (n, 2)"),
        (info(4, 3), info(8), State.BAD_ARRAY, "'intervals' have shape (8,), not (n, 2)"),
        (info(4, 3), info(4, 2, dtype=S9), State.BAD_ARRAY, "'intervals' have shape (4, 2), not (n, 2)"),
        (info(4, 3, dtype=S9), TIMES, State.BAD_ARRAY, "'features' have shape (4, 3) and type |S9"),
        (info(4, 4), TIMES, State.BAD_ARRAY, "4 columns, other videos have 3"),
    ],
)
def test_every_problem_of_an_entry(
    features: ArrayInfo | None, intervals: ArrayInfo | None, state: State, detail: str
) -> None:
    assert problem_of(Entry(b"v", features, intervals), 3, is_text=False) == (state, detail)


def test_words_among_words_are_fine_and_numbers_are_not() -> None:
    assert problem_of(Entry(b"v", info(4, 1, dtype=S9), TIMES), 1, is_text=True)[0] is State.OK
    assert problem_of(Entry(b"v", info(4, 1), TIMES), 1, is_text=True)[0] is State.BAD_ARRAY


def test_without_a_known_width_any_is_right() -> None:
    assert problem_of(Entry(b"v", info(4, 99), TIMES), None, is_text=False)[0] is State.OK


NAN, INF = math.nan, math.inf


def test_rows_with_unusable_intervals_are_dropped_and_counted(csd: Any, tmp_path: Path) -> None:
    times = [[0, 1], [NAN, 2], [1, NAN], [2, INF], [-INF, 3], [4, 3], [5, 5], [6, 7]]
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": (np.arange(8.0)[:, None], times), "w": csd.rows(2, 1)})
    sequence = csd.read(path)
    assert sequence.state is State.OK
    assert sequence.features[:, 0].tolist() == [0, 6, 7]
    assert (sequence.rows, sequence.rows_dropped) == (8, 5)
    assert not sequence.was_unsorted


def test_a_video_without_one_usable_interval_is_empty(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": (np.ones((2, 1)), [[2, 1], [NAN, NAN]])})
    sequence = csd.read(path)
    assert (sequence.state, sequence.rows, sequence.rows_dropped) == (State.EMPTY, 2, 2)
    assert len(sequence) == 0
    assert sequence.features.shape == (0, 1)


def test_a_video_that_is_not_there(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"w": csd.rows(2, 5)})
    sequence = csd.read(path)
    assert (sequence.state, sequence.features.shape) == (State.ID_MISSING, (0, 5))


def test_one_bad_entry_spoils_a_video_and_an_empty_one_does_not(csd: Any, tmp_path: Path) -> None:
    empty = (np.empty((0, 2), np.float32), np.empty((0, 2)))
    entries = {"v": csd.rows(3, 2), "v[0]": empty, "w": csd.rows(3, 2), "w[0]": (np.ones((2, 2)), np.ones((1, 2)))}
    path = csd.write(tmp_path / "x.csd", "COVAREP", entries)
    assert (csd.read(path).state, len(csd.read(path))) == (State.OK, 3)
    assert csd.read(path, "w").state is State.LENGTH_MISMATCH


def test_values_too_large_for_float32_become_infinite_and_not_an_error(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": (np.array([[1e300], [-1e300], [1e-300]]), csd.rows(3, 1)[1])})
    assert csd.read(path).features[:, 0].tolist() == [INF, -INF, 0]


times = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, NAN, INF, -INF, -0.5])


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(times, times), min_size=1, max_size=12), parts=st.integers(1, 3))
def test_cleaning_is_a_stable_sort_of_the_usable_rows(
    csd: Any, tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[float, float]], parts: int
) -> None:
    numbered = list(enumerate(rows))
    pieces = [numbered[k::parts] for k in range(parts)]
    entries = {
        f"v[{k}]": (np.array([[n] for n, _ in piece], np.float32), np.array([times for _, times in piece]))
        for k, piece in enumerate(pieces)
        if piece
    }
    path = csd.write(tmp_path_factory.mktemp("x") / "x.csd", "COVAREP", entries)
    order = [row for piece in pieces for row in piece]
    usable = [(n, a, b) for n, (a, b) in order if math.isfinite(a) and math.isfinite(b) and a <= b]
    expected = sorted(usable, key=lambda row: row[1])
    sequence = csd.read(path)
    assert sequence.rows == len(rows)
    assert sequence.rows_dropped == len(rows) - len(usable)
    assert sequence.features[:, 0].tolist() == [n for n, _, _ in expected]
    assert sequence.start_s.tolist() == [a for _, a, _ in expected]
    assert sequence.end_s.tolist() == [b for _, _, b in expected]
    assert sequence.was_unsorted == (expected != usable)
    assert sequence.state is (State.OK if usable else State.EMPTY)


def test_rows_that_begin_together_keep_their_order(csd: Any, tmp_path: Path) -> None:
    starts = np.arange(300)[::-1] // 30
    rows = (np.arange(300.0)[:, None], np.stack([starts, starts + 1], axis=1))
    sequence = csd.read(csd.write(tmp_path / "x.csd", "COVAREP", {"v": rows}))
    assert sequence.features[:, 0].tolist() == sorted(range(300), key=lambda k: starts[k])


def labels_of(csd: Any, path: Path, entries: dict[str, Any], video: str = "v") -> LabelRows:
    csd.write(path, "All Labels", entries)
    with CsdFile(path) as file:
        return read_labels(file, file.index(), video)


def test_label_rows_keep_the_order_of_the_file(csd: Any, tmp_path: Path) -> None:
    rows = labels_of(csd, tmp_path / "x.csd", {"v": csd.labels((5, 6), (-0.4, 1), (2, 2))})
    assert rows.start_s.tolist() == [5, -0.4, 2]
    assert rows.problems == (None, None, None)
    assert rows.values.shape == (3, 7)
    assert rows.values.dtype == np.float32


def test_label_rows_of_copies_are_numbered_through(csd: Any, tmp_path: Path) -> None:
    entries = {"v[0]": csd.labels((5, 6)), "v": csd.labels((0, 1), (1, 2)), "v[1]": csd.labels((9, 9.5))}
    assert labels_of(csd, tmp_path / "x.csd", entries).start_s.tolist() == [0, 1, 5, 9]


@pytest.mark.parametrize(
    ("span", "value", "reason"),
    [
        ((0, 1), 0.0, None),
        ((1, 1), 0.0, None),
        ((0, LONGEST_S), 0.0, None),
        ((0, LONGEST_S + 1), 0.0, Reason.LABEL_TIME),
        ((2, 1), 0.0, Reason.LABEL_TIME),
        ((NAN, 1), 0.0, Reason.LABEL_TIME),
        ((0, NAN), 0.0, Reason.LABEL_TIME),
        ((0, INF), 0.0, Reason.LABEL_TIME),
        ((-INF, INF), 0.0, Reason.LABEL_TIME),
        ((INF, INF), 0.0, Reason.LABEL_TIME),
        ((0, 1), NAN, Reason.LABEL_VALUE),
        ((0, 1), -INF, Reason.LABEL_VALUE),
        ((2, 1), NAN, Reason.LABEL_TIME),
    ],
)
def test_every_problem_of_a_label_row(
    csd: Any, tmp_path: Path, span: tuple[float, float], value: float, reason: Reason | None
) -> None:
    values, spans = csd.labels((0, 1), span)
    values[1, 4] = value
    assert labels_of(csd, tmp_path / "x.csd", {"v": (values, spans)}).problems == (None, reason)


@pytest.mark.parametrize(
    ("features", "intervals", "count", "times_known"),
    [
        (np.zeros((3, 7)), np.ones((2, 2)), 2, True),
        (np.zeros((2, 7)), np.ones((3, 2)), 3, True),
        (None, np.ones((3, 2)), 3, True),
        (np.zeros((3, 7)), None, 3, False),
        (np.zeros((3, 7)), np.ones((3, 3)), 3, False),
        (np.zeros(3), np.ones((3, 2)), 3, True),
        (np.zeros((3, 5)), np.ones((3, 2)), 3, True),
        (np.zeros((0, 7)), np.ones((3, 2)), 3, True),
        (None, None, 0, False),
        (np.zeros((0, 7)), np.zeros((0, 2)), 0, False),
    ],
)
def test_damaged_label_arrays_still_enter_the_account(
    csd: Any, tmp_path: Path, features: Any, intervals: Any, count: int, times_known: bool
) -> None:
    entries = {"v": (features, intervals), "w": csd.labels((0, 1)), "x": csd.labels((0, 1))}
    rows = labels_of(csd, tmp_path / "x.csd", entries)
    assert rows.problems == (Reason.LABEL_ARRAYS,) * count
    assert len(rows.start_s) == len(rows.end_s) == len(rows.values) == count
    assert rows.values.shape == (count, 7)
    assert not rows.values.any()
    assert np.isnan(rows.start_s).all() == (not times_known or count == 0)


def test_a_damaged_copy_spoils_only_its_own_rows(csd: Any, tmp_path: Path) -> None:
    entries = {"v": csd.labels((0, 1), (1, 2)), "v[0]": (np.zeros((2, 7)), np.ones((1, 2)))}
    assert labels_of(csd, tmp_path / "x.csd", entries).problems == (None, None, Reason.LABEL_ARRAYS)


def test_a_sequence_has_the_length_of_its_times() -> None:
    sequence = VideoSequence(State.OK, np.zeros(3), np.ones(3), np.zeros((3, 2), np.float32))
    assert len(sequence) == 3
