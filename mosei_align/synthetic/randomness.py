"""Where randomness comes from: streams that depend on the seed and on what they are for, never on each other."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np


class Purpose(IntEnum):
    """What a stream that belongs to no single video is for."""

    SPEAKER_SIZES = 1
    SPEAKER = 2
    FOLDS = 3
    DEFECT_ORDER = 4
    FILES = 5
    LAW = 6
    NUMBERS = 7


@dataclass(frozen=True, slots=True)
class VideoRandom:
    """The streams of one video. Several, so that what is planned does not depend on how many frames are drawn."""

    identity: np.random.Generator
    timeline: np.random.Generator
    labels: np.random.Generator
    defects: np.random.Generator
    arrays: np.random.Generator


def video_random(seed: int, index: int) -> VideoRandom:
    """The streams of video `index` (from 0)."""
    children = np.random.SeedSequence([seed, index]).spawn(5)
    return VideoRandom(*(np.random.default_rng(child) for child in children))


def side_random(seed: int, purpose: Purpose, key: int = 0) -> np.random.Generator:
    """The stream for `purpose`; `key` tells several of one purpose apart."""
    # A spawn key cannot collide with the videos' [seed, index], as a longer entropy list could.
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2**31 + purpose, key)))
