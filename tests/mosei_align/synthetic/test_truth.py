"""The truth against a slow, obvious reading of the arrays: the rules in loops, with nothing of the project in them."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from mosei_align.synthetic import Recipe, write_corpus

SMALL = {
    "mean_segments": 3.0,
    "median_segment_s": 4.0,
    "mean_gap_s": 2.0,
    "text_width": 8,
    "audio_width": 9,
    "video_width": 8,
    "audio_rate_hz": 50.0,
}
FILES = {
    "words": "CMU_MOSEI_TimestampedWords.csd",
    "text": "CMU_MOSEI_TimestampedWordVectors.csd",
    "audio": "CMU_MOSEI_COVAREP.csd",
    "video": "CMU_MOSEI_VisualFacet42.csd",
    "labels": "CMU_MOSEI_Labels.csd",
}


def read(path):
    """{video id: [(features or None, intervals or None), ...]}, `id` and `id[k]` together."""
    found = {}
    with h5py.File(path) as file:
        (root,) = file
        for key, group in file[root]["data"].items():
            arrays = [group[name][()] if name in group else None for name in ("features", "intervals")]
            found.setdefault(re.sub(r"\[\d+\]$", "", key), []).append(arrays)
    return found


def trouble(entries):
    """The state of a whole video in a sequence; None where its rows can be looked at."""
    if entries is None:
        return "id_missing"
    for features, intervals in entries:
        if features is None or intervals is None:
            return "missing_array"
        if len(features) != len(intervals):
            return "length_mismatch"
    return None if sum(len(features) for features, _ in entries) else "empty"


def rows_of(entries):
    """[(start, end, vector), ...] of all rows with a usable interval, in order of time."""
    rows = [
        (float(start), float(end), vector)
        for features, intervals in entries
        for (start, end), vector in zip(intervals, features, strict=True)
        if math.isfinite(start) and math.isfinite(end) and start <= end
    ]
    return sorted(rows, key=lambda row: row[0])


def overlap(start, end, other_start, other_end):
    return min(end, other_end) - max(start, other_start)


def owned(words, start, end):
    """The words of a segment: by midpoint, else the one that it overlaps most."""
    mine = [(a, b) for a, b in words if start <= (a + b) / 2 < end]
    if mine:
        return mine
    touching = [(overlap(start, end, a, b), (a, b)) for a, b in words if overlap(start, end, a, b) > 0]
    return [max(touching)[1]] if touching else []


def quarter_seconds(start, end):
    steps = []
    while start < end:
        steps.append((start, min(start + 0.25, end)))
        start += 0.25
    return steps


def is_valid(vector, modality):
    if not all(math.isfinite(x) for x in vector):
        return False
    return modality == "audio" or any(x != 0 for x in vector)


def state(modality, problem, frames, start, end, steps):
    if problem:
        return problem
    near = [(a, b, ok) for a, b, ok in frames if overlap(a, b, start, end) > 0]
    if not near:
        return "no_overlap"
    seen = any(ok and overlap(a, b, s, e) > 0 for s, e in steps for a, b, ok in frames)
    return "ok" if seen else "all_invalid"


def text_state(problem, rows, words, start, end):
    if problem:
        return problem
    vectors = [(a, b, is_valid(v, "text")) for a, b, v in rows if any(x != 0 for x in v)]
    if not any(overlap(a, b, start, end) > 0 for a, b, _ in vectors):
        return "no_overlap"
    return "ok" if any(ok and (a, b) in words for a, b, ok in vectors) else "all_invalid"


def judge_labels(intervals, features):
    """The reason to drop each row for its label alone."""
    if len(features) != len(intervals):
        return ["label_arrays"] * len(intervals)
    reasons = []
    for (start, end), values in zip(intervals.astype(float), features, strict=True):
        if not (math.isfinite(start) and math.isfinite(end) and start <= end):
            reasons.append("label_time")
        else:
            reasons.append(None if all(math.isfinite(x) for x in values) else "label_value")
    return reasons


def judge_video(video, data):
    """{segment id: what must become of it} of one video."""
    problems = {name: trouble(data[name].get(video)) for name in ("words", "text", "audio", "video")}
    rows = {name: rows_of(data[name][video]) for name in problems if problems[name] is None}
    if problems["words"] is None:
        words = [(a, b) for a, b, token in rows["words"] if token[0] != b"sp"]
    elif problems["text"] is None:
        words = [(a, b) for a, b, vector in rows["text"] if any(x != 0 for x in vector)]
    else:
        words = []
    frames = {
        name: [(a, b, is_valid(v, name)) for a, b, v in rows[name]] for name in ("audio", "video") if name in rows
    }
    ((features, intervals),) = data["labels"][video]
    verdicts = {}
    for row, label in enumerate(judge_labels(intervals, features)):
        start, end = map(float, intervals[row])
        verdict = {"start_s": start, "end_s": end, "label": label, "words": 0}
        if label is None:
            end = max(end, math.nextafter(start, math.inf))
            mine = owned(words, start, end)
            steps = mine or quarter_seconds(start, end)
            verdict["words"] = len(mine)
            verdict["text"] = text_state(problems["text"], rows.get("text"), mine, start, end)
            for name in ("audio", "video"):
                verdict[name] = state(name, problems[name], frames.get(name), start, end, steps)
        verdicts[f"{video}[{row}]"] = verdict
    return verdicts


def strict_reason(verdict):
    if verdict["label"]:
        return verdict["label"]
    if not verdict["words"]:
        return "no_words"
    return next((f"no_{name}" for name in ("text", "audio", "video") if verdict[name] != "ok"), None)


def masked_reason(verdict):
    if verdict["label"]:
        return verdict["label"]
    seen = "ok" in (verdict["text"], verdict["audio"], verdict["video"])
    return None if seen else "nothing_observed"


def check(folder: Path) -> Counter:
    """Compare the truth with the arrays; returns how often each strict reason occurred."""
    truth = json.loads((folder / "truth.json").read_text())
    data = {name: read(folder / file) for name, file in FILES.items()}
    found = {}
    for video in data["labels"]:
        found |= judge_video(video, data)
    told = {segment["segment_id"]: segment for segment in truth["segments"]}
    assert len(told) == len(truth["segments"])
    assert told.keys() == found.keys()
    for key, segment in told.items():
        verdict = found[key]
        assert (segment["start_s"], segment["end_s"]) == (verdict["start_s"], verdict["end_s"])
        if verdict["label"] is None:
            names = ("words", "text", "audio", "video")
            assert [segment[n] for n in names] == [verdict[n] for n in names], key
        else:
            assert {segment["text"], segment["audio"], segment["video"]} == {"not_aligned"}
            assert segment["words"] == 0
        assert segment["strict"] == strict_reason(verdict), key
        assert segment["masked"] == masked_reason(verdict), key
    assert {v["video_id"] for v in truth["videos"] if v["labelled"]} == data["labels"].keys()
    return Counter(segment["strict"] for segment in truth["segments"])


@pytest.mark.parametrize("seed", range(5))
def test_the_arrays_say_what_the_truth_says(tmp_path, seed):
    write_corpus(tmp_path / "corpus", Recipe(videos=30, seed=seed, **SMALL))
    reasons = check(tmp_path / "corpus")
    assert reasons[None] > 0
    assert {"no_words", "no_text", "no_audio", "no_video", "label_arrays", "label_time", "label_value"} <= set(reasons)


@pytest.mark.parametrize("seed", range(2))
def test_the_arrays_of_a_clean_corpus_say_that_all_is_kept(tmp_path, seed):
    write_corpus(tmp_path / "corpus", Recipe(videos=16, seed=seed, clean=True, **SMALL))
    assert set(check(tmp_path / "corpus")) == {None}


def test_no_boundary_is_near_the_midpoint_of_a_word(tmp_path):
    write_corpus(tmp_path / "corpus", Recipe(videos=24, seed=9, **SMALL))
    data = {name: read(tmp_path / "corpus" / FILES[name]) for name in ("words", "labels")}
    distances = [
        abs((a + b) / 2 - float(boundary))
        for video, ((_, intervals),) in data["labels"].items()
        if video in data["words"]
        for a, b, token in rows_of(data["words"][video])
        if token[0] != b"sp"
        for boundary in np.ravel(intervals)
    ]
    assert min(distances) > 1e-3


def test_the_labels_are_those_the_truth_tells(tmp_path):
    write_corpus(tmp_path / "corpus", Recipe(videos=40, seed=1, **SMALL))
    names = ["happy", "sad", "anger", "surprise", "disgust", "fear"]
    values = read(tmp_path / "corpus" / FILES["labels"])
    for segment in json.loads((tmp_path / "corpus" / "truth.json").read_text())["segments"]:
        row = values[segment["video_id"]][0][0][segment["label_row"]]
        if np.isfinite(row).all():
            emotions = row[1:]
            assert segment["emotion"] == (names[int(emotions.argmax())] if emotions.max() > 0 else "none")
            assert segment["tied"] == bool(emotions.max() > 0 and (emotions == emotions.max()).sum() > 1)
