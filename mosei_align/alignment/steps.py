"""The steps of a video's segments: words, bins of one width, or the frames of a modality.

Legend: W = words of the video (pauses excluded), Q = its segments, S = steps.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from mosei_align.alignment.frames import Bools
from mosei_align.intervals import Indices, Seconds, owned_words_of_each, uniform_bins
from mosei_align.sources.sequence import Readable, VideoSequence
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import State, StepSource

SAME_TIME_S = 1e-3
"""A word and its vector are one row in two files if their times agree this well (float32 times differ a little)."""
NO_ROW: Final = -1
_NONE: Final[Seconds] = np.empty(0, np.float64)


class Words(NamedTuple):
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


class Steps(NamedTuple):
    """The steps of Q segments, those of one segment after those of the other.

    Attributes:
        sources: Q of them: where the steps of each segment come from.
        bounds: Q + 1 numbers: where the steps of each segment begin.
        start_s, end_s: (S,), S = the last of `bounds`.
        tokens: the words as bytes; of bins and frames, the words whose midpoint lies there.
        token_bounds: Q + 1 numbers: where the tokens of each segment begin, which has one for each of its steps, or
            none where no words are known.
        own: (S,) for words, the number of the word among those of the video; for frames, that of the row among those of
            its modality; -1 for bins.
    """

    sources: Sequence[StepSource]
    bounds: Sequence[int]
    start_s: Seconds
    end_s: Seconds
    tokens: Sequence[bytes]
    token_bounds: Sequence[int]
    own: Indices

    @classmethod
    def of_one(cls, source: StepSource, start_s: Seconds, end_s: Seconds, tokens: Sequence[bytes] = ()) -> Self:
        """Those of a single segment, of which no more is known."""
        own = np.full(len(start_s), NO_ROW)
        return cls((source,), (0, len(start_s)), start_s, end_s, tokens, (0, len(tokens)), own)


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
    settings: BuildSettings,
    words: Words | None,
    frames: Readable | None,
    start_s: Seconds,
    end_s: Seconds,
    *,
    bins: bool = True,
) -> Steps:
    """The steps of every segment of a video, of the kind that the settings ask for.

    Args:
        settings: the build's configuration.
        words: the words of the video.
        frames: the stream whose frames are the steps, where frames are; None where the video has none.
        start_s, end_s: (Q,) the segments.
        bins: whether a segment without such steps has bins of `fallback_bin_s` instead; else it has none.

    Returns:
        Words or frames that each segment owns, or bins.
    """
    rows: Words | Readable | None = None
    kind = StepSource.UNIFORM
    if settings.steps == "words" and words is not None:
        rows, kind = words, StepSource.WORDS
    elif settings.steps == "frames" and frames is not None and frames.state is State.OK:
        rows, kind = frames, StepSource.FRAMES
    own, counts, times = np.empty(0, np.int64), np.zeros(len(start_s), np.int64), (_NONE, _NONE)
    if rows is not None:
        own, counts = owned_words_of_each(rows.start_s, rows.end_s, start_s, end_s)
        times = rows.start_s[own], rows.end_s[own]
    without = counts == 0
    places = np.flatnonzero(without).tolist()
    sources = [kind] * len(start_s)
    for k in places:
        sources[k] = StepSource.UNIFORM if bins else StepSource.NONE
    if places and bins:
        width = settings.uniform_bin_s or settings.fallback_bin_s
        found = [uniform_bins(start_s[k], end_s[k], width) for k in places]
        counts[without] = [len(starts) for starts, _ in found]
        is_bin = np.repeat(without, counts)
        starts, ends = map(np.concatenate, zip(*found, strict=True))
        times = _mixed(is_bin, starts, times[0]), _mixed(is_bin, ends, times[1])
        own = _mixed(is_bin, np.full(len(starts), NO_ROW), own)
    bounds = [0, *np.cumsum(counts).tolist()]
    tokens, token_bounds = _tokens(sources, bounds, *times, own, words)
    return Steps(sources, bounds, *times, tokens, token_bounds, own)


def _mixed(places: Bools, here: npt.NDArray[Any], elsewhere: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """(n,) values of which some stand at the places, the others elsewhere."""
    values = np.empty(len(places), here.dtype)
    values[places], values[~places] = here, elsewhere
    return values


def _tokens(
    sources: Sequence[StepSource],
    bounds: Sequence[int],
    start_s: Seconds,
    end_s: Seconds,
    own: Indices,
    words: Words | None,
) -> tuple[list[bytes], Sequence[int]]:
    """`tokens` and `token_bounds` of steps."""
    if words is None or words.tokens is None:
        return [], [0] * len(bounds)
    if set(sources) <= {StepSource.WORDS}:
        return words.tokens[own].tolist(), bounds
    tokens, token_bounds = list[bytes](), [0]
    for source, (a, b) in zip(sources, itertools.pairwise(bounds), strict=True):
        of_words = source is StepSource.WORDS
        tokens += words.tokens[own[a:b]].tolist() if of_words else _spoken_in(words, start_s[a:b], end_s[a:b])
        token_bounds.append(len(tokens))
    return tokens, token_bounds


def _spoken_in(words: Words, start_s: Seconds, end_s: Seconds) -> list[bytes]:
    """For each of S consecutive steps the words whose midpoint lies in it; nothing at all where no word does."""
    assert words.tokens is not None
    if not len(start_s):
        return []
    midpoints = words.start_s + (words.end_s - words.start_s) / 2
    step = np.searchsorted(start_s, midpoints, side="right") - 1
    inside = np.flatnonzero((step >= 0) & (midpoints < end_s[step]))
    spoken: list[list[bytes]] = [[] for _ in start_s]
    for word, token in zip(inside.tolist(), words.tokens[inside].tolist(), strict=True):
        spoken[step[word]].append(token)
    return [b" ".join(found) for found in spoken] if len(inside) else []


def match(start_s: Seconds, end_s: Seconds, text_start_s: Seconds, text_end_s: Seconds) -> Indices:
    """For each word the row of the text sequence with the same interval, -1 where there is none.

    Args:
        start_s, end_s: (W,) words.
        text_start_s, text_end_s: (N,) rows of the text, sorted by start.
    """
    if not len(text_start_s):
        return np.full(len(start_s), NO_ROW)
    first = np.searchsorted(text_start_s, start_s - SAME_TIME_S, side="left")
    last = np.searchsorted(text_start_s, start_s + SAME_TIME_S, side="right")
    rows = np.minimum(first, len(text_start_s) - 1)
    same: npt.NDArray[np.bool_] = (last > first) & (np.abs(text_end_s[rows] - end_s) <= SAME_TIME_S)
    found = np.where(same, rows, NO_ROW)
    taken: set[int] = set()
    # Only where several rows begin together is there anything to choose: each word takes the first that is left.
    for word in np.flatnonzero(last - first > 1):
        fitting = [row for row in range(first[word], last[word]) if abs(text_end_s[row] - end_s[word]) <= SAME_TIME_S]
        found[word] = next((row for row in fitting if row not in taken), fitting[0] if fitting else NO_ROW)
        taken.add(int(found[word]))
    return found
