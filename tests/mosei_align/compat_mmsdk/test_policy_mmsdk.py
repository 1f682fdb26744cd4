"""`--policy mmsdk`: the dataset on the disk gives back mmsdk's own bytes, and every loss in its own words."""

import json
import shutil
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest

from mosei_align.build import BuildResult, build
from mosei_align.compat_mmsdk import compare, read_dataset, read_deployed, read_sequences
from mosei_align.options import build_settings
from mosei_align.sources.csd_writer import CsdWriter
from mosei_align.synthetic.corpus import write_corpus
from mosei_align.synthetic.recipe import Recipe
from mosei_schemas.errors import ConfigError, DatasetError, InputError
from mosei_schemas.manifest import BuildSettings

MMSDK = BuildSettings(policy="mmsdk", nonfinite="keep", videos_per_shard=2)


@pytest.fixture(scope="module")
def folder(golden: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden corpus, where its files may be taken out."""
    copy = tmp_path_factory.mktemp("golden") / "csd"
    copy.mkdir()
    for path in golden.input.glob("*.csd"):
        shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="module")
def built(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    return build(folder, tmp_path_factory.mktemp("out") / "parquet", MMSDK, jobs=1)


def test_the_dataset_is_stage_b3_in_every_byte(golden: Any, built: BuildResult) -> None:
    expected = pq.read_table(golden.folder / "expected" / "B3_hard_unify.parquet").to_pylist()
    got = [
        (name, key, position, entry)
        for name, entries in read_dataset(built.out).items()
        for position, (key, entry) in enumerate(entries.items())
    ]
    assert [entry[:3] for entry in got] == [(r["sequence"], r["key"], r["position"]) for r in expected]
    for row, (_, _, _, entry) in zip(expected, got, strict=True):
        assert (entry.features.dtype.str, entry.intervals.dtype.str) == (row["features_dtype"], row["intervals_dtype"])
        assert entry.features.shape == (row["rows"], row["width"])
        assert np.ascontiguousarray(entry.features).tobytes() == row["features"]
        assert np.ascontiguousarray(entry.intervals).tobytes() == row["intervals"]


def test_every_loss_is_named_as_mmsdk_has_it(golden: Any, built: BuildResult) -> None:
    dropped = json.loads((golden.folder / "expected" / "dropped.json").read_text())
    expected = Counter(tuple(row.values()) for row in dropped if row["stage"].startswith("B"))
    assert built.manifest.losses is not None
    losses = pq.read_table(built.out / built.manifest.losses.name).to_pylist()
    assert Counter(tuple(row.values()) for row in losses) == expected
    assert built.manifest.losses.rows == sum(expected.values())


def test_the_ledger_accounts_for_every_label_row(golden: Any, built: BuildResult) -> None:
    ledger = pq.read_table(built.out / "ledger.parquet").to_pylist()
    labels = golden.labels
    assert [row["segment_id"] for row in ledger] == [
        f"{video}[{k}]" for video, entry in labels.items() for k in range(len(entry.intervals))
    ]
    named = {row["reason"] for row in json.loads((golden.folder / "expected" / "dropped.json").read_text())}
    for row in ledger:
        assert (row["reason"] is None) == row["kept"] == (row["detail"] is None)
        assert row["kept"] or row["detail"] in named
    assert Counter(row["reason"] for row in ledger) == {
        None: 8, "label_time": 1, "no_video": 4, "purged": 3, "no_audio": 7, "no_text": 1,
    }  # fmt: skip
    assert {row["video_id"] for row in ledger if row["reason"] == "purged"} == {"904172", "904178"}


def test_steps_are_words_and_masks_say_what_is_finite(built: BuildResult) -> None:
    for shard in built.manifest.shards:
        for row in pq.read_table(built.out / shard.name).to_pylist():
            assert row["steps"] == len(row["step_start_s"]) == len(row["words"]) == len(row["text_rows"])
            for name in ("text", "audio", "video"):
                vectors, there = np.array(row[name], np.float32), set(row[f"{name}_rows"])
                finite = [k in there and bool(np.isfinite(vectors[k]).all()) for k in range(row["steps"])]
                assert row[f"{name}_valid"] == finite
                assert len(row[f"{name}_row_start_s"]) == len(there)


def test_the_same_bytes_for_any_number_of_jobs(folder: Path, built: BuildResult, tmp_path: Path) -> None:
    again = build(folder, tmp_path / "again", MMSDK, jobs=2)
    assert again.manifest == built.manifest


def test_a_float64_corpus_is_rounded_and_says_so(folder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(folder, tmp_path / "csd")
    entries = read_sequences([folder / "COVAREP.csd"])["COVAREP"]
    with CsdWriter(copy / "COVAREP.csd", "COVAREP") as writer:
        for key, entry in entries.items():
            writer.add(key, entry.features.astype(np.float64), entry.intervals)
    result = build(copy, tmp_path / "out", MMSDK, jobs=1)
    assert result.manifest.modalities["audio"].dtype == "float64"
    assert result.manifest.modalities["video"].dtype == "float32"
    assert result.manifest.counts.kept == 8


@pytest.mark.parametrize("name", ["missing_features", "truncated_intervals", "one_dim_features", "other_width"])
def test_what_mmsdk_cannot_take_stops_the_build_in_one_line(
    golden: Any, folder: Path, tmp_path: Path, name: str
) -> None:
    copy = shutil.copytree(folder, tmp_path / "csd")
    shutil.copy(golden.input / "fatal" / f"{name}.csd", copy / "FACET_42.csd")
    with pytest.raises(InputError, match=r"FACET_42\.csd: Rz1IjkPTK-I: ") as caught:
        build(copy, tmp_path / "out", MMSDK, jobs=1)
    assert "strict or masked" in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csd"]


def test_a_dataset_equals_what_mmsdk_deploys(built: BuildResult, golden: Any, tmp_path: Path) -> None:
    for row_name in ("glove_vectors", "COVAREP", "FACET 4.2", "All Labels"):
        with CsdWriter(tmp_path / f"{row_name}.csd", row_name) as writer:
            for row in pq.read_table(golden.folder / "expected" / "B3_hard_unify.parquet").to_pylist():
                if row["sequence"] == row_name:
                    features = np.frombuffer(row["features"], row["features_dtype"]).reshape(row["rows"], row["width"])
                    intervals = np.frombuffer(row["intervals"], row["intervals_dtype"]).reshape(-1, 2)
                    writer.add(row["key"], features, intervals)
    ours, theirs = read_dataset(built.out), read_deployed(tmp_path)
    assert [d for d in compare(ours, theirs) if d.what != "order"] == []
    with h5py.File(tmp_path / "COVAREP.csd", "r+") as file:
        file["COVAREP/data/8BK7_GQswXp[0]/features"][0, 0] += 1
    changed = compare(ours, read_deployed(tmp_path))
    assert [(d.sequence, d.key, d.array) for d in changed if d.what != "order"] == [
        ("COVAREP", "8BK7_GQswXp[0]", "features")
    ]


def test_only_a_dataset_of_this_policy_can_be_compared(folder: Path, tmp_path: Path) -> None:
    result = build(folder, tmp_path / "out", BuildSettings(), jobs=1)
    with pytest.raises(DatasetError, match="is of policy strict; build it with --policy mmsdk"):
        read_dataset(result.out)


def test_objects_of_mmsdk_are_input_like_files(folder: Path, built: BuildResult, tmp_path: Path) -> None:
    found = read_sequences(folder)
    held = {
        name: SimpleNamespace(
            data={key: {"features": e.features, "intervals": e.intervals} for key, e in entries.items()},
            metadata={"root name": name},
        )
        for name, entries in found.items()
    }
    result = build(SimpleNamespace(computational_sequences=held), tmp_path / "out", MMSDK, jobs=1)
    assert [shard.sha256 for shard in result.manifest.shards] == [shard.sha256 for shard in built.manifest.shards]


def test_options_that_mean_nothing_to_it_are_refused() -> None:
    for options in ({"nonfinite": "zero"}, {"steps": "words"}, {"min_coverage": "2"}):
        with pytest.raises(ConfigError, match="means nothing to policy mmsdk"):
            build_settings(policy="mmsdk", **options)


def test_a_corpus_of_many_shards(tmp_path: Path) -> None:
    write_corpus(tmp_path / "csd", Recipe(videos=12, seed=4, clean=True))
    result = build(tmp_path / "csd", tmp_path / "out", MMSDK, jobs=1)
    assert result.manifest.counts.kept == result.manifest.counts.labelled > 30
    assert len(result.manifest.shards) == 6
