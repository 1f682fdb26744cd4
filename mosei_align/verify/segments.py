"""The shards: every segment by itself, and against the ledger. One group of rows at a time; ids and labels are kept.

Legend: N = segments of the group, K = label columns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from mosei_align.splits.normalise import Moments, group_moments
from mosei_align.splits.segments import texts
from mosei_align.verify.files import DAMAGE, Look, brief
from mosei_align.verify.ledger import LedgerColumns, backwards, check_unique
from mosei_align.verify.result import Check, Notes
from mosei_align.verify.steps import Ints, Wrong, check_lengths, check_times_and_labels, check_vectors
from mosei_schemas.checked import declared_segments, forbidden_nulls
from mosei_schemas.dataset import MANIFEST, SEGMENTS, flat_values, in_order, row_groups
from mosei_schemas.manifest import Manifest

_SHARED: Final = ("segment_id", "video_id", "label_row", "start_s", "end_s", "steps_from", "steps")
"""What shards and ledger both tell of a segment."""
_KEPT: Final = ("segment_id", "video_id", "speaker_id", "start_s", "end_s", "text")


@dataclass(slots=True)
class Shards:
    """What stays of the shards after they were gone through.

    Attributes:
        complete: whether every row of every shard was looked at in full; if not, sums over them prove nothing.
        columns: `segment_id`, `video_id`, `speaker_id`, `start_s`, `end_s`, `text` (its words): one list each,
            in dataset order.
        labels: (N, K) of each group.
        moments: split -> modality -> moments of the valid steps of its train part.
    """

    complete: bool = True
    columns: dict[str, list[Any]] = field(default_factory=dict)
    labels: list[npt.NDArray[np.float32]] = field(default_factory=list)
    moments: dict[str, dict[str, Moments]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Group:
    """What was found in one group of rows."""

    shard: str
    rows: int
    columns: Mapping[str, list[Any]] = field(default_factory=dict)
    labels: npt.NDArray[np.float32] | None = None
    valid: Mapping[str, Ints] = field(default_factory=dict)
    wrong: Sequence[Wrong] = ()
    moments: Mapping[str, Mapping[str, Moments]] = field(default_factory=dict)
    unreadable: tuple[Check, str, tuple[str, ...]] | None = None
    whole: bool = True


def check_shards(
    notes: Notes,
    dataset: Path,
    manifest: Manifest,
    looks: Mapping[str, Look],
    ledger: LedgerColumns | None,
    train: Mapping[str, frozenset[str]],
    progress: Callable[[int, int], None] | None = None,
) -> Shards:
    """Go through the shards once.

    Args:
        notes: takes the findings.
        dataset: the dataset directory.
        manifest: its manifest.
        looks: what `check_tables` found of every shard; one that is not sound is left out.
        ledger: the ledger, None where it cannot be read.
        train: split -> ids of the segments of its train part.
        progress: called with (segments done, segments in all).
    """
    found = Shards(moments={split: {} for split in train})
    found.complete = all(looks[shard.name].sound for shard in manifest.shards)
    row_of = {} if ledger is None else {ledger.segment_id[row]: row for row in np.flatnonzero(ledger.kept).tolist()}
    done, total = 0, sum(shard.rows for shard in manifest.shards)
    all_ids, last = True, -1
    for group in in_order(_tasks(dataset, manifest, looks, train)):
        _note(notes, group)
        found.complete &= group.whole
        all_ids &= bool(group.columns)
        if group.columns:
            _keep(found, group)
            if ledger is not None:
                last = _against_ledger(notes, group, ledger, row_of, last)
        done += group.rows
        if progress is not None:
            progress(done, total)
    ids = found.columns.get("segment_id", [])
    check_unique(notes, SEGMENTS, ids)
    if ledger is not None:
        missing = sorted(row_of.keys() - set(ids), key=row_of.__getitem__) if all_ids else []
        notes.each(Check.ORDER, SEGMENTS, "is kept by the ledger, but in no shard", missing, len(row_of))
    _check_speakers(notes, manifest, found, ledger)
    return found


def _keep(found: Shards, group: _Group) -> None:
    """What stays of a group."""
    for name in _KEPT:
        found.columns.setdefault(name, []).extend(group.columns[name])
    if group.labels is not None:
        found.labels.append(group.labels.copy())
    with np.errstate(invalid="ignore", over="ignore"):
        for split, moments in group.moments.items():
            for name, more in moments.items():
                found.moments[split].setdefault(name, Moments.empty(len(more.mean))).merge(more)


def _tasks(
    dataset: Path, manifest: Manifest, looks: Mapping[str, Look], train: Mapping[str, frozenset[str]]
) -> Iterator[Callable[[], _Group]]:
    """One task a group; a shard that cannot be read counts with the rows that it has, or that the manifest tells."""
    names = declared_segments(manifest).names
    for shard in manifest.shards:
        look = looks[shard.name]
        rows = shard.rows if look.rows is None else look.rows
        if not look.sound:
            yield partial(_Group, shard.name, rows, whole=False)
            continue
        try:
            groups = row_groups(dataset / shard.name, names)
        except DAMAGE as error:
            yield partial(_unreadable, shard.name, rows, error)
            continue
        for count, read in groups:
            yield partial(_look, shard.name, count, read, manifest, train)


def _unreadable(shard: str, rows: int, error: BaseException) -> _Group:
    return _Group(shard, rows, unreadable=(Check.FILES, f"cannot be read: {brief(error)}", ()), whole=False)


def _look(
    shard: str, rows: int, read: Callable[[], pa.Table], manifest: Manifest, train: Mapping[str, frozenset[str]]
) -> _Group:
    try:
        table = read()
        table.validate(full=True)
    except DAMAGE as error:
        return _unreadable(shard, rows, error)
    nulls = forbidden_nulls(table)
    if nulls:
        return _Group(
            shard, rows, unreadable=(Check.SCHEMA, "has nulls where there may be none", tuple(nulls)), whole=False
        )
    wrong = check_lengths(table, manifest)
    uneven = np.logical_or.reduce([w.segments for w in wrong])
    even = np.flatnonzero(~uneven)
    ids = table.column("segment_id").to_pylist()
    columns = {name: table.column(name).to_pylist() for name in (*_SHARED, "speaker_id")}
    columns["text"] = texts(table)
    labels = flat_values(table.column("labels")).reshape(rows, len(manifest.label_columns))
    if uneven.any():
        # The steps of these cannot be told apart; the others are looked at without them.
        table = table.filter(pa.array(~uneven))
    valid = {str(name): np.full(rows, -1, np.int64) for name in manifest.modalities}
    later = check_times_and_labels(table, manifest)
    for name in valid:
        valid[name][even], more = check_vectors(table, manifest, name)
        later += more
    for check, problem, segments in later:
        placed = np.zeros(rows, np.bool_)
        placed[even] = segments
        wrong.append(Wrong(check, problem, placed))
    moments = {
        split: _moments(shard, table, manifest, [ids[k] in chosen for k in even]) for split, chosen in train.items()
    }
    return _Group(shard, rows, columns, labels, valid, wrong, moments, whole=not uneven.any())


def _moments(shard: str, table: pa.Table, manifest: Manifest, in_train: Sequence[bool]) -> dict[str, Moments]:
    """Moments of every modality over the valid steps of the segments in train, as the split's fit has them."""
    steps_in_train = np.repeat(np.array(in_train, np.bool_), table.column("steps").to_numpy())
    with np.errstate(invalid="ignore", over="ignore"):
        return {
            name: group_moments(Path(shard), table, name, info.dim, steps_in_train)
            for name, info in manifest.modalities.items()
        }


def _note(notes: Notes, group: _Group) -> None:
    if group.unreadable is not None:
        notes.wrong(group.unreadable[0], group.shard, *group.unreadable[1:])
    for check, problem, segments in group.wrong:
        ids = [group.columns["segment_id"][row] for row in np.flatnonzero(segments)]
        notes.each(check, group.shard, problem, ids, group.rows)


def _against_ledger(notes: Notes, group: _Group, ledger: LedgerColumns, row_of: Mapping[str, int], last: int) -> int:
    """A group of segments against the ledger's kept rows of the same ids.

    Args:
        notes: takes the findings.
        group: the segments.
        ledger: the ledger.
        row_of: id -> row of the ledger, of every kept segment.
        last: the ledger's row of the segment before the group.

    Returns:
        The ledger's row of the group's last segment.
    """
    ids = group.columns["segment_id"]
    strangers = [ident for ident in ids if ident not in row_of]
    notes.each(Check.ORDER, group.shard, "is not kept by the ledger", strangers, len(ids))
    pairs = [(k, row_of[ident]) for k, ident in enumerate(ids) if ident in row_of]
    rows = [last, *(row for _, row in pairs)]
    late = [ids[pairs[k - 1][0]] for k in backwards(rows)]
    notes.each(Check.ORDER, group.shard, "is in the ledger before the segment before it", late, len(ids))
    for name in _SHARED:
        ours, theirs = group.columns[name], getattr(ledger, name)
        differing = [ids[k] for k, row in pairs if ours[k] != theirs[row] and not _both_nan(ours[k], theirs[row])]
        notes.each(Check.AGREEMENT, group.shard, f"{name} is another in the ledger", differing, len(pairs))
    for name, valid in group.valid.items():
        differing = [ids[k] for k, row in pairs if valid[k] not in (-1, ledger.valid_steps[name][row])]
        notes.each(
            Check.MASKS, group.shard, f"the ledger tells another number of valid {name} steps", differing, len(pairs)
        )
    nothing = [ident for k, ident in enumerate(ids) if all(valid[k] == 0 for valid in group.valid.values())]
    notes.each(Check.MASKS, group.shard, "has no valid step in any modality", nothing, len(ids))
    return rows[-1]


def _both_nan(one: Any, other: Any) -> bool:
    """Whether neither is a number: policy imported, where no time is known."""
    return bool(one != one and other != other)


def _check_speakers(notes: Notes, manifest: Manifest, found: Shards, ledger: LedgerColumns | None) -> None:
    """One speaker a video, and no more speakers than the manifest tells; it counts those of dropped videos, too."""
    if not found.complete or ledger is None:
        return
    pairs = set(zip(found.columns.get("video_id", []), found.columns.get("speaker_id", []), strict=True))
    videos = Counter(video for video, _ in pairs)
    torn = sorted(video for video, speakers in videos.items() if speakers > 1)
    notes.each(Check.COUNTS, SEGMENTS, "the segments of one video have several speakers", torn, len(videos))
    speakers = len({speaker for _, speaker in pairs if speaker is not None})
    whole = len(videos) == len(set(ledger.video_id))
    told = manifest.speakers
    notes.true(
        Check.COUNTS,
        told == speakers if whole else told >= speakers,
        MANIFEST,
        f"tells of {told:,} speakers, {speakers:,} are in the shards",
    )
