"""The steps of a segment: words, pauses, the rows of the vectors that belong to them, bins, frames."""

import math

import numpy as np
import pytest

from mosei_align.alignment.frames import zero_rows
from mosei_align.alignment.steps import Steps, Words, find_words, match, step_modality, video_steps
from mosei_align.sources.sequence import VideoSequence, decoded, unusable
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import MODALITIES, State, StepSource

Span = tuple[float, float]
NAN = math.nan
WORDS = BuildSettings(policy="masked")


def spoken(*words: tuple[str, float, float]) -> VideoSequence:
    starts, ends = np.array([w[1] for w in words], float), np.array([w[2] for w in words], float)
    return VideoSequence(State.OK, starts, ends, np.array([w[0].encode() for w in words]))


def vectors(*rows: tuple[list[float], float, float]) -> VideoSequence:
    starts, ends = np.array([r[1] for r in rows], float), np.array([r[2] for r in rows], float)
    return VideoSequence(State.OK, starts, ends, np.array([r[0] for r in rows] or np.empty((0, 2)), np.float32))


def found(words: VideoSequence | None, text: VideoSequence | None, pause: str = "sp") -> Words:
    zero = None if text is None else zero_rows(text.features)
    result = find_words(words, text, zero, pause)
    assert result is not None
    return result


def segment_steps(
    chosen: BuildSettings, words: Words | None, frames: VideoSequence | None, start: float, end: float
) -> Steps:
    return video_steps(chosen, words, frames, np.array([start], float), np.array([end], float))


def source(steps: Steps) -> StepSource:
    """Of the steps of a single segment."""
    (found,) = steps.sources
    assert steps.bounds == [0, len(steps.start_s)]
    assert steps.token_bounds == [0, len(steps.tokens)]
    assert len(steps.own) == len(steps.end_s) == len(steps.start_s)
    return found


def tokens(words: Words) -> list[str]:
    assert words.tokens is not None
    return decoded(words.tokens)


def rows_of(words: Words, text: VideoSequence) -> list[int]:
    """The row of `text` that each word is."""
    if words.text_rows is not None:
        return words.text_rows.tolist()
    return match(words.start_s, words.end_s, text.start_s, text.end_s).tolist()


def test_pauses_of_a_word_file_are_left_out() -> None:
    words = found(spoken(("hello", 0, 1), ("sp", 1, 2), ("there", 2, 3), ("spa", 3, 4)), None)
    assert tokens(words) == ["hello", "there", "spa"]
    assert words.start_s.tolist() == [0, 2, 3]
    assert words.end_s.tolist() == [1, 3, 4]
    assert words.text_rows is None
    assert rows_of(words, vectors()) == [-1, -1, -1]


def test_the_pause_token_can_be_another() -> None:
    assert tokens(found(spoken(("sp", 0, 1), ("<sil>", 1, 2)), None, "<sil>")) == ["sp"]


def test_a_pause_is_a_pause_though_the_vectors_have_a_word_for_it() -> None:
    text = vectors(([1, 1], 0, 1), ([9, 9], 1, 2), ([2, 2], 2, 3))
    words = found(spoken(("a", 0, 1), ("sp", 1, 2), ("b", 2, 3)), text)
    assert tokens(words) == ["a", "b"]
    assert rows_of(words, text) == [0, 2]


def test_without_a_word_file_the_zero_rows_are_the_pauses() -> None:
    text = vectors(([1, 0], 0, 1), ([0, 0], 1, 2), ([NAN, NAN], 2, 3), ([0, -2], 3, 4))
    words = found(None, text)
    assert words.tokens is None
    assert words.start_s.tolist() == [0, 2, 3]
    assert rows_of(words, text) == [0, 2, 3]


@pytest.mark.parametrize("state", [s for s in State if s is not State.OK])
def test_a_video_that_the_word_file_lacks_falls_back_to_the_vectors(state: State) -> None:
    text = vectors(([1, 0], 0, 1), ([0, 0], 1, 2))
    words = found(unusable(state, 1), text)
    assert words.tokens is None
    assert rows_of(words, text) == [0]


def test_neither_words_nor_vectors() -> None:
    assert find_words(None, None, None, "sp") is None
    empty = unusable(State.EMPTY, 2)
    assert find_words(unusable(State.ID_MISSING, 1), empty, zero_rows(empty.features), "sp") is None


def test_a_video_of_pauses_has_words_none_of_them() -> None:
    words = found(spoken(("sp", 0, 1)), None)
    assert tokens(words) == []
    assert source(segment_steps(WORDS, words, None, 0, 1)) is StepSource.UNIFORM


def test_words_and_vectors_match_by_time_not_by_number() -> None:
    text = vectors(([1, 1], 1, 2), ([2, 2], 3, 4))
    words = found(spoken(("a", 0, 1), ("b", 1, 2), ("c", 2, 3), ("d", 3, 4)), text)
    assert rows_of(words, text) == [-1, 0, -1, 1]


@pytest.mark.parametrize("drift", [0.0, 9e-4, -9e-4])
def test_times_that_differ_by_less_than_a_millisecond_match(drift: float) -> None:
    text = vectors(([1, 1], 0 + drift, 1 + drift), ([2, 2], 1 + drift, 2 - drift))
    assert rows_of(found(spoken(("a", 0, 1), ("b", 1, 2)), text), text) == [0, 1]


@pytest.mark.parametrize(("start", "end"), [(0.0015, 1), (0, 1.0015), (0, 0.9985), (-0.0015, 1)])
def test_times_that_differ_by_more_do_not(start: float, end: float) -> None:
    text = vectors(([1, 1], start, end))
    assert rows_of(found(spoken(("a", 0, 1)), text), text) == [-1]


def test_times_stored_as_float32_match_float64_ones_for_an_hour() -> None:
    rng = np.random.default_rng(0)
    edges = np.cumsum(rng.uniform(0.05, 0.6, 8000))
    assert edges[-1] > 2400
    words = VideoSequence(State.OK, edges[:-1], edges[1:], np.full(7999, b"w"))
    rough = edges.astype(np.float32).astype(np.float64)
    text = VideoSequence(State.OK, rough[:-1], rough[1:], np.ones((7999, 2), np.float32))
    assert rows_of(found(words, text), text) == list(range(7999))


def test_words_that_begin_together_find_their_own_rows() -> None:
    text = vectors(([1, 1], 0, 0), ([2, 2], 0, 1), ([3, 3], 0, 2), ([4, 4], 0, 3))
    words = found(spoken(("a", 0, 0), ("b", 0, 1), ("c", 0, 2), ("d", 0, 3)), text)
    assert rows_of(words, text) == [0, 1, 2, 3]


def test_words_that_share_an_interval_keep_their_own_rows() -> None:
    text = vectors(([1, 1], 0, 1), ([2, 2], 1, 1), ([3, 3], 1, 1), ([4, 4], 1, 2))
    words = found(spoken(("a", 0, 1), ("b", 1, 1), ("c", 1, 1), ("d", 1, 2)), text)
    assert rows_of(words, text) == [0, 1, 2, 3]


def test_more_than_four_words_that_begin_together_find_their_own_rows() -> None:
    words = spoken(*((f"w{k}", 0, k) for k in range(6)))
    text = vectors(*(([k + 1.0], 0, k) for k in range(6)))
    assert rows_of(found(words, text), text) == [0, 1, 2, 3, 4, 5]


def test_the_words_of_a_segment_with_their_tokens_and_numbers() -> None:
    text = vectors(([1, 1], 2, 3), ([2, 2], 3, 4))
    words = found(spoken(("a", 0, 1), ("sp", 1, 2), ("b", 2, 3), ("c", 3, 4)), text)
    steps = segment_steps(WORDS, words, None, 0.2, 3)
    assert source(steps) is StepSource.WORDS
    assert steps.tokens == [b"a", b"b"]
    assert steps.start_s.tolist() == [0, 2]
    assert steps.end_s.tolist() == [1, 3]
    assert steps.own.tolist() == [0, 1]
    assert [rows_of(words, text)[k] for k in steps.own] == [-1, 0]
    assert steps.bounds == [0, 2]


def test_a_segment_without_words_gets_bins_of_the_fallback_width() -> None:
    words = found(spoken(("a", 0, 1)), None)
    bins = segment_steps(WORDS, words, None, 2, 2.6)
    assert source(bins) is StepSource.UNIFORM
    assert bins.start_s.tolist() == [2, 2.25, 2.5]
    assert bins.tokens == []
    assert bins.own.tolist() == [-1, -1, -1]
    assert source(segment_steps(WORDS, None, None, 2, 2.6)) is StepSource.UNIFORM
    wide = BuildSettings(policy="masked", fallback_bin_s=0.5)
    assert segment_steps(wide, words, None, 2, 2.6).start_s.tolist() == [2, 2.5]


@pytest.mark.parametrize("bins", [True, False])
def test_segments_with_words_and_without_in_one_video(bins: bool) -> None:
    words = found(spoken(("a", 0, 1), ("b", 5, 6), ("c", 6, 7)), None)
    starts, ends = np.array([2.0, 0.0, 3.0, 5.0]), np.array([2.5, 1.0, 3.25, 7.0])
    steps = video_steps(WORDS, words, None, starts, ends, bins=bins)
    other = StepSource.UNIFORM if bins else StepSource.NONE
    assert steps.sources == [other, StepSource.WORDS, other, StepSource.WORDS]
    assert steps.tokens == [b"a", b"b", b"c"]
    assert steps.token_bounds == [0, 0, 1, 1, 3]
    assert steps.bounds == ([0, 2, 3, 4, 6] if bins else [0, 0, 1, 1, 3])
    assert steps.start_s.tolist() == ([2, 2.25, 0, 3, 5, 6] if bins else [0, 5, 6])
    assert steps.end_s.tolist() == ([2.25, 2.5, 1, 3.25, 6, 7] if bins else [1, 6, 7])
    assert steps.own.tolist() == ([-1, -1, 0, -1, 1, 2] if bins else [0, 1, 2])


def test_a_video_without_segments_has_no_steps() -> None:
    steps = video_steps(WORDS, found(spoken(("a", 0, 1)), None), None, np.empty(0), np.empty(0))
    assert (steps.sources, steps.bounds, steps.tokens, steps.token_bounds) == ([], [0], [], [0])
    assert len(steps.start_s) == len(steps.end_s) == len(steps.own) == 0


def test_uniform_steps_are_bins_though_there_are_words_and_say_what_is_spoken_in_them() -> None:
    words = found(spoken(("a", 0, 1), ("sp", 1, 2), ("b", 2, 2.5), ("c", 2.5, 3), ("d", 3, 5)), None)
    chosen = BuildSettings(policy="masked", steps="uniform", uniform_bin_s=1.5)
    steps = segment_steps(chosen, words, None, 0, 4)
    assert source(steps) is StepSource.UNIFORM
    assert steps.start_s.tolist() == [0, 1.5, 3]
    assert steps.end_s.tolist() == [1.5, 3, 4]
    # The middle of d is the segment's end, so it is not in the segment.
    assert steps.tokens == [b"a", b"b c", b""]
    assert steps.own.tolist() == [-1, -1, -1]
    assert segment_steps(chosen, words, None, 5, 6).tokens == []
    assert segment_steps(chosen, None, None, 0, 4).tokens == []


def test_steps_of_frames_are_the_frames_whose_middle_lies_in_the_segment() -> None:
    words = found(spoken(("a", 0, 0.5), ("b", 0.5, 0.75), ("c", 0.75, 1)), None)
    frames = vectors(([1], 0, 0.5), ([2], 0.5, 1), ([3], 1, 1.5))
    chosen = BuildSettings(policy="masked", steps="frames", frames_of="video")
    steps = segment_steps(chosen, words, frames, 0.2, 1.2)
    assert source(steps) is StepSource.FRAMES
    assert steps.start_s.tolist() == [0, 0.5]
    assert steps.own.tolist() == [0, 1]
    assert steps.tokens == [b"a", b"b c"]
    assert segment_steps(chosen, None, frames, 0.2, 1.2).tokens == []


@pytest.mark.parametrize("frames", [None, unusable(State.EMPTY, 1), vectors(([1], 8, 9))])
def test_a_segment_without_frames_gets_bins_of_the_fallback_width(frames: VideoSequence | None) -> None:
    chosen = BuildSettings(policy="masked", steps="frames", frames_of="video")
    steps = segment_steps(chosen, found(spoken(("a", 0, 0.5)), None), frames, 0, 0.6)
    assert source(steps) is StepSource.UNIFORM
    assert steps.start_s.tolist() == [0, 0.25, 0.5]
    assert steps.tokens == [b"", b"a", b""]


def test_the_modality_whose_rows_are_the_steps() -> None:
    assert step_modality(WORDS) == "text"
    assert step_modality(BuildSettings(policy="masked", steps="uniform", uniform_bin_s=1.0)) is None
    for name in MODALITIES:
        assert step_modality(BuildSettings(policy="masked", steps="frames", frames_of=name)) == name


def test_tokens_that_are_not_utf8_are_kept_readable() -> None:
    words = VideoSequence(State.OK, np.array([0.0]), np.array([1.0]), np.array([b"caf\xe9"]))
    assert tokens(found(words, None)) == ["caf\ufffd"]
