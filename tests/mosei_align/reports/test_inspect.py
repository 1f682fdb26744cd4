"""`inspect` against the files themselves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mosei_align.build import build
from mosei_align.options import build_settings
from mosei_align.reports.inspect import OTHER_BUILD, inspect, strongest_emotion
from mosei_align.reports.look import SegmentLook, VideoLook, to_json
from mosei_schemas.dataset import read_manifest
from mosei_schemas.errors import DatasetError
from mosei_schemas.labels import EMOTIONS
from mosei_schemas.names import MODALITIES


def look_at(dataset: Path, ident: str, split: str | None = None) -> SegmentLook:
    look = inspect(dataset, ident, split=split)
    assert isinstance(look, SegmentLook)
    return look


@pytest.fixture(scope="module")
def rows(shared_dataset: Path) -> list[dict[str, Any]]:
    shards = read_manifest(shared_dataset).shards
    return [row for shard in shards for row in pq.read_table(shared_dataset / shard.name).to_pylist()]


@pytest.mark.parametrize("place", [0, 7, -1])
def test_a_kept_segment(shared_dataset: Path, rows: list[dict[str, Any]], place: int) -> None:
    row = rows[place]
    look = look_at(shared_dataset, row["segment_id"])
    assert look.kept
    assert (look.segment_id, look.video_id, look.label_row) == (row["segment_id"], row["video_id"], row["label_row"])
    assert (look.speaker_id, look.start_s, look.end_s) == (row["speaker_id"], row["start_s"], row["end_s"])
    assert list(look.labels.values()) == row["labels"]
    assert len(look.step_values) == look.steps == row["steps"]
    for k, step in enumerate(look.step_values):
        assert (step.number, step.start_s, step.end_s) == (k, row["step_start_s"][k], row["step_end_s"][k])
        assert step.word == (row["words"][k] if row["words"] else None)
        for name in MODALITIES:
            values = step.modalities[name]
            vector = np.array(row[name][k])
            assert values.valid == row[f"{name}_valid"][k]
            if not values.valid:
                assert values.raw is None
                continue
            assert values.raw is not None
            assert values.raw.norm == pytest.approx(float(np.linalg.norm(vector)))
            assert (values.raw.least, values.raw.greatest) == (vector.min(), vector.max())
            assert values.normalised is None
    for name in MODALITIES:
        assert look.modalities[name].valid_steps == sum(row[f"{name}_valid"])
    parts = {name: dict.fromkeys(["x"]) for name in ("random", "speaker-disjoint")}
    for name in parts:
        table = pq.read_table(shared_dataset / "splits" / name / "assignment.parquet").to_pylist()
        assert look.parts[name] == table[place]["part"]


def test_normalised_with_a_split(shared_dataset: Path, rows: list[dict[str, Any]]) -> None:
    told = json.loads((shared_dataset / "splits" / "random" / "normalization.json").read_text())
    scaling, clamp = told["modalities"]["audio"], told["clamp"]
    row = next(row for row in rows if any(row["audio_valid"]))
    step = row["audio_valid"].index(True)
    expected = (np.array(row["audio"][step]) - np.array(scaling["mean"])) / np.array(scaling["std"])
    expected = expected.clip(-clamp, clamp)
    look = look_at(shared_dataset, row["segment_id"], split="random")
    found = look.step_values[step].modalities["audio"].normalised
    assert found is not None
    assert found.norm == pytest.approx(float(np.linalg.norm(expected)))
    assert found.greatest == pytest.approx(float(expected.max()))
    with pytest.raises(DatasetError, match="no such split"):
        inspect(shared_dataset, row["segment_id"], split="nope")


def test_dropped_segments_say_why(shared_dataset: Path) -> None:
    ledger = pq.read_table(shared_dataset / "ledger.parquet").to_pylist()
    dropped = [row for row in ledger if not row["kept"]]
    assert dropped
    for row in dropped:
        look = look_at(shared_dataset, row["segment_id"])
        assert (look.kept, look.reason, look.detail) == (False, row["reason"], None)
        assert look.reason_in_words
        assert (look.labels, look.parts, look.step_values, look.emotion) == ({}, {}, (), None)
        assert {name: str(m.state) for name, m in look.modalities.items()} == {
            name: row[f"{name}_state"] for name in MODALITIES
        }
        parsed = json.loads(to_json(look))
        assert parsed["reason"] == row["reason"]
        assert parsed["start_s"] == (row["start_s"] if np.isfinite(row["start_s"]) else None)


def test_a_video_lists_its_segments(shared_dataset: Path) -> None:
    ledger = pq.read_table(shared_dataset / "ledger.parquet").to_pylist()
    video = ledger[-1]["video_id"]
    look = inspect(shared_dataset, video)
    assert isinstance(look, VideoLook)
    expected = [(row["segment_id"], row["kept"], row["reason"]) for row in ledger if row["video_id"] == video]
    assert [(s.segment_id, s.kept, s.reason) for s in look.segments] == expected
    assert len(json.loads(to_json(look))["segments"]) == len(expected)


def test_every_segment_can_be_found_also_in_a_shard_of_several_groups(csd: Any, tmp_path: Path) -> None:
    spans = [(k / 4, k / 4 + 0.25) for k in range(300)]
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels(*spans)}, audio={"v": csd.rows(150, 2)})
    out = tmp_path / "out"
    build(folder, out, build_settings(policy="masked"), jobs=1)
    for row in (0, 255, 256, 299):
        look = look_at(out, f"v[{row}]")
        assert look.start_s == spans[row][0]
        assert look.step_values[0].modalities["audio"].raw is not None
        assert look.modalities["text"].state == "no_sequence"


def test_unknown_ids_name_the_closest(shared_dataset: Path) -> None:
    video = pq.read_table(shared_dataset / "ledger.parquet").column("video_id")[0].as_py()
    with pytest.raises(DatasetError, match="labelled segments") as caught:
        inspect(shared_dataset, f"{video}[999]")
    assert f"{video}[0]" in str(caught.value)
    with pytest.raises(DatasetError, match="did you mean") as caught:
        inspect(shared_dataset, f"{video}x")
    assert video in str(caught.value)
    with pytest.raises(DatasetError, match=r"ledger\.parquet"):
        inspect(shared_dataset, "☃")


def test_a_split_of_another_build_is_not_believed(dataset: Path, rows: list[dict[str, Any]]) -> None:
    path = dataset / "splits" / "random" / "assignment.parquet"
    pq.write_table(pq.read_table(path).slice(1), path)
    look = look_at(dataset, rows[3]["segment_id"])
    assert look.parts["random"] == OTHER_BUILD
    assert look.parts["speaker-disjoint"] != OTHER_BUILD


def test_the_strongest_emotion() -> None:
    zeros = dict.fromkeys(EMOTIONS, 0.0)
    assert strongest_emotion(zeros) == "none"
    assert strongest_emotion(zeros | {"sad": 1.0}) == "sad"
    assert strongest_emotion(zeros | {"sad": 1.0, "happy": 1.0, "fear": 0.5}) == "happy = sad"
    assert strongest_emotion({"sentiment": 1.0}) is None
