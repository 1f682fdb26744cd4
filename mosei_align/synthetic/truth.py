"""What must become of every planted segment: worked out from the plan alone, and written as the corpus is made."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, Final, Self

from mosei_align.synthetic.identity import NONE
from mosei_align.synthetic.plan import Root, VideoPlan
from mosei_align.synthetic.recipe import Recipe
from mosei_schemas.labels import EMOTIONS
from mosei_schemas.names import MODALITIES, Reason, State

TRUTH_FORMAT: Final = "mosei-align truth"
TRUTH_VERSION: Final = 1
NO_EMOTION: Final = "none"
"""The emotion of a segment whose six intensities are all zero."""


@dataclass(frozen=True, slots=True)
class SegmentTruth:
    """One labelled segment: what was planted, and what a build must make of it.

    Attributes:
        segment_id: `video_id[label_row]`.
        label_row: its row in the label file.
        start_s, end_s: seconds, as the label file has them.
        emotion: the first of the strongest emotions, or `none`.
        tied: another emotion is as strong.
        decided_by: the modality that was given the strong signal, before any defect.
        words: the words that the segment owns; 0 where its label is not usable.
        text, audio, video: a `State` each, with one valid step as enough.
        strict, masked: the `Reason` to drop it under that policy, None where it is kept.
    """

    segment_id: str
    video_id: str
    label_row: int
    start_s: float
    end_s: float
    emotion: str
    tied: bool
    decided_by: str
    words: int
    text: State
    audio: State
    video: State
    strict: Reason | None
    masked: Reason | None


@dataclass(frozen=True, slots=True)
class Account:
    """What `truth.json` says of one video.

    Attributes:
        segments: a JSON object for each of its segments.
        video: a JSON object for the video.
        strict, masked: how many segments are kept (key None) or dropped, by reason, under each policy.
    """

    segments: tuple[str, ...]
    video: str
    strict: Mapping[str | None, int]
    masked: Mapping[str | None, int]


def account(plan: VideoPlan) -> Account:
    """The account of one video."""
    truths = list(segment_truths(plan))
    return Account(
        tuple(json.dumps(asdict(truth)) for truth in truths),
        json.dumps(video_truth(plan)),
        Counter(truth.strict for truth in truths),
        Counter(truth.masked for truth in truths),
    )


def segment_truths(plan: VideoPlan) -> Iterator[SegmentTruth]:
    """The truth of a video's segments, in the order of the label file; none where it is not in that file."""
    if plan.labelled:
        yield from (_segment_truth(plan, row, int(i)) for row, i in enumerate(plan.label_order))


def video_truth(plan: VideoPlan) -> dict[str, Any]:
    """What `truth.json` says of a video."""
    overlaps = int((plan.timeline.segments[1:, 0] < plan.timeline.segments[:-1, 1]).sum())
    return {
        "video_id": plan.identity.video_id,
        "speaker_id": plan.identity.speaker_id,
        "labelled": plan.labelled,
        "labels_unsorted": bool((plan.label_order[1:] < plan.label_order[:-1]).any()),
        "labels_overlapping": overlaps,
        "defects": [{"kind": d.kind, "sequence": str(d.sequence), **d.details} for d in plan.defects],
    }


class TruthFile:
    """`truth.json` in the making: one JSON document with a line for each segment and each video.

    A context manager; the document is complete when the block ends.
    """

    def __init__(self, path: Path, recipe: Recipe) -> None:
        self._path, self._recipe = path, recipe
        self._separator = {"segments": "\n", "videos": "\n"}

    def __enter__(self) -> Self:
        self._segments: IO[str] = self._path.open("w", encoding="utf-8")
        # The videos come after the segments in the document, so they wait in a file of their own.
        self._videos: IO[str] = TemporaryFile("w+", encoding="utf-8", dir=self._path.parent)
        head = {
            "format": TRUTH_FORMAT,
            "version": TRUTH_VERSION,
            "recipe": asdict(self._recipe),
            "signal_shares": dict(zip(MODALITIES, self._recipe.signal_shares, strict=True)),
        }
        self._segments.write(json.dumps(head, indent=1)[:-2] + ',\n "segments": [')
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._segments, self._videos:
            if error is None:
                self._segments.write('\n ],\n "videos": [')
                self._videos.seek(0)
                self._segments.writelines(self._videos)
                self._segments.write("\n ]\n}\n")

    def add(self, told: Account) -> None:
        """Write down one video."""
        for line in told.segments:
            self._line(self._segments, "segments", line)
        self._line(self._videos, "videos", told.video)

    def _line(self, stream: IO[str], which: str, line: str) -> None:
        stream.write(f"{self._separator[which]}  {line}")
        self._separator[which] = ",\n"


def _segment_truth(plan: VideoPlan, row: int, segment: int) -> SegmentTruth:
    label = plan.label_reasons[segment]
    words = 0 if label is not None else len(plan.words_of(segment))
    states = _states(plan, segment, words)
    emotion = int(plan.annotation.classes[segment])
    start_s, end_s = plan.label_times[segment].tolist()
    return SegmentTruth(
        f"{plan.identity.video_id}[{row}]",
        plan.identity.video_id,
        row,
        start_s,
        end_s,
        emotion=NO_EMOTION if emotion == NONE else EMOTIONS[emotion],
        tied=bool(plan.annotation.tied[segment]),
        decided_by=MODALITIES[int(plan.annotation.decided_by[segment])],
        words=words,
        **states,
        strict=label or _strict(words, states),
        masked=label or (None if State.OK in states.values() else Reason.NOTHING_OBSERVED),
    )


def _states(plan: VideoPlan, segment: int, words: int) -> dict[str, State]:
    """Text, audio and video, in this order."""
    if plan.label_reasons[segment] is not None:
        return dict.fromkeys(MODALITIES, State.NOT_ALIGNED)
    if Root.VECTORS in plan.troubles:
        text = plan.troubles[Root.VECTORS].state
    else:
        text = State.OK if words else State.NO_OVERLAP
    audio, video = plan.state_of(Root.AUDIO, segment), plan.state_of(Root.VIDEO, segment)
    assert audio is not None
    assert video is not None
    return {"text": text, "audio": audio, "video": video}


def _strict(words: int, states: Mapping[str, State]) -> Reason | None:
    if not words:
        return Reason.NO_WORDS
    missing = {"text": Reason.NO_TEXT, "audio": Reason.NO_AUDIO, "video": Reason.NO_VIDEO}
    return next((missing[name] for name in MODALITIES if states[name] is not State.OK), None)
