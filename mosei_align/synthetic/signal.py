"""Audio and video frames: noise on very different scales, a speaker's offset, and what each segment adds.

Legend: F = frames, D = columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from mosei_align.synthetic.identity import NONE
from mosei_align.synthetic.plan import Root, VideoPlan
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


def make_frames(
    recipe: Recipe, law: Law, root: Root, plan: VideoPlan, offset: Frames, rng: np.random.Generator
) -> Frames:
    """(F, D) the frames of a video up to where its stream stops, without damage.

    Args:
        recipe: strengths and rates.
        law: of `root`.
        root: `Root.AUDIO` or `Root.VIDEO`.
        plan: the video.
        offset: (D,) the speaker's, in standard deviations of a frame.
        rng: the video's stream.
    """
    rate_hz = frame_rate(recipe, root)
    count = int(min(plan.stream(root).stops_s, plan.timeline.duration_s) * rate_hz)
    frames = _noise((count, len(offset)), rng)
    frames *= law.scale
    frames += law.centre + law.scale * offset
    for (start_s, end_s), addition in zip(
        plan.timeline.segments, _additions(recipe, law, root, plan, rng), strict=True
    ):
        frames[int(np.ceil(start_s * rate_hz)) : max(int(end_s * rate_hz), 0)] += law.scale * addition
    if law.limit is not None:
        np.clip(frames, -law.limit, law.limit, out=frames)
    return frames


def frame_times(count: int, rate_hz: float, dtype: npt.DTypeLike) -> npt.NDArray[np.floating]:
    """(F, 2) start and end of each of `count` frames in seconds."""
    edges = (np.arange(count + 1) / rate_hz).astype(dtype)
    return np.stack([edges[:-1], edges[1:]], axis=1)


def frame_rate(recipe: Recipe, root: Root) -> float:
    """Frames a second of `Root.AUDIO` or `Root.VIDEO`."""
    return recipe.audio_rate_hz if root is Root.AUDIO else recipe.video_rate_hz


@cache
def _quantiles() -> Frames:
    """(65,536,) evenly spaced quantiles of the standard normal law."""
    count = 2**16
    return np.array([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)], np.float32)


def _noise(shape: tuple[int, int], rng: np.random.Generator) -> Frames:
    """Standard normal noise, picked from a table: twice as fast as numpy's own, which would be the wall."""
    return _quantiles()[rng.integers(0, 2**16, shape, dtype=np.uint16)]


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
