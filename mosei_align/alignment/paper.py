"""Policy paper: the sample rule of the Affect-Diff paper's pipeline, so that its sample count can be reproduced.

One sample a video: the first label row, with the first L rows of each stream as they stand in the file. Nothing is
aligned: L = 50 rows are half a second of COVAREP, 1.7 s of FACET and some twenty seconds of words. Legend: S = steps,
at most L; D = width.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mosei_align.alignment.averaging import Averaged, Ranges, Wanted, average
from mosei_align.alignment.frames import Bools, Features, FrameRule
from mosei_align.alignment.policies import MISSING
from mosei_align.alignment.results import AlignedVideo, LedgerRow, ModalityRow, Segment
from mosei_align.alignment.steps import Steps
from mosei_align.intervals import Runs
from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_align.sources.labels import LabelRows
from mosei_align.sources.sequence import VideoSequence, read_first_rows
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import MODALITIES, Reason, State, StepSource


def first_rows_of_video(
    video_id: str,
    labels: LabelRows,
    files: Mapping[str, CsdFile],
    indexes: Mapping[str, CsdIndex],
    settings: BuildSettings,
) -> AlignedVideo:
    """The video's one sample; every other label row is dropped, as `not_first_row` where its label can be used.

    The sample is dropped where its label cannot be used or a stream lacks the video. As in the paper, NaN and
    infinities become 0 (`nonfinite = "zero"`) and a row of zeros counts like any other.
    """
    assert settings.first_rows is not None
    streams = {
        name: read_first_rows(files[name], index, video_id, settings.first_rows) for name, index in indexes.items()
    }
    checked = {
        name: _checked(stream, FrameRule(settings.nonfinite))
        for name, stream in streams.items()
        if stream.state is State.OK
    }
    tallies = {name: found.tally for name, found in checked.items()}
    aligned = AlignedVideo([], [], {name: stream.facts for name, stream in streams.items()}, tallies)
    for row, problem in enumerate(labels.problems):
        place = (video_id, row, float(labels.start_s[row]), float(labels.end_s[row]))
        if row or problem is not None:
            unread = {name: ModalityRow(State.NOT_ALIGNED) for name in streams}
            why = Reason.NOT_FIRST_ROW if problem is None else problem
            aligned.ledger.append(LedgerRow(*place, why, StepSource.NONE, 0, unread))
            continue
        steps = _steps(streams)
        count = len(steps.start_s)
        features = {
            name: _padded(checked[name].values, checked[name].valid, count)
            if name in checked
            else _padded(stream.features, np.zeros(0, np.bool_), count)
            for name, stream in streams.items()
        }
        states = {name: _row(stream, features[name][1]) for name, stream in streams.items()}
        reason = next((MISSING[name] for name in MODALITIES if states[name].state is not State.OK), None)
        entry = LedgerRow(*place, reason, StepSource.ROWS, count, states)
        aligned.ledger.append(entry)
        if reason is None:
            aligned.segments.append(Segment(entry, labels.values[row], steps, features))
    return aligned


def _checked(stream: VideoSequence, rule: FrameRule) -> Averaged:
    """The rows as steps of their own."""
    rows = np.arange(len(stream))
    steps = Ranges(rows, rows + 1, stream.start_s)
    wanted = Wanted(stream.rows_of(Runs.whole(len(rows))), steps, Ranges.empty(0), None)
    return average([wanted], stream.facts.width, rule)[0]


def _steps(streams: Mapping[str, VideoSequence]) -> Steps:
    """As many steps as the longest stream has rows, with the times of the text's rows, NaN where it has none left."""
    count = max((len(stream) for stream in streams.values()), default=0)
    times = np.full((2, count), np.nan)
    text = streams["text"]
    times[:, : len(text)] = text.start_s, text.end_s
    return Steps.of_one(StepSource.ROWS, times[0], times[1])


def _padded(rows: Features, valid: Bools, steps: int) -> tuple[Features, Bools]:
    values, observed = np.zeros((steps, rows.shape[1]), np.float32), np.zeros(steps, np.bool_)
    values[: len(valid)], observed[: len(valid)] = rows, valid
    return values, observed


def _row(stream: VideoSequence, valid: Bools) -> ModalityRow:
    if stream.state is not State.OK:
        return ModalityRow(stream.state)
    usable = int(valid.sum())
    return ModalityRow(State.OK if usable else State.ALL_INVALID, len(stream), len(stream) - usable, usable)
