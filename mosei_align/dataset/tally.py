"""What was found in one modality while the dataset was built; tallies of shards add up to the manifest's figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from mosei_align.alignment.video import AlignedVideo
from mosei_align.sources.csd import CsdIndex
from mosei_schemas.manifest import ModalityInfo

_NUMBERS: Final = (
    "rows_read",
    "rows_dropped_interval",
    "videos_sorted",
    "rows_nonfinite",
    "rows_zero",
    "values_zero_filled",
)


@dataclass(slots=True)
class ModalityTally:
    """Running figures of one modality.

    Attributes:
        videos: labelled videos by state.
        numbers: the counts of `ModalityInfo`, by name.
        nonfinite_by_column: (D,) NaN or infinite values.
    """

    nonfinite_by_column: npt.NDArray[np.int64]
    videos: Counter[str] = field(default_factory=Counter)
    numbers: Counter[str] = field(default_factory=Counter)

    @classmethod
    def empty(cls, width: int) -> ModalityTally:
        """Figures of no videos, for a modality of D = `width` columns."""
        return cls(np.zeros(width, np.int64))

    def add_video(self, aligned: AlignedVideo, name: str) -> None:
        """Take in one video."""
        sequence = aligned.sequences[name]
        self.videos[str(sequence.state)] += 1
        self.numbers["rows_read"] += sequence.rows_read
        self.numbers["rows_dropped_interval"] += sequence.rows_dropped
        self.numbers["videos_sorted"] += sequence.was_unsorted
        tally = aligned.tallies.get(name)
        if tally is not None:
            self.numbers["rows_nonfinite"] += tally.rows_nonfinite
            self.numbers["rows_zero"] += tally.rows_zero
            self.numbers["values_zero_filled"] += tally.values_zero_filled
            self.nonfinite_by_column += tally.nonfinite_by_column


def modality_info(index: CsdIndex, tallies: Sequence[ModalityTally]) -> ModalityInfo:
    """The manifest's entry for a modality: the sum of the shards' tallies."""
    width = index.columns
    videos: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    by_column = np.zeros(width, np.int64)
    for tally in tallies:
        videos.update(tally.videos)
        numbers.update(tally.numbers)
        by_column += tally.nonfinite_by_column
    return ModalityInfo(
        dim=width,
        root=index.declared,
        videos=dict(sorted(videos.items())),
        nonfinite_by_column=by_column.tolist(),
        **{name: numbers[name] for name in _NUMBERS},
    )
