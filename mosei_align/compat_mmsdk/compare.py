"""Ours beside mmsdk's own: where two sets of sequences differ, to the byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from mosei_align.compat_mmsdk.reading import read_sequences
from mosei_align.compat_mmsdk.revert import aligned_key
from mosei_align.compat_mmsdk.sequences import Array, Sequences

What = Literal["missing", "extra", "dtype", "shape", "values", "order"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that differs; `str()` of it is a line for people.

    Attributes:
        what: `missing`: they have it and we do not; `extra`: the other way round; `order`: equal keys in another order.
        sequence: where.
        key: where; empty where it is the sequence.
        array: `features` or `intervals`; empty where it is the entry.
        detail: ours and theirs, or how many values differ.
    """

    what: What
    sequence: str
    key: str = ""
    array: str = ""
    detail: str = ""

    def __str__(self) -> str:
        place = " ".join(part for part in (self.sequence, self.key, self.array) if part)
        return f"{place}: {self.what}" + (f" ({self.detail})" if self.detail else "")


def compare(ours: Sequences, theirs: Sequences) -> list[Difference]:
    """Every difference between two sets of sequences; none means that all bytes, types and orders are equal.

    A NaN equals one of the same bits, and 0.0 does not equal -0.0.

    Returns:
        Sequences, then keys in their order; of each key the first that applies of dtype, shape and values.
    """
    found = _keys(ours, theirs, "")
    for name in (name for name in ours if name in theirs):
        found += _keys(ours[name], theirs[name], name)
        for key, entry in ours[name].items():
            other = theirs[name].get(key)
            if other is not None:
                found += _array(entry.features, other.features, Difference("values", name, key, "features"))
                found += _array(entry.intervals, other.intervals, Difference("values", name, key, "intervals"))
    return found


def read_deployed(source: Path | Iterable[Path] | Mapping[str, Path]) -> Sequences:
    """Read the `.csd` files that mmsdk's `deploy` wrote for an aligned dataset.

    A file has its keys in the order of their bytes, `id[10]` before `id[2]`. Here they come by id and number, as
    `align` makes them; keys that `impute` added are not at the end any more.

    Args:
        source: as for `read_sequences`.

    Raises:
        InputError: as `read_sequences` does.
    """
    found = read_sequences(source)
    return {name: {key: entries[key] for key in sorted(entries, key=_place)} for name, entries in found.items()}


def _place(key: str) -> tuple[bytes, int]:
    video, number = aligned_key(key) or (key, -1)
    return video.encode(), number


def _keys(ours: Mapping[str, object], theirs: Mapping[str, object], sequence: str) -> list[Difference]:
    """Missing, extra, order: of the sequences where `sequence` is empty, else of its keys."""

    def difference(what: What, name: str, detail: str = "") -> Difference:
        return Difference(what, sequence, name, detail=detail) if sequence else Difference(what, name, detail=detail)

    found = [difference("missing", name) for name in theirs if name not in ours]
    found += [difference("extra", name) for name in ours if name not in theirs]
    mine, other = [name for name in ours if name in theirs], [name for name in theirs if name in ours]
    if mine != other:
        first = next(k for k, names in enumerate(zip(mine, other, strict=True)) if names[0] != names[1])
        found.append(difference("order", mine[first], f"theirs has {other[first]} there"))
    return found


def _array(ours: Array, theirs: Array, place: Difference) -> list[Difference]:
    def difference(what: What, detail: str) -> list[Difference]:
        return [Difference(what, place.sequence, place.key, place.array, detail)]

    if ours.dtype != theirs.dtype:
        return difference("dtype", f"ours {ours.dtype}, theirs {theirs.dtype}")
    if ours.shape != theirs.shape:
        return difference("shape", f"ours {ours.shape}, theirs {theirs.shape}")
    if not ours.size or not ours.dtype.itemsize:
        return []
    bytes_of = [np.ascontiguousarray(array).view(np.uint8).reshape(ours.size, -1) for array in (ours, theirs)]
    unequal = bytes_of[0] != bytes_of[1]
    if not unequal.any():
        return []
    return difference("values", f"{unequal.any(axis=1).sum()} of {ours.size} values, {unequal.sum()} bytes")
