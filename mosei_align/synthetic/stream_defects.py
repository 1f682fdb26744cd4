"""Defects of the audio and video frames: what is damaged, silent, out of order or there twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np

from mosei_align.synthetic.coverage import clear_steps, kill, stop
from mosei_align.synthetic.plan import Root, VideoPlan
from mosei_schemas.names import State

_Planner = Callable[[VideoPlan, np.random.Generator], VideoPlan | None]

_FACELESS_MARGIN_S: Final = 0.2
_STOP_BEFORE_WORD_S: Final = 0.05
_SCATTERED_SHARE: Final = 0.02
_BOTH: Final = (Root.AUDIO, Root.VIDEO)


def beyond_doubt(plan: VideoPlan) -> bool:
    """Whether the fate of both streams is clear in every segment with a usable label."""
    return all(plan.state_of(root, i) is not None for root in (Root.AUDIO, Root.VIDEO) for i in plan.sound)


def _inf_everywhere(plan: VideoPlan, _rng: np.random.Generator) -> VideoPlan | None:
    if Root.AUDIO in plan.troubles:
        return None
    return replace(plan, audio=kill(plan.audio, -np.inf, np.inf)).recorded("inf_everywhere", Root.AUDIO, column=7)


def _audio_stops(plan: VideoPlan, _rng: np.random.Generator) -> VideoPlan | None:
    """The sound ends shortly before the word nearest to the middle at which no segment's fate is in doubt."""
    if Root.AUDIO in plan.troubles:
        return None
    starts = plan.timeline.words[:, 0]
    for at_s in starts[np.argsort(np.abs(starts - plan.timeline.duration_s / 2))] - _STOP_BEFORE_WORD_S:
        if at_s > 1.0:
            stopped = replace(plan, audio=stop(plan.audio, float(at_s)))
            if beyond_doubt(stopped):
                return stopped.recorded("audio_stops", Root.AUDIO, at_s=float(at_s))
    return None


def _no_face(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
    """No face in one or more segments, each of whose neighbours keeps two steps or more, if it had them."""
    if Root.VIDEO in plan.troubles or not plan.sound:
        return None
    most = 1 + int(rng.binomial(len(plan.sound) - 1, 0.25))
    faceless: list[int] = []
    for segment in rng.permutation(plan.sound).tolist():
        if len(faceless) < most:
            worse = _without_face(plan, segment)
            if _only_one_lost(plan, worse, segment):
                plan, faceless = worse, [*faceless, segment]
    rows = sorted(plan.row_of(i) for i in faceless)
    return plan.recorded("no_face", Root.VIDEO, rows=rows) if rows else None


def _without_face(plan: VideoPlan, segment: int) -> VideoPlan:
    steps = np.concatenate([plan.steps_of(segment), plan.label_times[[segment]]])
    start_s, end_s = steps[:, 0].min() - _FACELESS_MARGIN_S, steps[:, 1].max() + _FACELESS_MARGIN_S
    return replace(plan, video=kill(plan.video, float(start_s), float(end_s)))


def _only_one_lost(before: VideoPlan, after: VideoPlan, segment: int) -> bool:
    if not beyond_doubt(after) or after.state_of(Root.VIDEO, segment) is not State.ALL_INVALID:
        return False
    others = [i for i in before.sound if i != segment and before.state_of(Root.VIDEO, i) is State.OK]
    return all(
        clear_steps(after.video, steps) >= min(2, clear_steps(before.video, steps))
        for steps in map(after.steps_of, others)
    )


def _no_face_at_start(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
    if Root.VIDEO in plan.troubles:
        return None
    for until_s in (float(rng.uniform(0.1, 1.5)), 0.1):
        worse = replace(plan, video=kill(plan.video, -1.0, until_s))
        same = (worse.state_of(Root.VIDEO, i) is plan.state_of(Root.VIDEO, i) for i in plan.sound)
        if all(same):
            return worse.recorded("no_face_at_start", Root.VIDEO, until_s=until_s)
    return None


def _anywhere(kind: str, roots: tuple[Root, ...], **change: Any) -> _Planner:
    """A change to one of the streams that costs no segment its last valid step."""

    def plant(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
        sound = [root for root in roots if root not in plan.troubles]
        if not sound:
            return None
        root = sound[int(rng.integers(len(sound)))]
        return plan.with_stream(root, replace(plan.stream(root), **change)).recorded(kind, root)

    return plant


def _nan_intervals(plan: VideoPlan, rng: np.random.Generator) -> VideoPlan | None:
    # A label of no length touches a single frame; without its time, whether any frame overlaps the label is moot.
    if any(plan.label_times[i, 0] == plan.label_times[i, 1] for i in plan.sound):
        return None
    return _anywhere("nan_intervals", _BOTH, nan_time_share=_SCATTERED_SHARE)(plan, rng)


NOISE: Final = ("nan_audio", "inf_audio", "nan_video", "no_face_at_start")
"""Kinds that many videos have, and that cost no segment its modality."""

PLANNERS: Final[Mapping[str, _Planner]] = {
    "inf_everywhere": _inf_everywhere,
    "audio_stops": _audio_stops,
    "no_face": _no_face,
    "no_face_at_start": _no_face_at_start,
    "nan_intervals": _nan_intervals,
    "unsorted_frames": _anywhere("unsorted_frames", _BOTH, shuffled=True),
    "repeated_id": _anywhere("repeated_id", _BOTH, repeated=True),
    "nan_audio": _anywhere("nan_frames", (Root.AUDIO,), nan_share=_SCATTERED_SHARE),
    "inf_audio": _anywhere("inf_frames", (Root.AUDIO,), inf_share=_SCATTERED_SHARE / 4),
    "nan_video": _anywhere("nan_frames", (Root.VIDEO,), nan_share=_SCATTERED_SHARE),
}
"""Planners by the name of their rate; see `defects.PLANNERS`."""
