"""What goes in and out of every stage: sequences of entries, and the keys that a stage lost.

Legend: N = rows of an entry, D = columns of its features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Rows = npt.NDArray[np.int64]

Collapse = Callable[[Array, Array], Array]
"""Makes one row of many: (intervals (N, 2), features (N, D)) -> (D,) or (1, D)."""


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What stands under one key.

    Attributes:
        features: (N, D), any type; strings are fixed-width bytes.
        intervals: (N, 2) start and end in seconds, any float type.
    """

    features: Array
    intervals: Array


Entries = dict[str, Entry]
"""Key (`id`, `id[k]`) -> entry, in mmsdk's order."""

Sequences = dict[str, Entries]
"""Name of a sequence -> its entries, in the order in which they were given to mmsdk."""


class Loss(NamedTuple):
    """One key that a stage did not bring out, and why."""

    sequence: str
    key: str
    reason: str


class StageLoss(NamedTuple):
    """A loss of a recipe of several stages."""

    stage: str
    sequence: str
    key: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """What a stage made.

    Attributes:
        sequences: the result. The input is as it was.
        losses: the keys that did not come out.
        rows: sequence -> key -> which rows of the input the entry's rows are made of, in the order in which they were
            taken: row numbers in all entries of the video, one after the other. Only `align` tells it.
    """

    sequences: Sequences
    losses: tuple[Loss, ...] = ()
    rows: Mapping[str, Mapping[str, Rows]] = field(default_factory=dict)


def video_of(key: str) -> str:
    """The video a key belongs to, as mmsdk sees it: all before the first `[`."""
    return key.split("[")[0]


def by_video(entries: Mapping[str, Entry]) -> dict[str, Entries]:
    """Entries sorted into videos; videos and entries keep their order."""
    found: dict[str, Entries] = {}
    for key, entry in entries.items():
        found.setdefault(video_of(key), {})[key] = entry
    return found
