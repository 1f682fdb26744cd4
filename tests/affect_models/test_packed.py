"""Reading a part of a split: what the model sees against what stands in the files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from affect_models.data.device import DeviceData
from affect_models.data.packed import load_part, open_split, pool, subset
from affect_models.data.tasks import task_part
from mosei_schemas.errors import DatasetError
from mosei_schemas.labels import LabelPolicy, find_task
from mosei_schemas.names import MODALITIES, PARTS


def rows_of(dataset: Path, split: str, part: str) -> list[dict[str, object]]:
    """The slow way: every row of the part as Python objects."""
    assigned = pl.read_parquet(dataset / "splits" / split / "assignment.parquet").filter(pl.col("part") == part)
    wanted = set(assigned["segment_id"])
    rows = pl.concat([pl.read_parquet(p) for p in sorted((dataset / "segments").glob("*.parquet"))]).to_dicts()
    return [row for row in rows if row["segment_id"] in wanted]


@pytest.mark.parametrize("part", PARTS)
def test_packed_features_are_the_files_scaled(shared_dataset: Path, part: str) -> None:
    split = open_split(shared_dataset, "speaker-disjoint")
    packed = load_part(split, part, max_steps=10)
    rows = rows_of(shared_dataset, "speaker-disjoint", part)
    assert packed.segment_id == [row["segment_id"] for row in rows]
    scales = json.loads((shared_dataset / "splits/speaker-disjoint/normalization.json").read_text())["modalities"]
    for i, row in enumerate(rows):
        span = slice(packed.offsets[i], packed.offsets[i + 1])
        for name in MODALITIES:
            values = np.array(row[name], np.float32)[:10]
            valid = np.array(row[f"{name}_valid"], bool)[:10]
            scaled = np.clip((values - np.array(scales[name]["mean"])) / np.array(scales[name]["std"]), -10, 10)
            scaled[~valid] = 0
            np.testing.assert_allclose(packed.features[name][span], scaled, rtol=1e-4, atol=1e-4)
            np.testing.assert_array_equal(packed.observed[name][span], valid)


def test_truncation_is_counted(shared_dataset: Path) -> None:
    split = open_split(shared_dataset, "speaker-disjoint")
    whole, cut = load_part(split, "train", 10_000), load_part(split, "train", 7)
    lengths = np.diff(whole.offsets)
    assert whole.steps_cut == whole.segments_cut == 0
    assert cut.steps_cut == int(np.maximum(lengths - 7, 0).sum()) > 0
    assert cut.segments_cut == int((lengths > 7).sum())
    np.testing.assert_array_equal(np.diff(cut.offsets), np.minimum(lengths, 7))


def test_train_is_standardised_by_its_own_valid_steps(shared_dataset: Path) -> None:
    packed = load_part(open_split(shared_dataset, "speaker-disjoint"), "train", 10_000)
    for name in MODALITIES:
        seen = packed.features[name][packed.observed[name]]
        inside = np.abs(seen).max(axis=0) < 10
        assert inside.any()
        np.testing.assert_allclose(seen.mean(axis=0)[inside], 0, atol=1e-3)
        np.testing.assert_allclose(seen.std(axis=0)[inside], 1, atol=1e-3)


def test_intervals_go_by_video_where_segments_are_their_own_groups(shared_dataset: Path) -> None:
    random = load_part(open_split(shared_dataset, "random"), "test", 50)
    assert random.group == random.video_id
    disjoint = load_part(open_split(shared_dataset, "speaker-disjoint"), "test", 50)
    assert all(group.startswith("speaker:") for group in disjoint.group)


def test_subset_keeps_whole_segments(shared_dataset: Path) -> None:
    packed = load_part(open_split(shared_dataset, "speaker-disjoint"), "train", 50)
    keep = np.arange(len(packed)) % 3 == 1
    chosen = subset(packed, keep)
    assert chosen.segment_id == [i for i, k in zip(packed.segment_id, keep, strict=True) if k]
    for new, old in enumerate(np.flatnonzero(keep)):
        for name in MODALITIES:
            np.testing.assert_array_equal(
                chosen.features[name][chosen.offsets[new] : chosen.offsets[new + 1]],
                packed.features[name][packed.offsets[old] : packed.offsets[old + 1]],
            )


def test_batches_are_the_packed_steps_with_zeros_elsewhere(shared_dataset: Path) -> None:
    split = open_split(shared_dataset, "speaker-disjoint")
    part = task_part(load_part(split, "train", 12), find_task("emotion6"), split.manifest.label_columns, LabelPolicy())
    data = DeviceData.of(part, 12, torch.device("cpu"))
    chosen = torch.tensor([3, 0, len(part) - 1])
    batch = data.batch(chosen)
    for b, i in enumerate(chosen.tolist()):
        length = int(data.lengths[i])
        assert batch.valid[b].tolist() == [True] * length + [False] * (12 - length)
        for m, name in enumerate(MODALITIES):
            rows = slice(part.data.offsets[i], part.data.offsets[i + 1])
            observed = torch.from_numpy(part.data.observed[name][rows])
            expected = torch.zeros(12, split.dims[name])
            expected[:length][observed] = torch.from_numpy(part.data.features[name][rows])[observed]
            assert torch.equal(batch.features(name)[b], expected)
            assert torch.equal(batch.frame_mask[name][b, :length], observed)
            assert bool(batch.present[b, m]) == bool(observed.any())
    assert batch.targets is not None
    assert batch.targets.tolist() == part.targets[chosen.numpy()].tolist()


def test_pooling_is_mean_and_maximum_of_observed_steps(shared_dataset: Path) -> None:
    split = open_split(shared_dataset, "speaker-disjoint")
    packed = load_part(split, "valid", 50)
    pooled = pool(packed, split.dims)
    assert pooled.shape == (len(packed), 2 * sum(split.dims.values()))
    column = 0
    for name in MODALITIES:
        for i in range(len(packed)):
            span = slice(packed.offsets[i], packed.offsets[i + 1])
            seen = packed.features[name][span][packed.observed[name][span]]
            width = split.dims[name]
            expected = np.concatenate([seen.mean(0), seen.max(0)]) if len(seen) else np.zeros(2 * width)
            np.testing.assert_allclose(pooled[i, column : column + 2 * width], expected, rtol=1e-5, atol=1e-6)
        column += 2 * split.dims[name]


def test_segments_without_a_target_are_left_out_and_counted(shared_dataset: Path) -> None:
    split = open_split(shared_dataset, "speaker-disjoint")
    packed = load_part(split, "train", 50)
    part = task_part(packed, find_task("emotion6"), split.manifest.label_columns, LabelPolicy())
    emotions = packed.labels[:, 1:]
    assert part.without_target == {"no emotion": int((emotions.max(axis=1) <= 0).sum())}
    assert len(part) + part.without_target["no emotion"] == len(packed)
    assert part.class_counts().sum() == len(part)


def test_a_split_of_another_build_is_refused(dataset: Path) -> None:
    manifest = dataset / "manifest.json"
    manifest.write_bytes(manifest.read_bytes().replace(b'"created_by": "mosei-align', b'"created_by": "other'))
    with pytest.raises(DatasetError, match=r"another build of this dataset.*mosei-align split"):
        open_split(dataset, "random")


def test_one_of_several_splits_must_be_named(dataset: Path) -> None:
    with pytest.raises(DatasetError, match=r"has 2 splits; choose one with --split: random, speaker-disjoint"):
        open_split(dataset, None)
    with pytest.raises(DatasetError, match=r"nowhere: no such split"):
        open_split(dataset, "nowhere")


@pytest.mark.parametrize("victim", ["segments/part-00000.parquet", "splits/random/assignment.parquet"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_damaged_files_are_named(dataset: Path, victim: str, damage: str) -> None:
    path = dataset / victim
    data = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DatasetError, match=Path(victim).name):
        load_part(open_split(dataset, "random"), "train", 50)
