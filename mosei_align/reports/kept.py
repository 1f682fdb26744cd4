"""The kept segments counted: coverage, lengths, labels. Vectors are never read, only masks, steps and labels.

Legend: N = kept segments, K = label columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mosei_align.reports.facts import Coverage, Emotion, Histogram, LabelColumn, Labels, Lengths
from mosei_align.reports.numbers import binned, histogram, score_grid, spread
from mosei_schemas.dataset import read_segments
from mosei_schemas.labels import EMOTIONS, SENTIMENT_CLASSES, emotion_intensities, sentiment_bins
from mosei_schemas.manifest import Manifest

Ints = npt.NDArray[np.int64]
Labelling = npt.NDArray[np.float32]
_SCALE: Final = {"sentiment": (-3.0, 3.0), **dict.fromkeys(EMOTIONS, (0.0, 3.0))}


@dataclass(frozen=True, slots=True)
class KeptSegments:
    """What the shards hold, vectors apart; one element a kept segment."""

    segment_id: list[str]
    steps: Ints
    listed: Ints
    """Steps by the lengths of `step_start_s`."""
    labels: Labelling
    """(N, K)"""
    valid: dict[str, Ints]
    """Valid steps of each modality."""
    masked: dict[str, Ints]
    """Steps by the length of each modality's mask."""


def read_kept(dataset: Path, manifest: Manifest) -> KeptSegments:
    """Read ids, steps, labels and masks, a group of rows at a time.

    Raises:
        DatasetError: a shard is missing or damaged.
    """
    names = list(manifest.modalities)
    columns = ["segment_id", "steps", "step_start_s", "labels", *(f"{name}_valid" for name in names)]
    width = len(manifest.label_columns)
    ids: list[str] = []
    labels = [np.empty((0, width), np.float32)]
    counts: dict[str, list[Ints]] = {
        key: [np.empty(0, np.int64)]
        for key in ("steps", "listed", *(f"{kind} {name}" for kind in ("valid", "masked") for name in names))
    }
    for table in read_segments(dataset, manifest, columns):
        ids += table.column("segment_id").to_pylist()
        flat = table.column("labels").combine_chunks().flatten().to_numpy(zero_copy_only=False)
        labels.append(flat.reshape(len(table), width))
        counts["steps"].append(table.column("steps").to_numpy().astype(np.int64))
        counts["listed"].append(_lengths(table.column("step_start_s")))
        for name in names:
            mask = table.column(f"{name}_valid")
            counts[f"masked {name}"].append(_lengths(mask))
            counts[f"valid {name}"].append(_trues(mask))
    whole = {key: np.concatenate(parts) for key, parts in counts.items()}
    return KeptSegments(
        ids,
        whole["steps"],
        whole["listed"],
        np.concatenate(labels),
        {name: whole[f"valid {name}"] for name in names},
        {name: whole[f"masked {name}"] for name in names},
    )


def _lengths(column: pa.ChunkedArray) -> Ints:
    lengths: Ints = pc.list_value_length(column).to_numpy().astype(np.int64)
    return lengths


def _trues(column: pa.ChunkedArray) -> Ints:
    """How many elements of each list are true."""
    values: npt.NDArray[Any] = pc.list_flatten(column).to_numpy()
    sums = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    ends = np.cumsum(_lengths(column))
    return sums[ends] - sums[np.concatenate(([0], ends[:-1]))]


def coverage(segments: KeptSegments) -> tuple[Coverage, ...]:
    """Share of valid steps per segment, per modality."""
    found = []
    for name, valid in segments.valid.items():
        partly = (valid > 0) & (valid < segments.steps)
        # In whole numbers: 0.3 * 10 must not fall into the bin below.
        tenths = 10 * valid[partly] // segments.steps[partly]
        found.append(
            Coverage(
                name,
                none=int((valid == 0).sum()),
                tenths=tuple(np.bincount(tenths, minlength=10).tolist()),
                whole=int(((valid > 0) & (valid >= segments.steps)).sum()),
                valid_steps=int(valid.sum()),
                steps=int(segments.steps.sum()),
            )
        )
    return tuple(found)


def lengths(segments: KeptSegments, max_steps: int) -> Lengths:
    """How long the segments are, and what a limit of `max_steps` cuts off."""
    cut = np.maximum(segments.steps - max_steps, 0)
    return Lengths(
        max_steps,
        spread(segments.steps),
        histogram(segments.steps, whole=True),
        segments_cut=int((cut > 0).sum()),
        steps_cut=int(cut.sum()),
    )


def label_facts(labels: Labelling, columns: list[str]) -> Labels:
    """Distributions of the label columns, and what the known ones mean."""
    has_sentiment = "sentiment" in columns
    has_emotions = set(EMOTIONS) <= set(columns)
    scores = labels[:, columns.index("sentiment")] if has_sentiment else labels[:, :0].reshape(-1)
    classes = np.bincount(sentiment_bins(scores), minlength=len(SENTIMENT_CLASSES)).tolist() if has_sentiment else []
    emotions, none = _emotions(emotion_intensities(labels, columns)) if has_emotions else ((), 0)
    return Labels(
        columns=tuple(_column(name, labels[:, k]) for k, name in enumerate(columns)),
        sentiment=_score_histogram(scores) if has_sentiment else None,
        sentiment_classes=tuple(zip(SENTIMENT_CLASSES, classes, strict=True)) if has_sentiment else (),
        emotions=emotions,
        no_emotion=none,
    )


def _column(name: str, values: Labelling) -> LabelColumn:
    outside = None
    if name in _SCALE:
        low, high = _SCALE[name]
        outside = int(((values < low) | (values > high)).sum())
    return LabelColumn(name, spread(values), int((values == 0).sum()), outside)


def _score_histogram(scores: Labelling) -> Histogram:
    grid = score_grid(scores) if len(scores) else 1.0
    number = round(3 / grid)
    return binned(np.clip(scores, -3, 3), tuple((2 * k - 1) * grid / 2 for k in range(-number, number + 2)))


def _emotions(intensities: Labelling) -> tuple[tuple[Emotion, ...], int]:
    """(N, 6) intensities -> one account per emotion, and the segments with none."""
    strongest = intensities.max(axis=1, initial=-np.inf)
    some = strongest > 0
    ties = (intensities == strongest[:, None]).sum(axis=1) > 1
    first = intensities.argmax(axis=1) if len(intensities) else np.empty(0, np.int64)
    return tuple(
        Emotion(
            name,
            present=int((intensities[:, k] > 0).sum()),
            alone=int((some & ~ties & (first == k)).sum()),
            first_of_tie=int((some & ties & (first == k)).sum()),
        )
        for k, name in enumerate(EMOTIONS)
    ), int((~some).sum())
