"""Samples -> ledger rows and segments.

Legend: S = steps of a sample, D = width of a modality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mosei_align.alignment.frames import Bools, Features, OddRows, odd_rows
from mosei_align.alignment.results import LedgerRow, ModalityRow, Segment
from mosei_align.alignment.steps import Steps
from mosei_align.dataset.tally import ModalityTally
from mosei_align.imports.layout import PartArrays
from mosei_align.imports.padding import Extent
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import Reason, State, StepSource


@dataclass(frozen=True, slots=True)
class PlacedPart:
    """A part, and where the steps of its samples are.

    Attributes:
        arrays: the part.
        extents: modality -> its steps; under steps `given` the same for all.
    """

    arrays: PartArrays
    extents: Mapping[str, Extent]

    def steps(self, number: int) -> int:
        """S of a sample: the longest of its streams."""
        return max(int(extent.stop[number] - extent.first[number]) for extent in self.extents.values())


@dataclass(frozen=True, slots=True)
class Sample:
    """Where a sample is in the file, and what its id tells."""

    part: int
    number: int
    video_id: str
    label_row: int
    start_s: float
    end_s: float
    detail: str


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes the rows of samples.

    Attributes:
        parts: the parts of the file.
        modalities: those of the dataset, in order.
        settings: of the dataset.
        with_words: whether the words of the sentences are the steps.
        tallies: modality -> what is found on the way; is added to.
    """

    parts: Sequence[PlacedPart]
    modalities: Sequence[str]
    settings: BuildSettings
    with_words: bool
    tallies: Mapping[str, ModalityTally]

    def make(self, sample: Sample) -> tuple[LedgerRow, Segment | None]:
        """The ledger row of a sample and, if it is kept, its segment."""
        part = self.parts[sample.part]
        labels = part.arrays.labels[sample.number]
        if not np.isfinite(labels).all():
            unread = dict.fromkeys(self.modalities, ModalityRow(State.NOT_ALIGNED))
            return _row(sample, Reason.LABEL_VALUE, StepSource.NONE, 0, unread), None
        steps = part.steps(sample.number)
        vectors = {name: self._vectors(part, name, sample.number, steps) for name in self.modalities}
        found = {name: row for name, (_, _, row) in vectors.items()}
        observed = any(row.state is State.OK for row in found.values())
        source = StepSource(self.settings.steps) if steps else StepSource.NONE
        row = _row(sample, None if observed else Reason.NOTHING_OBSERVED, source, steps, found)
        if not observed:
            return row, None
        unknown = np.full(steps, np.nan)
        tokens = words_of(part.arrays, sample.number, steps) if self.with_words else ()
        features = {name: (values, valid) for name, (values, valid, _) in vectors.items()}
        spoken = [token.encode() for token in tokens or ()]
        return row, Segment(row, labels, Steps.of_one(source, unknown, unknown, spoken), features)

    def _vectors(self, part: PlacedPart, name: str, number: int, steps: int) -> tuple[Features, Bools, ModalityRow]:
        """(S, D) vectors, zeros where not valid, (S,) which are, and the ledger's word on them."""
        array, extent = part.arrays.features[name], part.extents[name]
        with np.errstate(over="ignore"):
            rows = array[number, extent.first[number] : extent.stop[number]].astype(np.float32)
        odd = odd_rows(rows)
        zero = odd.zero
        self._count(name, odd)
        if self.settings.nonfinite == "zero":
            rows[odd.bad_rows] = np.where(odd.bad_values, 0, rows[odd.bad_rows])
            usable = ~zero
        else:
            usable = ~(odd.bad | zero)
        rows[~usable] = 0
        values, valid = np.zeros((steps, rows.shape[1]), np.float32), np.zeros(steps, np.bool_)
        values[: len(rows)], valid[: len(rows)] = rows, usable
        frames, count = int((~zero).sum()), int(usable.sum())
        state = State.OK if count else State.ALL_INVALID if frames else State.ALL_ZERO
        return values, valid, ModalityRow(state, frames, frames - count, count)

    def _count(self, name: str, odd: OddRows) -> None:
        tally = self.tallies[name]
        tally.numbers["rows_read"] += len(odd.zero)
        tally.numbers["rows_zero"] += int(odd.zero.sum())
        tally.numbers["rows_nonfinite"] += len(odd.bad_rows)
        tally.nonfinite_by_column += odd.bad_values.sum(axis=0)
        if self.settings.nonfinite == "zero":
            tally.numbers["values_zero_filled"] += int(odd.bad_values.sum())


def words_of(part: PartArrays, number: int, steps: int) -> tuple[str, ...] | None:
    """The words of a sample's sentence, if they can be its steps: as many, or more where the steps fill the array.

    Returns:
        None where they cannot be; nothing where there is no sentence.
    """
    sentence = part.sentences[number] if part.sentences else ""
    if not sentence:
        return ()
    words = tuple(sentence.split(" "))
    longest = max(array.shape[1] for array in part.features.values())
    return words[:steps] if len(words) == steps or (len(words) > steps == longest) else None


def _row(
    sample: Sample, reason: Reason | None, source: StepSource, steps: int, found: dict[str, ModalityRow]
) -> LedgerRow:
    return LedgerRow(
        sample.video_id,
        sample.label_row,
        sample.start_s,
        sample.end_s,
        reason,
        source,
        steps,
        found,
        detail=sample.detail,
    )
