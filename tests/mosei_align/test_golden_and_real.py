"""The golden input with mmsdk's planted defects, and the real MOSI and MOSEI files; skipped where they are absent."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from mosei_align.build import BuildResult, build
from mosei_align.dataset.account import account
from mosei_align.embed import embed
from mosei_align.sources.csd import CsdFile
from mosei_align.sources.csd_writer import CsdWriter
from mosei_align.sources.labels import read_labels
from mosei_align.sources.sequence import read_sequence
from mosei_align.split import split
from mosei_align.validate import validate
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import Reason, State

pytestmark = pytest.mark.real
MASKED, STRICT = BuildSettings(policy="masked"), BuildSettings(policy="strict")
FATAL = {
    "missing_features": "missing_array",
    "missing_intervals": "missing_array",
    "one_dim_features": "bad_array",
    "other_width": "bad_array",
    "truncated_features": "length_mismatch",
    "truncated_intervals": "length_mismatch",
}


MOSI_WORDS = "CMU_MOSI_ModifiedTimestampedWords.csd"
MOSEI_WORDS = "CMU_MOSEI_TimestampedWords.csd"


def ledger_of(result: BuildResult) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(result.out / "ledger.parquet").to_pylist()
    return rows


def fates(result: BuildResult) -> dict[tuple[Reason, State | None], int]:
    return dict(account(result.out, result.manifest))


def with_fatal(golden_input: Path, folder: Path, fatal: str) -> Path:
    """The golden input with its FACET file exchanged for one that mmsdk refuses as a whole."""
    folder.mkdir()
    for path in [*golden_input.glob("*.csd"), golden_input / "fatal" / f"{fatal}.csd"]:
        if path.name != "FACET_42.csd":
            shutil.copy(path, folder)
    return folder


def test_the_golden_input_under_masked(golden_input: Path, tmp_path: Path) -> None:
    result = build(golden_input, tmp_path / "out", MASKED, jobs=1)
    counts = result.manifest.counts
    assert (counts.labelled, counts.kept) == (24, 22)
    assert counts.dropped_by_reason == {Reason.NOTHING_OBSERVED: 2}
    assert counts.kept + counts.dropped == counts.labelled
    assert {name: info.videos for name, info in result.manifest.modalities.items()} == {
        "text": {"ok": 9},
        "audio": {"id_missing": 1, "ok": 8},
        "video": {"empty": 1, "id_missing": 1, "ok": 7},
    }
    assert result.manifest.modalities["video"].rows_dropped_interval == 8
    assert result.manifest.modalities["audio"].videos_sorted == 1


def test_the_golden_input_under_strict(golden_input: Path, tmp_path: Path) -> None:
    result = build(golden_input, tmp_path / "out", STRICT, jobs=1)
    assert result.manifest.counts.kept == 10
    assert fates(result) == {
        (Reason.NO_WORDS, State.NO_OVERLAP): 2,
        (Reason.NO_AUDIO, State.ID_MISSING): 5,
        (Reason.NO_AUDIO, State.NO_OVERLAP): 2,
        (Reason.NO_VIDEO, State.ALL_INVALID): 1,
        (Reason.NO_VIDEO, State.EMPTY): 2,
        (Reason.NO_VIDEO, State.ID_MISSING): 2,
    }


def test_the_golden_defects_are_where_the_manifest_of_the_corpus_says(golden_input: Path, tmp_path: Path) -> None:
    ledger = ledger_of(build(golden_input, tmp_path / "out", MASKED, jobs=1))
    of_video: dict[str, list[dict[str, Any]]] = {}
    for row in ledger:
        of_video.setdefault(row["video_id"], []).append(row)
    names = {"COVAREP": "audio", "FACET_42": "video"}
    for defect in json.loads((golden_input / "manifest.json").read_text())["defects"]:
        rows = of_video.get(defect["id"], [])
        if defect["kind"] == "unlabelled":
            assert not rows
        if defect["kind"] == "id_missing":
            assert {row[f"{names[defect['sequence']]}_state"] for row in rows} == {"id_missing"}
        if defect["kind"] == "empty_arrays":
            assert {row["video_state"] for row in rows} == {"empty"}
        if defect["kind"] == "stops_half_way":
            assert {row["audio_state"] for row in rows} >= {"ok", "no_overlap"}
        if defect["kind"] == "zero_length_label":
            assert rows[defect["row"]]["start_s"] == rows[defect["row"]]["end_s"]
    # mmsdk deletes these with 90417, of which they are no part.
    assert {"904172", "904178"} <= of_video.keys()
    assert all(
        row["video_state"] == "ok" for video in ("904172", "904178") for row in of_video[video] if row["steps"] > 3
    )


@pytest.mark.parametrize("fatal", FATAL)
def test_what_stops_mmsdk_costs_one_video_one_modality(golden_input: Path, tmp_path: Path, fatal: str) -> None:
    folder = with_fatal(golden_input, tmp_path / "csd", fatal)
    masked = build(folder, tmp_path / "masked", MASKED, jobs=1)
    strict = build(folder, tmp_path / "strict", STRICT, jobs=1)
    assert (masked.manifest.counts.labelled, masked.manifest.counts.kept) == (24, 22)
    assert (strict.manifest.counts.labelled, strict.manifest.counts.kept) == (24, 8)
    assert fates(strict)[Reason.NO_VIDEO, State(FATAL[fatal])] == 3
    spoiled = {row["video_id"] for row in ledger_of(masked) if row["video_state"] == FATAL[fatal]}
    assert spoiled == {"Rz1IjkPTK-I"}
    whole = ledger_of(build(golden_input, tmp_path / "whole", MASKED, jobs=1))
    others = [row for row in ledger_of(masked) if row["video_id"] not in spoiled]
    assert others == [row for row in whole if row["video_id"] not in spoiled]


@pytest.mark.parametrize("fatal", FATAL)
def test_validate_names_what_stops_mmsdk(golden_input: Path, tmp_path: Path, fatal: str) -> None:
    errors = [f for f in validate(with_fatal(golden_input, tmp_path / "csd", fatal)) if f.severity == "error"]
    (error,) = errors
    assert (error.file, error.role, error.count) == (f"{fatal}.csd", "video", 1)
    assert error.examples[0].startswith("Rz1IjkPTK-I (")


def test_the_golden_input_has_no_errors(golden_input: Path) -> None:
    findings = validate(golden_input)
    assert not [f for f in findings if f.severity == "error"]
    assert {f.file for f in findings if f.problem == "labelled videos missing"} == {"COVAREP.csd", "FACET_42.csd"}


MOSI_WORDS = "CMU_MOSI_ModifiedTimestampedWords.csd"


@pytest.fixture(scope="module")
def mosi(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """MOSI's text with real vectors."""
    folder = linked(real_data / "mosi", tmp_path_factory.mktemp("mosi") / "csd")
    table = real_data / "vectors" / "minilm-static.300d.txt.gz"
    embed(folder / MOSI_WORDS, table, folder / "vectors.csd")
    return build(folder, folder.parent / "out", MASKED, jobs=1)


@pytest.fixture(scope="module")
def mosei(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> BuildResult:
    """MOSEI's text with vectors of one column: real ones would take ten times as long."""
    folder = linked(real_data / "mosei", tmp_path_factory.mktemp("mosei") / "csd")
    with CsdFile(folder / MOSEI_WORDS) as words, CsdWriter(folder / "vectors.csd", "glove_vectors") as vectors:
        index = words.index()
        for video in index.entries:
            sequence = read_sequence(words, index, video)
            spoken = (sequence.features != b"sp").astype(np.float32)
            vectors.add(video, spoken[:, None], np.stack([sequence.start_s, sequence.end_s], axis=1))
    return build(folder, folder.parent / "out", MASKED, jobs=1)


def linked(real: Path, folder: Path) -> Path:
    """A folder with links to the real files, to which others can be added."""
    folder.mkdir()
    for path in real.glob("*.csd"):
        (folder / path.name).symlink_to(path)
    return folder


def owning_no_midpoint(result: BuildResult) -> list[dict[str, Any]]:
    """The kept segments in which no step has its midpoint."""
    found = []
    columns = ["segment_id", "start_s", "end_s", "step_start_s", "step_end_s"]
    for shard in result.manifest.shards:
        for row in pq.read_table(result.out / shard.name, columns=columns).to_pylist():
            middles = [(a + b) / 2 for a, b in zip(row["step_start_s"], row["step_end_s"], strict=True)]
            if not any(row["start_s"] <= middle < row["end_s"] for middle in middles):
                found.append(row)
    return found


def rows_touched_by_a_label(folder: Path) -> tuple[int, int]:
    """How many words of MOSI overlap a label or a word that one owns, and how many of these are pauses; slowly."""
    rows = pauses = 0
    with CsdFile(folder / MOSI_WORDS) as file, CsdFile(next(folder.glob("*abels*.csd"))) as label_file:
        words, labels = file.index(), label_file.index()
        for video in labels.entries:
            spoken, wanted = read_sequence(file, words, video), read_labels(label_file, labels, video)
            needed = []
            for a, b in zip(wanted.start_s, wanted.end_s, strict=True):
                b = max(b, np.nextafter(a, np.inf))
                middles = (spoken.start_s + spoken.end_s) / 2
                mine = (middles >= a) & (middles < b) & (spoken.features != b"sp")
                needed += [(a, b), *zip(spoken.start_s[mine], spoken.end_s[mine], strict=True)]
            touched = np.zeros(len(spoken), bool)
            for a, b in needed:
                touched |= (spoken.start_s < max(b, np.nextafter(a, np.inf))) & (spoken.end_s > a)
            rows += int(touched.sum())
            pauses += int((touched & (spoken.features == b"sp")).sum())
    return rows, pauses


def test_mosi_is_kept_whole(mosi: BuildResult) -> None:
    counts = mosi.manifest.counts
    assert (counts.labelled, counts.kept, counts.dropped) == (2199, 2199, 0)
    assert (counts.videos_labelled, counts.kept_with_uniform_steps) == (93, 0)
    assert mosi.manifest.label_columns == ["sentiment"]
    assert mosi.manifest.modalities["text"].dim == 300
    text = mosi.manifest.modalities["text"]
    assert (text.rows, text.rows_read, text.rows_zero) == (51056, *rows_touched_by_a_label(mosi.out.parent / "csd"))


def test_two_segments_of_mosi_own_their_word_by_overlap(mosi: BuildResult) -> None:
    alone = owning_no_midpoint(mosi)
    assert len(alone) == 2
    for row in alone:
        assert len(row["step_start_s"]) == 1
        assert row["step_start_s"][0] < max(row["end_s"], np.nextafter(row["start_s"], np.inf))
        assert row["start_s"] < row["step_end_s"][0]


def test_mosi_without_vectors_has_nothing_to_build_from(
    real_data: Path, tmp_path: Path, one_line: Callable[..., str]
) -> None:
    assert "mosei-align embed" in one_line(lambda: build(real_data / "mosi", tmp_path / "out", MASKED, jobs=1))


def test_mosi_splits_along_its_folds(mosi: BuildResult, real_data: Path) -> None:
    info = split(mosi.out, "folds", folds=real_data / "mosi" / "folds.json").info
    assert info.videos == {"train": 52, "valid": 10, "test": 31}
    assert sum(info.segments.values()) == 2199
    assert info.leakage.model_dump() == dict.fromkeys(info.leakage.model_dump(), 0)
    assert info.stratified_by == "nothing"


def test_mosi_validates_without_an_error(mosi: BuildResult) -> None:
    findings = validate(mosi.out.parent / "csd")
    assert [f for f in findings if f.severity != "note"] == []
    assert [f.count for f in findings if f.problem == "labels of no length"] == [1]


def test_the_words_of_mosi_read_as_they_are_stored(real_data: Path) -> None:
    with CsdFile(real_data / "mosi" / MOSI_WORDS) as file:
        index = file.index()
        widths, tokens, pauses = set(), 0, 0
        for video, entries in index.entries.items():
            widths.update(str(entry.features.dtype) for entry in entries if entry.features)
            sequence = read_sequence(file, index, video)
            tokens += len(sequence)
            pauses += sequence.features.tolist().count(b"sp")
    assert (len(index.entries), tokens, pauses) == (93, 51056, 8287)
    assert {"|S9", "|S17"} <= widths <= {f"|S{k}" for k in range(9, 18)}
    assert index.metadata["alignment compatible"] == "asdfasdfasd"


def test_mosei_without_audio_and_video(mosei: BuildResult) -> None:
    assert {entry.role: entry.name for entry in mosei.manifest.inputs} == {
        "text": "vectors.csd",
        "labels": "CMU_MOSEI_Labels.csd",
        "words": MOSEI_WORDS,
    }
    counts = mosei.manifest.counts
    assert (counts.labelled, counts.kept) == (18597, 16994)
    assert counts.dropped_by_reason == {Reason.NO_WORDS: 1603}
    assert (counts.videos_labelled, counts.videos_kept) == (2617, 2405)
    ledger = pq.read_table(mosei.out / "ledger.parquet", columns=["segment_id", "kept", "text_state"])
    assert pc.count_distinct(ledger["segment_id"]).as_py() == 18597
    assert set(ledger.filter(pc.invert(ledger["kept"]))["text_state"].to_pylist()) == {"id_missing", "no_overlap"}
    shards = [mosei.out / shard.name for shard in mosei.manifest.shards]
    segments = pq.read_table(shards, columns=["words", "text_valid"])
    assert pc.all(pc.list_flatten(segments["text_valid"])).as_py()
    assert len(pc.list_flatten(segments["words"])) == counts.steps_kept


def test_five_segments_of_mosei_own_their_word_by_overlap(mosei: BuildResult) -> None:
    assert [len(row["step_start_s"]) for row in owning_no_midpoint(mosei)] == [1] * 5
