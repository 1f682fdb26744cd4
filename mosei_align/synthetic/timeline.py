"""What happens when in a video: words, pauses and labelled segments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.recipe import Recipe

Times = npt.NDArray[np.float64]

SHORTEST_WORD_S: Final = 0.12
"""Long enough for two whole frames at the lowest rate allowed, with a margin."""
_LONGEST_WORD_S: Final = 0.6
_LONGEST_PAUSE_S: Final = 0.6
_SHORTEST_SEGMENT_S: Final = 2.2
_LONGEST_SEGMENT_S: Final = 109.0
_MOST_SEGMENTS: Final = 98
_SEGMENT_SPREAD: Final = 0.62
_COUNT_SPREAD: Final = 0.9
_OVERLAP_SHARE: Final = 0.68
_CLEARANCE_S: Final = 0.005


@dataclass(frozen=True)
class Timeline:
    """A video's layout; all times in seconds from its start.

    Attributes:
        duration_s: the length of the video.
        tokens: (T, 2) start and end of words and pauses, in order of time, none overlapping another.
        spoken: (T,) bool, false for a pause.
        segments: (S, 2) start and end of the labelled segments, by start. Neighbours may overlap. No word's midpoint
            is within a millisecond of a boundary.
    """

    duration_s: float
    tokens: Times
    spoken: npt.NDArray[np.bool_]
    segments: Times

    @cached_property
    def words(self) -> Times:
        """(W, 2) the tokens that are spoken."""
        return self.tokens[self.spoken]

    @cached_property
    def midpoints(self) -> npt.NDArray[np.float64]:
        """(W,) the middles of the words."""
        return np.asarray(self.words.mean(axis=1))


def lay_out(
    recipe: Recipe,
    label_dtype: npt.DTypeLike,
    rng: np.random.Generator,
    *,
    at_least: int = 1,
    from_start: bool | None = None,
) -> Timeline:
    """Lay out a video.

    Args:
        recipe: lengths and counts.
        label_dtype: what label times are stored as; segment boundaries are exact in it.
        rng: the video's stream.
        at_least: the fewest segments the video may have.
        from_start: whether the first segment starts with the video; None leaves it to chance.
    """
    segments, duration_s = place_segments(recipe, rng, at_least, from_start)
    tokens, spoken = _speak(duration_s, rng)
    tokens, spoken = _fall_silent(tokens, spoken, _silences(segments, duration_s))
    return Timeline(duration_s, tokens, spoken, clear_of_midpoints(segments, tokens[spoken], label_dtype))


def hush(timeline: Timeline, start_s: float, end_s: float) -> Timeline:
    """The timeline with one pause in place of every word and pause that touches [start_s, end_s)."""
    tokens = timeline.tokens
    touched = tokens[(tokens[:, 0] < end_s) & (tokens[:, 1] > start_s)]
    if not len(touched):
        return timeline
    silence = (float(touched[0, 0]), float(touched[-1, 1]))
    tokens, spoken = _fall_silent(tokens, timeline.spoken, [silence])
    return replace(timeline, tokens=tokens, spoken=spoken)


def clear_of_midpoints(boundaries: Times, words: Times, dtype: npt.DTypeLike) -> Times:
    """Move each boundary that is within 5 ms of a word's midpoint to 5 ms after it, and round to `dtype`.

    Words are at least 0.12 s long, so a boundary that makes way for one midpoint cannot meet the next.
    """
    midpoints = words.mean(axis=1)
    after = np.searchsorted(midpoints, boundaries)
    moved = boundaries.copy()
    for neighbours in (after - 1, after):
        middle = midpoints[np.clip(neighbours, 0, len(midpoints) - 1)]
        moved = np.where(np.abs(boundaries - middle) < _CLEARANCE_S, middle + _CLEARANCE_S, moved)
    return moved.astype(dtype).astype(np.float64)


def place_segments(
    recipe: Recipe, rng: np.random.Generator, at_least: int = 1, from_start: bool | None = None
) -> tuple[Times, float]:
    """((S, 2) segments, duration of the video in seconds). The first that a video's stream is asked for."""
    mean = recipe.segments_per_labelled_video
    drawn = round(mean * float(np.exp(_COUNT_SPREAD * rng.standard_normal() - _COUNT_SPREAD**2 / 2)))
    count = min(max(drawn, at_least, 1), _MOST_SEGMENTS)
    lengths = recipe.median_segment_s * np.exp(_SEGMENT_SPREAD * rng.standard_normal(count))
    lengths = np.clip(lengths, _SHORTEST_SEGMENT_S, _LONGEST_SEGMENT_S)
    gaps = 0.1 + rng.exponential(recipe.mean_gap_s, count + 1)
    shortest = np.minimum(lengths[1:], lengths[:-1])
    overlaps = rng.uniform(0.05, np.minimum(1.0, shortest / 4))
    gaps[1:-1] = np.where(rng.random(count - 1) < _OVERLAP_SHARE, -overlaps, gaps[1:-1])
    begins = bool(rng.random() < 0.4) if from_start is None else from_start
    gaps[0] = rng.uniform(0, 0.3) if begins else gaps[0]
    starts = np.cumsum(gaps[:-1]) + np.concatenate([[0.0], np.cumsum(lengths[:-1])])
    ends = starts + lengths
    return np.stack([starts, ends], axis=1), float(ends[-1] + gaps[-1] + 0.5)


def _speak(duration_s: float, rng: np.random.Generator) -> tuple[Times, npt.NDArray[np.bool_]]:
    """((T, 2) words and pauses one after the other up to `duration_s`, (T,) which of them are words)."""
    most = int(duration_s / SHORTEST_WORD_S) + 2
    words = np.clip(rng.gamma(6.0, 0.048, most), SHORTEST_WORD_S, _LONGEST_WORD_S)
    pauses = np.clip(rng.exponential(0.25, most), 0.03, _LONGEST_PAUSE_S)
    pauses[rng.random(most) > 0.2] = 0.0
    lengths = np.stack([words, pauses], axis=1).ravel()
    spoken = np.tile([True, False], most)[lengths > 0]
    lengths = lengths[lengths > 0]
    ends = rng.uniform(0.02, 0.3) + np.cumsum(lengths)
    inside = ends < duration_s - 0.05
    tokens = np.stack([ends - lengths, ends], axis=1)
    return tokens[inside], spoken[inside]


def _silences(segments: Times, duration_s: float) -> list[tuple[float, float]]:
    """The middle half of every long stretch without a segment: people speak less outside the labelled ones."""
    edges = [0.0, *segments.ravel().tolist(), duration_s]
    gaps = ((edges[i], edges[i + 1]) for i in range(0, len(edges), 2))
    return [(a + (b - a) / 4, b - (b - a) / 4) for a, b in gaps if b - a > 4.0]


def _fall_silent(
    tokens: Times, spoken: npt.NDArray[np.bool_], silences: list[tuple[float, float]]
) -> tuple[Times, npt.NDArray[np.bool_]]:
    """Replace the tokens wholly inside each silence by one pause."""
    keep = np.ones(len(tokens), np.bool_)
    tokens, spoken = tokens.copy(), spoken.copy()
    for start_s, end_s in silences:
        first = int(np.searchsorted(tokens[:, 0], start_s))
        last = int(np.searchsorted(tokens[:, 1], end_s, side="right"))
        if last > first:
            tokens[first, 1] = tokens[last - 1, 1]
            spoken[first] = False
            keep[first + 1 : last] = False
    return tokens[keep], spoken[keep]
