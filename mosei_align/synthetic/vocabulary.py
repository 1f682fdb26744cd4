"""The words of the synthetic corpora: their spelling, their vectors, and how a segment chooses among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.annotation import Annotation
from mosei_align.synthetic.identity import NONE
from mosei_align.synthetic.randomness import Purpose, side_random
from mosei_align.synthetic.recipe import Recipe
from mosei_align.synthetic.timeline import Timeline
from mosei_schemas.labels import EMOTIONS
from mosei_schemas.names import MODALITIES

PAUSE: Final = b"sp"
"""The pause token of a word file."""

_GENERAL: Final = 1_640
_PER_EMOTION: Final = 40
_PER_SENTIMENT: Final = 60
_GROUP_SIZES: Final = (_GENERAL, *[_PER_EMOTION] * len(EMOTIONS), _PER_SENTIMENT, _PER_SENTIMENT)
_POSITIVE: Final = 1 + len(EMOTIONS)
_NEGATIVE: Final = 2 + len(EMOTIONS)
_CONSONANTS: Final = "bdfgklmnprstvz"
_VOWELS: Final = "aeiou"
_SPREAD: Final = 0.3
_GROUP_NORM: Final = 1.5
_SENTIMENT_NORM: Final = 1.5
_EMOTION_RATE: Final = 0.3
_SENTIMENT_RATE: Final = 0.06
_MOST_EMOTION: Final = 0.8


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """V words in nine groups: general ones, those of each emotion, positive and negative ones.

    Attributes:
        spellings: (V + 1,) fixed-width ASCII bytes; the last is the pause.
        vectors: (V + 1, text_width) float32; the pause is all zeros, no word is.
        cumulative: one array per group: the Zipf law's cumulative shares.
        first: (9,) the index of each group's first word.
    """

    spellings: npt.NDArray[np.bytes_]
    vectors: npt.NDArray[np.float32]
    cumulative: tuple[npt.NDArray[np.float64], ...]
    first: npt.NDArray[np.int64]


def make_vocabulary(width: int) -> Vocabulary:
    """The vocabulary with vectors of `width` columns: the same for every seed, as the world's law is."""
    rng = side_random(0, Purpose.LAW, width)
    first = np.concatenate([[0], np.cumsum(_GROUP_SIZES)])
    vectors = rng.normal(0, _SPREAD, (first[-1] + 1, width))
    directions = np.linalg.qr(rng.standard_normal((width, len(EMOTIONS) + 1)))[0].T
    for emotion in range(len(EMOTIONS)):
        vectors[first[1 + emotion] : first[2 + emotion]] += _GROUP_NORM * directions[emotion]
    vectors[first[_POSITIVE] : first[_NEGATIVE]] += _SENTIMENT_NORM * directions[-1]
    vectors[first[_NEGATIVE] : -1] -= _SENTIMENT_NORM * directions[-1]
    vectors[-1] = 0.0
    spellings = np.array([*(_spell(i).encode() for i in range(first[-1])), PAUSE])
    return Vocabulary(spellings, vectors.astype(np.float32), tuple(map(_zipf, _GROUP_SIZES)), first[:-1])


def choose_tokens(
    recipe: Recipe, vocabulary: Vocabulary, timeline: Timeline, annotation: Annotation, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """(T,) the index of each token of the timeline in the vocabulary; pauses are -1.

    A word in two segments speaks for the later one.
    """
    midpoints = timeline.words.mean(axis=1)
    segment = np.full(len(midpoints), -1)
    for i, (start_s, end_s) in enumerate(timeline.segments):
        segment[np.searchsorted(midpoints, start_s) : np.searchsorted(midpoints, end_s)] = i
    tokens = np.full(len(timeline.spoken), -1)
    tokens[timeline.spoken] = _from_groups(vocabulary, _choose_groups(recipe, annotation, segment, rng), rng)
    return tokens


def _choose_groups(
    recipe: Recipe, annotation: Annotation, segment: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """(W,) the segment of each word, -1 for none -> (W,) its group."""
    decides = annotation.decided_by == MODALITIES.index("text")
    felt = annotation.classes != NONE
    share = np.minimum(_EMOTION_RATE * np.where(decides, recipe.strong, recipe.weak), _MOST_EMOTION)
    # One entry more, which index -1 finds: outside the segments all words are general ones.
    emotional = np.append(np.where(felt, share, 0.0), 0.0)[segment]
    sentiment = np.append(annotation.values[:, 0].astype(np.float64), 0.0)[segment]
    group_of_class = 1 + np.append(np.where(felt, annotation.classes, 0), 0)[segment]
    chance = rng.random(len(segment))
    coloured = chance < emotional + _SENTIMENT_RATE * np.abs(sentiment)
    sentimental = np.where(coloured, np.where(sentiment > 0, _POSITIVE, _NEGATIVE), 0)
    return np.where(chance < emotional, group_of_class, sentimental)


def _from_groups(
    vocabulary: Vocabulary, groups: npt.NDArray[np.int64], rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    chance = rng.random(len(groups))
    words = np.zeros(len(groups), np.int64)
    for group, cumulative in enumerate(vocabulary.cumulative):
        mine = groups == group
        words[mine] = vocabulary.first[group] + np.searchsorted(cumulative, chance[mine], side="right")
    return words


def _zipf(size: int) -> npt.NDArray[np.float64]:
    shares = np.cumsum(1 / (np.arange(size) + 2.7))
    return np.asarray(shares / shares[-1])


def _spell(index: int) -> str:
    """A word of two to four syllables; no two indices below 4,225 share one, and none is the pause."""
    syllables = [c + v for c in _CONSONANTS for v in _VOWELS]
    first, second = divmod(index, len(syllables))
    ending = [syllables[(index * 7 + k * 11) % len(syllables)] for k in range(index % 3)]
    return syllables[first] + syllables[second] + "".join(ending)
