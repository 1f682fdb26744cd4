"""Segments and ledger rows as Arrow tables, and files whose bytes depend on nothing but their content."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from mosei_align.alignment.frames import Bools, Features
from mosei_align.alignment.results import LedgerRow, MmsdkLoss, ModalityRow, Segment
from mosei_align.alignment.steps import Steps
from mosei_align.dataset.arrow_arrays import array_of, joined, offsets_of, texts_of
from mosei_align.dataset.parquet import ROW_GROUP, write_parquet
from mosei_schemas.dataset import SEGMENTS
from mosei_schemas.manifest import FileFormat, Shard
from mosei_schemas.names import MODALITIES, State
from mosei_schemas.publish import sha256
from mosei_schemas.tables import ledger_schema, losses_schema, segments_schema

_NO_SEQUENCE: Final = ModalityRow(State.NO_SEQUENCE)


def shard_name(number: int, file_format: FileFormat) -> str:
    """The name of a shard's file within the dataset directory."""
    return f"{SEGMENTS}/part-{number:05d}.{file_format}"


def segments_table(
    segments: Sequence[Segment],
    dims: Mapping[str, int],
    label_columns: Sequence[str],
    speakers: Mapping[str, str],
    *,
    mmsdk: bool = False,
) -> pa.Table:
    """The kept segments as a table of `segments_schema`; it takes over the arrays of their vectors, gaps closed."""
    schema = segments_schema(dims, label_columns, mmsdk=mmsdk)
    rows = [segment.row for segment in segments]
    stretches = _stretches(segments)
    offsets = offsets_of([count for s in stretches for count in s.lengths(s.steps.bounds)])
    spoken = offsets_of([count for s in stretches for count in s.lengths(s.steps.token_bounds)])
    tokens = texts_of([token for s in stretches for token in s.tokens()])
    starts = joined([s.steps.start_s[s.places] for s in stretches], np.float64)
    ends = joined([s.steps.end_s[s.places] for s in stretches], np.float64)
    columns: dict[str, Any] = {
        "segment_id": [row.segment_id for row in rows],
        "video_id": [row.video_id for row in rows],
        "speaker_id": [speakers.get(row.video_id) for row in rows],
        "label_row": [row.label_row for row in rows],
        "start_s": [row.start_s for row in rows],
        "end_s": [row.end_s for row in rows],
        "labels": _vectors([s.labels[None] for s in segments], schema.field("labels").type),
        "steps_from": [str(row.steps_from) for row in rows],
        "steps": [row.steps for row in rows],
        "step_start_s": _lists(offsets, starts, schema, "step_start_s"),
        "step_end_s": _lists(offsets, ends, schema, "step_end_s"),
        "words": pa.ListArray.from_arrays(spoken, tokens, type=schema.field("words").type),
    }
    for name in (m for m in MODALITIES if m in dims):
        kind = schema.field(name).type.value_type
        means = _vectors([s.vectors[name][0][s.places] for s in stretches], kind, overwrite=True)
        columns[name] = pa.ListArray.from_arrays(offsets, means, type=schema.field(name).type)
        valid = joined([s.vectors[name][1][s.places] for s in stretches], np.bool_, overwrite=True)
        columns[f"{name}_valid"] = _lists(offsets, valid, schema, f"{name}_valid")
        if mmsdk:
            columns |= _mmsdk_columns(segments, name, schema)
    return _table(columns, schema)


@dataclass(slots=True)
class _Stretch:
    """Segments first ... last - 1 of those that were aligned together."""

    steps: Steps
    vectors: dict[str, tuple[Features, Bools]]
    first: int
    last: int

    def lengths(self, bounds: Sequence[int]) -> list[int]:
        """How much of something each segment has, of which all begin at `bounds`."""
        return [b - a for a, b in itertools.pairwise(bounds[self.first : self.last + 1])]

    @property
    def places(self) -> slice:
        """Where their steps are."""
        return slice(self.steps.bounds[self.first], self.steps.bounds[self.last])

    def tokens(self) -> Sequence[bytes]:
        """Their tokens."""
        bounds = self.steps.token_bounds
        return self.steps.tokens[bounds[self.first] : bounds[self.last]]


def _stretches(segments: Sequence[Segment]) -> list[_Stretch]:
    """Segments that were neighbours when they were aligned, as one stretch."""
    found: list[_Stretch] = []
    for segment in segments:
        if found and found[-1].steps is segment.steps and found[-1].last == segment.number:
            found[-1].last += 1
        else:
            found.append(_Stretch(segment.steps, segment.vectors, segment.number, segment.number + 1))
    return found


def _mmsdk_columns(segments: Sequence[Segment], name: str, schema: pa.Schema) -> dict[str, pa.Array]:
    rows, starts, ends = zip(*(segment.mmsdk_rows[name] for segment in segments), strict=True)
    offsets = offsets_of([len(r) for r in rows])
    columns = {"rows": (rows, np.int32), "row_start_s": (starts, np.float64), "row_end_s": (ends, np.float64)}
    return {
        f"{name}_{what}": _lists(offsets, joined(list(parts), dtype), schema, f"{name}_{what}")
        for what, (parts, dtype) in columns.items()
    }


def losses_table(losses: Sequence[MmsdkLoss]) -> pa.Table:
    """mmsdk's losses as a table of `losses_schema`."""
    schema = losses_schema()
    return _table({name: [getattr(loss, name) for loss in losses] for name in schema.names}, schema)


def ledger_table(rows: Sequence[LedgerRow]) -> pa.Table:
    """Ledger rows as a table of `ledger_schema`."""
    columns: dict[str, list[object]] = {
        "segment_id": [row.segment_id for row in rows],
        "video_id": [row.video_id for row in rows],
        "label_row": [row.label_row for row in rows],
        "start_s": [row.start_s for row in rows],
        "end_s": [row.end_s for row in rows],
        "kept": [row.reason is None for row in rows],
        "reason": [None if row.reason is None else str(row.reason) for row in rows],
        "detail": [row.detail for row in rows],
        "steps_from": [str(row.steps_from) for row in rows],
        "steps": [row.steps for row in rows],
    }
    for name in MODALITIES:
        found = [row.modalities.get(name, _NO_SEQUENCE) for row in rows]
        columns[f"{name}_state"] = [str(modality.state) for modality in found]
        columns[f"{name}_frames"] = [modality.frames for modality in found]
        columns[f"{name}_invalid_frames"] = [modality.invalid_frames for modality in found]
        columns[f"{name}_valid_steps"] = [modality.valid_steps for modality in found]
    return _table(columns, ledger_schema())


def _table(columns: Mapping[str, Any], schema: pa.Schema) -> pa.Table:
    """A table of columns in the order of the schema, each an Arrow array or what one is made of."""
    assert list(columns) == schema.names
    arrays = [
        column if isinstance(column, pa.Array) else array_of(column, field.type)
        for field, column in zip(schema, columns.values(), strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def write_table(table: pa.Table, directory: Path, name: str) -> Shard:
    """Write a file into a dataset directory, with nothing in it that names the run.

    Parquet: zstd, floats split by byte. Arrow: uncompressed IPC, so that a reader can map it.
    """
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".arrow":
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=ROW_GROUP)
        return Shard(name=name, rows=table.num_rows, sha256=sha256(path))
    return Shard(name=name, rows=table.num_rows, sha256=write_parquet(table, path))


def _lists(offsets: pa.Array, values: Any, schema: pa.Schema, name: str) -> pa.Array:
    kind = schema.field(name).type
    return pa.ListArray.from_arrays(offsets, array_of(values, kind.value_type), type=kind)


def _vectors(arrays: list[Any], kind: pa.FixedSizeListType, *, overwrite: bool = False) -> pa.Array:
    flat = joined([a.reshape(-1) for a in arrays], np.float32, overwrite=overwrite)
    return pa.FixedSizeListArray.from_arrays(array_of(flat, pa.float32()), type=kind)
