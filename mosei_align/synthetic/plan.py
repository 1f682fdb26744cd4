"""All that is decided about a video before an array of it is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.annotation import Annotation, annotate
from mosei_align.synthetic.coverage import Stream, state_in, uniform_steps, whole_stream
from mosei_align.synthetic.identity import Identity, make_speaker
from mosei_align.synthetic.randomness import Purpose, VideoRandom, side_random
from mosei_align.synthetic.recipe import Recipe
from mosei_align.synthetic.timeline import Timeline, Times, lay_out
from mosei_schemas.names import Reason, State


class Root(StrEnum):
    """The sequences of a corpus, by the names of their root groups."""

    WORDS = "words"
    VECTORS = "glove_vectors"
    AUDIO = "COVAREP"
    VIDEO = "FACET 4.2"
    LABELS = "All Labels"


@dataclass(frozen=True, slots=True)
class Trouble:
    """What is wrong with a video's arrays in one sequence as a whole. `array`: the one that is missing or short."""

    state: State
    array: str | None = None


@dataclass(frozen=True, slots=True)
class Defect:
    """One planted defect, as `truth.json` tells it. `sequence` is a root's name, or `all`."""

    kind: str
    sequence: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """A video before its arrays are made. S segments, in order of time.

    Attributes:
        identity, timeline, annotation: who, when and what; a label defect changes none of them.
        label_order: (S,) the segment that each row of the label file tells of.
        label_times: (S, 2) seconds, as the label file has them.
        label_values: (S, 7) float32, as the label file has them.
        label_reasons: S reasons why a label is not usable, None where it is.
        extra_label_row: the label file has one more row of values than of times.
        labelled: the video is in the label file.
        audio, video: what is wrong with the frames.
        troubles: what is wrong with whole sequences.
        defects: all that was planted.
    """

    identity: Identity
    timeline: Timeline
    annotation: Annotation
    label_order: npt.NDArray[np.int64]
    label_times: Times
    label_values: npt.NDArray[np.float32]
    label_reasons: tuple[Reason | None, ...]
    audio: Stream
    video: Stream
    extra_label_row: bool = False
    labelled: bool = True
    troubles: Mapping[Root, Trouble] = field(default_factory=dict)
    defects: tuple[Defect, ...] = ()

    def stream(self, root: Root) -> Stream:
        """The frames of `Root.AUDIO` or `Root.VIDEO`."""
        return self.audio if root is Root.AUDIO else self.video

    def with_stream(self, root: Root, stream: Stream) -> VideoPlan:
        """The plan with other frames."""
        return replace(self, audio=stream) if root is Root.AUDIO else replace(self, video=stream)

    def recorded(self, kind: str, sequence: str, **details: Any) -> VideoPlan:
        """The plan with one more defect to tell of."""
        return replace(self, defects=(*self.defects, Defect(kind, sequence, details)))

    def missing(self, root: Root) -> bool:
        """Whether the video is not in the sequence at all."""
        return root in self.troubles and self.troubles[root].state is State.ID_MISSING

    @property
    def words_known(self) -> bool:
        """Whether a file tells the words' times: the words' own, else the vectors'."""
        return not self.missing(Root.WORDS) or Root.VECTORS not in self.troubles

    def words_of(self, segment: int) -> Times:
        """(N, 2) the words that a segment owns.

        No midpoint is near a boundary, so there is nothing to round. A segment that holds no midpoint is either
        silent throughout or an instant inside a word.
        """
        if not self.words_known:
            return np.empty((0, 2))
        words = self.timeline.words
        start_s, end_s = self.label_times[segment]
        first, last = np.searchsorted(self.timeline.midpoints, [start_s, end_s])
        if first < last:
            return words[first:last]
        around = (words[:, 0] <= start_s) & (end_s < words[:, 1])
        return np.asarray(words[around])

    def steps_of(self, segment: int) -> Times:
        """(N, 2) the steps of a segment: its words, else quarter seconds."""
        words = self.words_of(segment)
        return words if len(words) else uniform_steps(*self.label_times[segment].tolist())

    def state_of(self, root: Root, segment: int) -> State | None:
        """What becomes of the frames of `root` in a segment with a usable label; None if in doubt."""
        if root in self.troubles:
            return self.troubles[root].state
        return state_in(self.stream(root), float(self.label_times[segment, 0]), self.steps_of(segment))

    def row_of(self, segment: int) -> int:
        """The row of the label file that tells of a segment."""
        return int(np.flatnonzero(self.label_order == segment)[0])

    @property
    def sound(self) -> list[int]:
        """The segments with a usable label."""
        return [i for i, reason in enumerate(self.label_reasons) if reason is None]

    @property
    def unmoved(self) -> list[int]:
        """The segments with a usable label whose times no defect has changed."""
        moved = (self.label_times != self.timeline.segments).any(axis=1)
        return [i for i in self.sound if not moved[i]]


def sound_plan(
    recipe: Recipe, identity: Identity, random: VideoRandom, *, at_least: int = 1, from_start: bool | None = None
) -> VideoPlan:
    """Plan a video without defects. `at_least` and `from_start`: see `timeline.lay_out`."""
    times = interval_dtypes(recipe.seed)[Root.LABELS]
    timeline = lay_out(recipe, times, random.timeline, at_least=at_least, from_start=from_start)
    count = len(timeline.segments)
    speaker = make_speaker(recipe, identity.speaker)
    annotation = annotate(recipe, speaker.prior, count, random.labels)
    order = random.labels.permutation(count) if random.labels.random() < 0.5 else np.arange(count)
    return VideoPlan(
        identity,
        timeline,
        annotation,
        label_order=order,
        label_times=timeline.segments,
        label_values=annotation.values,
        label_reasons=(None,) * count,
        audio=whole_stream(timeline.duration_s),
        video=whole_stream(timeline.duration_s),
    )


@lru_cache(maxsize=8)
def interval_dtypes(seed: int) -> Mapping[Root, npt.DTypeLike]:
    """What each file stores its times as: float64 for words and vectors, one or the other elsewhere, as in life."""
    rng = side_random(seed, Purpose.FILES)
    chosen = [np.float32 if rng.random() < 0.5 else np.float64 for _ in range(3)]
    return {
        Root.WORDS: np.float64,
        Root.VECTORS: np.float64,
        **dict(zip((Root.AUDIO, Root.VIDEO, Root.LABELS), chosen, strict=True)),
    }
