"""Aligning videos: label rows in, kept segments and ledger rows out.

Which rows a video needs is decided from times alone, one video after the other; then every modality is averaged for all
videos together. Legend: S = steps of a segment, D = width of a modality.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np

from mosei_align.alignment.averaging import Averaged, Ranges, Wanted, average
from mosei_align.alignment.frames import FrameRule, zero_rows
from mosei_align.alignment.policies import decide, modality_state, steps_needed
from mosei_align.alignment.results import AlignedVideo, LedgerRow, ModalityRow, Segment
from mosei_align.alignment.steps import NO_ROW, SAME_TIME_S, Steps, Words, find_words, match, step_modality, video_steps
from mosei_align.intervals import Indices, Runs, Seconds, Spans
from mosei_align.sources.labels import LabelRows
from mosei_align.sources.sequence import Readable, SequenceFacts, VideoSequence
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import State, StepSource


@dataclass(frozen=True, slots=True)
class VideoInput:
    """What is known of a video before it is aligned.

    Attributes:
        video_id: the video.
        labels: its label rows.
        streams: modality -> its rows, for every modality the dataset has, in the order text, audio, video.
        words: its rows of the word sequence, None where the corpus has none.
    """

    video_id: str
    labels: LabelRows
    streams: Mapping[str, Readable]
    words: VideoSequence | None


def align_videos(videos: Iterable[VideoInput], settings: BuildSettings) -> list[AlignedVideo]:
    """Align every labelled segment of some videos; only features that a segment or a step touches are read.

    Args:
        videos: with the same modalities each; taken one at a time, and their times forgotten when the steps are known.
        settings: the build's configuration.
    """
    plans = [_plan(video, settings) for video in videos]
    for name in plans[0].facts if plans else ():
        _average(plans, name, FrameRule.of(name, settings.nonfinite))
    return [plan.decided(settings) for plan in plans]


@dataclass(slots=True)
class _Plan:
    """A video on its way.

    Attributes:
        video_id, labels: of the video.
        sound: label rows that can be aligned.
        steps: of these label rows.
        wanted: modality -> the rows to average.
        facts: modality -> what the account keeps.
        averaged: modality -> the means.
    """

    video_id: str
    labels: LabelRows
    sound: list[int]
    steps: Steps
    wanted: dict[str, Wanted]
    facts: dict[str, SequenceFacts]
    averaged: dict[str, Averaged]

    def decided(self, settings: BuildSettings) -> AlignedVideo:
        """The ledger rows and kept segments of the video."""
        labels, tallies = self.labels, {name: found.tally for name, found in self.averaged.items()}
        aligned = AlignedVideo([], [], self.facts, tallies)
        steps = self.steps
        vectors = {name: (found.values, found.valid) for name, found in self.averaged.items()}
        found = {name: self._by_segment(name, settings) for name in self.facts}
        place_of = {row: k for k, row in enumerate(self.sound)}
        starts, ends = labels.start_s.tolist(), labels.end_s.tolist()
        for row, problem in enumerate(labels.problems):
            place = (self.video_id, row, starts[row], ends[row])
            if problem is not None:
                states = {name: ModalityRow(State.NOT_ALIGNED) for name in self.facts}
                aligned.ledger.append(LedgerRow(*place, problem, StepSource.NONE, 0, states))
                continue
            k = place_of[row]
            source, count = steps.sources[k], steps.bounds[k + 1] - steps.bounds[k]
            rows = {name: modality[k] for name, modality in found.items()}
            reason = decide(settings, {name: modality.state for name, modality in rows.items()}, source)
            entry = LedgerRow(*place, reason, source, count, rows)
            aligned.ledger.append(entry)
            if reason is None:
                aligned.segments.append(Segment(entry, labels.values[row], steps, vectors, k))
        return aligned

    def _by_segment(self, name: str, settings: BuildSettings) -> list[ModalityRow]:
        """What became of a modality in each segment."""
        state, averaged = self.facts[name].state, self.averaged[name]
        before = [0, *itertools.accumulate(averaged.valid.tolist())]
        counts = zip(averaged.frames.tolist(), averaged.invalid_frames.tolist(), strict=True)
        rows = []
        for (a, b), (frames, invalid) in zip(itertools.pairwise(self.steps.bounds), counts, strict=True):
            valid = before[b] - before[a]
            needed = steps_needed(settings, b - a)
            rows.append(ModalityRow(modality_state(state, frames, valid, needed), frames, invalid, valid))
        return rows


def _plan(video: VideoInput, settings: BuildSettings) -> _Plan:
    """Decide from times alone what the steps are and which rows they need."""
    labels = video.labels
    sound = [row for row, problem in enumerate(labels.problems) if problem is None]
    starts, ends = labels.start_s[sound], labels.end_s[sound]
    streams = dict(video.streams)
    if "text" in streams and (video.words is None or video.words.state is not State.OK):
        # Its rows have to tell the words, and which of them are zeros only.
        streams["text"] = text = streams["text"].read()
        spoken = find_words(video.words, text, zero_rows(text.features), settings.pause_token)
    else:
        spoken = find_words(video.words, None, None, settings.pause_token)
    stepped = streams.get(settings.frames_of) if settings.frames_of else None
    # Where text is all there is, a segment without words has nothing that uniform steps could hold.
    bins = settings.steps != "words" or set(streams) != {"text"}
    steps = video_steps(settings, spoken, stepped, starts, ends, bins=bins)
    asked = _Asked.of(steps, starts, ends)
    plan = _Plan(video.video_id, labels, sound, steps, {}, {}, {})
    for name, stream in streams.items():
        if stream.state is State.OK:
            own = _own_rows(steps, spoken, stream, settings) if name == step_modality(settings) else None
            wanted = asked.wanted(stream, own)
        else:
            wanted = Wanted.nothing(asked.steps, asked.segments)
        plan.wanted[name] = wanted
        plan.facts[name] = stream.facts._replace(rows_read=len(wanted.rows))
    return plan


class _Asked(NamedTuple):
    """The stretches of a video that its modalities are asked about.

    Attributes:
        spans: what a labelled segment or one of its steps covers: outside it nothing is read.
        start_s, end_s: the steps, the segments and the spans, one after the other.
        steps, segments: how many there are.
    """

    spans: Spans
    start_s: Seconds
    end_s: Seconds
    steps: int
    segments: int

    @classmethod
    def of(cls, steps: Steps, start_s: Seconds, end_s: Seconds) -> Self:
        """The steps of some segments, and these."""
        count = len(steps.start_s)
        starts, ends = np.concatenate((steps.start_s, start_s)), np.concatenate((steps.end_s, end_s))
        # A word's vector may have times that differ a little (see `match`): where the word is too short to overlap it,
        # the stretch is longer.
        short = ends - starts < SAME_TIME_S
        short[count:] = False
        more = np.where(short, SAME_TIME_S, 0)
        spans = Spans.covering(starts - more, ends + more)
        starts, ends = np.concatenate((starts, spans.start_s)), np.concatenate((ends, spans.end_s))
        return cls(spans, starts, ends, count, len(start_s))

    def wanted(self, stream: Readable, own: Indices | None) -> Wanted:
        """The rows of a stream that the spans need, and which of them each step and segment has.

        Args:
            stream: a usable one.
            own: for every step the row of the stream that it is, -1 where it is none; None where no step is a row.
        """
        times, count = stream.times, self.steps + self.segments
        first, last = times.candidates(self.start_s, self.end_s)
        runs = Runs.whole(len(times)) if stream.is_read else times.runs_among(self.spans, first[count:], last[count:])
        starts = self.start_s
        if own is not None:
            # A word's vector is its own row: the mean over what overlaps would mix neighbours whose times touch. A word
            # that has no row of its own (other times, as contextual embeddings may have) takes the mean.
            mine = np.flatnonzero(own >= 0)
            starts = starts.copy()
            first[mine], last[mine], starts[mine] = own[mine], own[mine] + 1, -np.inf
        places = runs.places(np.concatenate([first[:count], last[:count]]))
        first, last = places[:count], places[count:]
        steps, segments = slice(self.steps), slice(self.steps, count)
        return Wanted(
            stream.rows_of(runs),
            Ranges(first[steps], last[steps], starts[steps]),
            Ranges(first[segments], last[segments], starts[segments]),
            times.end_s[runs.numbers()] if times.nested else None,
        )


def _own_rows(steps: Steps, words: Words | None, stream: Readable, settings: BuildSettings) -> Indices:
    """For every step the row of `stream` that it is, -1 where it is none."""
    if settings.steps != "words" or words is None or not (steps.own != NO_ROW).any():
        return steps.own
    rows = words.text_rows
    rows = match(words.start_s, words.end_s, stream.start_s, stream.end_s) if rows is None else rows
    return np.where(steps.own == NO_ROW, NO_ROW, rows[steps.own])


def _average(plans: Sequence[_Plan], name: str, rule: FrameRule) -> None:
    """Average a modality for all videos; one whose rows cannot be read turns out not to have it."""
    found = average([plan.wanted.pop(name) for plan in plans], plans[0].facts[name].width, rule)
    for plan, averaged in zip(plans, found, strict=True):
        plan.averaged[name] = averaged
        if averaged.problem:
            plan.facts[name] = SequenceFacts(State.BAD_ARRAY, plan.facts[name].width)
