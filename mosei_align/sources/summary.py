"""What the entries of a `.csd` file come to, taken together."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from typing import Any, Final, NamedTuple

import numpy as np

from mosei_align.sources.arrays import ArrayInfos
from mosei_align.sources.entries import ELSEWHERE, Entries, Entry

_MATRIX: Final = 2


def bytes_of(entry: Entry) -> int:
    """What the arrays of an entry take in memory, as stored; those that must not be read take nothing."""
    return sum(
        math.prod(info.shape) * info.dtype.itemsize
        for info in (entry.features, entry.intervals)
        if info is not None and info.dtype is not None and not info.problem
    )


def bytes_of_all(entries: Entries) -> int:
    """`bytes_of` all entries."""
    others = sum(bytes_of(entry) for found in entries.others.values() for entry in found)
    return entries.features.bytes_unpacked() + entries.intervals.bytes_unpacked() + others


class Kind(NamedTuple):
    """What makes feature arrays alike."""

    is_matrix: bool
    has_rows: bool
    width: int
    dtype: np.dtype[Any]


def kinds_of(entries: Entries) -> Counter[Kind]:
    """How many feature arrays are of each kind, those of an unknown type left out."""
    usual = entries.features
    alike = Counter(
        zip(*(numbers.tolist() for numbers in (usual.ranks, *usual.sides[:, :2].T, usual.kinds)), strict=True)
    )
    found: Counter[Kind] = Counter()
    for (rank, rows, width, kind), count in alike.items():
        found[Kind(rank == _MATRIX, rows > 0, width, usual.dtypes[kind])] += count
    for info in (entry.features for others in entries.others.values() for entry in others):
        if info is not None and info.dtype is not None:
            rows, width, *_ = *info.shape, 0, 0
            found[Kind(len(info.shape) == _MATRIX, rows > 0, width, info.dtype)] += 1
    return found


def features_kind(kinds: Counter[Kind]) -> tuple[int | None, bool]:
    """The width that most videos have (the smaller where two tie) and whether the features are strings.

    Arrays without rows are asked only where there are no others.
    """
    full: Counter[tuple[int, bool]] = Counter()
    empty: Counter[tuple[int, bool]] = Counter()
    for kind, count in kinds.items():
        if kind.is_matrix and kind.width > 0:
            (full if kind.has_rows else empty)[kind.width, kind.dtype.kind == "S"] += count
    votes = full or empty
    if not votes:
        return None, False
    (width, is_text), _ = min(votes.items(), key=lambda item: (-item[1], item[0]))
    return width, is_text


def usual_dtype(kinds: Counter[Kind]) -> str:
    """The type that most feature arrays have, in native byte order."""
    dtypes: Counter[np.dtype[Any]] = Counter()
    for kind, count in kinds.items():
        dtypes[kind.dtype] += count
    return min((-count, dtype.newbyteorder("=").name) for dtype, count in dtypes.items())[1] if dtypes else "float32"


def structure_hash(entries: Entries) -> str:
    """SHA-256 over every key with the shapes and types of its arrays."""
    told = []
    features, intervals = _told(entries.features), _told(entries.intervals)
    for video, row in entries.rows():
        if row == ELSEWHERE:
            for path, *arrays in entries.others[video]:
                told.append(repr((video, path, [(a.shape, str(a.dtype)) if a else None for a in arrays])))
        else:
            told.append(f"({video!r}, {video.encode()!r}, [{features[row]}, {intervals[row]}])")
    return hashlib.sha256("".join(told).encode()).hexdigest()


def _told(infos: ArrayInfos) -> list[str]:
    """What `repr` says of the shapes and types."""
    names = [repr(str(dtype)) for dtype in infos.dtypes]
    return [f"({tuple(sides[:rank])}, {names[kind]})" for kind, _, rank, *sides in infos.numbers.tolist()]
