"""What aligning a video gives: ledger rows, kept segments, and what was found in its sequences.

Legend: S = steps, D = width of a modality, K = label columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mosei_align.alignment.frames import Bools, Features, FrameTally
from mosei_align.alignment.steps import Steps
from mosei_align.intervals import Indices, Seconds
from mosei_align.sources.sequence import SequenceFacts
from mosei_schemas.names import Reason, State, StepSource


class ModalityRow(NamedTuple):
    """What the ledger says of one modality in one segment."""

    state: State
    frames: int = 0
    invalid_frames: int = 0
    valid_steps: int = 0


class LedgerRow(NamedTuple):
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


class Segment(NamedTuple):
    """One kept segment.

    Attributes:
        row: its ledger row.
        labels: (K,) raw.
        steps: its steps, together with those of all segments that were aligned with it.
        vectors: modality -> (S, D) means and (S,) validity, zeros where not valid, of all these steps.
        number: which of these segments it is.
        mmsdk_rows: policy mmsdk: modality -> (R,) the step of each of mmsdk's rows, (R,) its start and (R,) its end.
    """

    row: LedgerRow
    labels: npt.NDArray[np.float32]
    steps: Steps
    vectors: dict[str, tuple[Features, Bools]]
    number: int = 0
    mmsdk_rows: Mapping[str, tuple[Indices, Seconds, Seconds]] = MappingProxyType({})


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
