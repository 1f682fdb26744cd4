"""The steps of a video's segments: words, bins of one width, or the frames of a modality.

Legend: W = words of the video (pauses excluded), S = steps of a segment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mosei_align.alignment.frames import Bools
from mosei_align.intervals import Indices, Seconds, owned_words_of_each, uniform_bins
from mosei_align.sources.sequence import Readable, VideoSequence, decoded
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import State, StepSource

SAME_TIME_S = 1e-3
"""A word and its vector are one row in two files if their times agree this well (float32 times differ a little)."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a video, without its pauses.

    Attributes:
        start_s, end_s: (W,) sorted by start.
        tokens: (W,) the words as bytes, or None where only vectors are known.
        text_rows: (W,) the number of the word's row among those of the text; None where `match` has to find it.
    """

    start_s: Seconds
    end_s: Seconds
    tokens: npt.NDArray[np.bytes_] | None
    text_rows: Indices | None


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one segment.

    Attributes:
        start_s, end_s: (S,).
        tokens: S strings (of bins and frames: the words whose midpoint lies there), or none where no words are known.
        own: (S,) for words, the number of the word among those of the video; for frames, that of the row among those of
            its modality; None for bins.
    """

    source: StepSource
    start_s: Seconds
    end_s: Seconds
    tokens: tuple[str, ...] = ()
    own: Indices | None = None

    def __len__(self) -> int:
        return len(self.start_s)


def step_modality(settings: BuildSettings) -> str | None:
    """The modality of whose rows the steps are made; None for bins."""
    return {"words": "text", "frames": settings.frames_of}.get(settings.steps)


def find_words(
    words: VideoSequence | None, text: VideoSequence | None, zero: Bools | None, pause_token: str
) -> Words | None:
    """The words of a video: from the word sequence if it has the video, else the rows of the vectors that are not zero.

    In a word sequence a pause is the token `pause_token`; it is recognised there before any look-up, since embedding
    tables have a vector for that "word" too.

    Args:
        words: the video in the word sequence; features are (N,) bytes.
        text: the video in the text sequence, read whole; not asked where `words` has the video.
        zero: (N,) rows of `text` that are zeros only.

    Returns:
        None where neither sequence has the video.
    """
    if words is not None and words.state is State.OK:
        spoken = words.features != pause_token.encode()
        return Words(words.start_s[spoken], words.end_s[spoken], words.features[spoken], None)
    if text is not None and zero is not None and text.state is State.OK:
        rows = np.flatnonzero(~zero)
        return Words(text.start_s[rows], text.end_s[rows], None, rows)
    return None


def video_steps(
    settings: BuildSettings, words: Words | None, frames: Readable | None, start_s: Seconds, end_s: Seconds
) -> list[Steps]:
    """The steps of every segment of a video, of the kind that the settings ask for.

    Args:
        settings: the build's configuration.
        words: the words of the video.
        frames: the stream whose frames are the steps, where frames are; None where the video has none.
        start_s, end_s: (Q,) the segments.

    Returns:
        Words or frames that each segment owns; where there are none, bins of `fallback_bin_s`.
    """
    owned: list[Indices | None] = [None] * len(start_s)
    if settings.steps == "words" and words is not None:
        owned[:] = owned_words_of_each(words.start_s, words.end_s, start_s, end_s)
    elif settings.steps == "frames" and frames is not None and frames.state is State.OK:
        owned[:] = owned_words_of_each(frames.start_s, frames.end_s, start_s, end_s)
    return [
        _segment_steps(settings, words, frames, own, *times)
        for own, *times in zip(owned, start_s.tolist(), end_s.tolist(), strict=True)
    ]


def _segment_steps(
    settings: BuildSettings,
    words: Words | None,
    frames: Readable | None,
    own: Indices | None,
    start_s: float,
    end_s: float,
) -> Steps:
    if own is None or not len(own):
        times = uniform_bins(start_s, end_s, settings.uniform_bin_s or settings.fallback_bin_s)
        return Steps(StepSource.UNIFORM, *times, _spoken_in(words, *times))
    if settings.steps == "frames":
        assert frames is not None
        times = frames.start_s[own], frames.end_s[own]
        return Steps(StepSource.FRAMES, *times, _spoken_in(words, *times), own)
    assert words is not None
    first, last = int(own[0]), int(own[-1])
    mine = slice(first, last + 1) if last - first == len(own) - 1 else own  # Neighbours need not be copied.
    tokens = () if words.tokens is None else tuple(decoded(words.tokens[mine]))
    return Steps(StepSource.WORDS, words.start_s[mine], words.end_s[mine], tokens, own)


def _spoken_in(words: Words | None, start_s: Seconds, end_s: Seconds) -> tuple[str, ...]:
    """For each of S consecutive steps the words whose midpoint lies in it; nothing at all where no word does."""
    if words is None or words.tokens is None:
        return ()
    midpoints = words.start_s + (words.end_s - words.start_s) / 2
    step = np.searchsorted(start_s, midpoints, side="right") - 1
    inside = np.flatnonzero((step >= 0) & (midpoints < end_s[step]))
    spoken: list[list[str]] = [[] for _ in start_s]
    for word, token in zip(inside.tolist(), decoded(words.tokens[inside]), strict=True):
        spoken[step[word]].append(token)
    return tuple(" ".join(found) for found in spoken) if len(inside) else ()


def match(start_s: Seconds, end_s: Seconds, text_start_s: Seconds, text_end_s: Seconds) -> Indices:
    """For each word the row of the text sequence with the same interval, -1 where there is none.

    Args:
        start_s, end_s: (W,) words.
        text_start_s, text_end_s: (N,) rows of the text, sorted by start.
    """
    if not len(text_start_s):
        return np.full(len(start_s), -1)
    first = np.searchsorted(text_start_s, start_s - SAME_TIME_S, side="left")
    last = np.searchsorted(text_start_s, start_s + SAME_TIME_S, side="right")
    rows = np.minimum(first, len(text_start_s) - 1)
    same: npt.NDArray[np.bool_] = (last > first) & (np.abs(text_end_s[rows] - end_s) <= SAME_TIME_S)
    found = np.where(same, rows, -1)
    taken: set[int] = set()
    # Only where several rows begin together is there anything to choose: each word takes the first that is left.
    for word in np.flatnonzero(last - first > 1):
        fitting = [row for row in range(first[word], last[word]) if abs(text_end_s[row] - end_s[word]) <= SAME_TIME_S]
        found[word] = next((row for row in fitting if row not in taken), fitting[0] if fitting else -1)
        taken.add(int(found[word]))
    return found
