"""What a synthetic corpus is made of: every number that shapes it, with MOSEI's own as the defaults."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import Final

from mosei_schemas.errors import ConfigError

MIN_WIDTH: Final = 8
"""Columns a modality needs: seven signal directions, and COVAREP's column 7."""
DEFAULT_VIDEOS: Final = 40
"""What `mosei-align sample` makes."""
MIN_RATE_HZ: Final = 25.0
"""Below this a word may have no frame of its own, and the truth would hang on roundings."""


@dataclass(frozen=True, slots=True)
class DefectRates:
    """How likely a video has each kind of defect, from 0 to 1."""

    words_and_vectors_missing: float = 0.001
    """The video is neither in the words' nor in the vectors' file."""
    words_missing: float = 0.0005
    vectors_missing: float = 0.001
    audio_missing: float = 0.001
    video_missing: float = 0.001
    features_missing: float = 0.0005
    """The video is in the label file only."""
    labels_missing: float = 0.14
    """MOSEI: 544 of 3,837 videos have features and no labels."""
    empty_arrays: float = 0.002
    length_mismatch: float = 0.001
    missing_array: float = 0.0005
    inf_everywhere: float = 0.01
    """COVAREP's column 7 is -inf in every frame."""
    audio_stops: float = 0.005
    no_face: float = 0.2
    """FACET rows are all zero throughout one or more segments."""
    nan_intervals: float = 0.01
    unsorted_frames: float = 0.005
    repeated_id: float = 0.003
    """A quarter of the frames comes again under `id[0]`."""
    no_words: float = 0.03
    """A segment in which nobody speaks."""
    negative_start: float = 0.18
    """Where the first segment starts with the video (four videos in ten): about 1 % of all segments."""
    zero_length_label: float = 0.003
    inverted_label: float = 0.001
    nan_label: float = 0.002
    label_mismatch: float = 0.0005
    nan_audio: float = 0.3
    """Scattered COVAREP frames are NaN."""
    inf_audio: float = 0.4
    """COVAREP's column 7 is -inf in scattered frames and in the first two."""
    nan_video: float = 0.2
    """Scattered FACET frames are NaN."""
    no_face_at_start: float = 1.0
    """FACET starts with all-zero rows."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A corpus to write; equal recipes give equal bytes.

    Video k depends on the recipe and on k alone: a corpus of 10 videos is the beginning of one of 20.
    """

    videos: int = 24
    seed: int = 0
    clean: bool = False
    """Plant no defects: every labelled segment is whole in all three modalities."""

    mean_segments: float = 6.1
    """Labelled segments per video, those without labels counted (MOSEI: 23,259 / 3,837)."""
    median_segment_s: float = 6.5
    mean_gap_s: float = 17.5
    """Unlabelled time before the first segment, after the last, and between those that do not overlap."""
    videos_per_speaker: float = 3.0

    text_width: int = 300
    audio_width: int = 74
    video_width: int = 35
    audio_rate_hz: float = 100.0
    video_rate_hz: float = 30.0

    none_share: float = 0.15
    """Segments whose six emotions are all zero."""
    tied_share: float = 0.08
    """Segments with two strongest emotions."""
    signal_shares: tuple[float, float, float] = (0.5, 0.3, 0.2)
    """How often text, audio and video decides a segment's class."""
    strong: float = 1.0
    """Strength of the class signal in the modality that decides; 0 leaves nothing to learn."""
    weak: float = 0.15
    """Its strength in the other two."""
    speaker_offset: float = 0.7
    """Spread of the speakers' own offsets in audio and video, in standard deviations of a frame."""
    speaker_concentration: float = 3.0
    """Concentration of the speakers' class priors (Dirichlet) around MOSEI's; small means one-sided speakers."""

    rates: DefectRates = field(default_factory=DefectRates)

    def __post_init__(self) -> None:
        _check("videos", self.videos >= 1, "ask for at least one video")
        _check("seed", self.seed >= 0, "choose a seed from 0 upwards")
        for name in ("text_width", "audio_width", "video_width"):
            _check(name, getattr(self, name) >= MIN_WIDTH, f"ask for at least {MIN_WIDTH} columns")
        for name in ("audio_rate_hz", "video_rate_hz"):
            _check(name, getattr(self, name) >= MIN_RATE_HZ, f"ask for at least {MIN_RATE_HZ:g} frames a second")
        for name in ("mean_segments", "videos_per_speaker"):
            _check(name, getattr(self, name) >= 1, "choose a number of at least 1")
        for name in ("median_segment_s", "mean_gap_s", "speaker_concentration"):
            _check(name, getattr(self, name) > 0, "choose a positive number")
        for name in ("strong", "weak", "speaker_offset"):
            _check(name, getattr(self, name) >= 0, "choose a number that is not negative")
        shares = self.signal_shares
        _check(
            "signal_shares", min(shares) >= 0 and math.isclose(sum(shares), 1), "choose three shares that add up to 1"
        )
        _check("none_share", 0 <= self.none_share < 0.6, "choose a share from 0 to 0.6")
        _check("tied_share", 0 <= self.tied_share < 1 - self.none_share, "choose a smaller share")
        for name in (f.name for f in fields(DefectRates)):
            _check(f"rates.{name}", 0 <= getattr(self.rates, name) <= 1, "choose a probability from 0 to 1")
        _check("rates.labels_missing", self.rates.labels_missing <= 0.9, "leave some videos their labels")

    @property
    def segments_per_labelled_video(self) -> float:
        """The mean number of segments in a video that has labels."""
        return self.mean_segments if self.clean else self.mean_segments / (1 - self.rates.labels_missing)


def _check(name: str, holds: bool, remedy: str) -> None:
    if not holds:
        raise ConfigError("the synthetic corpus cannot be made so", ident=name, remedy=remedy)


SCALES: Final[Mapping[str, Recipe]] = MappingProxyType({"mosei": Recipe(videos=3_837)})
"""Corpora of a known size, by name. `mosei`: 3,837 videos and by the seed 22,600 to 24,000 segments, 17 GB."""


def scaled(scale: str | None, videos: int | None, *, seed: int, clean: bool) -> Recipe:
    """The recipe of a corpus of a known size, or of some videos.

    Args:
        scale: a name of `SCALES`, or None.
        videos: how many, or None for 40; only where there is no `scale`.
        seed, clean: see `Recipe`.

    Raises:
        ConfigError: there is no such scale, or both are given.
    """
    if scale is None:
        return Recipe(videos=DEFAULT_VIDEOS if videos is None else videos, seed=seed, clean=clean)
    if videos is not None:
        raise ConfigError("--scale and --videos exclude each other", remedy="leave out one of them")
    if scale not in SCALES:
        raise ConfigError("there is no such scale", ident=scale, remedy=f"choose one of: {', '.join(SCALES)}")
    return replace(SCALES[scale], seed=seed, clean=clean)
