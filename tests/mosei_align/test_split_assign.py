"""Assigning groups and rows to parts, and finding what leaks."""

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosei_align.splits.assign import assign_groups, assign_rows
from mosei_align.splits.leakage import find_leakage
from mosei_align.splits.segments import SegmentList, strata
from mosei_schemas.labels import EMOTIONS, MOSEI_LABELS
from mosei_schemas.names import PARTS, UNASSIGNED
from mosei_schemas.splits import Leakage

Counts = npt.NDArray[np.int64]
USUAL = np.array([0.7, 0.15, 0.15])


def skewed(groups: int, seed: int) -> Counts:
    """Counts like MOSEI's: classes from 63 % to 2 %, groups from 1 to 100 segments, one-sided."""
    rng = np.random.default_rng(seed)
    prior = np.array([0.626, 0.163, 0.117, 0.019, 0.056, 0.019])
    sizes = np.clip(np.round(rng.lognormal(1.8, 0.9, groups)), 1, 100).astype(int)
    return np.array([rng.multinomial(size, rng.dirichlet(3 * prior)) for size in sizes])


def worst(counts: Counts, parts: npt.NDArray[np.int64], ratios: npt.NDArray[np.float64]) -> float:
    """Largest |share of a class in a part - the part's ratio|."""
    shares = np.stack([counts[parts == part].sum(axis=0) for part in range(len(ratios))]) / counts.sum(axis=0)
    return float(np.abs(shares - ratios[:, None]).max())


@settings(max_examples=15)
@given(
    groups=st.integers(3, 25),
    seed=st.integers(0, 10**6),
    ratios=st.sampled_from(
        [[0.7, 0.15, 0.15], [0.8, 0.1, 0.1], [0.5, 0.5, 0.0], [1 / 3, 1 / 3, 1 / 3], [1.0, 0.0, 0.0]]
    ),
)
def test_every_group_has_one_part_that_is_open(groups: int, seed: int, ratios: list[float]) -> None:
    counts = skewed(groups, seed)
    parts = assign_groups(counts, np.array(ratios), seed)
    assert parts.shape == (groups,)
    assert set(parts.tolist()) <= {k for k, ratio in enumerate(ratios) if ratio > 0}
    assert parts.tolist() == assign_groups(counts, np.array(ratios), seed).tolist()


def test_the_input_is_left_alone_and_the_seed_matters() -> None:
    counts = skewed(25, 0)
    before = counts.copy()
    found = {tuple(assign_groups(counts, USUAL, seed).tolist()) for seed in range(4)}
    assert np.array_equal(counts, before)
    assert len(found) > 1


def test_ratios_are_honoured_for_every_class() -> None:
    counts = skewed(2000, 0)
    parts = assign_groups(counts, USUAL, 0)
    assert worst(counts, parts, USUAL) < 0.005
    assert np.abs(np.bincount(parts, counts.sum(axis=1)) / counts.sum() - USUAL).max() < 0.002


def test_no_class_goes_missing_where_it_need_not() -> None:
    counts = np.array([[30, 1]] * 6 + [[30, 0]] * 20)
    for seed in range(5):
        parts = assign_groups(counts, USUAL, seed)
        assert set(parts[:6].tolist()) == {0, 1, 2}


def test_a_class_that_nobody_has_is_no_trouble() -> None:
    counts = skewed(12, 3)
    with_nobody = np.insert(counts, 2, 0, axis=1)
    assert assign_groups(with_nobody, USUAL, 0).tolist() == assign_groups(counts, USUAL, 0).tolist()


def largest_remainders(count: int, ratios: npt.NDArray[np.float64]) -> list[int]:
    exact = [ratio * count for ratio in ratios.tolist()]
    sizes = [math.floor(x + 1e-9) for x in exact]
    order = sorted(range(len(sizes)), key=lambda k: sizes[k] - exact[k])
    for k in order[: count - sum(sizes)]:
        sizes[k] += 1
    return sizes


ratio_choices = st.one_of(
    st.sampled_from([[0.7, 0.15, 0.15], [0.5, 0.5, 0.0], [1.0, 0.0, 0.0], [0.34, 0.33, 0.33]]),
    st.lists(st.integers(1, 50), min_size=3, max_size=3).map(lambda xs: [x / sum(xs) for x in xs]),
)
classes = st.lists(st.integers(0, 4), min_size=1, max_size=80)


@settings(max_examples=150)
@given(class_of=classes, ratios=ratio_choices, seed=st.integers(0, 99))
def test_random_rows_have_exact_sizes(class_of: list[int], ratios: list[float], seed: int) -> None:
    parts = assign_rows(np.array(class_of), np.array(ratios), seed, stratify=False)
    assert np.bincount(parts, minlength=3).tolist() == largest_remainders(len(class_of), np.array(ratios))


@settings(max_examples=150)
@given(class_of=classes, ratios=ratio_choices, seed=st.integers(0, 99))
def test_stratified_rows_keep_classes_and_sizes_in_proportion(
    class_of: list[int], ratios: list[float], seed: int
) -> None:
    labels, shares = np.array(class_of), np.array(ratios)
    parts = assign_rows(labels, shares, seed, stratify=True)
    for label in set(class_of):
        sizes = np.bincount(parts[labels == label], minlength=3)
        assert np.abs(sizes - shares * (labels == label).sum()).max() < 2
    totals = np.bincount(parts, minlength=3)
    assert np.abs(totals - largest_remainders(len(class_of), shares)).max() <= 1
    assert not totals[shares == 0].any()


def test_stratified_rows_have_exact_sizes() -> None:
    rng = np.random.default_rng(0)
    for seed in range(300):
        count = int(rng.integers(3, 80))
        labels = rng.choice(6, count, p=rng.dirichlet(np.full(6, 0.4)))
        parts = assign_rows(labels, USUAL, seed, stratify=True)
        assert np.bincount(parts, minlength=3).tolist() == largest_remainders(count, USUAL)


@pytest.mark.parametrize("stratify", [True, False])
def test_rows_depend_on_the_seed_and_on_nothing_else(stratify: bool) -> None:
    labels = np.arange(60) % 4
    first = assign_rows(labels, USUAL, 1, stratify=stratify).tolist()
    assert first == assign_rows(labels, USUAL, 1, stratify=stratify).tolist()
    assert first != assign_rows(labels, USUAL, 2, stratify=stratify).tolist()
    assert first != sorted(first)


def segment_list(videos: list[str], spans: list[tuple[float, float]], texts: list[str] | None = None) -> SegmentList:
    count = len(videos)
    return SegmentList(
        segment_id=np.array([f"{v}[{k}]" for k, v in enumerate(videos)], object),
        video_id=np.array(videos, object),
        speaker_id=np.array([None] * count, object),
        start_s=np.array([a for a, _ in spans], float),
        end_s=np.array([b for _, b in spans], float),
        text=np.array(["" for _ in videos] if texts is None else texts, object),
        labels=np.zeros((count, 0), np.float32),
        class_names=("all",),
        class_of=np.zeros(count, np.int64),
        stratified_by="nothing",
    )


def leakage_slowly(segments: SegmentList, groups: list[str], parts: list[str]) -> Leakage:
    rows = [k for k in range(len(segments)) if parts[k] != UNASSIGNED]

    def spread(keys: list[str]) -> int:
        return sum(len({parts[k] for k in rows if keys[k] == key}) > 1 for key in set(keys))

    pairs = duplicates = 0
    for i, k in itertools.combinations(rows, 2):
        same = segments.video_id[i] == segments.video_id[k]
        ends = [max(segments.end_s[r], math.nextafter(segments.start_s[r], math.inf)) for r in (i, k)]
        overlap = segments.start_s[i] < ends[1] and segments.start_s[k] < ends[0]
        pair = bool(same and overlap and parts[i] != parts[k])
        equal = segments.start_s[i] == segments.start_s[k] and segments.end_s[i] == segments.end_s[k]
        words = {segments.text[i], segments.text[k]}
        pairs += pair
        duplicates += pair and len(words) == 1 and (words != {""} or equal)
    return Leakage(
        groups_in_several_parts=spread(groups),
        videos_in_several_parts=spread(segments.video_id.tolist()),
        overlapping_pairs_across_parts=pairs,
        near_duplicate_pairs_across_parts=duplicates,
    )


Row = tuple[str, float, float, str, str, str]


def rows_of(lengths: st.SearchStrategy[float]) -> st.SearchStrategy[list[Row]]:
    return st.lists(
        st.tuples(
            st.sampled_from(["v", "w", "vv"]),
            st.integers(0, 8).map(float),
            lengths,
            st.sampled_from(["g", "h", "i"]),
            st.sampled_from([*PARTS, UNASSIGNED]),
            st.sampled_from(["", "so", "so it is"]),
        ),
        max_size=12,
    )


@settings(max_examples=200)
@given(rows_of(st.sampled_from([0.5, 1.0, 2.0, 6.0])))
def test_leakage_is_what_a_pairwise_loop_finds(rows: list[Row]) -> None:
    segments = segment_list([r[0] for r in rows], [(r[1], r[1] + r[2]) for r in rows], [r[5] for r in rows])
    groups, parts = [r[3] for r in rows], [r[4] for r in rows]
    assert find_leakage(segments, groups, parts) == leakage_slowly(segments, groups, parts)


@pytest.mark.parametrize("spans", [[(1.0, 1.0), (1.0, 2.0)], [(1.0, 2.0), (1.0, 1.0)], [(1.0, 1.0), (1.0, 1.0)]])
def test_an_instant_overlaps_what_it_lies_in(spans: list[tuple[float, float]]) -> None:
    segments = segment_list(["v", "v"], spans)
    assert find_leakage(segments, ["g", "g"], ["train", "test"]).overlapping_pairs_across_parts == 1


def test_touching_segments_do_not_overlap() -> None:
    segments = segment_list(["v", "v"], [(0.0, 1.0), (1.0, 2.0)])
    assert find_leakage(segments, ["g", "g"], ["train", "test"]).overlapping_pairs_across_parts == 0


def test_times_that_are_not_known_overlap_nothing() -> None:
    nan = float("nan")
    segments = segment_list(["v"] * 4, [(nan, nan), (0.0, 2.0), (nan, nan), (1.0, 3.0)])
    leakage = find_leakage(segments, ["g"] * 4, ["train", "test", "valid", "train"])
    assert (leakage.overlapping_pairs_across_parts, leakage.near_duplicate_pairs_across_parts) == (1, 0)
    leakage = find_leakage(segment_list(["v"] * 2, [(nan, nan)] * 2), ["g"] * 2, ["train", "test"])
    assert (leakage.overlapping_pairs_across_parts, leakage.near_duplicate_pairs_across_parts) == (0, None)


def test_strata_of_emotions() -> None:
    labels = np.zeros((5, 7), np.float32)
    labels[0, 3], labels[1, [2, 4]], labels[2, 6], labels[3, 0] = 1, 2, 0.3, -3
    names, classes, by = strata(labels, list(MOSEI_LABELS))
    assert [names[k] for k in classes] == ["anger", "sad", "fear", "no emotion", "no emotion"]
    assert by == "strongest emotion"
    shuffled = ["fear", "sentiment", *[e for e in EMOTIONS if e != "fear"]]
    moved = labels[:, [MOSEI_LABELS.index(name) for name in shuffled]]
    assert strata(moved, shuffled)[1].tolist() == classes.tolist()


def test_strata_of_sentiment_and_of_nothing() -> None:
    scores = np.array([[-3.4], [-0.5], [0.5], [1.5], [2.7]], np.float32)
    names, classes, by = strata(scores, ["sentiment"])
    assert [names[k] for k in classes] == ["-3", "0", "0", "+2", "+3"]
    assert by == "rounded sentiment"
    names, classes, by = strata(scores, ["label_0"])
    assert (names, classes.tolist()) == (("all",), [0] * 5)
