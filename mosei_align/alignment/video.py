"""Aligning one video: label rows in, kept segments and ledger rows out.

Legend: S = steps of a segment, D = width of a modality, K = label columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mosei_align.alignment.frames import Bools, Features, Frames, FrameTally, check_frames, step_means
from mosei_align.alignment.policies import decide, modality_state, steps_needed
from mosei_align.alignment.steps import Steps, Words, find_words, segment_steps
from mosei_align.sources.labels import LabelRows
from mosei_align.sources.sequence import VideoSequence
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import Reason, State, StepSource


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
    """

    row: LedgerRow
    labels: npt.NDArray[np.float32]
    steps: Steps
    features: dict[str, tuple[Features, Bools]]


@dataclass(frozen=True, slots=True)
class AlignedVideo:
    """All labelled segments of one video, and what was found in its sequences."""

    ledger: list[LedgerRow]
    segments: list[Segment]
    sequences: dict[str, VideoSequence]
    tallies: dict[str, FrameTally]


def align_video(
    video_id: str,
    labels: LabelRows,
    sequences: Mapping[str, VideoSequence],
    words: VideoSequence | None,
    settings: BuildSettings,
) -> AlignedVideo:
    """Align every labelled segment of one video.

    Args:
        video_id: the video.
        labels: its label rows.
        sequences: modality -> its rows, for every modality the dataset has, in the order text, audio, video.
        words: its rows of the word sequence, None where the corpus has none.
        settings: the build's configuration.
    """
    frames = {
        name: check_frames(sequence, nonfinite=settings.nonfinite, zero_is_invalid=name in ("text", "video"))
        for name, sequence in sequences.items()
        if sequence.state is State.OK
    }
    spoken = find_words(words, sequences.get("text"), frames.get("text"), settings.pause_token)
    aligned = AlignedVideo([], [], dict(sequences), {name: checked.tally for name, checked in frames.items()})
    for row, problem in enumerate(labels.problems):
        start_s, end_s = float(labels.start_s[row]), float(labels.end_s[row])
        if problem is not None:
            states = {name: ModalityRow(State.NOT_ALIGNED) for name in sequences}
            aligned.ledger.append(LedgerRow(video_id, row, start_s, end_s, problem, StepSource.NONE, 0, states))
            continue
        place = (video_id, row, start_s, end_s)
        entry, segment = _align_segment(place, labels.values[row], sequences, frames, spoken, settings)
        aligned.ledger.append(entry)
        if segment is not None:
            aligned.segments.append(segment)
    return aligned


def _align_segment(
    place: tuple[str, int, float, float],
    labels: npt.NDArray[np.float32],
    sequences: Mapping[str, VideoSequence],
    frames: Mapping[str, Frames],
    words: Words | None,
    settings: BuildSettings,
) -> tuple[LedgerRow, Segment | None]:
    _, _, start_s, end_s = place
    # Where text is all there is, a segment without words has nothing that uniform steps could hold.
    fallback_bin_s = settings.fallback_bin_s if set(sequences) != {"text"} else None
    steps = segment_steps(words, start_s, end_s, fallback_bin_s)
    needed = steps_needed(settings, len(steps))
    features: dict[str, tuple[Features, Bools]] = {}
    rows: dict[str, ModalityRow] = {}
    for name, sequence in sequences.items():
        features[name] = _step_features(name, frames.get(name), steps, sequence.features.shape[1])
        count, invalid = _count_frames(name, frames.get(name), start_s, end_s)
        valid_steps = int(features[name][1].sum())
        state = modality_state(sequence.state, count, valid_steps, needed)
        rows[name] = ModalityRow(state, count, invalid, valid_steps)
    reason = decide(settings, {name: row.state for name, row in rows.items()}, steps.source)
    entry = LedgerRow(*place, reason, steps.source, len(steps), rows)
    return entry, Segment(entry, labels, steps, features) if reason is None else None


def _step_features(name: str, frames: Frames | None, steps: Steps, width: int) -> tuple[Features, Bools]:
    if frames is None:
        return _nothing(len(steps), width)
    if name != "text" or steps.text_rows is None:
        return step_means(frames, steps.start_s, steps.end_s)
    # A word's vector is its own row: the mean over what overlaps would mix neighbours whose times touch. A word that
    # has no row of its own (other times, as contextual embeddings may have) takes the mean.
    own = steps.text_rows >= 0
    values, valid = step_means(frames, steps.start_s, steps.end_s) if not own.all() else _nothing(len(steps), width)
    mine = steps.text_rows[own]
    usable = frames.valid[mine] & ~frames.partial[mine]
    values[own] = np.where(usable[:, None], frames.features[mine], np.float32(0))
    valid[own] = usable
    return values, valid


def _nothing(steps: int, width: int) -> tuple[Features, Bools]:
    return np.zeros((steps, width), np.float32), np.zeros(steps, np.bool_)


def _count_frames(name: str, frames: Frames | None, start_s: float, end_s: float) -> tuple[int, int]:
    """How many rows overlap the segment, and how many of them are invalid; a text row of zeros is a pause, no row."""
    if frames is None:
        return 0, 0
    rows = frames.times.overlapping(start_s, end_s)
    if name == "text":
        rows = rows[~frames.zero[rows]]
    return len(rows), int((~frames.valid[rows]).sum())
