"""A dataset that stays in its mapped files: the same numbers as in memory, to the last bit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from affect_models.data.device import DeviceData, MappedData, device_data
from affect_models.data.mapped import MappedPart
from affect_models.data.packed import PackedPart, load_part, load_parts, open_split, pool, resident, subset
from affect_models.data.tasks import TaskPart, open_task_parts, task_part
from affect_models.training.config import load_config
from affect_models.training.run import run
from mosei_align.dataset.parquet import ROW_GROUP
from mosei_align.split import split
from mosei_schemas.dataset import read_manifest
from mosei_schemas.errors import ConfigError, DatasetError, InputError
from mosei_schemas.labels import LabelPolicy, find_task
from mosei_schemas.names import MODALITIES, PARTS
from mosei_schemas.publish import sha256

CPU = torch.device("cpu")
Change = Callable[[pa.Table], pa.Table]
SMALL = [
    "net.hidden=16", "net.heads=2", "net.layers=1", "net.ffn=32", "net.d_z=16", "net.fusion_hidden=16",
    "net.unet_channels=8", "train.batch_size=16", "train.epochs=2", "train.max_steps=16", "evaluation.resamples=20",
]  # fmt: skip


def rewritten(
    source: Path,
    target: Path,
    file_format: str,
    change: Change = lambda table: table,
    rows: int = ROW_GROUP,
    **policy: str,
) -> Path:
    """The dataset with other shards, so many rows a group, split again."""
    (target / "segments").mkdir(parents=True)
    shutil.copy(source / "ledger.parquet", target)
    manifest = json.loads((source / "manifest.json").read_text())
    for shard in manifest["shards"]:
        with pq.ParquetFile(source / shard["name"]) as file:
            table = change(file.read()).combine_chunks()
        shard["name"] = f"segments/{Path(shard['name']).stem}.{file_format}"
        path = target / shard["name"]
        if file_format == "arrow":
            with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
                writer.write_table(table, max_chunksize=rows)
        else:
            pq.write_table(table, path, row_group_size=rows)
        shard["sha256"] = sha256(path)
    manifest["settings"] |= {"file_format": file_format, **policy}
    (target / "manifest.json").write_text(json.dumps(manifest))
    split(target, "speaker-disjoint", ratios=(0.6, 0.2, 0.2))
    return target


@pytest.fixture(scope="module")
def arrow(shared_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rewritten(shared_dataset, tmp_path_factory.mktemp("mapped") / "arrow", "arrow", rows=9)


def task_parts(dataset: Path, part: str = "train", steps: int = 12, task: str = "emotion6") -> TaskPart:
    opened = open_split(dataset, "speaker-disjoint")
    return open_task_parts(opened, [part], find_task(task), LabelPolicy(), steps)[0]


def same_parts(one: PackedPart, other: PackedPart) -> None:
    for name in ("part", "segment_id", "video_id", "group", "steps_cut", "segments_cut"):
        assert getattr(one, name) == getattr(other, name), name
    np.testing.assert_array_equal(one.offsets, other.offsets)
    np.testing.assert_array_equal(one.labels, other.labels)
    for name in MODALITIES:
        assert one.features[name].tobytes() == other.features[name].tobytes()
        assert one.observed[name].tobytes() == other.observed[name].tobytes()


def same_batches(one: TaskPart, other: TaskPart, length: int = 12) -> None:
    a, b = device_data(one, length, CPU), device_data(other, length, CPU)
    assert torch.equal(a.lengths, b.lengths)
    chosen = torch.randperm(len(one), generator=torch.Generator().manual_seed(3))
    for numbers, steps in ((chosen[:9], None), (chosen, None), (chosen[:1], 3), (torch.tensor([4, 4, 0]), 40)):
        left, right = a.batch(numbers, steps), b.batch(numbers, steps)
        for name in ("text", "audio", "video", "valid", "present", "targets", "condition"):
            assert torch.equal(getattr(left, name), getattr(right, name)), name
        assert all(torch.equal(left.frame_mask[name], right.frame_mask[name]) for name in MODALITIES)


def same_splits(one: Path, other: Path) -> None:
    for name in ("assignment.parquet", "normalization.json"):
        left, right = (folder / "splits" / "speaker-disjoint" / name for folder in (one, other))
        assert left.read_bytes() == right.read_bytes()


def test_a_mapped_dataset_splits_to_the_same_bytes(shared_dataset: Path, tmp_path: Path) -> None:
    same_splits(shared_dataset, rewritten(shared_dataset, tmp_path / "arrow", "arrow"))


@pytest.mark.parametrize("part", PARTS)
def test_what_is_mapped_is_what_is_read(shared_dataset: Path, arrow: Path, part: str) -> None:
    mapped, packed = task_parts(arrow, part), task_parts(shared_dataset, part)
    assert isinstance(mapped.data, MappedPart)
    assert isinstance(packed.data, PackedPart)
    assert mapped.without_target == packed.without_target
    same_parts(resident(mapped.data), packed.data)
    same_batches(mapped, packed)
    np.testing.assert_array_equal(pool(mapped.data, dims_of(arrow)), pool(packed.data, dims_of(arrow)))


def dims_of(dataset: Path) -> dict[str, int]:
    return open_split(dataset, "speaker-disjoint").dims


def test_targets_may_be_given_before_or_after_reading(shared_dataset: Path) -> None:
    opened = open_split(shared_dataset, "speaker-disjoint")
    for task in ("emotion6", "sentiment", "emotion-multilabel"):
        columns = opened.manifest.label_columns
        after = task_part(load_part(opened, "train", 12), find_task(task), columns, LabelPolicy())
        before = task_parts(shared_dataset, task=task)
        same_parts(resident(before.data), resident(after.data))
        np.testing.assert_array_equal(before.targets, after.targets)
        np.testing.assert_array_equal(before.condition, after.condition)
        assert before.without_target == after.without_target


def test_vectors_are_views_of_the_file(arrow: Path) -> None:
    before = pa.total_allocated_bytes()
    part = task_parts(arrow).data
    assert isinstance(part, MappedPart)
    assert not any(block.flags.owndata or block.flags.writeable for blocks in part.blocks.values() for block in blocks)
    assert pa.total_allocated_bytes() - before < 100_000


def test_a_batch_is_not_changed_by_the_next(arrow: Path) -> None:
    data = device_data(task_parts(arrow), 12, CPU)
    assert isinstance(data, MappedData)
    first = data.batch(torch.tensor([1, 2, 3]))
    kept = first.text.clone()
    data.batch(torch.arange(20))
    assert torch.equal(first.text, kept)


def test_a_subset_of_a_mapped_part(arrow: Path) -> None:
    part = task_parts(arrow).data
    assert isinstance(part, MappedPart)
    keep = np.arange(len(part)) % 3 == 1
    same_parts(resident(subset(part, keep)), subset(resident(part), keep))


def test_residency_is_a_choice(arrow: Path, shared_dataset: Path) -> None:
    for folder, residency, kind in ((arrow, "memory", PackedPart), (arrow, "mapped", MappedPart)):
        opened = open_split(folder, "speaker-disjoint")
        (part,) = open_task_parts(opened, ["valid"], find_task("emotion6"), LabelPolicy(), 12, residency)
        assert isinstance(part.data, kind)
    opened = open_split(shared_dataset, "speaker-disjoint")
    with pytest.raises(ConfigError, match=r"train\.residency: only an Arrow dataset can be mapped"):
        open_task_parts(opened, ["valid"], find_task("emotion6"), LabelPolicy(), 12, "mapped")
    moved = DeviceData.of(task_parts(arrow), 12, CPU)
    assert torch.equal(
        moved.batch(torch.arange(5)).audio, device_data(task_parts(arrow), 12, CPU).batch(torch.arange(5)).audio
    )


def test_training_does_not_depend_on_the_residency(arrow: Path, shared_dataset: Path, tmp_path: Path) -> None:
    reports, weights = [], []
    for k, (folder, residency) in enumerate(((shared_dataset, "auto"), (arrow, "auto"), (arrow, "memory"))):
        config = load_config(None, [*SMALL, f"train.residency={residency}", "train.buckets=2"], {"task": "emotion6"})
        out, report = run(folder, "speaker-disjoint", config, tmp_path / str(k))
        weights.append((out / "checkpoint" / "model.safetensors").read_bytes())
        reports.append((report.train, report.valid, report.test, report.linear_strength))
    assert weights[0] == weights[1] == weights[2]
    assert reports[0] == reports[1] == reports[2]


def test_test_is_out_of_reach_until_it_is_released(arrow: Path, shared_dataset: Path) -> None:
    for folder in (arrow, shared_dataset):
        opened = open_split(folder, "speaker-disjoint").withholding("test")
        assert opened.has("test")
        for parts in (["test"], ["train", "test"]):
            with pytest.raises(InputError, match="test: withheld until a checkpoint has been chosen"):
                load_parts(opened, parts, 12)
            with pytest.raises(InputError, match="withheld"):
                open_task_parts(opened, parts, find_task("emotion6"), LabelPolicy(), 12)
        assert len(load_parts(opened.released(), ["test"], 12)[0])


@pytest.mark.parametrize("damage", ["cut", "half", "empty", "gone", "noise", "parquet", "rows"])
def test_a_damaged_arrow_file_is_one_line(arrow: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "arrow"
    shutil.copytree(arrow, folder)
    path = folder / read_manifest(folder).shards[-1].name
    data = path.read_bytes()
    path.unlink()
    if damage == "rows":
        table = pa.ipc.open_file(pa.BufferReader(data)).read_all()
        with pa.OSFile(str(path), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table.slice(1))
    elif damage != "gone":
        noise = np.random.default_rng(0).bytes(len(data) - 64)
        found = {"cut": data[:-1], "half": data[: len(data) // 2], "empty": b"", "parquet": b"PAR1" * 9}
        path.write_bytes(found.get(damage, data[:32] + noise + data[-32:]))
    opened = open_split(folder, "speaker-disjoint")
    for residency in ("mapped", "memory"):
        with pytest.raises(DatasetError, match=path.name) as caught:
            open_task_parts(opened, ["train"], find_task("emotion6"), LabelPolicy(), 12, residency)
        assert str(caught.value).isprintable()
    with pytest.raises(DatasetError, match=path.name):
        split(folder, "random")


@pytest.mark.parametrize("column", ["segment_id", "text", "audio_valid"])
def test_lists_that_point_nowhere_are_one_line(arrow: Path, tmp_path: Path, column: str) -> None:
    """The file is as long as it should be and its footer is right, but numbers inside are not."""
    folder = tmp_path / "arrow"
    shutil.copytree(arrow, folder)
    path = folder / read_manifest(folder).shards[0].name
    data = path.read_bytes()
    array = pa.ipc.open_file(pa.BufferReader(data)).get_batch(0).column(column)
    found = np.frombuffer(array.buffers()[1], np.int32)[: len(array) + 1].tobytes()
    assert found in data
    spoilt = np.frombuffer(found, np.int32).copy()
    spoilt[1:] = 2**30
    path.write_bytes(data.replace(found, spoilt.tobytes()))
    opened = open_split(folder, "speaker-disjoint")
    with pytest.raises(DatasetError, match=path.name):
        open_task_parts(opened, ["train"], find_task("emotion6"), LabelPolicy(), 12)


def test_a_shard_with_fewer_vectors_than_steps(shared_dataset: Path, tmp_path: Path) -> None:
    def shortened(table: pa.Table) -> pa.Table:
        steps = pa.array([n + 1 for n in table.column("steps").to_pylist()], pa.int32())
        return table.set_column(table.schema.get_field_index("steps"), table.schema.field("steps"), steps)

    with pytest.raises(DatasetError, match=r"part-00000.arrow: has a segment with not as many steps as"):
        rewritten(shared_dataset, tmp_path / "arrow", "arrow", shortened)


def spoiled(table: pa.Table) -> pa.Table:
    """As policy mmsdk may store it: NaN and infinities where a vector is not valid, and columns of its own."""
    for k, name in enumerate(MODALITIES):
        rows = []
        for vectors, marks in zip(
            table.column(name).to_pylist(), table.column(f"{name}_valid").to_pylist(), strict=True
        ):
            bad = [float("nan"), float("inf"), -float("inf"), 3e38][len(rows) % 4]
            rows.append([v if ok else [bad] * len(v) for v, ok in zip(vectors, marks, strict=True)])
        field = table.schema.field(name)
        table = table.set_column(table.schema.get_field_index(name), field, pa.array(rows, field.type))
        numbers = pa.array([list(range(k + 2))] * len(table), pa.list_(pa.int32()))
        times = pa.array([[float("nan")] * (k + 2)] * len(table), pa.list_(pa.float64()))
        for column, values in ((f"{name}_rows", numbers), (f"{name}_row_start_s", times), (f"{name}_row_end_s", times)):
            table = table.append_column(column, values)
    return table


@pytest.mark.parametrize("file_format", ["parquet", "arrow"])
def test_what_is_not_valid_means_nothing(shared_dataset: Path, tmp_path: Path, file_format: str) -> None:
    policy = {"policy": "mmsdk", "nonfinite": "keep"}
    folder = rewritten(shared_dataset, tmp_path / "mmsdk", file_format, spoiled, **policy)
    same_splits(shared_dataset, folder)
    clean, dirty = task_parts(shared_dataset), task_parts(folder)
    same_parts(resident(clean.data), resident(dirty.data))
    same_batches(clean, dirty)
    assert np.isfinite(pool(dirty.data, dims_of(folder))).all()


@pytest.mark.parametrize("source", ["frames", "rows", "uniform", "none"])
def test_where_steps_come_from_does_not_matter(shared_dataset: Path, tmp_path: Path, source: str) -> None:
    def renamed(table: pa.Table) -> pa.Table:
        values = pa.array([source] * len(table))
        return table.set_column(table.schema.get_field_index("steps_from"), table.schema.field("steps_from"), values)

    folder = rewritten(shared_dataset, tmp_path / "d", "arrow", renamed)
    same_batches(task_parts(shared_dataset), task_parts(folder))


def test_threads_change_nothing(shared_dataset: Path, arrow: Path, tmp_path: Path) -> None:
    found = []
    threads = pa.cpu_count()
    try:
        for count in (1, 2, 5):
            pa.set_cpu_count(count)
            parts = [resident(task_parts(folder).data) for folder in (shared_dataset, arrow)]
            result = split(arrow, "random", name=f"with-{count}")
            found.append((parts, (result.path / "normalization.json").read_bytes()))
            shutil.rmtree(result.path)
    finally:
        pa.set_cpu_count(threads)
    for parts, normalization in found[1:]:
        assert normalization == found[0][1]
        for one, other in zip(parts, found[0][0], strict=True):
            same_parts(one, other)
