"""What a dataset directory holds: every labelled segment accounted for, and nothing that the inputs do not say."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mosei_align.build import BuildResult, build
from mosei_align.dataset.account import account, describe_reason, describe_state
from mosei_align.sources.modalities import load_settings
from mosei_schemas.dataset import read_manifest
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import MODALITIES, Reason, State
from mosei_schemas.publish import sha256
from mosei_schemas.tables import ledger_schema, segments_schema

Content = Callable[[Path], dict[str, bytes]]
MASKED = BuildSettings(policy="masked", videos_per_shard=5)
STRICT = BuildSettings(policy="strict", videos_per_shard=5)


@pytest.fixture(scope="module", params=[STRICT, MASKED], ids=["strict", "masked"])
def built(
    request: pytest.FixtureRequest, defective_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> BuildResult:
    out = tmp_path_factory.mktemp("built") / "parquet"
    return build(defective_corpus, out, request.param, jobs=1)


def segments_of(result: BuildResult) -> list[dict[str, Any]]:
    tables = [pq.read_table(result.out / shard.name) for shard in result.manifest.shards]
    return pa.concat_tables(tables).to_pylist() if tables else []


def ledger_of(result: BuildResult) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(result.out / "ledger.parquet").to_pylist()
    return rows


def test_every_planted_segment_has_the_fate_that_was_planned(built: BuildResult, defective_corpus: Path) -> None:
    truth = json.loads((defective_corpus / "truth.json").read_text())["segments"]
    ledger = {row["segment_id"]: row for row in ledger_of(built)}
    assert ledger.keys() == {planned["segment_id"] for planned in truth}
    for planned in truth:
        row = ledger[planned["segment_id"]]
        assert row["reason"] == planned[built.manifest.settings.policy], planned
        assert (row["start_s"], row["end_s"]) == (planned["start_s"], planned["end_s"])
        for name in MODALITIES:
            assert row[f"{name}_state"] == planned[name], (name, planned)
        if planned["words"]:
            assert (row["steps_from"], row["steps"]) == ("words", planned["words"])
        else:
            assert row["steps_from"] != "words"


def test_labelled_is_kept_and_dropped_and_every_row_is_there_once(built: BuildResult, defective_corpus: Path) -> None:
    ledger, counts = ledger_of(built), built.manifest.counts
    truth = json.loads((defective_corpus / "truth.json").read_text())
    assert len({row["segment_id"] for row in ledger}) == len(ledger) == counts.labelled == len(truth["segments"])
    assert counts.labelled == counts.kept + counts.dropped
    assert counts.dropped == sum(counts.dropped_by_reason.values())
    assert counts.dropped_by_reason == dict(Counter(Reason(r["reason"]) for r in ledger if r["reason"]))
    assert all(row["kept"] == (row["reason"] is None) for row in ledger)
    assert (
        counts.videos_labelled
        == len({row["video_id"] for row in ledger})
        == sum(v["labelled"] for v in truth["videos"])
    )
    assert counts.videos_kept == len({row["video_id"] for row in ledger if row["kept"]})
    assert counts.steps_kept == sum(row["steps"] for row in ledger if row["kept"])
    assert counts.kept > 0
    assert counts.dropped > 0


def test_the_kept_rows_are_the_segments_in_order(built: BuildResult) -> None:
    kept = [row for row in ledger_of(built) if row["kept"]]
    segments = segments_of(built)
    columns = ["segment_id", "video_id", "label_row", "start_s", "end_s", "steps_from", "steps"]
    assert [[s[c] for c in columns] for s in segments] == [[row[c] for c in columns] for row in kept]
    assert [row["video_id"] for row in kept] == sorted(row["video_id"] for row in kept)


def test_steps_masks_and_vectors_agree_with_each_other_and_the_ledger(built: BuildResult) -> None:
    ledger = {row["segment_id"]: row for row in ledger_of(built)}
    for segment in segments_of(built):
        row = ledger[segment["segment_id"]]
        count = segment["steps"]
        assert count >= 1
        assert len(segment["step_start_s"]) == len(segment["step_end_s"]) == count
        assert all(a <= b for a, b in zip(segment["step_start_s"], segment["step_end_s"], strict=True))
        assert segment["step_start_s"] == sorted(segment["step_start_s"])
        assert len(segment["words"]) in (0, count)
        assert "sp" not in segment["words"]
        assert np.isfinite(segment["labels"]).all()
        for name in MODALITIES:
            values, valid = np.array(segment[name]), np.array(segment[f"{name}_valid"])
            assert values.shape == (count, built.manifest.modalities[name].dim)
            assert valid.shape == (count,)
            assert np.isfinite(values).all()
            assert not values[~valid].any()
            assert int(valid.sum()) == row[f"{name}_valid_steps"]
            assert bool(valid.any()) == (row[f"{name}_state"] == "ok")
            if name != "audio":
                assert values[valid].any(axis=1).all()


def test_the_schemas_are_the_declared_ones_to_the_last_flag(built: BuildResult) -> None:
    dims = {name: info.dim for name, info in built.manifest.modalities.items()}
    assert dims == {"text": 8, "audio": 9, "video": 8}
    declared = segments_schema(dims, built.manifest.label_columns)
    for shard in built.manifest.shards:
        schema = pq.read_schema(built.out / shard.name)
        assert schema.equals(declared)
        assert [field.name for field in schema if field.nullable] == ["speaker_id"]
        assert schema.metadata is None
        assert pq.read_table(built.out / shard.name).column("labels").null_count == 0
    assert pq.read_schema(built.out / "ledger.parquet").equals(ledger_schema())


def test_the_manifest_tells_the_files_as_they_are(built: BuildResult, defective_corpus: Path) -> None:
    manifest = read_manifest(built.out)
    assert manifest == built.manifest
    for shard in [*manifest.shards, manifest.ledger]:
        assert sha256(built.out / shard.name) == shard.sha256
        assert pq.read_metadata(built.out / shard.name).num_rows == shard.rows
    assert sum(shard.rows for shard in manifest.shards) == manifest.counts.kept
    told = {shard.name for shard in [*manifest.shards, manifest.ledger]} | {"manifest.json", "build.json"}
    assert {str(p.relative_to(built.out)) for p in built.out.rglob("*") if p.is_file()} == told
    assert [entry.role for entry in manifest.inputs] == ["audio", "labels", "text", "video", "words", "speakers"]
    for entry in manifest.inputs:
        assert (defective_corpus / entry.name).stat().st_size == entry.bytes


def test_the_manifest_counts_what_was_found_in_each_modality(built: BuildResult) -> None:
    ledger = ledger_of(built)
    for name, info in built.manifest.modalities.items():
        assert sum(info.videos.values()) == built.manifest.counts.videos_labelled
        whole_video = {"id_missing", "missing_array", "length_mismatch", "empty"}
        for state in whole_video:
            told = {row["video_id"] for row in ledger if row[f"{name}_state"] == state}
            assert len(told) <= info.videos.get(state, 0)
        assert info.rows_nonfinite <= info.rows_read <= info.rows - info.rows_dropped_interval
    audio = built.manifest.modalities["audio"]
    assert audio.nonfinite_by_column[7] == max(audio.nonfinite_by_column) > 0
    assert built.manifest.modalities["video"].rows_zero > 0
    assert sum(info.videos_sorted for info in built.manifest.modalities.values()) > 0
    assert sum(info.rows_dropped_interval for info in built.manifest.modalities.values()) > 0


def test_the_account_adds_up_and_speaks(built: BuildResult) -> None:
    rows = account(built.out, built.manifest)
    by_reason: Counter[Reason] = Counter()
    for (reason, state), count in rows:
        assert count > 0
        by_reason[reason] += count
        assert (state is not None) == (reason in {Reason.NO_WORDS, Reason.NO_TEXT, Reason.NO_AUDIO, Reason.NO_VIDEO})
        assert describe_reason(reason)
        assert state is None or describe_state(state) != str(state)
    assert by_reason == built.manifest.counts.dropped_by_reason
    assert [reason for (reason, _), _ in rows] == sorted((r for (r, _), _ in rows), key=list(Reason).index)


def test_every_reason_and_state_has_words_for_people() -> None:
    assert all(describe_reason(reason) for reason in Reason)
    assert all(describe_state(s) != str(s) for s in State if s not in (State.OK, State.NOT_ALIGNED))


def test_speakers_are_those_of_the_file(built: BuildResult, defective_corpus: Path) -> None:
    lines = (defective_corpus / "speakers.csv").read_text().splitlines()[1:]
    speakers = dict(line.split(",") for line in lines)
    segments = segments_of(built)
    assert all(segment["speaker_id"] == speakers[segment["video_id"]] for segment in segments)
    labelled = {row["video_id"] for row in ledger_of(built)}
    assert built.manifest.speakers == len({speakers[video] for video in labelled})


def test_polars_reads_it_as_a_stranger(built: BuildResult) -> None:
    frame = pl.read_parquet(built.out / "segments" / "*.parquet")
    assert frame.height == built.manifest.counts.kept
    assert frame.schema["audio"] == pl.List(pl.Array(pl.Float32, 9))
    assert frame.schema["labels"] == pl.Array(pl.Float32, 7)
    assert frame.select(pl.col("text_valid").list.len() == pl.col("steps")).to_series().all()
    ledger = pl.read_parquet(built.out / "ledger.parquet")
    assert ledger.filter("kept").height == frame.height


def test_a_second_build_is_the_same_to_the_last_byte_wherever_the_inputs_are(
    built: BuildResult, defective_corpus: Path, tmp_path: Path, content: Content
) -> None:
    moved = tmp_path / "elsewhere" / "csd files"
    moved.mkdir(parents=True)
    for path in sorted(defective_corpus.iterdir(), reverse=True):
        (moved / path.name).write_bytes(path.read_bytes())
    again = build(moved, tmp_path / "out", built.manifest.settings, jobs=1)
    assert content(again.out) == content(built.out)


def test_two_processes_write_the_same_bytes_as_one(defective_corpus: Path, tmp_path: Path, content: Content) -> None:
    one = build(defective_corpus, tmp_path / "one", MASKED, jobs=1)
    seen: list[tuple[int, int]] = []
    two = build(defective_corpus, tmp_path / "two", MASKED, jobs=2, progress=lambda *done: seen.append(done))
    assert content(two.out) == content(one.out)
    videos = one.manifest.counts.videos_labelled
    assert len(seen) == -(-videos // 5)
    assert seen[-1] == (videos, videos)
    assert seen == sorted(seen)


def test_a_clean_corpus_is_kept_whole(clean_corpus: Path, tmp_path: Path) -> None:
    result = build(clean_corpus, tmp_path / "out", BuildSettings(), jobs=1)
    assert result.manifest.counts.dropped == 0
    assert result.manifest.counts.labelled > 0
    assert result.ignored == ()
    assert account(result.out, result.manifest) == []


def test_the_number_of_shards_changes_no_row(clean_corpus: Path, tmp_path: Path) -> None:
    one = build(clean_corpus, tmp_path / "one", BuildSettings(), jobs=1)
    many = build(clean_corpus, tmp_path / "many", BuildSettings(videos_per_shard=1), jobs=1)
    assert len(one.manifest.shards) == 1
    assert len(many.manifest.shards) == 8
    assert segments_of(one) == segments_of(many)
    assert ledger_of(one) == ledger_of(many)
    assert one.manifest.counts == many.manifest.counts
    assert one.manifest.modalities == many.manifest.modalities


@pytest.mark.parametrize(
    "roles", [("text", "audio"), ("text", "video"), ("audio", "video"), ("text",), ("audio",), ("video",)]
)
def test_masked_with_any_two_and_any_one(csd: Any, tmp_path: Path, roles: tuple[str, ...]) -> None:
    sequences = {role: {"v": csd.rows(8, 3), "w": csd.rows(3, 3)} for role in roles}
    labels = {"v": csd.labels((0, 2), (2, 4)), "w": csd.labels((0, 1), (5, 6))}
    folder = csd.corpus(tmp_path / "csd", labels=labels, **sequences)
    result = build(folder, tmp_path / "out", MASKED, jobs=1)
    assert list(result.manifest.modalities) == list(roles)
    assert result.manifest.counts.kept == 3
    missing = Reason.NO_WORDS if roles == ("text",) else Reason.NOTHING_OBSERVED
    assert result.manifest.counts.dropped_by_reason == {missing: 1}
    names = set(pq.read_schema(result.out / "segments/part-00000.parquet").names)
    assert names & set(MODALITIES) == set(roles)
    for row in ledger_of(result):
        for name in set(MODALITIES) - set(roles):
            assert (row[f"{name}_state"], row[f"{name}_frames"]) == ("no_sequence", 0)


def test_a_segment_without_words_gets_marked_uniform_steps(csd: Any, tmp_path: Path) -> None:
    folder = csd.corpus(
        tmp_path / "csd",
        labels={"v": csd.labels((0, 1), (2, 2.6))},
        text={"v": csd.rows(2, 3)},
        audio={"v": csd.rows(80, 2, step_s=0.05)},
        words={"v": csd.words("so", "it")},
    )
    result = build(folder, tmp_path / "out", MASKED, jobs=1)
    by_words, uniform = segments_of(result)
    assert (by_words["steps_from"], by_words["words"]) == ("words", ["so", "it"])
    assert (uniform["steps_from"], uniform["words"]) == ("uniform", [])
    assert uniform["step_start_s"] == [2, 2.25, 2.5]
    assert uniform["text_valid"] == [False] * 3
    assert uniform["audio_valid"] == [True] * 3
    assert result.manifest.counts.kept_with_uniform_steps == 1
    assert ledger_of(result)[1]["steps_from"] == "uniform"


@pytest.mark.parametrize("width", [1, 3, 7])
def test_labels_of_any_width(csd: Any, tmp_path: Path, width: int) -> None:
    values, spans = csd.labels((0, 1), (1, 2), width=width)
    values += 0.25
    folder = csd.corpus(tmp_path / "csd", labels={"v": (values, spans)}, text={"v": csd.rows(4, 2)})
    result = build(folder, tmp_path / "out", MASKED, jobs=1)
    assert len(result.manifest.label_columns) == width
    assert [segment["labels"] for segment in segments_of(result)] == values.tolist()


def test_features_as_wide_as_openface_and_bert(csd: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    text, video = (rng.normal(size=(n, d)).astype(np.float32) for n, d in ((4, 768), (60, 713)))
    times = csd.rows(60, 1, step_s=1 / 30)[1]
    folder = csd.corpus(
        tmp_path / "csd",
        labels={"v": csd.labels((0, 2))},
        text={"v": (text, csd.rows(4, 1)[1])},
        video={"v": (video, times)},
    )
    (segment,) = segments_of(build(folder, tmp_path / "out", MASKED, jobs=1))
    assert np.array_equal(np.array(segment["text"], np.float32), text)
    assert np.array(segment["video"]).shape == (4, 713)
    assert np.array(segment["video"][1]) == pytest.approx(video[15:30].astype(float).mean(axis=0), rel=1e-6, abs=1e-9)


def test_zero_fill_keeps_what_the_frame_rule_drops(csd: Any, tmp_path: Path) -> None:
    features, times = csd.rows(4, 2)
    features[:, 1] = np.nan
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 2))}, audio={"v": (features, times)})
    kept = {}
    for mode in ("frame", "column", "zero"):
        chosen = BuildSettings.model_validate({"policy": "masked", "nonfinite": mode})
        result = build(folder, tmp_path / mode, chosen, jobs=1)
        kept[mode] = result.manifest.counts.kept
        assert result.manifest.modalities["audio"].values_zero_filled == (4 if mode == "zero" else 0)
        assert result.manifest.modalities["audio"].nonfinite_by_column == [0, 4]
    assert kept == {"frame": 0, "column": 0, "zero": 1}


def test_nothing_kept_is_a_dataset_with_a_ledger_and_no_shard(csd: Any, tmp_path: Path) -> None:
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((5, 6))}, audio={"v": csd.rows(2, 2)})
    result = build(folder, tmp_path / "out", MASKED, jobs=1)
    assert result.manifest.shards == []
    assert (result.manifest.counts.labelled, result.manifest.counts.dropped) == (1, 1)
    assert sorted(p.name for p in result.out.iterdir()) == ["build.json", "ledger.parquet", "manifest.json"]


def test_ids_with_slashes_copies_and_unicode_come_through(csd: Any, tmp_path: Path) -> None:
    ids = ["2011/05", "naïve-日本", "25522", "255224", "a[0]"]
    labels = {video: csd.labels((0, 1), (1, 2)) for video in ids} | {"a[1]": csd.labels((3, 3.5))}
    folder = csd.corpus(
        tmp_path / "csd", labels=labels, audio={video: csd.rows(8, 2) for video in ids if video != "25522"}
    )
    result = build(folder, tmp_path / "out", MASKED, jobs=1)
    assert [row["segment_id"] for row in ledger_of(result) if row["kept"]] == [
        "2011/05[0]",
        "2011/05[1]",
        "255224[0]",
        "255224[1]",
        "a[0]",
        "a[1]",
        "a[2]",
        "naïve-日本[0]",
        "naïve-日本[1]",
    ]
    assert {row["audio_state"] for row in ledger_of(result) if row["video_id"] == "25522"} == {"id_missing"}


def test_ids_below_other_ids_are_accounted_for(csd: Any, tmp_path: Path) -> None:
    labels = {"a": csd.labels((0, 1)), "a/b": csd.labels((0, 1), (1, 2), (2, 3))}
    folder = csd.corpus(tmp_path / "csd", labels=labels, audio={"a": csd.rows(8, 2)})
    assert build(folder, tmp_path / "out", MASKED, jobs=1).manifest.counts.labelled == 4


@pytest.mark.parametrize("entries", ["no video at all", "no features", "one-dimensional features"])
def test_a_modality_without_one_usable_array_is_merely_missing(csd: Any, tmp_path: Path, entries: str) -> None:
    times = csd.rows(8, 1)[1]
    audio = {"no video at all": {}, "no features": {"v": (None, times)}}.get(entries, {"v": (np.ones(8), times)})
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 2))}, text={"v": csd.rows(8, 3)}, audio=audio)
    result = build(folder, tmp_path / "out", MASKED, jobs=1)
    assert result.manifest.counts.kept == 1
    assert not any(segments_of(result)[0]["audio_valid"])


def test_label_columns_can_be_named(csd: Any, tmp_path: Path) -> None:
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 1), width=2)}, audio={"v": csd.rows(4, 2)})
    (tmp_path / "r.toml").write_text('[labels]\nroots = ["All Labels"]\ncolumns = ["valence", "arousal"]')
    result = build(folder, tmp_path / "out", MASKED, sources=load_settings(tmp_path / "r.toml"), jobs=1)
    assert result.manifest.label_columns == ["valence", "arousal"]


def test_speakers_from_another_file_and_for_some_videos_only(csd: Any, tmp_path: Path) -> None:
    labels = {"v": csd.labels((0, 1)), "w": csd.labels((0, 1))}
    folder = csd.corpus(tmp_path / "csd", labels=labels, audio={"v": csd.rows(4, 2), "w": csd.rows(4, 2)})
    (folder / "speakers.csv").write_text("v,default\n")
    (tmp_path / "who.csv").write_text("v,anna\nunknown video,bob\n")
    default = build(folder, tmp_path / "a", MASKED, jobs=1)
    given = build(folder, tmp_path / "b", MASKED, speakers_file=tmp_path / "who.csv", jobs=1)
    assert [s["speaker_id"] for s in segments_of(default)] == ["default", None]
    assert [s["speaker_id"] for s in segments_of(given)] == ["anna", None]
    assert given.manifest.speakers == 1
    assert given.manifest.inputs[-1].name == "who.csv"
    (folder / "speakers.csv").unlink()
    assert build(folder, tmp_path / "c", MASKED, jobs=1).manifest.speakers == 0
