"""What a split needs to know of the kept segments: ids, times, speakers, labels; never features."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mosei_schemas.dataset import flat_values
from mosei_schemas.dataset import read_segments as read_tables
from mosei_schemas.errors import DatasetError
from mosei_schemas.labels import EMOTIONS, NO_EMOTION, SENTIMENT_CLASSES, find_task, make_targets, sentiment_bins
from mosei_schemas.manifest import Manifest
from mosei_schemas.splits import TaskView, default_view

_COLUMNS = ("segment_id", "video_id", "speaker_id", "start_s", "end_s", "labels", "words")

_MADE_FROM: Final = {
    "emotion6": "strongest emotion",
    "emotion-multilabel": "strongest emotion",
    "sentiment7": "rounded sentiment",
    "sentiment2": "sign of the sentiment",
}


@dataclass(frozen=True, slots=True)
class SegmentList:
    """The kept segments in dataset order; every array has one element a segment."""

    segment_id: npt.NDArray[np.object_]
    video_id: npt.NDArray[np.object_]
    speaker_id: npt.NDArray[np.object_]
    """None where the speaker is not known."""
    start_s: npt.NDArray[np.float64]
    end_s: npt.NDArray[np.float64]
    text: npt.NDArray[np.object_]
    """The words with spaces between them, empty where no words are known."""
    labels: npt.NDArray[np.float32]
    """(N, K), as annotated."""
    class_names: tuple[str, ...]
    class_of: npt.NDArray[np.int64]
    stratified_by: str

    def __len__(self) -> int:
        return len(self.segment_id)


def read_segments(dataset: Path, manifest: Manifest, view: TaskView | None = None) -> SegmentList:
    """Read ids, times, speakers and labels of all kept segments.

    Args:
        dataset: the dataset directory.
        manifest: its manifest.
        view: the task whose classes are to be kept in proportion; None for the default one.

    Raises:
        ConfigError: the labels do not serve the task.
        DatasetError: a shard is missing or damaged, or the dataset has no segment.
    """
    tables = list(read_tables(dataset, manifest, _COLUMNS))
    if not tables:
        raise DatasetError("has no segment", path=dataset, remedy="see its ledger.parquet for the reasons")
    table = pa.concat_tables(tables)
    labels = flat_values(table.column("labels")).reshape(len(table), -1)
    names, classes, by = strata(labels, manifest.label_columns, view)
    columns = {name: np.array(table.column(name).to_pylist(), object) for name in _COLUMNS[:3]}
    times = {name: table.column(name).to_numpy() for name in ("start_s", "end_s")}
    text = np.array(texts(table), object)
    return SegmentList(
        **columns, **times, text=text, labels=labels, class_names=names, class_of=classes, stratified_by=by
    )


def texts(table: pa.Table) -> list[str]:
    """Each segment's words as one text, with spaces between them."""
    # The kernel takes no list whose items are declared never to be null.
    words = table.column("words").cast(pa.list_(pa.string()))
    joined: list[str] = pc.binary_join(words, " ").to_pylist()
    return joined


def strata(
    labels: npt.NDArray[np.float32], columns: list[str], view: TaskView | None = None
) -> tuple[tuple[str, ...], npt.NDArray[np.int64], str]:
    """The classes to keep in proportion: those of a task, and one for each reason why a segment has no target.

    Of emotion-multilabel they are the strongest emotion (or none), of the sentiment score its bins.

    Args:
        labels: (N, K) raw labels.
        columns: K names.
        view: the task; None for the default one, and for one class where no label column is known.

    Returns:
        Class names, (N,) class of each segment, and what it was made from.

    Raises:
        ConfigError: the labels do not serve the task.
    """
    view = view or default_view(columns)
    if view is None:
        return ("all",), np.zeros(len(labels), np.int64), "nothing (no known label column)"
    found = make_targets(find_task(view.task), labels, columns, view.policy())
    if found.task.kind == "regression":
        return SENTIMENT_CLASSES, sentiment_bins(np.asarray(found.values, np.float32), view.bins), "rounded sentiment"
    if found.task.kind == "multilabel":
        policy = replace(view.policy(), no_emotion="neutral", ties="first")
        strongest = make_targets(find_task("emotion6"), labels, columns, policy).values.astype(np.int64)
        return (*EMOTIONS, NO_EMOTION), strongest, _MADE_FROM[view.task]
    classes = found.values.astype(np.int64)
    for number, missing in enumerate(found.left_out.values(), len(found.classes)):
        classes[missing] = number
    return (*found.classes, *found.left_out), classes, _MADE_FROM[view.task]
