"""mmsdk's `align`: every row of a reference sequence becomes a key, and gets the rows that overlap it.

Legend: N = rows, D = columns, Q = reference rows of an entry.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from mosei_align.compat_mmsdk.collapse import average, averaged_alone, collapsed
from mosei_align.compat_mmsdk.gather import Gathered, gather
from mosei_align.compat_mmsdk.overlap import Overlaps, negative_zero, overlaps, too_short
from mosei_align.compat_mmsdk.sequences import (
    Array,
    Collapse,
    Entries,
    Entry,
    Loss,
    Rows,
    Sequences,
    Stage,
    by_video,
    video_of,
)
from mosei_align.compat_mmsdk.unify import purged
from mosei_schemas.errors import InputError

SHORT: Final = "reference interval shorter than 1e-5"
_EMPTY: Final = "sequence has no rows for the video"


_Column = list[tuple[Entry, Rows] | None]
"""One sequence's part of a reference entry: for each of the Q rows what it gets, None where that is nothing."""


def align(
    sequences: Sequences,
    reference: str,
    collapse: Collapse | Sequence[Collapse] | None = None,
    *,
    measured: Sequences | None = None,
) -> Stage:
    """Align all sequences to the rows of one of them; row k of a key `id` becomes the key `id[k]`.

    Args:
        sequences: what mmsdk holds; features of one video may differ in width from those of another.
        reference: the name of one of them.
        collapse: makes one row of those that overlap a reference row, e.g. `average`; several functions put their
            columns one after the other; None keeps all rows.
        measured: where a loss without overlap says that a sequence ends, it is looked up here; None for `sequences`
            itself. After an alignment, its input tells more than its result.

    Returns:
        The sequences in the same order, the losses by reference row, and the rows taken.

    Raises:
        InputError: mmsdk would crash: there is no such sequence, an entry of the reference is called `id[k]`, the
            arrays of one video differ in width, a collapse function fails.
    """
    if reference not in sequences:
        known = ", ".join(repr(name) for name in sequences)
        raise InputError(f"no sequence to align to; there are {known}", ident=reference, remedy="name one of them")
    function = _one_function(collapse)
    videos = {name: by_video(entries) for name, entries in sequences.items()}
    ends = videos if measured is None else {name: by_video(entries) for name, entries in measured.items()}
    gone = purged(videos)
    made: dict[str, dict[str, tuple[Entry, Rows]]] = {name: {} for name in sequences}
    losses: list[Loss] = []
    for key, entry in sequences[reference].items():
        video = video_of(key)
        if video in gone:
            losses += losses_of(key, len(entry.intervals), sequences, gone[video])
            continue
        check_reference(key, entry.intervals, reference, alone=len(sequences) == 1)
        parts = {name: found[video] for name, found in videos.items()}
        columns = _columns(key, entry, parts, reference, function)
        told = {name: ends.get(name, {}).get(video, part) for name, part in parts.items()}
        losses += _collect(key, columns, too_short(entry.intervals), told, made)
    aligned = {name: {key: entry for key, (entry, _) in found.items()} for name, found in made.items()}
    rows = {name: {key: taken for key, (_, taken) in found.items()} for name, found in made.items()}
    return Stage(aligned, tuple(losses), rows)


def losses_of(key: str, rows: int, sequences: Sequence[str] | Sequences, reason: str) -> Iterator[Loss]:
    """The losses of a reference entry that goes with all its rows."""
    return (Loss(name, f"{key}[{k}]", reason) for k in range(rows) for name in sequences)


def check_reference(key: str, intervals: Array, reference: str, *, alone: bool = False) -> None:
    """Refuse a reference entry called `id[k]`: mmsdk looks the whole key up in the other sequences and crashes.

    One that has no row to align to (see `too_short`) does no harm, and neither does one in a dataset of its own.

    Raises:
        InputError: as said.
    """
    if alone or "[" not in key or too_short(intervals).all():
        return
    raise InputError(
        f"{reference}: mmsdk crashes where an entry of the reference is called id[k]",
        ident=key,
        remedy="put the video's rows into one entry of its id, or use another policy",
    )


def _columns(key: str, entry: Entry, parts: Sequences, reference: str, collapse: Collapse | None) -> dict[str, _Column]:
    """What each sequence has for one entry of the reference; `parts` are the sequences' entries of the video."""
    with np.errstate(all="ignore"):
        return {
            name: _own(key, entry, _rows_before(part, key), name, collapse)
            if name == reference
            else _given(key, gather(part, sequence=name, video=video_of(key)), entry.intervals, name, collapse)
            for name, part in parts.items()
        }


def _one_function(collapse: Collapse | Sequence[Collapse] | None) -> Collapse | None:
    if collapse is None or callable(collapse):
        return collapse
    functions = list(collapse)
    if functions == [average]:
        return average
    return lambda intervals, features: np.concatenate([f(intervals, features) for f in functions], axis=0)


def _rows_before(entries: Entries, key: str) -> int:
    count = 0
    for other, entry in entries.items():
        if other == key:
            break
        count += len(entry.intervals)
    return count


def _own(key: str, entry: Entry, offset: int, name: str, collapse: Collapse | None) -> _Column:
    """The reference's part: each row for itself."""
    found: _Column = []
    skipped = too_short(entry.intervals).tolist()
    hulls = np.stack([entry.intervals.min(axis=1), entry.intervals.max(axis=1)], axis=1)
    averages = averaged_alone(entry.features) if collapse is average else None
    numbers = np.arange(offset, offset + len(skipped))
    for k, skip in enumerate(skipped):
        if skip:
            found.append(None)
            continue
        features, intervals = entry.features[k : k + 1], entry.intervals[k : k + 1]
        if collapse is not None:
            intervals = hulls[k : k + 1]
        if averages is not None:
            features = averages[k : k + 1]
        elif collapse is not None:
            given = entry.intervals[k : k + 1].copy(), features.copy()
            features = collapsed(collapse, *given, sequence=name, key=f"{key}[{k}]")
        found.append((Entry(features, intervals), numbers[k : k + 1]))
    return found


def _given(key: str, source: Gathered, reference: Array, name: str, collapse: Collapse | None) -> _Column:
    """Another sequence's part: the rows that overlap each reference row."""
    overlap = overlaps(source.intervals, reference)
    hulls = _hulls(overlap)
    bounds, taken = overlap.bounds.tolist(), source.order[overlap.rows]
    found: _Column = []
    for k, (first, last) in enumerate(pairwise(bounds)):
        if first == last:
            found.append(None)
            continue
        rows, intervals = overlap.rows[first:last], overlap.intervals[first:last]
        if collapse is None:
            entry = Entry(source.features[rows], intervals)
        else:
            features = _rows_of(source.features, rows, collapse)
            made = collapsed(collapse, intervals, features, sequence=name, key=f"{key}[{k}]")
            entry = Entry(made, hulls[k : k + 1])
        found.append((entry, taken[first:last]))
    return found


def _rows_of(features: Array, rows: Rows, collapse: Collapse) -> Array:
    """A copy, as a collapse function may write on what it is given; `average` does not."""
    if collapse is average and int(rows[-1]) - int(rows[0]) == len(rows) - 1:
        return features[int(rows[0]) : int(rows[-1]) + 1]
    return np.asarray(features[rows])


def _hulls(overlap: Overlaps) -> Array:
    """(Q, 2) the first start and the last end of each reference row's rows; anything where there are none."""
    hulls = np.zeros((len(overlap.bounds) - 1, 2), overlap.intervals.dtype)
    full = np.flatnonzero(np.diff(overlap.bounds))
    if negative_zero(overlap.intervals):
        for k in full.tolist():
            part = overlap.intervals[overlap.bounds[k] : overlap.bounds[k + 1]]
            hulls[k] = part.min(), part.max()
    elif len(full):
        first = overlap.bounds[full]
        hulls[full, 0] = np.minimum.reduceat(overlap.intervals.min(axis=1), first)
        hulls[full, 1] = np.maximum.reduceat(overlap.intervals.max(axis=1), first)
    return hulls


def _no_overlap(entries: Entries) -> str:
    intervals = np.concatenate([entry.intervals for entry in entries.values()])
    if not len(intervals):
        return _EMPTY
    ends = intervals[:, 1][~np.isnan(intervals[:, 1])]
    end_s = ends.max() if len(ends) else np.nan
    nan_rows = int(np.isnan(intervals).any(axis=1).sum())
    return f"no row overlaps by more than 1e-5 (sequence ends at {end_s:.3f} s, rows with NaN interval: {nan_rows})"


def _collect(
    key: str,
    columns: dict[str, _Column],
    skipped: Array,
    told: Sequences,
    made: dict[str, dict[str, tuple[Entry, Rows]]],
) -> list[Loss]:
    """Put the columns into `made`; what is not there is a loss, by row and then by sequence."""
    losses = []
    reasons: dict[str, str] = {}
    for k, skip in enumerate(skipped.tolist()):
        for name, column in columns.items():
            found = column[k]
            if found is not None:
                made[name][f"{key}[{k}]"] = found
                continue
            if not skip and name not in reasons:
                reasons[name] = _no_overlap(told[name])
            losses.append(Loss(name, f"{key}[{k}]", SHORT if skip else reasons[name]))
    return losses
