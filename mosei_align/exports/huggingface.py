"""A folder that Hugging Face `datasets` loads: Parquet files a part, and a dataset card."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from mosei_align.dataset.parquet import ROW_GROUP, parquet_options
from mosei_align.exports.account import PartAccount
from mosei_align.exports.card import card
from mosei_align.exports.request import Request
from mosei_align.exports.tables import exported_schema, part_tables

SPLIT_NAMES: Final = {"train": "train", "valid": "validation", "test": "test", "segments": "segments"}
"""Part -> the name that `datasets` users expect."""
_ROWS: Final = 4096
"""Segments of a file: some hundred MB of MOSEI."""


def write(request: Request, target: Path, _out: Path) -> tuple[dict[str, PartAccount], list[str]]:
    """Write `data/SPLIT-00000-of-0000N.parquet` and `README.md`."""
    (target / "data").mkdir()
    parts = {}
    for name, part in request.parts().items():
        parts[name] = request.account(part, None)
        _write_files(request, part, target / "data", SPLIT_NAMES[name], parts[name].segments)
    (target / "README.md").write_text(
        card(request, {SPLIT_NAMES[name]: found for name, found in parts.items()}), "utf-8"
    )
    notes = ["mmsdk's own rows (m_rows) are left out"] if request.dataset.manifest.settings.policy == "mmsdk" else []
    return parts, notes


def _write_files(request: Request, part: str | None, folder: Path, name: str, segments: int) -> None:
    schema, files = exported_schema(request), max(1, ceil(segments / _ROWS))
    tables = part_tables(request, part)
    rest: pa.Table = schema.empty_table()
    for number in range(files):
        wanted = min(_ROWS, segments - number * _ROWS)
        path = folder / f"{name}-{number:05d}-of-{files:05d}.parquet"
        with pq.ParquetWriter(path, schema, **parquet_options(schema)) as writer:
            for table in _first(rest, tables, wanted):
                taken = table.slice(0, wanted)
                writer.write_table(taken, row_group_size=ROW_GROUP)
                wanted -= len(taken)
                rest = table.slice(len(taken))


def _first(rest: pa.Table, tables: Iterator[pa.Table], wanted: int) -> Iterator[pa.Table]:
    """`rest`, then tables, until they have `wanted` rows."""
    have = len(rest)
    if have or not wanted:
        yield rest
    while have < wanted:
        table = next(tables)
        have += len(table)
        yield table
