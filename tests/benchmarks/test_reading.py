"""Reading a dataset back: splitting it, filling arrays, gathering batches; each beside a peer in the same run.

Run with `make bench`. The dataset is a small synthetic one, or the Parquet dataset that MOSEI_BENCH_DATASET names.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from measuring import fastest, program, say

from affect_models.data.device import DeviceData, device_data
from affect_models.data.packed import PackedPart, open_split
from affect_models.data.tasks import TaskPart, open_task_parts
from mosei_align.build import build
from mosei_align.options import build_settings
from mosei_align.split import split
from mosei_align.synthetic.corpus import write_corpus
from mosei_align.synthetic.recipe import Recipe
from mosei_schemas.dataset import read_manifest
from mosei_schemas.labels import LabelPolicy, find_task
from mosei_schemas.names import MODALITIES
from mosei_schemas.publish import sha256

BATCH, STEPS = 64, 50
CPU = torch.device("cpu")
FEATURES = [column for name in MODALITIES for column in (name, f"{name}_valid")]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other measure the machine's other work; reading has threads of its own."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def parquet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Parquet dataset with a split; one that was named is left alone, its shards are linked to."""
    folder = tmp_path_factory.mktemp("reading")
    named = os.environ.get("MOSEI_BENCH_DATASET")
    if named is None:
        write_corpus(folder / "csd", Recipe(videos=60, seed=1, clean=True))
        build(folder / "csd", folder / "built", build_settings(policy="masked"), jobs=1)
    source = folder / "built" if named is None else Path(named).resolve()
    target = folder / "parquet"
    target.mkdir()
    (target / "segments").symlink_to(source / "segments")
    shutil.copy(source / "manifest.json", target)
    split(target, "speaker-disjoint")
    return target


@pytest.fixture(scope="module")
def arrow(parquet: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The same dataset as uncompressed Arrow files."""
    target = tmp_path_factory.mktemp("mapped")
    (target / "segments").mkdir()
    manifest = json.loads((parquet / "manifest.json").read_text())
    for shard in manifest["shards"]:
        with pq.ParquetFile(parquet / shard["name"]) as file:
            table = file.read().combine_chunks()
        shard["name"] = str(Path(shard["name"]).with_suffix(".arrow"))
        with pa.OSFile(str(target / shard["name"]), "wb") as stream, pa.ipc.new_file(stream, table.schema) as writer:
            writer.write_table(table, max_chunksize=256)
        shard["sha256"] = sha256(target / shard["name"])
    manifest["settings"]["file_format"] = "arrow"
    (target / "manifest.json").write_text(json.dumps(manifest))
    split(target, "speaker-disjoint")
    yield target
    shutil.rmtree(target)


def decode(dataset: Path, columns: list[str]) -> int:
    """Nothing but pyarrow, shard by shard, with its own threads."""
    total = 0
    for shard in read_manifest(dataset).shards:
        with pq.ParquetFile(dataset / shard.name, pre_buffer=True) as file:
            total += file.read(columns).nbytes
    return total


READING = """
import sys, time
from pathlib import Path
from affect_models.data.packed import load_part, load_parts, open_split
opened = open_split(Path(sys.argv[1]), "speaker-disjoint")
times = []
for _ in range(3):
    began = time.perf_counter()
    parts = [*load_parts(opened, ["train", "valid"], 50), load_part(opened, "test", 50)]
    times.append(time.perf_counter() - began)
    del parts
print(min(times))
"""


def test_reading_into_arrays_beside_decoding(parquet: Path) -> None:
    """train and valid in one go, then test: normalised float32 arrays, cut to 50 steps; in a process of its own."""
    command = [sys.executable, "-c", READING, str(parquet)]
    ours = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    name = f"{decode(parquet, FEATURES) / 1e6:.0f} MB into arrays, shards read twice"
    say(name, ours, fastest(lambda: decode(parquet, FEATURES)), "decoding the same columns once")
    say("reading a dataset into training arrays", ours, 3.0, "3 s, at MOSEI's size", limit=1)


def test_splitting_beside_decoding(benchmark: Any, parquet: Path) -> None:
    def again() -> None:
        split(parquet, "speaker-disjoint", name="again", overwrite=True)

    benchmark.pedantic(again, rounds=3, warmup_rounds=1)
    say("a split", fastest(again), fastest(lambda: decode(parquet, FEATURES)), "decoding the same columns")
    command = program("split", parquet, "--speaker-disjoint", "--overwrite")
    whole = fastest(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
    say("the whole command 'mosei-align split'", whole, 3.0, "3 s, at MOSEI's size", limit=1)


def task_part(dataset: Path) -> TaskPart:
    opened = open_split(dataset, "speaker-disjoint")
    return open_task_parts(opened, ["train"], find_task("emotion6"), LabelPolicy(), STEPS)[0]


def numbers(count: int, batches: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randperm(count, generator=generator)[:BATCH] for _ in range(batches)]


def test_mapped_batches_beside_those_in_memory(benchmark: Any, parquet: Path, arrow: Path) -> None:
    mapped, packed = device_data(task_part(arrow), STEPS, CPU), device_data(task_part(parquet), STEPS, CPU)
    chosen = numbers(len(mapped), 30)
    times = {}
    for name, data in (("mapped", mapped), ("memory", packed)):
        times[name] = fastest(lambda data=data: [data.batch(some).valid for some in chosen], 5) / len(chosen)  # type: ignore[misc]
    benchmark(lambda: mapped.batch(chosen[0]))
    say("a random batch of 64 from mapped files", times["mapped"], times["memory"], "from memory")


class Padded(torch.utils.data.Dataset[tuple[torch.Tensor, ...]]):
    """The usual way: one padded segment at a time, for a DataLoader to collate."""

    def __init__(self, part: PackedPart) -> None:
        self.part = part

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, ...]:
        span = slice(self.part.offsets[number], self.part.offsets[number + 1])
        found = []
        for name in MODALITIES:
            rows, mask = self.part.features[name][span], self.part.observed[name][span]
            padded = torch.zeros(STEPS, rows.shape[1])
            padded[: len(rows)] = torch.from_numpy(rows)
            observed = torch.zeros(STEPS, dtype=torch.bool)
            observed[: len(rows)] = torch.from_numpy(mask)
            found += [padded, observed]
        return tuple(found)


def test_gathering_here_beside_a_loader_with_workers(benchmark: Any, parquet: Path) -> None:
    part = task_part(parquet)
    assert isinstance(part.data, PackedPart)
    data = DeviceData.of(part, STEPS, CPU)
    batches = min(40, len(part) // BATCH)
    chosen = torch.randperm(len(part))[: batches * BATCH]
    loader = torch.utils.data.DataLoader(
        torch.utils.data.Subset(Padded(part.data), chosen.tolist()),
        batch_size=BATCH,
        num_workers=2,
        persistent_workers=True,
    )
    for _ in loader:  # starts the workers
        pass
    ours = fastest(lambda: [data.batch(some).valid for some in chosen.split(BATCH)])
    benchmark(lambda: data.batch(chosen[:BATCH]))
    say(
        "a batch of 64 gathered here",
        ours / batches,
        fastest(lambda: sum(1 for _ in loader)) / batches,
        "DataLoader, 2 workers",
    )


PRIVATE = """
import re, sys
from pathlib import Path
import torch
from affect_models.data.device import device_data
from affect_models.data.packed import open_split
from affect_models.data.tasks import open_task_parts
from mosei_schemas.labels import LabelPolicy, find_task
def private():
    return int(re.search(r"RssAnon:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1000
before = most = private()
opened = open_split(Path(sys.argv[1]), "speaker-disjoint")
part = open_task_parts(opened, ["train"], find_task("emotion6"), LabelPolicy(), 50)[0]
data = device_data(part, 50, torch.device("cpu"))
for some in torch.randperm(len(part)).split(64):
    data.batch(some)
    most = max(most, private())
print(most - before, sum(4 * int(part.data.offsets[-1]) * width for width in opened.dims.values()) / 1e6)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Linux only")
def test_private_memory_of_an_epoch_beside_the_features(arrow: Path) -> None:
    """One pass over train in random batches, from mapped files: what the system cannot take back by dropping pages."""
    command = [sys.executable, "-c", PRIVATE, str(arrow)]
    added, size = map(float, subprocess.run(command, check=True, capture_output=True, text=True).stdout.split())
    say("private memory that an epoch from mapped files adds", added, size, "the features of train", unit="MB")
