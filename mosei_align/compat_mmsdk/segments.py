"""What the recipe makes of a video, as segments and ledger rows of a dataset (policy mmsdk).

A step is a row of mmsdk's text. Its rows of audio and video came from words too, so each is put at the step of its
word; in which order mmsdk had them, and with which intervals, is kept beside (`Segment.mmsdk_rows`). Legend: S = steps,
R = mmsdk's rows of one sequence, D = width.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mosei_align.alignment.frames import FrameTally, nonfinite_rows, odd_rows
from mosei_align.alignment.policies import MISSING
from mosei_align.alignment.results import AlignedVideo, LedgerRow, MmsdkLoss, ModalityRow, Segment
from mosei_align.alignment.steps import Steps
from mosei_align.compat_mmsdk.purge import Purge
from mosei_align.compat_mmsdk.recipe import LABELS, UNIFIED, RecipeVideo
from mosei_align.compat_mmsdk.sequences import Array
from mosei_align.sources.labels import LabelRows
from mosei_align.sources.sequence import SequenceFacts
from mosei_schemas.names import MODALITIES, Reason, State, StepSource


def recipe_segments(
    made: RecipeVideo, labels: LabelRows, facts: Mapping[str, SequenceFacts], purge: Purge, tokens: Array | None
) -> AlignedVideo:
    """Every labelled segment of a video as the recipe leaves it.

    Args:
        made: the recipe's result.
        labels: the video's label rows; their values and times are stored as they are.
        facts: text, audio and video as they are in the files.
        purge: of the whole corpus.
        tokens: (N,) the words as bytes, one for each row of the text; None where they are not known.
    """
    aligned = AlignedVideo([], [], dict(facts), {}, [MmsdkLoss(*loss) for loss in made.losses])
    names = dict(zip(MODALITIES, purge.names, strict=False))
    details = {loss.key: loss.reason for stage in (LABELS, UNIFIED) for loss in made.losses if loss.stage == stage}
    tallies = {name: _Tally(facts[name].width) for name in MODALITIES}
    for row in range(len(labels.start_s)):
        key = f"{made.video_id}[{row}]"
        place = (made.video_id, row, float(labels.start_s[row]), float(labels.end_s[row]))
        kept = key in made.unified[names["text"]]
        detail = None if kept else purge.words.get(made.video_id, details[key])
        rows = {m: _state(made, facts[m], name, key, detail or "", purge.words) for m, name in names.items()}
        reason = None if detail is None else _reason(made, purge, rows, detail)
        count = len(made.labelled[names["text"]][key].intervals) if key in made.labelled[names["text"]] else 0
        source = StepSource.WORDS if count else StepSource.NONE
        entry = LedgerRow(*place, reason, source, count, rows, detail)
        aligned.ledger.append(entry)
        if kept:
            segment = _segment(made, names, entry, labels.values[row], tokens)
            aligned.segments.append(segment)
            for m, name in names.items():
                tallies[m].add(made.unified[name][key].features)
    aligned.tallies.update({name: tally.done() for name, tally in tallies.items()})
    return aligned


def _segment(
    made: RecipeVideo, names: Mapping[str, str], entry: LedgerRow, values: Array, tokens: Array | None
) -> Segment:
    key = entry.segment_id
    text = made.unified[names["text"]][key]
    words = made.word_rows[names["text"]][key]
    step_of = {word: step for step, word in enumerate(words.tolist())}
    features, placed = {}, {}
    for modality, name in names.items():
        found = made.unified[name][key]
        rows = np.array([step_of[word] for word in made.word_rows[name][key].tolist()], np.int64)
        vectors = np.zeros((len(words), found.features.shape[1]), np.float32)
        valid = np.zeros(len(words), np.bool_)
        with np.errstate(over="ignore"):
            vectors[rows] = found.features
        valid[rows] = ~nonfinite_rows(vectors[rows])
        features[modality] = vectors, valid
        intervals = found.intervals.astype(np.float64)
        placed[modality] = rows, intervals[:, 0], intervals[:, 1]
    starts, ends = text.intervals[:, 0].astype(np.float64), text.intervals[:, 1].astype(np.float64)
    spoken = () if tokens is None else tokens[words].tolist()
    return Segment(entry, values, Steps.of_one(StepSource.WORDS, starts, ends, spoken), features, mmsdk_rows=placed)


def _state(
    made: RecipeVideo, facts: SequenceFacts, name: str, key: str, detail: str, gone: Mapping[str, str]
) -> ModalityRow:
    """What became of a sequence in a segment; its frames are mmsdk's rows, one a word."""
    found = made.labelled[name].get(key)
    if found is not None:
        lost = int(nonfinite_rows(found.features.astype(np.float32)).sum())
        usable = len(found.features) - lost
        return ModalityRow(State.OK if usable else State.ALL_INVALID, len(found.features), lost, usable)
    if facts.state is not State.OK:
        return ModalityRow(facts.state)
    if detail.startswith("hard_unify") or (made.video_id not in gone and not made.words[name]):
        return ModalityRow(State.NO_OVERLAP)
    return ModalityRow(State.NOT_ALIGNED)


def _reason(made: RecipeVideo, purge: Purge, rows: Mapping[str, ModalityRow], detail: str) -> Reason:
    if "shorter than" in detail:
        return Reason.LABEL_TIME
    if made.video_id in purge.labels or " is a prefix of it" in detail:
        return Reason.PURGED
    lost = [m for m in MODALITIES if rows[m].state not in (State.OK, State.ALL_INVALID)]
    absent = [m for m in lost if rows[m].state is not State.NOT_ALIGNED]
    return MISSING[(absent or lost)[0]]


class _Tally:
    """NaN, infinities and zeros in the rows of the kept segments."""

    def __init__(self, width: int) -> None:
        self._bad, self._zero = 0, 0
        self._by_column = np.zeros(width, np.int64)

    def add(self, features: Array) -> None:
        odd = odd_rows(features.astype(np.float32))
        self._bad += len(odd.bad_rows)
        self._zero += int(odd.zero.sum())
        self._by_column += odd.bad_values.sum(axis=0)

    def done(self) -> FrameTally:
        return FrameTally(self._bad, self._zero, 0, self._by_column)
