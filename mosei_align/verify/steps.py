"""A group of segments by itself: lengths of lists, times, labels, and vectors against their masks.

Legend: N = segments of the group, T = all their steps, D = width.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from mosei_align.alignment.frames import nonfinite_rows
from mosei_align.verify.result import Check
from mosei_schemas.dataset import flat_values
from mosei_schemas.manifest import Manifest
from mosei_schemas.names import StepSource

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class Wrong(NamedTuple):
    """Some segments of a group are wrong in the same way; (N,) which."""

    check: Check
    problem: str
    segments: Bools


def check_lengths(table: pa.Table, manifest: Manifest) -> list[Wrong]:
    """Every list of a segment against its `steps`; only a group that passes can be asked for its steps."""
    steps = table.column("steps").to_numpy().astype(np.int64)
    words = _lengths(table, "words")
    wrong = [
        Wrong(Check.LENGTHS, "has no step", steps < 1),
        Wrong(Check.LENGTHS, "words are neither one a step nor none", (words != steps) & (words != 0)),
    ]
    per_step = ["step_start_s", "step_end_s"]
    for name in manifest.modalities:
        per_step += [name, f"{name}_valid"]
        if manifest.settings.policy == "mmsdk":
            rows = _lengths(table, f"{name}_rows")
            for column in (f"{name}_row_start_s", f"{name}_row_end_s"):
                unlike = _lengths(table, column) != rows
                wrong.append(Wrong(Check.LENGTHS, f"{column} has another length than {name}_rows", unlike))
    for column in per_step:
        wrong.append(Wrong(Check.LENGTHS, f"{column} has another length than steps", _lengths(table, column) != steps))
    return wrong


def check_times_and_labels(table: pa.Table, manifest: Manifest) -> list[Wrong]:
    """Times in order, labels finite; mmsdk keeps labels as they are, and rows (policy paper) have the file's times.

    mmsdk keeps a segment without end, too. Policy imported knows no times of steps, and may know the segment's.
    """
    imported = manifest.settings.policy == "imported"
    starts, ends = (table.column(name).to_numpy() for name in ("start_s", "end_s"))
    usable = np.isfinite(starts) & np.isfinite(ends) & (starts <= ends)
    if manifest.settings.policy == "mmsdk":
        usable |= starts < ends
    if imported:
        usable |= np.isnan(starts) & np.isnan(ends)
    wrong = [Wrong(Check.TIMES, "start_s and end_s are no interval", ~usable)]
    timed = np.array([source != StepSource.ROWS for source in table.column("steps_from").to_pylist()], np.bool_)
    steps = table.column("steps").to_numpy()
    segment = np.repeat(np.arange(len(table)), steps)
    first, last = flat_values(table.column("step_start_s")), flat_values(table.column("step_end_s"))
    if imported:
        told = ~(np.isnan(first) & np.isnan(last))
        wrong.append(
            Wrong(Check.TIMES, "a step has times, which the file did not tell", _any(segment, told, len(table)))
        )
        timed[:] = False
    unusable = ~(np.isfinite(first) & np.isfinite(last) & (first <= last))
    wrong.append(Wrong(Check.TIMES, "a step's times are no interval", timed & _any(segment, unusable, len(table))))
    back = np.zeros(len(first), np.bool_)
    back[1:] = (np.diff(first) < 0) & (segment[1:] == segment[:-1])
    wrong.append(Wrong(Check.TIMES, "a step starts before the one before it", timed & _any(segment, back, len(table))))
    if manifest.settings.policy != "mmsdk":
        labels = flat_values(table.column("labels")).reshape(len(table), len(manifest.label_columns))
        wrong.append(Wrong(Check.LABELS, "a label is not finite", ~np.isfinite(labels).all(axis=1)))
    return wrong


def check_vectors(table: pa.Table, manifest: Manifest, name: str) -> tuple[Ints, list[Wrong]]:
    """One modality's vectors against its mask; for policy mmsdk also its rows against the steps.

    Returns:
        (N,) valid steps of each segment, and what is wrong.
    """
    count = len(table)
    segment = np.repeat(np.arange(count), table.column("steps").to_numpy())
    vectors = flat_values(table.column(name)).reshape(len(segment), manifest.modalities[name].dim)  # type: ignore[index]
    valid: Bools = flat_values(table.column(f"{name}_valid"))
    mmsdk = manifest.settings.policy == "mmsdk"
    infinite = nonfinite_rows(vectors)
    filled = np.zeros(len(segment), np.bool_)
    filled[~valid] = vectors[~valid].any(axis=1)
    if mmsdk:
        filled &= ~infinite
    wrong = [
        Wrong(Check.FINITE, f"a valid {name} vector is not finite", _any(segment, infinite & valid, count)),
        Wrong(Check.ZEROS, f"a {name} vector that is not valid is not zeros", _any(segment, filled, count)),
    ]
    if mmsdk:
        wrong += _check_rows(table, name, segment, valid)
    return np.bincount(segment[valid], minlength=count), wrong


def _check_rows(table: pa.Table, name: str, segment: Ints, valid: Bools) -> list[Wrong]:
    """mmsdk's rows: each is a step of the segment, none twice; a step without one is not valid."""
    count = len(table)
    steps = table.column("steps").to_numpy().astype(np.int64)
    offsets = np.cumsum(steps) - steps
    owner = np.repeat(np.arange(count), _lengths(table, f"{name}_rows"))
    rows = flat_values(table.column(f"{name}_rows")).astype(np.int64)
    outside = (rows < 0) | (rows >= steps[owner])
    named = np.bincount((offsets[owner] + rows)[~outside], minlength=len(segment))
    twice = _any(segment, named > 1, count)
    return [
        Wrong(Check.MASKS, f"{name}_rows are not steps, each once", _any(owner, outside, count) | twice),
        Wrong(
            Check.MASKS, f"a valid {name} step has no row in {name}_rows", _any(segment, valid & (named == 0), count)
        ),
    ]


def _any(owner: Ints, wrong: Bools, count: int) -> Bools:
    """(count,) whether an owner has anything wrong; `owner` and `wrong` have one element a thing."""
    found = np.zeros(count, np.bool_)
    found[owner[wrong]] = True
    return found


def _lengths(table: pa.Table, column: str) -> Any:
    return pc.list_value_length(table.column(column)).to_numpy().astype(np.int64)
