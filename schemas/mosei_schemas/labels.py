"""Tasks: views on the raw labels. The dataset keeps what the annotators said; a task turns it into targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from mosei_schemas.errors import ConfigError

EMOTIONS: Final = ("happy", "sad", "anger", "surprise", "disgust", "fear")
"""The six emotions in the order of the official label file."""
MOSEI_LABELS: Final = ("sentiment", *EMOTIONS)
SENTIMENT_CLASSES: Final = ("-3", "-2", "-1", "0", "+1", "+2", "+3")

Kind = Literal["multiclass", "multilabel", "regression"]
NoEmotion = Literal["drop", "neutral", "first"]
Ties = Literal["drop", "first"]


@dataclass(frozen=True, slots=True)
class Task:
    """What a model is asked to predict."""

    name: str
    kind: Kind
    needs: Literal["sentiment", "emotions"]
    summary: str


TASKS: Final[dict[str, Task]] = {
    task.name: task
    for task in (
        Task("emotion6", "multiclass", "emotions", "the strongest of the six emotions"),
        Task("emotion-multilabel", "multilabel", "emotions", "each of the six emotions present (intensity > 0) or not"),
        Task("sentiment", "regression", "sentiment", "the sentiment score in [-3, 3]"),
        Task("sentiment7", "multiclass", "sentiment", "the sentiment score rounded to -3 ... 3 (half to even)"),
        Task("sentiment2", "multiclass", "sentiment", "negative or positive sentiment; exact zeros are dropped"),
    )
}


@dataclass(frozen=True, slots=True)
class LabelPolicy:
    """What becomes of rows whose strongest emotion is not defined.

    no_emotion: an all-zero row is dropped, becomes a seventh class `neutral`, or (as numpy's argmax has it) the first
    emotion, happy. ties: a row with two strongest emotions is dropped or takes the first of them.
    """

    no_emotion: NoEmotion = "drop"
    ties: Ties = "first"


@dataclass(frozen=True, slots=True)
class Targets:
    """The targets of N segments.

    Attributes:
        task: the task they belong to.
        classes: class names (C of them); for regression the one name `sentiment`.
        values: multiclass (N,) int64; multilabel (N, C) float32 of 0 and 1; regression (N,) float32.
        usable: (N,) bool; where false the segment has no target and takes no part in the task.
        dropped: how many segments are not usable, by reason.
    """

    task: Task
    classes: tuple[str, ...]
    values: npt.NDArray[np.int64] | npt.NDArray[np.float32]
    usable: npt.NDArray[np.bool_]
    dropped: dict[str, int]


def find_task(name: str) -> Task:
    """The task called `name`; raises ConfigError, which lists the tasks, where there is none."""
    if name not in TASKS:
        raise ConfigError("no such task", ident=name, remedy=f"choose one of: {', '.join(TASKS)}")
    return TASKS[name]


def available_tasks(columns: Sequence[str]) -> list[Task]:
    """The tasks that a dataset with these label columns can serve."""
    has = {"sentiment": "sentiment" in columns, "emotions": set(EMOTIONS) <= set(columns)}
    return [task for task in TASKS.values() if has[task.needs]]


def make_targets(
    task: Task, labels: npt.NDArray[np.float32], columns: Sequence[str], policy: LabelPolicy = LabelPolicy()
) -> Targets:
    """Turn raw labels into targets.

    Args:
        task: one of `TASKS`.
        labels: (N, K) finite raw labels.
        columns: the K names of the label columns.
        policy: see `LabelPolicy`.

    Raises:
        ConfigError: the label columns do not serve the task.
    """
    if task not in available_tasks(columns):
        raise ConfigError(
            f"the dataset's labels ({', '.join(columns)}) do not serve this task",
            ident=task.name,
            remedy=f"choose one of: {', '.join(t.name for t in available_tasks(columns)) or 'none is possible'}",
        )
    if task.needs == "emotions":
        intensities = emotion_intensities(labels, columns)
        return _multilabel(task, intensities) if task.kind == "multilabel" else _strongest(task, intensities, policy)
    return _sentiment(task, labels[:, list(columns).index("sentiment")])


def emotion_intensities(labels: npt.NDArray[np.float32], columns: Sequence[str]) -> npt.NDArray[np.float32]:
    """The columns of the six emotions, in the order of `EMOTIONS`: (N, K) -> (N, 6)."""
    return labels[:, [list(columns).index(name) for name in EMOTIONS]]


def _strongest(task: Task, intensities: npt.NDArray[np.float32], policy: LabelPolicy) -> Targets:
    strongest = intensities.max(axis=1, initial=-np.inf)
    none = strongest <= 0
    tied = ~none & ((intensities == strongest[:, None]).sum(axis=1) > 1)
    values = intensities.argmax(axis=1).astype(np.int64)
    usable = np.ones(len(values), np.bool_)
    classes: tuple[str, ...] = EMOTIONS
    dropped = {}
    if policy.no_emotion == "drop":
        usable &= ~none
        dropped["no emotion"] = int(none.sum())
    elif policy.no_emotion == "neutral":
        values[none] = len(EMOTIONS)
        classes = (*EMOTIONS, "neutral")
    else:
        values[none] = 0
    if policy.ties == "drop":
        usable &= ~tied
        dropped["tied emotions"] = int(tied.sum())
    return Targets(task, classes, values, usable, dropped)


def _multilabel(task: Task, intensities: npt.NDArray[np.float32]) -> Targets:
    values = (intensities > 0).astype(np.float32)
    return Targets(task, EMOTIONS, values, np.ones(len(values), np.bool_), {})


def _sentiment(task: Task, scores: npt.NDArray[np.float32]) -> Targets:
    everywhere = np.ones(len(scores), np.bool_)
    if task.kind == "regression":
        return Targets(task, ("sentiment",), scores.astype(np.float32), everywhere, {})
    if task.name == "sentiment7":
        return Targets(task, SENTIMENT_CLASSES, sentiment_bins(scores), everywhere, {})
    usable = scores != 0
    values = (scores > 0).astype(np.int64)
    return Targets(task, ("negative", "positive"), values, usable, {"sentiment is exactly 0": int((~usable).sum())})


def sentiment_bins(scores: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """Scores (N,) -> bins 0 ... 6 for -3 ... 3: clipped to +-3 and rounded half to even, as the published code does."""
    return np.round(np.clip(scores, -3, 3)).astype(np.int64) + 3
