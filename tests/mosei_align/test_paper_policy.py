"""Policy paper against a slow reading of its rule: one sample a video, the first rows of each stream as in the file."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosei_align.build import BuildResult, build
from mosei_align.options import build_settings
from mosei_schemas.errors import ConfigError
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import MODALITIES

NAN, INF = math.nan, math.inf
WIDTHS = {"text": 2, "audio": 3, "video": 1}
PAPER = build_settings(policy="paper")
LABEL_PROBLEMS = {"label_arrays", "label_time", "label_value"}
Vector = list[float]


def of_rows(count: int, **changed: Any) -> BuildSettings:
    return PAPER.model_copy(update={"first_rows": count, "videos_per_shard": 2} | changed)


def segments_of(result: BuildResult) -> dict[str, dict[str, Any]]:
    found = [row for shard in result.manifest.shards for row in pq.read_table(result.out / shard.name).to_pylist()]
    return {row["segment_id"]: row for row in found}


def ledger_of(result: BuildResult) -> dict[str, dict[str, Any]]:
    return {row["segment_id"]: row for row in pq.read_table(result.out / "ledger.parquet").to_pylist()}


def filled(rows: list[Vector], count: int) -> list[Vector]:
    """The first rows, NaN and infinities as zeros."""
    return [[x if math.isfinite(x) else 0.0 for x in row] for row in rows[:count]]


def padded(rows: list[Vector], steps: int, width: int) -> list[Vector]:
    return rows + [[0.0] * width] * (steps - len(rows))


anything = st.sampled_from([0.0, 1.0, -2.5, 0.125, NAN, INF, -INF])
when = st.sampled_from([0.0, 1.0, 2.5, -1.0, 9.0, NAN, INF])
streams = st.fixed_dictionaries(
    {
        name: st.one_of(
            st.none(),
            *[st.lists(st.tuples(when, when, st.lists(anything, min_size=d, max_size=d)), max_size=7)] * 4,
        )
        for name, d in WIDTHS.items()
    }
)
label_rows = st.lists(
    st.tuples(*[st.sampled_from([0.0, 1.0, 2.0, 3.0, NAN])] * 2, st.sampled_from([0.0, 1.0, 1.0, 1.0, NAN])), max_size=3
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(videos=st.lists(st.tuples(label_rows, streams), min_size=1, max_size=4), count=st.integers(1, 5))
def test_samples_are_those_of_a_slow_reading(
    csd: Any, tmp_path_factory: pytest.TempPathFactory, videos: list[Any], count: int
) -> None:
    place = tmp_path_factory.mktemp("paper")
    sequences: dict[str, dict[str, Any]] = {name: {"other": csd.rows(1, d)} for name, d in WIDTHS.items()}
    labels = {"zz": csd.labels((0, 1), width=1)}
    for k, (rows, told) in enumerate(videos):
        labels[f"v{k}"] = (
            np.array([[r[2]] for r in rows]).reshape(-1, 1),
            np.array([r[:2] for r in rows]).reshape(-1, 2),
        )
        for name, found in told.items():
            if found is not None:
                features = np.array([r[2] for r in found], np.float32).reshape(-1, WIDTHS[name])
                sequences[name][f"v{k}"] = features, np.array([r[:2] for r in found]).reshape(-1, 2)
    result = build(csd.corpus(place / "csd", labels=labels, **sequences), place / "out", of_rows(count), jobs=1)
    segments, ledger = segments_of(result), ledger_of(result)
    assert len(ledger) == 1 + sum(len(rows) for rows, _ in videos)
    kept = set()
    for k, (rows, told) in enumerate(videos):
        for number, (start, end, value) in enumerate(rows):
            row = ledger[f"v{k}[{number}]"]
            empty = [name for name in MODALITIES if not told[name]]
            if not (math.isfinite(start) and math.isfinite(end) and start <= end):
                reason = "label_time"
            elif not math.isfinite(value):
                reason = "label_value"
            elif number:
                reason = "not_first_row"
            else:
                reason = f"no_{empty[0]}" if empty else None
                for name in empty:
                    assert row[f"{name}_state"] == ("empty" if told[name] == [] else "id_missing")
            assert row["reason"] == reason
            if reason is not None:
                continue
            kept.add(f"v{k}[0]")
            segment = segments[f"v{k}[0]"]
            steps = max(len(told[name][:count]) for name in MODALITIES)
            assert (segment["steps"], segment["steps_from"], segment["words"]) == (steps, "rows", [])
            assert segment["labels"] == [value]
            for name in MODALITIES:
                first = filled([r[2] for r in told[name]], count)
                assert segment[name] == padded(first, steps, WIDTHS[name])
                assert segment[f"{name}_valid"] == [i < len(first) for i in range(steps)]
                told_counts = (row[f"{name}_frames"], row[f"{name}_invalid_frames"], row[f"{name}_valid_steps"])
                assert told_counts == (len(first), 0, len(first))
            times = [r[:2] for r in told["text"][:count]] + [(NAN, NAN)] * (steps - len(told["text"][:count]))
            assert np.array_equal(segment["step_start_s"], [t[0] for t in times], equal_nan=True)
            assert np.array_equal(segment["step_end_s"], [t[1] for t in times], equal_nan=True)
    assert set(segments) == kept
    assert result.manifest.counts.kept == len(kept)


def three_streams(csd: Any, *ids: str) -> dict[str, dict[str, Any]]:
    return {name: {video: csd.rows(60, d) for video in ids} for name, d in WIDTHS.items()}


def test_the_samples_are_as_many_as_labelled_videos_in_all_three_streams(
    defective_corpus: Path, tmp_path: Path
) -> None:
    result = build(defective_corpus, tmp_path / "out", PAPER, jobs=1)
    ledger = ledger_of(result).values()
    firsts = [row for row in ledger if row["label_row"] == 0 and row["reason"] not in LABEL_PROBLEMS]
    whole = [row for row in firsts if all(row[f"{name}_state"] == "ok" for name in MODALITIES)]
    assert result.manifest.counts.kept == len(whole) == len(segments_of(result)) > 3
    assert {row["reason"] for row in ledger if row["label_row"]} <= {"not_first_row", *LABEL_PROBLEMS}
    assert all(row["steps"] <= 50 for row in ledger)
    assert result.manifest.counts.labelled == len(json.loads((defective_corpus / "truth.json").read_text())["segments"])


def test_fifty_rows_by_default_and_short_streams_are_marked(csd: Any, tmp_path: Path) -> None:
    streams = three_streams(csd, "v")
    streams["text"]["v"] = csd.rows(7, 2)
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 1), (1, 2))}, **streams)
    result = build(folder, tmp_path / "out", PAPER, jobs=1)
    (segment,) = segments_of(result).values()
    assert segment["steps"] == 50
    assert segment["text_valid"] == [True] * 7 + [False] * 43
    assert segment["audio_valid"] == [True] * 50
    assert np.isnan(segment["step_start_s"][7:]).all()
    audio = result.manifest.modalities["audio"]
    assert (audio.rows, audio.rows_read) == (60, 50)
    assert ledger_of(result)["v[1]"]["reason"] == "not_first_row"
    assert {ledger_of(result)["v[1]"][f"{name}_state"] for name in MODALITIES} == {"not_aligned"}


@pytest.mark.parametrize("mode", ["frame", "column"])
def test_values_that_are_not_finite_are_never_stored_whatever_they_cost(csd: Any, tmp_path: Path, mode: str) -> None:
    streams = three_streams(csd, "v")
    streams["audio"]["v"][0][1, 2] = NAN
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 1))}, **streams)
    result = build(folder, tmp_path / "out", build_settings(policy="paper", nonfinite=mode), jobs=1)
    (segment,) = segments_of(result).values()
    assert np.isfinite(segment["audio"]).all()
    assert segment["audio_valid"][:3] == [True, False, True]
    assert segment["audio"][1] == [0, 0, 0]


def test_a_stream_of_bad_values_only_is_filled_and_kept(csd: Any, tmp_path: Path) -> None:
    streams = three_streams(csd, "v")
    streams["video"]["v"][0][:] = NAN
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 1))}, **streams)
    result = build(folder, tmp_path / "out", PAPER, jobs=1)
    (segment,) = segments_of(result).values()
    assert segment["video"] == [[0.0]] * 50
    assert all(segment["video_valid"])
    assert result.manifest.modalities["video"].values_zero_filled == 50


def test_copies_of_an_id_are_no_streams_of_its_own(csd: Any, tmp_path: Path) -> None:
    streams = three_streams(csd, "v", "w")
    streams["audio"]["w[0]"] = streams["audio"].pop("w")
    folder = csd.corpus(tmp_path / "csd", labels={v: csd.labels((0, 1)) for v in ("v", "w")}, **streams)
    result = build(folder, tmp_path / "out", PAPER, jobs=1)
    assert set(segments_of(result)) == {"v[0]"}
    assert ledger_of(result)["w[0]"]["reason"] == "no_audio"


def test_all_three_streams_are_needed(csd: Any, tmp_path: Path, one_line: Callable[..., str]) -> None:
    streams = three_streams(csd, "v")
    del streams["audio"]
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 1))}, **streams)
    text = one_line(lambda: build(folder, tmp_path / "out", PAPER, jobs=1), ConfigError)
    assert "policy paper needs text, audio and video, but there is no audio" in text
