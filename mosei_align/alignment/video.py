"""Aligning one video: label rows in, kept segments and ledger rows out.

Legend: S = steps of a segment, D = width of a modality, K = label columns.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from mosei_align.alignment.frames import (
    Bools,
    Features,
    Frames,
    FrameTally,
    check_frames,
    count_frames,
    step_means,
    zero_rows,
)
from mosei_align.alignment.policies import decide, modality_state, steps_needed
from mosei_align.alignment.steps import SAME_TIME_S, Steps, Words, find_words, match, step_modality, video_steps
from mosei_align.intervals import Indices, Seconds, Spans
from mosei_align.sources.labels import LabelRows
from mosei_align.sources.sequence import Readable, SequenceFacts, VideoSequence
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import Reason, State, StepSource

_NONE: Final = np.empty(0, np.float64)
_NO_ROWS: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class ModalityRow:
    """What the ledger says of one modality in one segment."""

    state: State
    frames: int = 0
    invalid_frames: int = 0
    valid_steps: int = 0


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One labelled segment, kept (reason None) or dropped."""

    video_id: str
    label_row: int
    start_s: float
    end_s: float
    reason: Reason | None
    steps_from: StepSource
    steps: int
    modalities: dict[str, ModalityRow]
    detail: str | None = None

    @property
    def segment_id(self) -> str:
        """The video's id with the number of the label row, as mmsdk writes it."""
        return f"{self.video_id}[{self.label_row}]"


@dataclass(frozen=True, slots=True)
class Segment:
    """One kept segment.

    Attributes:
        row: its ledger row.
        labels: (K,) raw.
        steps: its steps.
        features: modality -> (S, D) means and (S,) validity; zeros where not valid.
        mmsdk_rows: policy mmsdk: modality -> (R,) the step of each of mmsdk's rows, (R,) its start and (R,) its end.
    """

    row: LedgerRow
    labels: npt.NDArray[np.float32]
    steps: Steps
    features: dict[str, tuple[Features, Bools]]
    mmsdk_rows: dict[str, tuple[Indices, Seconds, Seconds]] = field(default_factory=dict)


class MmsdkLoss(NamedTuple):
    """A key that a stage of mmsdk's recipe lost, in mmsdk's own terms."""

    stage: str
    sequence: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True)
class AlignedVideo:
    """All labelled segments of one video, and what was found in its sequences."""

    ledger: list[LedgerRow]
    segments: list[Segment]
    sequences: dict[str, SequenceFacts]
    tallies: dict[str, FrameTally]
    losses: list[MmsdkLoss] = field(default_factory=list)


def align_video(
    video_id: str,
    labels: LabelRows,
    streams: Mapping[str, Readable],
    words: VideoSequence | None,
    settings: BuildSettings,
) -> AlignedVideo:
    """Align every labelled segment of one video; only features that a segment or a step touches are read.

    Args:
        video_id: the video.
        labels: its label rows.
        streams: modality -> its rows, for every modality the dataset has, in the order text, audio, video.
        words: its rows of the word sequence, None where the corpus has none.
        settings: the build's configuration.
    """
    sound = [row for row, problem in enumerate(labels.problems) if problem is None]
    starts, ends = labels.start_s[sound], labels.end_s[sound]
    text = _text_for_words(words, streams)
    spoken = find_words(words, text, None if text is None else zero_rows(text.features), settings.pause_token)
    stepped = streams.get(settings.frames_of) if settings.frames_of else None
    steps = video_steps(settings, spoken, stepped, starts, ends)
    if settings.steps == "words" and set(streams) == {"text"}:
        # Where text is all there is, a segment without words has nothing that uniform steps could hold.
        steps = [s if s.source is StepSource.WORDS else Steps(StepSource.NONE, _NONE, _NONE) for s in steps]
    spans = _needed(steps, starts, ends)
    sequences = {
        name: text if name == "text" and text is not None else stream.read(spans) for name, stream in streams.items()
    }
    frames = {
        name: check_frames(sequence, nonfinite=settings.nonfinite, zero_is_invalid=name in ("text", "video"))
        for name, sequence in sequences.items()
        if sequence.state is State.OK
    }
    facts = {name: sequence.facts for name, sequence in sequences.items()}
    aligned = AlignedVideo([], [], facts, {name: checked.tally for name, checked in frames.items()})
    found = _Aligner(settings, sequences, frames, spoken, steps, starts, ends).all_modalities()
    place_of = {row: k for k, row in enumerate(sound)}
    for row, problem in enumerate(labels.problems):
        place = (video_id, row, float(labels.start_s[row]), float(labels.end_s[row]))
        if problem is not None:
            states = {name: ModalityRow(State.NOT_ALIGNED) for name in streams}
            aligned.ledger.append(LedgerRow(*place, problem, StepSource.NONE, 0, states))
            continue
        k = place_of[row]
        entry, features = _decide(settings, place, steps[k], {name: parts[k] for name, parts in found.items()})
        aligned.ledger.append(entry)
        if entry.reason is None:
            aligned.segments.append(Segment(entry, labels.values[row], steps[k], features))
    return aligned


def _text_for_words(words: VideoSequence | None, streams: Mapping[str, Readable]) -> VideoSequence | None:
    """The text read whole, where its rows have to tell the words; None where a word sequence does."""
    if "text" not in streams or (words is not None and words.state is State.OK):
        return None
    return streams["text"].read()


def _needed(steps: list[Steps], starts: Seconds, ends: Seconds) -> Spans:
    """The stretches of a video that a labelled segment or one of its steps covers.

    A word's vector may have times that differ a little (see `match`): where the word is too short to overlap it, the
    stretch is longer.
    """
    step_starts = np.concatenate([_NONE, *(s.start_s for s in steps)])
    step_ends = np.concatenate([_NONE, *(s.end_s for s in steps)])
    more = np.where(step_ends - step_starts < SAME_TIME_S, SAME_TIME_S, 0)
    return Spans.covering(np.concatenate([starts, step_starts - more]), np.concatenate([ends, step_ends + more]))


@dataclass(frozen=True, slots=True)
class _Found:
    """One modality in one segment."""

    video_state: State
    values: Features
    valid: Bools
    valid_steps: int
    frames: int
    invalid_frames: int


@dataclass(frozen=True, slots=True)
class _Aligner:
    """A video's checked modalities; all steps of all its segments are filled at once."""

    settings: BuildSettings
    sequences: Mapping[str, VideoSequence]
    frames: Mapping[str, Frames]
    words: Words | None
    steps: list[Steps]
    starts: Seconds
    ends: Seconds

    def all_modalities(self) -> dict[str, list[_Found]]:
        """Modality -> what was found in each segment."""
        found = {}
        bounds = np.concatenate(([0], np.cumsum([len(s) for s in self.steps], dtype=np.int64)))
        pieces = [slice(a, b) for a, b in itertools.pairwise(bounds.tolist())]
        starts = np.concatenate([_NONE, *(s.start_s for s in self.steps)])
        ends = np.concatenate([_NONE, *(s.end_s for s in self.steps)])
        for name, sequence in self.sequences.items():
            values, valid = self._fill(name, sequence, starts, ends)
            valid_steps = np.diff(np.concatenate(([0], np.cumsum(valid)))[bounds]).tolist()
            counts = zip(pieces, valid_steps, *(c.tolist() for c in self._count(name)), strict=True)
            found[name] = [_Found(sequence.state, values[piece], valid[piece], *count) for piece, *count in counts]
        return found

    def _fill(self, name: str, sequence: VideoSequence, starts: Seconds, ends: Seconds) -> tuple[Features, Bools]:
        frames = self.frames.get(name)
        if frames is None:
            return np.zeros((len(starts), sequence.features.shape[1]), np.float32), np.zeros(len(starts), np.bool_)
        own = self._own_rows(name, sequence)
        if (own < 0).all():
            return step_means(frames, starts, ends)
        # A word's vector is its own row: the mean over what overlaps would mix neighbours whose times touch. A word
        # that has no row of its own (other times, as contextual embeddings may have) takes the mean.
        values, valid = frames.features[own], frames.valid[own] & ~frames.partial[own]
        values[~valid] = 0
        rest = own < 0
        if rest.any():
            values[rest], valid[rest] = step_means(frames, starts[rest], ends[rest])
        return values, valid

    def _own_rows(self, name: str, sequence: VideoSequence) -> Indices:
        """For every step the row of `sequence` that it is, -1 where it is none."""
        own = np.concatenate([_NO_ROWS, *(np.full(len(s), -1) if s.own is None else s.own for s in self.steps)])
        if name != step_modality(self.settings):
            return np.full(len(own), -1)
        made_of = own >= 0
        if self.settings.steps == "frames":
            own[made_of] = sequence.places(own[made_of])
        elif self.words is not None:
            rows = self.words.text_rows
            rows = match(self.words.start_s, self.words.end_s, sequence) if rows is None else rows
            own[made_of] = rows[own[made_of]]
        return own

    def _count(self, name: str) -> tuple[Indices, Indices]:
        """How many rows overlap each segment, how many of them are invalid; a text row of zeros is a pause, no row."""
        frames = self.frames.get(name)
        if frames is None:
            return np.zeros(len(self.starts), np.int64), np.zeros(len(self.starts), np.int64)
        counted = ~frames.zero if name == "text" else np.ones(len(frames.zero), np.bool_)
        return count_frames(frames, self.starts, self.ends, counted)


def _decide(
    settings: BuildSettings, place: tuple[str, int, float, float], steps: Steps, found: Mapping[str, _Found]
) -> tuple[LedgerRow, dict[str, tuple[Features, Bools]]]:
    needed = steps_needed(settings, len(steps))
    rows = {}
    for name, modality in found.items():
        state = modality_state(modality.video_state, modality.frames, modality.valid_steps, needed)
        rows[name] = ModalityRow(state, modality.frames, modality.invalid_frames, modality.valid_steps)
    reason = decide(settings, {name: row.state for name, row in rows.items()}, steps.source)
    entry = LedgerRow(*place, reason, steps.source, len(steps), rows)
    return entry, {name: (modality.values, modality.valid) for name, modality in found.items()}
