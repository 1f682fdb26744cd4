"""One part of a split in memory: flat arrays of steps and where each segment begins.

Legend: N = segments, T = steps of all segments after truncation, D = width of a modality, K = label columns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from mosei_schemas.dataset import (
    ASSIGNMENT,
    MANIFEST,
    read_manifest,
    read_normalization,
    read_split_info,
    reading,
    split_path,
)
from mosei_schemas.errors import DatasetError
from mosei_schemas.manifest import Manifest
from mosei_schemas.names import MODALITIES
from mosei_schemas.publish import sha256
from mosei_schemas.splits import Normalization, Scaling, SplitInfo

Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class OpenSplit:
    """A dataset with one of its splits: everything but the segments themselves."""

    dataset: Path
    manifest: Manifest
    info: SplitInfo
    normalization: Normalization
    part_of: dict[str, str]
    group_of: dict[str, str]
    manifest_sha256: str

    @property
    def dims(self) -> dict[str, int]:
        """Width of every modality; 0 for one that the dataset does not have."""
        return {m: self.manifest.modalities[m].dim if m in self.manifest.modalities else 0 for m in MODALITIES}

    def has(self, part: str) -> bool:
        """Whether the split has a segment in this part."""
        return self.info.segments.get(part, 0) > 0


@dataclass(frozen=True, slots=True)
class PackedPart:
    """The segments of one part, normalised, cut to at most `max_steps` steps.

    Attributes:
        part: `train`, `valid` or `test`.
        segment_id, video_id, group: N strings each.
        labels: (N, K) raw.
        offsets: (N + 1,) int64; segment i has steps offsets[i] ... offsets[i + 1].
        features: modality -> (T, D) float32, scaled and clamped; zeros where not observed.
        observed: modality -> (T,) bool.
        steps_cut: steps that truncation to `max_steps` has left out.
        segments_cut: segments that have lost a step to it.
    """

    part: str
    segment_id: list[str]
    video_id: list[str]
    group: list[str]
    labels: Floats
    offsets: npt.NDArray[np.int64]
    features: dict[str, Floats]
    observed: dict[str, Bools]
    steps_cut: int
    segments_cut: int

    def __len__(self) -> int:
        return len(self.segment_id)


def open_split(dataset: Path, name: str | None) -> OpenSplit:
    """Open a dataset and one of its splits (the only one where `name` is None); reads no features.

    Raises:
        DatasetError: either is missing, damaged, or the split was made for another build of the dataset.
    """
    manifest = read_manifest(dataset)
    folder = split_path(dataset, name)
    info = read_split_info(folder)
    digest = sha256(dataset / MANIFEST)
    if info.manifest_sha256 != digest:
        raise DatasetError(
            "the split was made for another build of this dataset",
            path=dataset,
            ident=info.name,
            remedy=f"split it again (mosei-align split {dataset} --overwrite ...)",
        )
    with reading(folder / ASSIGNMENT, "split the dataset again"):
        table = pq.read_table(folder / ASSIGNMENT)
        ids = table.column("segment_id").to_pylist()
        parts, groups = table.column("part").to_pylist(), table.column("group").to_pylist()
    if len(set(ids)) != manifest.counts.kept:
        raise DatasetError(
            f"assigns {len(set(ids))} segments, the dataset has {manifest.counts.kept}",
            path=folder / ASSIGNMENT,
            remedy="split the dataset again",
        )
    return OpenSplit(
        dataset,
        manifest,
        info,
        read_normalization(folder),
        dict(zip(ids, parts, strict=True)),
        dict(zip(ids, groups, strict=True)),
        digest,
    )


def load_part(split: OpenSplit, part: str, max_steps: int) -> PackedPart:
    """Read one part into memory; no other part's features are kept.

    Args:
        split: the open split.
        part: `train`, `valid` or `test`.
        max_steps: longer segments keep their first `max_steps` steps.

    Raises:
        DatasetError: a shard is missing or damaged.
    """
    ids: list[str] = []
    videos: list[str] = []
    labels, lengths = [], []
    blocks: dict[str, list[Any]] = {name: [] for name in split.manifest.modalities}
    masks: dict[str, list[Any]] = {name: [] for name in split.manifest.modalities}
    for table in _row_groups(split, part):
        ids += table.column("segment_id").to_pylist()
        videos += table.column("video_id").to_pylist()
        labels.append(_flat(table.column("labels")).reshape(len(table), -1))
        steps = table.column("steps").to_numpy().astype(np.int64)
        lengths.append(steps)
        keep = _within(steps, max_steps)
        for name, info in split.manifest.modalities.items():
            observed = _flat(table.column(f"{name}_valid"))[keep]
            rows = _flat(table.column(name)).reshape(-1, info.dim)[keep]
            blocks[name].append(_scaled(rows, observed, split.normalization.modalities[name], split))
            masks[name].append(observed)
    steps = np.concatenate(lengths) if lengths else np.empty(0, np.int64)
    kept = np.minimum(steps, max_steps)
    by_video = split.info.group_source == "segment_id"
    return PackedPart(
        part=part,
        segment_id=ids,
        video_id=videos,
        # Where every segment is its own group, neighbours are still not independent: intervals go by video.
        group=videos if by_video else [split.group_of[i] for i in ids],
        labels=np.concatenate(labels) if labels else np.empty((0, len(split.manifest.label_columns)), np.float32),
        offsets=np.concatenate(([0], np.cumsum(kept))),
        features={n: np.concatenate(b) if b else np.empty((0, split.dims[n]), np.float32) for n, b in blocks.items()},
        observed={n: np.concatenate(b) if b else np.empty(0, np.bool_) for n, b in masks.items()},
        steps_cut=int((steps - kept).sum()),
        segments_cut=int((steps > kept).sum()),
    )


def subset(part: PackedPart, keep: Bools) -> PackedPart:
    """The segments where `keep` (N,) is true."""
    if keep.all():
        return part
    rows = np.flatnonzero(keep)
    lengths = np.diff(part.offsets)[rows]
    steps = np.repeat(keep, np.diff(part.offsets))
    return PackedPart(
        part=part.part,
        segment_id=[part.segment_id[i] for i in rows],
        video_id=[part.video_id[i] for i in rows],
        group=[part.group[i] for i in rows],
        labels=part.labels[rows],
        offsets=np.concatenate(([0], np.cumsum(lengths))),
        features={name: values[steps] for name, values in part.features.items()},
        observed={name: values[steps] for name, values in part.observed.items()},
        steps_cut=part.steps_cut,
        segments_cut=part.segments_cut,
    )


def pool(part: PackedPart, dims: Mapping[str, int]) -> Floats:
    """Mean and maximum over the observed steps of every modality, side by side: (N, 2 sum D); zeros for an absent one.

    What the linear floor sees of a segment.
    """
    columns = []
    for name in (m for m in MODALITIES if dims[m]):
        pooled = np.zeros((len(part), 2 * dims[name]), np.float32)
        for i in range(len(part)):
            span = slice(part.offsets[i], part.offsets[i + 1])
            rows = part.features[name][span][part.observed[name][span]]
            if len(rows):
                pooled[i, : dims[name]] = rows.mean(axis=0)
                pooled[i, dims[name] :] = rows.max(axis=0)
        columns.append(pooled)
    return np.concatenate(columns, axis=1)


def _row_groups(split: OpenSplit, part: str) -> Iterator[pa.Table]:
    """The part's rows, a row group at a time, in dataset order."""
    names = list(split.manifest.modalities)
    columns = ["segment_id", "video_id", "labels", "steps", *names, *(f"{name}_valid" for name in names)]
    for shard in split.manifest.shards:
        path = split.dataset / shard.name
        with reading(path, "build the dataset again"), pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                ids = file.read_row_group(number, columns=["segment_id"]).column(0).to_pylist()
                chosen = [split.part_of.get(i) == part for i in ids]
                if any(chosen):
                    yield file.read_row_group(number, columns=columns).filter(pa.array(chosen))


def _flat(column: pa.ChunkedArray) -> Any:
    """The innermost values of a (nested) list column, as one flat array."""
    array = column.combine_chunks()
    while isinstance(array, pa.ListArray | pa.FixedSizeListArray):
        array = array.flatten()
    return array.to_numpy(zero_copy_only=False)


def _within(steps: npt.NDArray[np.int64], max_steps: int) -> Bools:
    """Which steps of consecutive segments are among the first `max_steps` of theirs."""
    begins = np.repeat(np.cumsum(steps) - steps, steps)
    within: Bools = np.arange(int(steps.sum())) - begins < max_steps
    return within


def _scaled(rows: Floats, observed: Bools, scaling: Scaling, split: OpenSplit) -> Floats:
    """(x - mean) / std, clipped; zeros where not observed."""
    mean, std = np.array(scaling.mean, np.float32), np.array(scaling.std, np.float32)
    clamp = np.float32(split.normalization.clamp)
    scaled: Floats = np.clip((rows - mean) / std, -clamp, clamp)
    scaled[~observed] = 0
    return scaled
