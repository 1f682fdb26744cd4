"""A dataset of policy mmsdk as mmsdk's own sequences again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from mosei_align.compat_mmsdk.sequences import Entry, Sequences
from mosei_schemas.dataset import read_manifest, read_segments
from mosei_schemas.errors import DatasetError


def read_dataset(dataset: Path) -> Sequences:
    """The aligned sequences that mmsdk's recipe ends with, from a dataset of policy mmsdk.

    Features are float32; where the input's are not (`dtype` in the manifest), they have been rounded to it.

    Raises:
        DatasetError: it is no dataset, or one of another policy.
    """
    manifest = read_manifest(dataset)
    if manifest.settings.policy != "mmsdk":
        raise DatasetError(
            f"is of policy {manifest.settings.policy}", path=dataset, remedy="build it with --policy mmsdk"
        )
    names = {m: info.root for m, info in manifest.modalities.items()}
    labels = next(record.root for record in manifest.inputs if record.role == "labels")
    dims = {m: info.dim for m, info in manifest.modalities.items()}
    found: Sequences = {name: {} for name in (*names.values(), labels)}
    columns = [f"{m}{what}" for m in names for what in ("", "_rows", "_row_start_s", "_row_end_s")]
    for table in read_segments(dataset, manifest, ["segment_id", "start_s", "end_s", "labels", *columns]):
        for k, key in enumerate(table.column("segment_id").to_pylist()):
            for m, name in names.items():
                vectors = _row(table, m, k).reshape(-1, dims[m])
                times = [_row(table, f"{m}_row_{at}_s", k) for at in ("start", "end")]
                found[name][key] = Entry(vectors[_row(table, f"{m}_rows", k)], np.stack(times, axis=1))
            interval = np.array([[table.column(at)[k].as_py() for at in ("start_s", "end_s")]])
            found[labels][key] = Entry(_row(table, "labels", k)[None], interval)
    return found


def _row(table: pa.Table, column: str, row: int) -> Any:
    """One row of a list column, flat."""
    values = table.column(column)[row].values
    while isinstance(values, pa.ListArray | pa.FixedSizeListArray):
        values = values.flatten()
    return values.to_numpy(zero_copy_only=False)
