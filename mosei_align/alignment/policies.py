"""Keep or drop: the policies, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import MODALITIES, Reason, State, StepSource

MISSING: Final = {"text": Reason.NO_TEXT, "audio": Reason.NO_AUDIO, "video": Reason.NO_VIDEO}
"""The reason to drop a segment that lacks a modality it needs."""


def steps_needed(settings: BuildSettings, steps: int) -> int:
    """How many of a segment's steps must be valid in a modality for it to count as there."""
    return max(settings.min_coverage_steps, math.ceil(settings.min_coverage_share * steps - 1e-9))


def modality_state(video_state: State, frames: int, valid_steps: int, needed: int) -> State:
    """What became of one modality in one segment.

    Args:
        video_state: what became of it in the whole video.
        frames: its rows that overlap the segment.
        valid_steps: steps with a valid vector.
        needed: see `steps_needed`.
    """
    if video_state is not State.OK:
        return video_state
    if valid_steps >= needed:
        return State.OK
    if valid_steps:
        return State.LOW_COVERAGE
    return State.ALL_INVALID if frames else State.NO_OVERLAP


def decide(settings: BuildSettings, states: Mapping[str, State], steps_from: StepSource) -> Reason | None:
    """None to keep the segment, else the reason to drop it.

    strict: the segment has words (or frames, where the steps are frames) and every modality is there; the first that
    is not gives the reason, in the order text, audio, video. masked: at least one modality is there.

    Args:
        settings: the build's configuration.
        states: state of every modality that the dataset has.
        steps_from: where the segment's steps come from.
    """
    wordless = settings.steps == "words" and steps_from is not StepSource.WORDS
    if settings.policy == "strict":
        if wordless:
            return Reason.NO_WORDS
        if settings.frames_of is not None and steps_from is not StepSource.FRAMES:
            return MISSING[settings.frames_of]
        return next((MISSING[name] for name in MODALITIES if states[name] is not State.OK), None)
    if State.OK in states.values():
        return None
    return Reason.NO_WORDS if wordless and set(states) == {"text"} else Reason.NOTHING_OBSERVED
