"""The report's numbers against a slow and obvious count of the same files, and against the planted truth."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mosei_align.build import build
from mosei_align.options import build_settings
from mosei_align.reports.collect import collect
from mosei_align.reports.facts import DatasetFacts
from mosei_align.split import split
from mosei_schemas.dataset import read_manifest
from mosei_schemas.errors import ConfigError, DatasetError
from mosei_schemas.labels import EMOTIONS
from mosei_schemas.names import MODALITIES, Reason, State

LIMIT = 20


@pytest.fixture(scope="module", params=["strict", "masked"])
def built(request: pytest.FixtureRequest, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reported") / "parquet"
    build(small_corpus, folder, build_settings(policy=request.param), jobs=1)
    split(folder, "speaker-disjoint", ratios=(0.6, 0.2, 0.2))
    return folder


@pytest.fixture(scope="module")
def facts(built: Path) -> DatasetFacts:
    return collect(built, max_steps=LIMIT)


@pytest.fixture(scope="module")
def kept(built: Path) -> list[dict[str, Any]]:
    manifest = read_manifest(built)
    columns = ["segment_id", "steps", "labels", "start_s", "end_s", *(f"{name}_valid" for name in MODALITIES)]
    return [row for shard in manifest.shards for row in pq.read_table(built / shard.name, columns=columns).to_pylist()]


@pytest.fixture(scope="module")
def ledger(built: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(built / "ledger.parquet").to_pylist()
    return rows


def test_a_sound_dataset_has_no_problem(facts: DatasetFacts) -> None:
    assert facts.problems == ()
    assert facts.checks > 20


def test_the_account_is_the_planted_one(facts: DatasetFacts, small_corpus: Path) -> None:
    truth = json.loads((small_corpus / "truth.json").read_text())["segments"]
    policy = facts.manifest.settings.policy
    planned = Counter(row[policy] for row in truth)
    found: Counter[str] = Counter()
    for loss in facts.attrition.losses:
        found[str(loss.reason)] += loss.segments
    assert found == Counter({reason: n for reason, n in planned.items() if reason is not None})
    assert (facts.attrition.labelled, facts.attrition.kept) == (len(truth), planned[None])
    for modality in facts.attrition.modalities:
        assert {str(state): n for state, n in modality.states.items()} == Counter(row[modality.name] for row in truth)
    emotions = Counter(row["emotion"] for row in truth if row[policy] is None)
    assert {e.name: e.alone + e.first_of_tie for e in facts.labels.emotions} == {e: emotions[e] for e in EMOTIONS}
    assert facts.labels.no_emotion == emotions["none"]
    ties = sum(row["tied"] for row in truth if row[policy] is None)
    assert sum(e.first_of_tie for e in facts.labels.emotions) == ties


def test_everything_adds_up(facts: DatasetFacts) -> None:
    found = facts.attrition
    assert found.labelled == found.kept + sum(loss.segments for loss in found.losses)
    assert sum(n for _, n in found.observed) == sum(found.steps_from.values()) == found.kept
    for modality in found.modalities:
        assert sum(modality.states.values()) == found.labelled
    for coverage in facts.coverage:
        assert coverage.none + sum(coverage.tenths) + coverage.whole == found.kept
    assert sum(facts.lengths.histogram.counts) == sum(facts.durations.histogram.counts) == found.kept
    assert sum(n for _, n in facts.labels.sentiment_classes) == found.kept
    assert facts.labels.sentiment is not None
    assert sum(facts.labels.sentiment.counts) == found.kept
    strongest = sum(e.alone + e.first_of_tie for e in facts.labels.emotions)
    assert strongest + facts.labels.no_emotion == found.kept
    videos = facts.videos
    assert videos.labelled == videos.whole + videos.partly + videos.gone
    assert facts.durations.dropped.count + facts.durations.unusable == found.labelled - found.kept


def test_losses_by_state_are_those_of_the_ledger(facts: DatasetFacts, ledger: list[dict[str, Any]]) -> None:
    speaks_of = {"no_words": "text", "no_text": "text", "no_audio": "audio", "no_video": "video"}
    for loss in facts.attrition.losses:
        modality = speaks_of.get(loss.reason)
        same = [row for row in ledger if row["reason"] == loss.reason]
        if modality is not None:
            same = [row for row in same if row[f"{modality}_state"] == loss.state]
        assert loss.segments == len(same)
    assert [loss.reason for loss in facts.attrition.losses] == sorted(
        (loss.reason for loss in facts.attrition.losses), key=list(Reason).index
    )


def test_coverage_and_lengths(facts: DatasetFacts, kept: list[dict[str, Any]]) -> None:
    for coverage in facts.coverage:
        shares = [(sum(row[f"{coverage.name}_valid"]), row["steps"]) for row in kept]
        assert coverage.none == sum(valid == 0 for valid, _ in shares)
        assert coverage.whole == sum(valid == steps for valid, steps in shares)
        for k in range(10):
            expected = sum(0 < v < s and k * s <= 10 * v < (k + 1) * s for v, s in shares)
            assert coverage.tenths[k] == expected
        assert (coverage.valid_steps, coverage.steps) == (sum(v for v, _ in shares), sum(s for _, s in shares))
    steps = sorted(row["steps"] for row in kept)
    assert facts.lengths.segments_cut == sum(s > LIMIT for s in steps) > 0
    assert facts.lengths.steps_cut == sum(s - LIMIT for s in steps if s > LIMIT)
    assert (facts.lengths.steps.least, facts.lengths.steps.greatest) == (steps[0], steps[-1])
    assert facts.lengths.steps.median in steps
    edges, counts = facts.lengths.histogram.edges, facts.lengths.histogram.counts
    for k, (low, high) in enumerate(pairwise(edges)):
        assert counts[k] == sum(low <= s < high or (k == len(counts) - 1 and s >= high) for s in steps)
    seconds = [row["end_s"] - row["start_s"] for row in kept]
    assert facts.durations.kept.total == pytest.approx(sum(seconds))


def test_labels(facts: DatasetFacts, kept: list[dict[str, Any]]) -> None:
    names = facts.manifest.label_columns
    for column in facts.labels.columns:
        values = [row["labels"][names.index(column.name)] for row in kept]
        assert (column.values.least, column.values.greatest) == (min(values), max(values))
        assert column.values.mean == pytest.approx(float(np.mean(values)), abs=1e-9)
        assert column.zeros == sum(value == 0 for value in values)
        low = -3 if column.name == "sentiment" else 0
        assert column.outside == sum(not low <= value <= 3 for value in values)
    for emotion in facts.labels.emotions:
        assert emotion.present == sum(row["labels"][names.index(emotion.name)] > 0 for row in kept)


def test_videos(facts: DatasetFacts, ledger: list[dict[str, Any]]) -> None:
    by_video: dict[str, list[bool]] = {}
    for row in ledger:
        by_video.setdefault(row["video_id"], []).append(row["kept"])
    assert facts.videos.gone == sum(not any(fates) for fates in by_video.values())
    assert facts.videos.whole == sum(all(fates) for fates in by_video.values())
    for row in facts.videos.worst:
        assert (row.labelled, row.kept) == (len(by_video[row.video_id]), sum(by_video[row.video_id]))


def test_a_limit_must_be_positive(built: Path) -> None:
    with pytest.raises(ConfigError, match="--max-steps"):
        collect(built, max_steps=0)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("kept", 1, "The account does not add up"),
        ("steps_kept", 3, "Kept steps: 3 are told"),
        ("videos_labelled", 2, "Labelled videos: 2 are told"),
        ("dropped_by_reason", {"no_text": 1}, "The reasons do not add up"),
    ],
)
def test_a_manifest_that_lies_is_reported(dataset: Path, key: str, value: object, told: str) -> None:
    path = dataset / "manifest.json"
    raw = json.loads(path.read_text())
    raw["counts"][key] = value
    path.write_text(json.dumps(raw))
    problems = collect(dataset).problems
    assert any(told in problem for problem in problems)
    assert any("made for another build" in problem for problem in problems)


def test_a_ledger_with_other_steps_is_reported(dataset: Path) -> None:
    path = dataset / "ledger.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("audio_valid_steps")
    pq.write_table(table.set_column(place, table.schema.field(place), pa.array([0] * len(table), pa.int32())), path)
    assert any("valid audio steps" in problem for problem in collect(dataset).problems)


def test_a_swapped_assignment_is_reported(dataset: Path) -> None:
    path = dataset / "splits" / "random" / "assignment.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    told = " ".join(collect(dataset).problems)
    assert "Split random does not assign the kept segments" in told
    assert "assignment.parquet is not the file that was written" in told
    assert "speaker-disjoint" not in told


def test_a_damaged_split_is_a_problem_and_not_the_end(dataset: Path) -> None:
    (dataset / "splits" / "random" / "split.json").write_text("{}")
    found = collect(dataset)
    assert any(problem.startswith("Split random: ") for problem in found.problems)
    assert [split.info is None for split in found.splits] == [True, False]


def test_an_unknown_reason_is_one_line(dataset: Path) -> None:
    path = dataset / "ledger.parquet"
    table = pq.read_table(path)
    place = table.schema.get_field_index("reason")
    pq.write_table(table.set_column(place, table.schema.field(place), [["gone"] * len(table)]), path)
    with pytest.raises(DatasetError, match="gone"):
        collect(dataset)


def test_nothing_kept(csd: Any, tmp_path: Path) -> None:
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((5, 6))}, audio={"v": csd.rows(2, 2)})
    build(folder, tmp_path / "out", build_settings(policy="masked"), jobs=1)
    found = collect(tmp_path / "out")
    assert found.problems == ()
    assert (found.attrition.labelled, found.attrition.kept, found.videos.gone) == (1, 0, 1)
    assert found.lengths.steps.count == found.lengths.segments_cut == 0
    assert {m.name: list(m.states) for m in found.attrition.modalities}["text"] == [State.NO_SEQUENCE]
