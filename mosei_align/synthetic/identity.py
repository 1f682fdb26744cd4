"""Who a video is: its id, its speaker, and its part in the folds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.randomness import Purpose, side_random, video_random
from mosei_align.synthetic.recipe import Recipe
from mosei_schemas.labels import EMOTIONS

NONE: Final = len(EMOTIONS)
"""The class of a segment without any emotion; the others are indices into `EMOTIONS`."""

_ARGMAX_COUNTS: Final = (14_567, 3_782, 2_730, 437, 1_291, 452)
"""MOSEI: the strongest emotion of all 23,259 segments, an all-zero row counted as happy (numpy's argmax)."""
_ALPHABET: Final = np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"))
_NUMERIC_SHARE: Final = 0.15
_NUMBERS: Final = 90_000
_FAMILY_EVERY: Final = 240
_FAMILY_AT: Final = 3
_FAMILY_SUFFIXES: Final = ("", "4", "6")
_FIRST_PARTS: Final = ("train", "test", "valid", "train", "train", "train", "test", "train", "train", "train")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who video `index` is. `prefix` is the id that this one and its neighbours begin with, where that was planted."""

    index: int
    video_id: str
    speaker: int
    part: str
    prefix: str | None

    @property
    def speaker_id(self) -> str:
        """The speaker's name in `speakers.csv`."""
        return f"speaker{self.speaker:05d}"


@dataclass(frozen=True, slots=True)
class Speaker:
    """What a speaker brings to all their videos.

    Attributes:
        prior: (7,) probability of each class, `NONE` last.
        audio: (audio_width,) offset in standard deviations of a frame.
        video: (video_width,) likewise.
    """

    prior: npt.NDArray[np.float64]
    audio: npt.NDArray[np.float32]
    video: npt.NDArray[np.float32]


def identities(recipe: Recipe, start: int = 0, stop: int | None = None) -> Iterator[Identity]:
    """The corpus's videos from index `start` up to `stop` (None: all), in order."""
    speakers = itertools.islice(_speakers(recipe), start, None)
    for index in range(start, recipe.videos if stop is None else stop):
        name, prefix = _video_id(recipe, index)
        yield Identity(index, name, next(speakers), _part(recipe.seed, index), prefix)


def class_shares(none_share: float) -> npt.NDArray[np.float64]:
    """(7,) MOSEI's class skew, `NONE` last: what numpy's argmax calls happy is the happy and the all-zero rows."""
    shares = np.array([*_ARGMAX_COUNTS, 0], np.float64) / sum(_ARGMAX_COUNTS)
    shares[0] -= none_share
    shares[NONE] = none_share
    return shares


@lru_cache(maxsize=8)
def make_speaker(recipe: Recipe, speaker: int) -> Speaker:
    """The prior and the offsets of speaker number `speaker`."""
    rng = side_random(recipe.seed, Purpose.SPEAKER, speaker)
    # Dirichlet wants positive parameters; a class of share 0 stays practically impossible.
    prior = rng.dirichlet(np.maximum(recipe.speaker_concentration * class_shares(recipe.none_share), 1e-6))
    audio = rng.normal(0, recipe.speaker_offset, recipe.audio_width).astype(np.float32)
    video = rng.normal(0, recipe.speaker_offset, recipe.video_width).astype(np.float32)
    return Speaker(prior, audio, video)


def _speakers(recipe: Recipe) -> Iterator[int]:
    """The speaker of each video: runs of one or more videos, so that video k's does not depend on how many follow."""
    rng = side_random(recipe.seed, Purpose.SPEAKER_SIZES)
    for speaker in itertools.count():
        yield from itertools.repeat(speaker, 1 + int(rng.poisson(recipe.videos_per_speaker - 1)))


def _video_id(recipe: Recipe, index: int) -> tuple[str, str | None]:
    rng = video_random(recipe.seed, index).identity
    place = index % _FAMILY_EVERY - _FAMILY_AT
    if not recipe.clean and index < _NUMBERS and 0 <= place < len(_FAMILY_SUFFIXES):
        prefix = _number(recipe.seed, index - place)
        return prefix + _FAMILY_SUFFIXES[place], prefix
    if index < _NUMBERS and rng.random() < _NUMERIC_SHARE:
        return f"{_number(recipe.seed, index)}{rng.choice(['', '0', '1', '8'])}", None
    return "".join(rng.choice(_ALPHABET, 11)), None


def _number(seed: int, index: int) -> str:
    """Five digits, different for every index below `_NUMBERS` (the multiplier has no factor in common with it)."""
    start = int(side_random(seed, Purpose.NUMBERS).integers(_NUMBERS))
    return str(10_000 + (start + index * 37_361) % _NUMBERS)


def _part(seed: int, index: int) -> str:
    """Seven, one and two videos of every ten; the first three videos are in three different parts."""
    block, place = divmod(index, len(_FIRST_PARTS))
    if block == 0:
        return _FIRST_PARTS[place]
    return _FIRST_PARTS[int(side_random(seed, Purpose.FOLDS, block).permutation(len(_FIRST_PARTS))[place])]
