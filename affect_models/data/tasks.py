"""A part of a split, seen as a task: targets, the segments that have one, the classes that condition the prior.

Legend: N = segments with a target, C = classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from affect_models.data.packed import PackedPart, subset
from mosei_schemas.labels import (
    EMOTIONS,
    SENTIMENT_CLASSES,
    LabelPolicy,
    Task,
    emotion_intensities,
    make_targets,
    sentiment_bins,
)


@dataclass(frozen=True, slots=True)
class TaskPart:
    """One part with its targets.

    Attributes:
        data: the segments that have a target.
        targets: (N,) int64, (N, C) float32 or (N,) float32, see `Targets.values`.
        classes: class names.
        condition: (N,) int64 class of each segment for the conditional prior.
        condition_names: what these classes are.
        without_target: segments left out, by reason.
    """

    data: PackedPart
    targets: npt.NDArray[Any]
    classes: tuple[str, ...]
    condition: npt.NDArray[np.int64]
    condition_names: tuple[str, ...]
    without_target: dict[str, int]

    def __len__(self) -> int:
        return len(self.data)

    def class_counts(self) -> npt.NDArray[np.int64]:
        """(C,) segments of each class (for labels: with the label); for a score, segments of each sentiment bin."""
        if self.targets.ndim == 2:
            return np.asarray(self.targets.sum(axis=0), np.int64)
        return np.bincount(self.condition, minlength=len(self.condition_names))


def task_part(part: PackedPart, task: Task, columns: Sequence[str], policy: LabelPolicy) -> TaskPart:
    """Give a part its targets; segments without one are left out and counted."""
    found = make_targets(task, part.labels, columns, policy)
    data = subset(part, found.usable)
    targets = found.values[found.usable]
    if task.kind == "multiclass":
        condition, names = targets.astype(np.int64), found.classes
    elif task.kind == "regression":
        condition, names = sentiment_bins(targets.astype(np.float32)), SENTIMENT_CLASSES
    else:
        intensities = emotion_intensities(data.labels, columns)
        # The strongest label stands for all of them; a segment without any has the null class.
        condition = np.where(intensities.max(axis=1) > 0, intensities.argmax(axis=1), len(EMOTIONS)).astype(np.int64)
        names = EMOTIONS
    return TaskPart(data, targets, found.classes, condition, names, found.dropped)
