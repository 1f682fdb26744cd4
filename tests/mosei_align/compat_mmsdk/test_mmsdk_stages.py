"""The single stages: what they do at their edges, and where mmsdk would crash."""

import numpy as np
import pytest

from mosei_align.compat_mmsdk import (
    Entry,
    Loss,
    align,
    average,
    get_tensors,
    hard_unify,
    impute,
    revert,
)


def entry(*spans: tuple[float, float], width: int = 2, kind: str = "f4") -> Entry:
    count = len(spans)
    features = np.arange(1, count * width + 1).reshape(count, width).astype(kind)
    return Entry(features, np.array(spans, np.float64).reshape(-1, 2))


def test_the_reference_must_be_there(one_line) -> None:
    assert "COVAREP" in one_line(lambda: align({"COVAREP": {}}, "words"))
    assert "COVAREP" in one_line(lambda: impute({"COVAREP": {}}, "words"))


def test_a_reference_with_two_entries_of_a_video_is_mmsdks_crash(one_line) -> None:
    streams = {"words": {"a": entry((0, 1)), "a[0]": entry((1, 2))}, "audio": {"a": entry((0, 2))}}
    assert "a[0]: words: mmsdk crashes" in one_line(lambda: align(streams, "words"))
    streams["words"]["a[0]"] = entry((1, 1), (2, 2 + 5e-6))
    made = align(streams, "words")
    assert list(made.sequences["audio"]) == ["a[0]"]
    assert [loss.key for loss in made.losses] == ["a[0][0]", "a[0][0]", "a[0][1]", "a[0][1]"]
    alone = align({"words": {"a": entry((0, 1)), "a[0]": entry((1, 2))}}, "words")
    assert list(alone.sequences["words"]) == ["a[0]", "a[0][0]"]
    assert alone.rows["words"]["a[0][0]"].tolist() == [1]


def test_several_functions_put_their_columns_side_by_side() -> None:
    streams = {"words": {"a": entry((0, 2))}, "audio": {"a": entry((0, 1), (1, 2))}}
    made = align(streams, "words", [average, lambda _, features: features.max(axis=0)])
    assert made.sequences["audio"]["a[0]"].features.tolist() == [[2, 3, 3, 4]]
    assert made.sequences["audio"]["a[0]"].intervals.tolist() == [[0, 2]]


def test_a_collapse_function_may_write_on_what_it_is_given() -> None:
    streams = {"words": {"a": entry((0, 2))}, "audio": {"a": entry((0, 1), (1, 2))}}

    def spoil(intervals, features):
        features[:] = 0
        return features[0]

    assert align(streams, "words", spoil).sequences["audio"]["a[0]"].features.tolist() == [[0, 0]]
    assert streams["audio"]["a"].features.tolist() == [[1, 2], [3, 4]]
    assert streams["words"]["a"].features.tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda _, features: features, "2 rows collapse to an array of shape (2, 2)"),
        (lambda _, features: features.nothing, "the collapse function fails (AttributeError"),
        (lambda *_: 3, "an array of shape ()"),
    ],
)
def test_a_collapse_function_that_makes_no_row_is_told(function, told: str, one_line) -> None:
    streams = {"words": {"a": entry((0, 2))}, "audio": {"a": entry((0, 1), (1, 2))}}
    text = one_line(lambda: align({"audio": streams["audio"], "words": streams["words"]}, "words", function))
    assert told in text
    assert text.startswith("a[0]: audio: ")


def test_words_that_are_no_reference_cannot_be_averaged(one_line) -> None:
    words = Entry(np.array([[b"so"], [b"yes"]]), np.array([[0.0, 1.0], [1.0, 2.0]]))
    streams = {"audio": {"a": entry((0, 2))}, "words": {"a": words}}
    assert "strings cannot be averaged" in one_line(lambda: align(streams, "audio", average))


def test_rows_without_a_time_are_counted_where_nothing_overlaps() -> None:
    audio = entry((np.nan, 1), (0, np.nan), (0.5, 0.75))
    made = align({"words": {"a": entry((5, 6))}, "audio": {"a": audio}}, "words")
    reason = "no row overlaps by more than 1e-5 (sequence ends at 1.000 s, rows with NaN interval: 2)"
    assert made.losses == (Loss("audio", "a[0]", reason),)
    nowhere = align({"words": {"a": entry((5, 6))}, "audio": {"a": entry((np.nan, np.nan))}}, "words")
    assert "ends at nan s" in nowhere.losses[0].reason


def test_a_reference_row_without_a_time_keeps_itself_and_gets_nothing() -> None:
    made = align({"words": {"a": entry((np.nan, 1))}, "audio": {"a": entry((0, 1))}}, "words", average)
    assert list(made.sequences["words"]) == ["a[0]"]
    assert np.isnan(made.sequences["words"]["a[0]"].intervals).all()
    assert made.sequences["audio"] == {}


def test_hard_unify_names_all_that_lack_a_key() -> None:
    made = hard_unify({"x": {"a[0]": entry((0, 1)), "a[1]": entry((0, 1))}, "y": {"a[1]": entry((0, 1))}, "z": {}})
    assert made.losses == (
        Loss("x", "a[0]", "hard_unify: key absent from y, z"),
        Loss("x", "a[1]", "hard_unify: key absent from z"),
        Loss("y", "a[1]", "hard_unify: key absent from z"),
    )


def test_impute_has_no_width_for_a_sequence_without_entries(one_line) -> None:
    assert "audio: has no entry" in one_line(lambda: impute({"words": {"a[0]": entry((0, 1))}, "audio": {}}, "words"))


def test_revert_orders_by_number() -> None:
    keys = {f"a[{k}]": entry((k, k + 1)) for k in (10, 9, 2)}
    made = revert({"x": keys}).sequences["x"]
    assert made["a"].intervals[:, 0].tolist() == [2, 9, 10]


@pytest.mark.parametrize("key", ["a", "a[x]", "a[00]", "a[0][1]"])
def test_revert_wants_aligned_keys(key: str, one_line) -> None:
    assert "only aligned keys" in one_line(lambda: revert({"x": {key: entry((0, 1))}}))


def test_revert_of_nothing(one_line) -> None:
    assert revert({"x": {}, "y": {}}).sequences == {"x": {}, "y": {}}
    assert "no sequence" in one_line(lambda: revert({}))
    wide = {"a[0]": entry((0, 1)), "a[1]": entry((0, 1), width=3)}
    assert "a: x: the video's entries do not fit" in one_line(lambda: revert({"x": wide}))


def test_tensors_of_all_videos_and_of_those_in_a_fold(one_line) -> None:
    sequences = {
        "x": {"a[0]": entry((0, 1), (1, 2)), "b[0]": entry((0, 1))},
        "y": {"a[0]": entry((0, 1)), "b[0]": entry((0, 1), (1, 2))},
    }
    (everything,) = get_tensors(sequences, 3).folds
    assert (everything["x"].shape, everything["x"].dtype) == ((2, 3, 2), np.float64)
    assert everything["x"][0].tolist() == [[0, 0], [1, 2], [3, 4]]
    made = get_tensors(sequences, 1, [["c"], ["b", "a"]], direction=True)
    assert made.keys == ((), ("a[0]", "b[0]"))
    assert made.folds[0]["x"].shape == (0,)
    assert made.folds[1]["y"].tolist() == [[[1, 2]], [[1, 2]]]
    assert get_tensors(sequences, 1, [["a"]]).losses == (
        Loss("x", "b[0]", "doesn't belong to any fold"),
        Loss("y", "b[0]", "doesn't belong to any fold"),
    )
    assert "cannot be stacked" in one_line(lambda: get_tensors(sequences, 3, non_sequences=["y"]))
    assert "no sequence" in one_line(lambda: get_tensors({}, 3))
