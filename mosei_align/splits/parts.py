"""Parts as Parquet files of their own, with normalised features.

Legend: N = segments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mosei_align.dataset.parquet import parquet_options
from mosei_align.opening.scaled import scaled
from mosei_schemas.dataset import PART_FILES, map_segments
from mosei_schemas.manifest import Manifest
from mosei_schemas.publish import sha256
from mosei_schemas.scaling import Scalers
from mosei_schemas.splits import Part, WrittenPart
from mosei_schemas.tables import part_schema, segments_schema

Counted = dict[str, tuple[int, int]]
"""Modality -> values of valid steps, and how many of these were beyond the clamp."""


def part_tables(
    dataset: Path, manifest: Manifest, parts: Sequence[str], scalers: Scalers
) -> Iterator[tuple[Part, pa.Table, Counted]]:
    """Some segments of a part at a time, scaled, in dataset order; segments in no part are left out.

    Args:
        dataset: the dataset directory.
        manifest: its manifest.
        parts: (N,) part of each segment, in dataset order.
        scalers: of the split.

    Raises:
        DatasetError: a shard is missing or damaged.
    """
    dims: dict[str, int] = {name: info.dim for name, info in manifest.modalities.items()}
    schema = part_schema(dims, manifest.label_columns)
    part_of = np.array(parts, object)

    def work(first: int, table: pa.Table) -> list[tuple[Part, pa.Table, Counted]]:
        here = part_of[first : first + len(table)]
        found = []
        for part in get_args(Part):
            rows = np.flatnonzero(here == part)
            if len(rows):
                chosen, counted = scaled(table.take(rows), scalers, dims)
                name = pa.array([part] * len(rows), pa.string())
                found.append((part, chosen.add_column(1, schema.field("part"), name), counted))
        return found

    columns = segments_schema(dims, manifest.label_columns).names
    for some in map_segments(dataset, manifest, columns, work):
        yield from some


def write_parts(
    folder: Path, dataset: Path, manifest: Manifest, parts: Sequence[str], scalers: Scalers
) -> list[WrittenPart]:
    """Write `train.parquet`, `validation.parquet` and `test.parquet`; a part without a segment has no file.

    The bytes depend on the dataset, the assignment and the scalers alone.

    Args:
        folder: where to.
        dataset, manifest, parts, scalers: see `part_tables`.

    Raises:
        DatasetError: a shard is missing or damaged.
    """
    dims: dict[str, int] = {name: info.dim for name, info in manifest.modalities.items()}
    schema = part_schema(dims, manifest.label_columns)
    values: dict[Part, Counter[str]] = {}
    clipped: dict[Part, Counter[str]] = {}
    with ExitStack() as stack:
        writers: dict[Part, pq.ParquetWriter] = {}
        for part, table, counted in part_tables(dataset, manifest, parts, scalers):
            if part not in writers:
                writer = pq.ParquetWriter(folder / PART_FILES[part], schema, **parquet_options(schema))
                writers[part] = stack.enter_context(writer)
                values[part], clipped[part] = Counter(), Counter()
            writers[part].write_table(table)
            values[part].update({name: total for name, (total, _) in counted.items()})
            clipped[part].update({name: beyond for name, (_, beyond) in counted.items()})
    return [
        WrittenPart(
            part=part,
            name=PART_FILES[part],
            rows=parts.count(part),
            sha256=sha256(folder / PART_FILES[part]),
            values={name: values[part][name] for name in manifest.modalities},
            clipped={name: clipped[part][name] for name in manifest.modalities},
        )
        for part in get_args(Part)
        if part in values
    ]
