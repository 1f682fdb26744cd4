"""Audio and video frames: noise on very different scales, a speaker's offset, and what each segment adds.

Legend: F = frames, D = columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.identity import NONE, make_speaker
from mosei_align.synthetic.noise import Noise, take_noise
from mosei_align.synthetic.plan import Root, VideoPlan
from mosei_align.synthetic.planting import Damage, Indices, among, draw_damage
from mosei_align.synthetic.randomness import Purpose, side_random
from mosei_align.synthetic.recipe import Recipe
from mosei_schemas.labels import EMOTIONS
from mosei_schemas.names import MODALITIES

Frames = npt.NDArray[np.float32]

_EMOTION_NORM: Final = 3.0
_SENTIMENT_NORM: Final = 0.3
_SEGMENT_SPREAD: Final = 0.5
_FACET_LIMIT: Final = 8.0


@dataclass(frozen=True, slots=True)
class Law:
    """How one modality's frames come about; the same for every seed.

    Attributes:
        scale, centre: (D,) float32, one standard deviation of a frame and the mean, in the column's own unit.
        emotions: (6, D) float32 directions in standard deviations of a frame.
        sentiment: (D,) likewise, for one point of sentiment.
        limit: values are cut to +- this; None leaves them.
    """

    scale: Frames
    centre: Frames
    emotions: Frames
    sentiment: Frames
    limit: float | None


@cache
def make_law(root: Root, width: int) -> Law:
    """The law of `Root.AUDIO` or `Root.VIDEO` with `width` columns."""
    rng = side_random(1 if root is Root.AUDIO else 2, Purpose.LAW, width)
    if root is Root.AUDIO:
        # COVAREP: the pitch in hundreds of Hz, the other columns anything from thousandths to tens.
        scale = 10 ** rng.uniform(-2.5, 1.3, width)
        centre = scale * rng.uniform(-2, 2, width)
        scale[0], centre[0] = 35.0, 180.0
    else:
        scale, centre = rng.uniform(0.5, 1.4, width), rng.uniform(-1.5, 1.5, width)
    directions = np.linalg.qr(rng.standard_normal((width, len(EMOTIONS) + 1)))[0].T
    emotions, sentiment = _EMOTION_NORM * directions[:-1], _SENTIMENT_NORM * directions[-1]
    limit = None if root is Root.AUDIO else _FACET_LIMIT
    return Law(_single(scale), _single(centre), _single(emotions), _single(sentiment), limit)


@dataclass(frozen=True, slots=True)
class FrameSource:
    """(F, D) float32, the frames of a video up to where its stream stops, with their damage.

    Attributes:
        noise: (F, D).
        count: F.
        scale: (D,) what a standard deviation is in the column's own unit.
        base: (D,) what every frame is about: the law's centre and the speaker's offset.
        spans: (S, 2) first and last + 1 of each segment's frames.
        additions: (S, D) what each segment adds to its frames.
        limit: values are cut to +- this before they are damaged; None leaves them.
        damage: what the plan does to them.
    """

    noise: Noise
    count: int
    scale: Frames
    base: Frames
    spans: Indices
    additions: Frames
    limit: float | None
    damage: Damage

    @property
    def shape(self) -> tuple[int, int]:
        """F, D."""
        return self.count, len(self.base)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32."""
        return np.dtype(np.float32)

    def make(self, start: int, stop: int) -> Frames:
        """(stop - start, D) the frames from `start` up to `stop`."""
        frames = self.noise.rows(start, stop)
        frames *= self.scale
        frames += self.base
        inside = np.clip(self.spans, start, stop) - start
        for segment in np.flatnonzero(inside[:, 0] < inside[:, 1]):
            first, last = inside[segment]
            frames[first:last] += self.additions[segment]
        if self.limit is not None:
            np.clip(frames, -self.limit, self.limit, out=frames)
        self.damage.apply(frames, start)
        return frames


@dataclass(frozen=True, slots=True)
class TimeSource:
    """(F, 2) start and end in seconds of each frame of a stream.

    Attributes:
        count: F.
        rate_hz: frames a second.
        stored_as: the floating type.
        untimed: frames whose interval is NaN, ascending.
    """

    count: int
    rate_hz: float
    stored_as: npt.DTypeLike
    untimed: Indices

    @property
    def shape(self) -> tuple[int, int]:
        """F, 2."""
        return self.count, 2

    @property
    def dtype(self) -> np.dtype[Any]:
        """`stored_as`."""
        return np.dtype(self.stored_as)

    def make(self, start: int, stop: int) -> npt.NDArray[np.floating]:
        """(stop - start, 2) the intervals from `start` up to `stop`."""
        edges = (np.arange(start, stop + 1) / self.rate_hz).astype(self.stored_as)
        times = np.stack([edges[:-1], edges[1:]], axis=1)
        times[among(self.untimed, start, stop)] = np.nan
        return times


def frame_sources(
    recipe: Recipe, root: Root, plan: VideoPlan, stored_as: npt.DTypeLike, rng: np.random.Generator
) -> tuple[FrameSource, TimeSource]:
    """The frames of a video and their intervals, damaged as planned, not made yet.

    Args:
        recipe: strengths and rates.
        root: `Root.AUDIO` or `Root.VIDEO`.
        plan: the video.
        stored_as: the floating type of the intervals.
        rng: the video's stream.
    """
    rate_hz, stream = frame_rate(recipe, root), plan.stream(root)
    width = recipe.audio_width if root is Root.AUDIO else recipe.video_width
    law = make_law(root, width)
    speaker = make_speaker(recipe, plan.identity.speaker)
    offset = speaker.audio if root is Root.AUDIO else speaker.video
    count = int(min(stream.stops_s, plan.timeline.duration_s) * rate_hz)
    noise = take_noise(rng, count, width)
    additions = law.scale * _additions(recipe, law, root, plan, rng)
    damage, untimed = draw_damage(stream, count, width, rate_hz, rng, faces=root is Root.VIDEO)
    starts, ends = plan.timeline.segments.T * rate_hz
    spans = np.stack([np.ceil(starts), np.maximum(np.trunc(ends), 0)], axis=1).astype(np.int64)
    base = law.centre + law.scale * offset
    frames = FrameSource(noise, count, law.scale, base, spans, additions, law.limit, damage)
    return frames, TimeSource(count, rate_hz, stored_as, untimed)


def frame_rate(recipe: Recipe, root: Root) -> float:
    """Frames a second of `Root.AUDIO` or `Root.VIDEO`."""
    return recipe.audio_rate_hz if root is Root.AUDIO else recipe.video_rate_hz


def _single(values: npt.NDArray[np.floating]) -> Frames:
    return values.astype(np.float32)


def _additions(recipe: Recipe, law: Law, root: Root, plan: VideoPlan, rng: np.random.Generator) -> Frames:
    """(S, D) what each segment adds to its frames: its class, its sentiment, and something of its own."""
    annotation = plan.annotation
    own = rng.normal(0, _SEGMENT_SPREAD, (len(annotation.classes), len(law.scale))).astype(np.float32)
    modality = MODALITIES.index("audio" if root is Root.AUDIO else "video")
    strength = np.where(annotation.decided_by == modality, recipe.strong, recipe.weak).astype(np.float32)
    directions = np.concatenate([law.emotions, np.zeros_like(law.emotions[:1])])
    assert len(directions) == NONE + 1
    return np.asarray(
        own + strength[:, None] * directions[annotation.classes] + annotation.values[:, :1] * law.sentiment
    )
