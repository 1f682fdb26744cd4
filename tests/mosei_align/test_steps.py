"""The steps of a segment: words, pauses, the rows of the vectors that belong to them, uniform bins."""

import math

import numpy as np
import pytest

from mosei_align.alignment.frames import Frames, check_frames
from mosei_align.alignment.steps import Words, find_words, segment_steps
from mosei_align.sources.sequence import VideoSequence, unusable
from mosei_schemas.names import State, StepSource

Span = tuple[float, float]
NAN = math.nan


def spoken(*words: tuple[str, float, float]) -> VideoSequence:
    starts, ends = np.array([w[1] for w in words], float), np.array([w[2] for w in words], float)
    return VideoSequence(State.OK, starts, ends, np.array([w[0].encode() for w in words]))


def vectors(*rows: tuple[list[float], float, float]) -> VideoSequence:
    starts, ends = np.array([r[1] for r in rows], float), np.array([r[2] for r in rows], float)
    return VideoSequence(State.OK, starts, ends, np.array([r[0] for r in rows], np.float32))


def checked(text: VideoSequence) -> Frames:
    return check_frames(text, nonfinite="frame", zero_is_invalid=True)


def found(words: VideoSequence | None, text: VideoSequence | None, pause: str = "sp") -> Words:
    frames = checked(text) if text is not None and text.state is State.OK else None
    result = find_words(words, text, frames, pause)
    assert result is not None
    return result


def test_pauses_of_a_word_file_are_left_out() -> None:
    words = found(spoken(("hello", 0, 1), ("sp", 1, 2), ("there", 2, 3), ("spa", 3, 4)), None)
    assert words.tokens == ("hello", "there", "spa")
    assert words.start_s.tolist() == [0, 2, 3]
    assert words.end_s.tolist() == [1, 3, 4]
    assert words.text_rows.tolist() == [-1, -1, -1]


def test_the_pause_token_can_be_another() -> None:
    assert found(spoken(("sp", 0, 1), ("<sil>", 1, 2)), None, "<sil>").tokens == ("sp",)


def test_a_pause_is_a_pause_though_the_vectors_have_a_word_for_it() -> None:
    text = vectors(([1, 1], 0, 1), ([9, 9], 1, 2), ([2, 2], 2, 3))
    words = found(spoken(("a", 0, 1), ("sp", 1, 2), ("b", 2, 3)), text)
    assert words.tokens == ("a", "b")
    assert words.text_rows.tolist() == [0, 2]


def test_without_a_word_file_the_zero_rows_are_the_pauses() -> None:
    words = found(None, vectors(([1, 0], 0, 1), ([0, 0], 1, 2), ([NAN, NAN], 2, 3), ([0, -2], 3, 4)))
    assert words.tokens is None
    assert words.start_s.tolist() == [0, 2, 3]
    assert words.text_rows.tolist() == [0, 2, 3]


@pytest.mark.parametrize("state", [s for s in State if s is not State.OK])
def test_a_video_that_the_word_file_lacks_falls_back_to_the_vectors(state: State) -> None:
    words = found(unusable(state, 1), vectors(([1, 0], 0, 1), ([0, 0], 1, 2)))
    assert words.tokens is None
    assert words.text_rows.tolist() == [0]


def test_neither_words_nor_vectors() -> None:
    assert find_words(None, None, None, "sp") is None
    assert find_words(unusable(State.ID_MISSING, 1), unusable(State.EMPTY, 2), None, "sp") is None


def test_a_video_of_pauses_has_words_none_of_them() -> None:
    words = found(spoken(("sp", 0, 1)), None)
    assert words.tokens == ()
    assert segment_steps(words, 0, 1, None).source is StepSource.NONE


def test_words_and_vectors_match_by_time_not_by_number() -> None:
    text = vectors(([1, 1], 1, 2), ([2, 2], 3, 4))
    words = found(spoken(("a", 0, 1), ("b", 1, 2), ("c", 2, 3), ("d", 3, 4)), text)
    assert words.text_rows.tolist() == [-1, 0, -1, 1]


@pytest.mark.parametrize("drift", [0.0, 9e-4, -9e-4])
def test_times_that_differ_by_less_than_a_millisecond_match(drift: float) -> None:
    text = vectors(([1, 1], 0 + drift, 1 + drift), ([2, 2], 1 + drift, 2 - drift))
    assert found(spoken(("a", 0, 1), ("b", 1, 2)), text).text_rows.tolist() == [0, 1]


@pytest.mark.parametrize(("start", "end"), [(0.0015, 1), (0, 1.0015), (0, 0.9985), (-0.0015, 1)])
def test_times_that_differ_by_more_do_not(start: float, end: float) -> None:
    assert found(spoken(("a", 0, 1)), vectors(([1, 1], start, end))).text_rows.tolist() == [-1]


def test_times_stored_as_float32_match_float64_ones_for_an_hour() -> None:
    rng = np.random.default_rng(0)
    edges = np.cumsum(rng.uniform(0.05, 0.6, 8000))
    assert edges[-1] > 2400
    words = VideoSequence(State.OK, edges[:-1], edges[1:], np.full(7999, b"w"))
    rough = edges.astype(np.float32).astype(np.float64)
    text = VideoSequence(State.OK, rough[:-1], rough[1:], np.ones((7999, 2), np.float32))
    assert found(words, text).text_rows.tolist() == list(range(7999))


def test_words_that_begin_together_find_their_own_rows() -> None:
    text = vectors(([1, 1], 0, 0), ([2, 2], 0, 1), ([3, 3], 0, 2), ([4, 4], 0, 3))
    words = found(spoken(("a", 0, 0), ("b", 0, 1), ("c", 0, 2), ("d", 0, 3)), text)
    assert words.text_rows.tolist() == [0, 1, 2, 3]


def test_words_that_share_an_interval_keep_their_own_rows() -> None:
    text = vectors(([1, 1], 0, 1), ([2, 2], 1, 1), ([3, 3], 1, 1), ([4, 4], 1, 2))
    words = found(spoken(("a", 0, 1), ("b", 1, 1), ("c", 1, 1), ("d", 1, 2)), text)
    assert words.text_rows.tolist() == [0, 1, 2, 3]


def test_more_than_four_words_that_begin_together_find_their_own_rows() -> None:
    words = spoken(*((f"w{k}", 0, k) for k in range(6)))
    text = vectors(*(([k + 1.0], 0, k) for k in range(6)))
    assert found(words, text).text_rows.tolist() == [0, 1, 2, 3, 4, 5]


def test_the_words_of_a_segment_with_their_tokens_and_rows() -> None:
    words = found(spoken(("a", 0, 1), ("sp", 1, 2), ("b", 2, 3), ("c", 3, 4)), vectors(([1, 1], 2, 3), ([2, 2], 3, 4)))
    steps = segment_steps(words, 0.2, 3, 0.25)
    assert steps.source is StepSource.WORDS
    assert steps.tokens == ("a", "b")
    assert steps.start_s.tolist() == [0, 2]
    assert steps.end_s.tolist() == [1, 3]
    assert steps.text_rows is not None
    assert steps.text_rows.tolist() == [-1, 0]
    assert len(steps) == 2


def test_a_segment_without_words_gets_bins_or_nothing() -> None:
    words = found(spoken(("a", 0, 1)), None)
    bins = segment_steps(words, 2, 2.6, 0.25)
    assert bins.source is StepSource.UNIFORM
    assert bins.start_s.tolist() == [2, 2.25, 2.5]
    assert bins.tokens == ()
    assert bins.text_rows is None
    nothing = segment_steps(words, 2, 2.6, None)
    assert (nothing.source, len(nothing)) == (StepSource.NONE, 0)
    assert segment_steps(None, 2, 2.6, 0.25).source is StepSource.UNIFORM


def test_tokens_that_are_not_utf8_are_kept_readable() -> None:
    words = VideoSequence(State.OK, np.array([0.0]), np.array([1.0]), np.array([b"caf\xe9"]))
    assert found(words, None).tokens == ("caf\ufffd",)
