"""The steps of a video's segments: words, or uniform bins where there are no words.

Legend: W = words of the video (pauses excluded), S = steps of a segment.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mosei_align.alignment.frames import Frames
from mosei_align.alignment.intervals import Indices, Seconds, owned_words, uniform_bins
from mosei_align.sources.sequence import VideoSequence
from mosei_schemas.names import State, StepSource

_SAME_TIME_S = 1e-3
"""A word and its vector are one row in two files if their times agree this well (float32 times differ a little)."""


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a video, without its pauses.

    Attributes:
        start_s, end_s: (W,) sorted by start.
        tokens: W strings, or None where only vectors are known.
        text_rows: (W,) the row of the text sequence that belongs to the word, -1 where there is none.
    """

    start_s: Seconds
    end_s: Seconds
    tokens: tuple[str, ...] | None
    text_rows: Indices


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of one segment."""

    source: StepSource
    start_s: Seconds
    end_s: Seconds
    tokens: tuple[str, ...]
    text_rows: Indices | None
    """(S,) rows of the text sequence, -1 for none; None where the steps are no words."""

    def __len__(self) -> int:
        return len(self.start_s)


def find_words(
    words: VideoSequence | None, text: VideoSequence | None, frames: Frames | None, pause_token: str
) -> Words | None:
    """The words of a video: from the word sequence if it has the video, else the rows of the vectors that are not zero.

    In a word sequence a pause is the token `pause_token`; it is recognised there before any look-up, since embedding
    tables have a vector for that "word" too.

    Args:
        words: the video in the word sequence; features are (N,) bytes.
        text, frames: the video in the text sequence, and the same checked.

    Returns:
        None where neither sequence has the video.
    """
    if words is not None and words.state is State.OK:
        tokens = words.tokens()
        spoken = np.array([token != pause_token for token in tokens], np.bool_)
        start_s, end_s = words.start_s[spoken], words.end_s[spoken]
        kept = tuple(token for token, is_word in zip(tokens, spoken, strict=True) if is_word)
        rows = np.full(len(start_s), -1) if text is None or text.state is not State.OK else _match(start_s, end_s, text)
        return Words(start_s, end_s, kept, rows)
    if text is not None and frames is not None and text.state is State.OK:
        rows = np.flatnonzero(~frames.zero)
        return Words(text.start_s[rows], text.end_s[rows], None, rows)
    return None


def segment_steps(words: Words | None, start_s: float, end_s: float, fallback_bin_s: float | None) -> Steps:
    """The steps of one segment: the words it owns, else uniform bins (None: no bins either), else none."""
    if words is not None:
        own = owned_words(words.start_s, words.end_s, start_s, end_s)
        if len(own):
            tokens = tuple(words.tokens[k] for k in own) if words.tokens is not None else ()
            return Steps(StepSource.WORDS, words.start_s[own], words.end_s[own], tokens, words.text_rows[own])
    if fallback_bin_s is None:
        return Steps(StepSource.NONE, np.empty(0), np.empty(0), (), None)
    bin_starts, bin_ends = uniform_bins(start_s, end_s, fallback_bin_s)
    return Steps(StepSource.UNIFORM, bin_starts, bin_ends, (), None)


def _match(start_s: Seconds, end_s: Seconds, text: VideoSequence) -> Indices:
    """For each word the row of `text` with the same interval, -1 where there is none."""
    first = np.searchsorted(text.start_s, start_s - _SAME_TIME_S, side="left")
    last = np.searchsorted(text.start_s, start_s + _SAME_TIME_S, side="right")
    rows = np.minimum(first, len(text) - 1)
    same: npt.NDArray[np.bool_] = (last > first) & (np.abs(text.end_s[rows] - end_s) <= _SAME_TIME_S)
    found = np.where(same, rows, -1)
    taken: set[int] = set()
    # Only where several rows begin together is there anything to choose: each word takes the first that is left.
    for word in np.flatnonzero(last - first > 1):
        fitting = [row for row in range(first[word], last[word]) if abs(text.end_s[row] - end_s[word]) <= _SAME_TIME_S]
        found[word] = next((row for row in fitting if row not in taken), fitting[0] if fitting else -1)
        taken.add(int(found[word]))
    return found
