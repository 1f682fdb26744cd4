"""Keep or drop: the truth tables of the two policies, and how much coverage is enough."""

import itertools
import math

import pytest

from mosei_align.alignment.policies import decide, modality_state, steps_needed
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import MODALITIES, Reason, State, StepSource

STRICT, MASKED = BuildSettings(policy="strict"), BuildSettings(policy="masked")
MISSING = {"text": Reason.NO_TEXT, "audio": Reason.NO_AUDIO, "video": Reason.NO_VIDEO}
SOURCES = list(StepSource)


@pytest.mark.parametrize("steps_from", SOURCES)
@pytest.mark.parametrize("there", list(itertools.product([True, False], repeat=3)))
def test_strict_wants_words_and_every_modality(there: tuple[bool, bool, bool], steps_from: StepSource) -> None:
    states = {name: State.OK if ok else State.NO_OVERLAP for name, ok in zip(MODALITIES, there, strict=True)}
    if steps_from is not StepSource.WORDS:
        expected: Reason | None = Reason.NO_WORDS
    else:
        absent = [name for name, ok in zip(MODALITIES, there, strict=True) if not ok]
        expected = MISSING[absent[0]] if absent else None
    assert decide(STRICT, states, steps_from) is expected


@pytest.mark.parametrize("steps_from", SOURCES)
@pytest.mark.parametrize("names", [n for k in (1, 2, 3) for n in itertools.combinations(MODALITIES, k)])
def test_masked_wants_one_modality(names: tuple[str, ...], steps_from: StepSource) -> None:
    for there in itertools.product([True, False], repeat=len(names)):
        states = {name: State.OK if ok else State.ALL_INVALID for name, ok in zip(names, there, strict=True)}
        reason = decide(MASKED, states, steps_from)
        if any(there):
            assert reason is None
        elif names == ("text",) and steps_from is not StepSource.WORDS:
            assert reason is Reason.NO_WORDS
        else:
            assert reason is Reason.NOTHING_OBSERVED


@pytest.mark.parametrize("state", [s for s in State if s is not State.OK])
def test_every_state_but_ok_means_absent(state: State) -> None:
    whole = dict.fromkeys(MODALITIES, State.OK)
    assert decide(STRICT, {**whole, "audio": state}, StepSource.WORDS) is Reason.NO_AUDIO
    assert decide(MASKED, {"audio": state}, StepSource.WORDS) is Reason.NOTHING_OBSERVED


@pytest.mark.parametrize("at_least", [1, 4])
def test_steps_needed_is_the_larger_of_count_and_share(at_least: int) -> None:
    for percent in range(101):
        chosen = BuildSettings(min_coverage_steps=at_least, min_coverage_share=percent / 100)
        for steps in range(250):
            assert steps_needed(chosen, steps) == max(at_least, -(-percent * steps // 100)), (percent, steps)


def test_steps_needed_of_thirds() -> None:
    for steps in range(300):
        chosen = BuildSettings(min_coverage_share=1 / 3)
        assert steps_needed(chosen, steps) == max(1, math.ceil(steps / 3))


@pytest.mark.parametrize("video_state", [s for s in State if s is not State.OK])
def test_trouble_with_the_whole_video_is_what_the_segment_says(video_state: State) -> None:
    assert modality_state(video_state, 0, 0, 1) is video_state


@pytest.mark.parametrize(
    ("frames", "valid_steps", "needed", "state"),
    [
        (5, 1, 1, State.OK),
        (5, 3, 3, State.OK),
        (0, 3, 3, State.OK),
        (5, 2, 3, State.LOW_COVERAGE),
        (0, 2, 3, State.LOW_COVERAGE),
        (5, 0, 1, State.ALL_INVALID),
        (0, 0, 1, State.NO_OVERLAP),
    ],
)
def test_the_state_of_a_modality_in_a_segment(frames: int, valid_steps: int, needed: int, state: State) -> None:
    assert modality_state(State.OK, frames, valid_steps, needed) is state
