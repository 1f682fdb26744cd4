"""Split directories: protocols, groups, folds, what is told about them and what is refused."""

import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from mosei_align.build import build
from mosei_align.split import SplitResult, split, split_series
from mosei_align.splits.folds import read_folds
from mosei_align.splits.options import split_protocol
from mosei_align.splits.ratios import check_ratios, parse_ratios
from mosei_schemas.dataset import read_manifest, read_normalization, read_split_info, split_names, split_path
from mosei_schemas.errors import ConfigError, DatasetError, InputError, OutputError
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import PARTS, UNASSIGNED
from mosei_schemas.publish import sha256
from mosei_schemas.splits import Protocol
from mosei_schemas.tables import assignment_schema

OneLine = Callable[..., str]
Snapshot = Callable[[Path], dict[str, bytes]]
VIDEOS = [f"v{k:02d}" for k in range(20)]


@pytest.fixture
def dataset(csd: Any, tmp_path: Path) -> Path:
    """Twenty videos of five segments that overlap, of ten speakers; no speaker ids in the dataset."""
    rng = np.random.default_rng(0)
    spans = [(1.5 * k, 1.5 * k + 2) for k in range(5)]
    labels = {}
    for video in VIDEOS:
        values, times = csd.labels(*spans)
        values[:, 1:] = 0
        values[np.arange(5), 1 + rng.choice(6, 5, p=[0.6, 0.15, 0.1, 0.05, 0.05, 0.05])] = 1
        labels[video] = (values, times)
    audio = {video: (rng.normal(size=(32, 2)).astype(np.float32), csd.rows(32, 1, step_s=0.25)[1]) for video in VIDEOS}
    folder = csd.corpus(tmp_path / "csd", labels=labels, audio=audio)
    build(folder, tmp_path / "parquet", BuildSettings(policy="masked", videos_per_shard=8), jobs=1)
    return tmp_path / "parquet"


def groups_file(tmp_path: Path, videos: list[str] = VIDEOS) -> Path:
    path = tmp_path / "groups.csv"
    path.write_text("video_id,speaker\n" + "".join(f"{video},s{int(video[1:]) // 2}\n" for video in videos))
    return path


def assignment(result: SplitResult) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = pq.read_table(result.path / "assignment.parquet").to_pylist()
    return rows


@pytest.mark.parametrize("protocol", ["speaker-disjoint", "stratified", "random"])
def test_every_segment_has_a_part_and_the_directory_tells_the_truth(dataset: Path, protocol: Protocol) -> None:
    result = split(dataset, protocol)
    rows, info = assignment(result), result.info
    segments = [
        row for shard in read_manifest(dataset).shards for row in pq.read_table(dataset / shard.name).to_pylist()
    ]
    assert [row["segment_id"] for row in rows] == [segment["segment_id"] for segment in segments]
    assert [row["video_id"] for row in rows] == [segment["video_id"] for segment in segments]
    assert {row["part"] for row in rows} == set(PARTS)
    assert pq.read_schema(result.path / "assignment.parquet").equals(assignment_schema())
    assert info == read_split_info(result.path)
    assert result.normalization == read_normalization(result.path)
    assert info.segments == dict(Counter(row["part"] for row in rows))
    assert info.videos == {part: len({r["video_id"] for r in rows if r["part"] == part}) for part in PARTS}
    assert info.groups == {part: len({r["group"] for r in rows if r["part"] == part}) for part in PARTS}
    assert {part: sum(c[part] for c in info.classes.values()) for part in PARTS} == info.segments
    assert info.manifest_sha256 == sha256(dataset / "manifest.json")
    assert info.assignment_sha256 == sha256(result.path / "assignment.parquet")
    assert (info.seed, info.ratios) == (42, {"train": 0.7, "valid": 0.15, "test": 0.15})
    assert sorted(p.name for p in result.path.iterdir()) == ["assignment.parquet", "normalization.json", "split.json"]
    totals = Counter({name: sum(parts.values()) for name, parts in info.classes.items()})
    worst = max(
        abs(parts[part] / totals[name] - ratio)
        for name, parts in info.classes.items()
        if totals[name]
        for part, ratio in zip(PARTS, (0.7, 0.15, 0.15), strict=True)
    )
    assert info.largest_share_deviation == pytest.approx(worst, abs=1e-12)


def test_speaker_disjoint_parts_share_no_group_video_or_moment(dataset: Path, tmp_path: Path) -> None:
    by_video = split(dataset, "speaker-disjoint")
    assert by_video.info.group_source == "video_id"
    assert by_video.info.leakage.model_dump() == dict.fromkeys(by_video.info.leakage.model_dump(), 0)
    assert not any("LEAKAGE" in warning for warning in by_video.warnings)
    by_speaker = split(dataset, "speaker-disjoint", groups=groups_file(tmp_path), name="speakers")
    parts: dict[str, set[str]] = {}
    for row in assignment(by_speaker):
        assert row["group"] == f"group:s{int(row['video_id'][1:]) // 2}"
        parts.setdefault(row["group"], set()).add(row["part"])
    assert len(parts) == 10
    assert all(len(found) == 1 for found in parts.values())
    assert by_speaker.info.group_source == "groups file"
    assert by_speaker.info.leakage.groups_in_several_parts == 0


def test_speaker_ids_of_the_dataset_are_the_groups_if_there_are_any(csd: Any, tmp_path: Path) -> None:
    labels = {video: csd.labels((0, 1), (1, 2)) for video in VIDEOS}
    folder = csd.corpus(tmp_path / "csd", labels=labels, audio={video: csd.rows(8, 2) for video in VIDEOS})
    (folder / "speakers.csv").write_text("".join(f"{video},p{k % 7}\n" for k, video in enumerate(VIDEOS[:-2])))
    build(folder, tmp_path / "out", BuildSettings(policy="masked"), jobs=1)
    result = split(tmp_path / "out", "speaker-disjoint")
    groups = {row["video_id"]: row["group"] for row in assignment(result)}
    assert groups["v00"] == groups["v07"] == "speaker:p0"
    assert groups["v19"] == "video:v19"
    assert result.info.group_source == "speaker_id"
    assert "2 videos have no speaker id, each taken as a group of its own" in result.warnings
    assert result.info.leakage.groups_in_several_parts == 0


def test_a_groups_file_that_fits_badly_is_warned_of(dataset: Path, tmp_path: Path) -> None:
    path = groups_file(tmp_path, [*VIDEOS[:-3], "v98", "v99"])
    result = split(dataset, "speaker-disjoint", groups=path)
    assert "groups.csv names 2 videos that are not in the dataset (v98, v99)" in result.warnings
    assert any("groups.csv lacks 3 videos of the dataset" in w and "(v17, v18, v19)" in w for w in result.warnings)
    groups = {row["video_id"]: row["group"] for row in assignment(result)}
    assert (groups["v00"], groups["v17"]) == ("group:s0", "video:v17")


def test_a_group_called_like_a_video_is_not_that_video(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("v00,v01\nv02,v01\n")
    groups = {
        row["video_id"]: row["group"]
        for row in assignment(split(dataset, "speaker-disjoint", groups=tmp_path / "g.csv"))
    }
    assert groups["v00"] == groups["v02"] != groups["v01"]


@pytest.mark.parametrize("protocol", ["stratified", "random"])
def test_segment_protocols_leak_and_say_so(dataset: Path, protocol: Protocol) -> None:
    result = split(dataset, protocol)
    assert result.info.segments == {"train": 70, "valid": 15, "test": 15}
    assert result.info.leakage.videos_in_several_parts > 0
    assert result.info.leakage.overlapping_pairs_across_parts > 0
    assert result.info.leakage.groups_in_several_parts == 0
    (warning,) = [w for w in result.warnings if "LEAKAGE" in w]
    assert f"{result.info.leakage.videos_in_several_parts} of 20 videos" in warning
    assert f"{result.info.leakage.overlapping_pairs_across_parts} pairs" in warning


def test_classes_are_in_proportion_where_the_protocol_says_so(dataset: Path) -> None:
    by_lot = split(dataset, "random").info
    stratified = split(dataset, "stratified").info
    assert stratified.stratified_by == "strongest emotion"
    assert by_lot.stratified_by == "nothing"
    for parts in stratified.classes.values():
        total = sum(parts.values())
        assert all(abs(parts[p] - r * total) < 2 for p, r in zip(PARTS, (0.7, 0.15, 0.15), strict=True))


def test_ratios_and_parts_of_nothing(dataset: Path) -> None:
    result = split(dataset, "random", ratios=(0.5, 0.5, 0.0))
    assert result.info.segments == {"train": 50, "valid": 50}
    assert split(dataset, "speaker-disjoint", ratios=(1.0, 0.0, 0.0)).info.segments == {"train": 100}


@pytest.mark.parametrize("protocol", ["speaker-disjoint", "stratified", "random", "folds"])
def test_the_same_split_twice_is_the_same_to_the_last_byte(
    dataset: Path, tmp_path: Path, snapshot: Snapshot, protocol: Protocol
) -> None:
    (tmp_path / "f.json").write_text(json.dumps({"train": VIDEOS[:15], "test": VIDEOS[15:]}))
    before = snapshot(dataset)
    first = snapshot(split(dataset, protocol, folds=tmp_path / "f.json", name="s").path)
    again = snapshot(split(dataset, protocol, folds=tmp_path / "f.json", name="s", overwrite=True).path)
    assert first == again
    if protocol in ("stratified", "random"):  # the best assignment of so few groups is the same for every seed
        other = split(dataset, protocol, name="s", seed=7, overwrite=True)
        assert snapshot(other.path)["assignment.parquet"] != first["assignment.parquet"]
    after = {name: data for name, data in snapshot(dataset).items() if not name.startswith("splits")}
    assert after == before


def test_data_of_other_parts_leave_the_normalisation_alone(csd: Any, tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps({"train": ["a"], "valid": ["b"], "test": ["c"]}))
    found = []
    for k, shift in enumerate((0.0, 50.0)):
        audio = {"a": csd.rows(8, 2)} | {v: (csd.rows(8, 2)[0] * 3 + shift, csd.rows(8, 2)[1]) for v in "bc"}
        folder = csd.corpus(tmp_path / f"csd{k}", labels={v: csd.labels((0, 2)) for v in "abc"}, audio=audio)
        build(folder, tmp_path / f"out{k}", BuildSettings(policy="masked"), jobs=1)
        found.append(
            (split(tmp_path / f"out{k}", "folds", folds=tmp_path / "f.json").path / "normalization.json").read_bytes()
        )
    assert found[0] == found[1]


def test_folds_are_taken_as_they_are(dataset: Path, tmp_path: Path) -> None:
    folds = {"train": [*VIDEOS[:10], "gone1", "gone2"], "val": VIDEOS[10:13], "test": [*VIDEOS[13:18], "gone3"]}
    (tmp_path / "folds.json").write_text(json.dumps(folds))
    result = split(dataset, "folds", folds=tmp_path / "folds.json")
    parts = {row["video_id"]: row["part"] for row in assignment(result)}
    assert [parts[video] for video in VIDEOS] == ["train"] * 10 + ["valid"] * 3 + ["test"] * 5 + [UNASSIGNED] * 2
    info = result.info
    assert (info.seed, info.ratios, info.largest_share_deviation, info.stratified_by) == (None, None, 0.0, "nothing")
    assert info.fold_ids_not_in_dataset == {"train": 2, "test": 1}
    assert info.segments == {"train": 50, "valid": 15, "test": 25, UNASSIGNED: 10}
    assert "ids of folds.json without a segment in the dataset: 2 of train, 1 of test" in result.warnings
    assert "2 videos (10 segments) are in no fold and stay unassigned" in result.warnings


def test_a_folds_file_without_a_part(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "folds.json").write_text(json.dumps({"train": VIDEOS}))
    result = split(dataset, "folds", folds=tmp_path / "folds.json")
    assert result.info.segments == {"train": 100}
    assert {"folds.json has no valid part", "folds.json has no test part"} <= set(result.warnings)


def test_folds_under_other_names(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    for names in (("train", "valid", "test"), ("training", "dev", "test"), ("Train", "VALIDATION", "Test")):
        path.write_text(json.dumps({name: [str(k)] for k, name in enumerate(names)}))
        assert read_folds(path) == {"train": ["0"], "valid": ["1"], "test": ["2"]}
    path.write_bytes(b'\xef\xbb\xbf{"train": ["a", "a"]}')
    assert read_folds(path) == {"train": ["a", "a"]}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", "not a folds file"),
        ("{}", "not a folds file"),
        ('"train"', "not a folds file"),
        ('{"train": ["a"], "holdout": ["b"]}', "holdout: is no part, or a part given twice"),
        ('{"train": ["a"], "valid": ["b"], "val": ["c"]}', "val: is no part, or a part given twice"),
        ('{"train": "a"}', "train: is not a list of video ids"),
        ('{"train": ["a", 3]}', "train: is not a list of video ids"),
        ('{"train": ["a", "b"], "test": ["b"]}', "b: is in train and in test"),
        ('{"test": ["a"]}', "has no train part"),
        ('{"train": []}', "has no train part"),
        (b"\xff\xfe{}", "f.json"),
    ],
)
def test_a_wrong_folds_file_is_one_line(tmp_path: Path, one_line: OneLine, content: str | bytes, told: str) -> None:
    (tmp_path / "f.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    text = one_line(lambda: read_folds(tmp_path / "f.json"), InputError)
    assert "f.json" in text
    assert told in text


def test_a_part_given_twice_under_one_name(tmp_path: Path, one_line: OneLine) -> None:
    (tmp_path / "f.json").write_text('{"train": ["a"], "test": ["b"], "train": ["c"]}')
    one_line(lambda: read_folds(tmp_path / "f.json"), InputError)


def test_a_missing_folds_file(dataset: Path, tmp_path: Path, one_line: OneLine) -> None:
    assert "none.json: cannot be read" in one_line(lambda: read_folds(tmp_path / "none.json"), InputError)
    assert "protocol folds needs a folds file" in one_line(lambda: split(dataset, "folds"), ConfigError)


def test_folds_that_put_nobody_in_train(dataset: Path, tmp_path: Path, one_line: OneLine) -> None:
    (tmp_path / "f.json").write_text('{"train": ["elsewhere"], "test": ["v00"]}')
    text = one_line(lambda: split(dataset, "folds", folds=tmp_path / "f.json"), InputError)
    assert "no segment is in train" in text
    assert not (dataset / "splits").exists()


@pytest.mark.parametrize("name", ["..", ".hidden", "a/b", "/etc", "-x", "a b", "x" * 65, "é", "a\n"])
def test_a_bad_name_is_refused(dataset: Path, one_line: OneLine, name: str) -> None:
    assert "is no name for a split" in one_line(lambda: split(dataset, "random", name=name), ConfigError)
    assert not (dataset / "splits").exists()


def test_a_split_is_replaced_only_when_asked(dataset: Path, one_line: OneLine, snapshot: Snapshot) -> None:
    split(dataset, "random")
    before = snapshot(dataset)
    text = one_line(lambda: split(dataset, "random", seed=1), OutputError)
    assert "the split 'random' exists" in text
    assert snapshot(dataset) == before
    split(dataset, "random", seed=1, overwrite=True)
    assert snapshot(dataset) != before
    assert split_names(dataset) == ["random"]
    assert [p.name for p in (dataset / "splits").iterdir()] == ["random"]


def test_an_error_leaves_no_half_of_a_split(dataset: Path, monkeypatch: pytest.MonkeyPatch, snapshot: Snapshot) -> None:
    split(dataset, "random")
    before = snapshot(dataset)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("mosei_align.splits.write.count_split", fail)
    for name in ("random", "other"):
        with pytest.raises(RuntimeError, match="a bug"):
            split(dataset, "random", name=name, overwrite=True)
    assert snapshot(dataset) == before
    assert [p.name for p in (dataset / "splits").iterdir()] == ["random"]


def test_too_few_groups(csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    folder = csd.corpus(
        tmp_path / "csd", labels={v: csd.labels((0, 1), (1, 2)) for v in "ab"}, audio={v: csd.rows(8, 2) for v in "ab"}
    )
    build(folder, tmp_path / "out", BuildSettings(policy="masked"), jobs=1)
    text = one_line(lambda: split(tmp_path / "out", "speaker-disjoint"), InputError)
    assert "only 2 groups for 3 parts" in text
    assert split(tmp_path / "out", "speaker-disjoint", ratios=(0.5, 0.5, 0.0)).info.segments == {"train": 2, "valid": 2}


@pytest.mark.parametrize("protocol", ["stratified", "random"])
def test_a_part_that_would_get_nothing_is_refused(
    csd: Any, tmp_path: Path, protocol: Protocol, one_line: OneLine
) -> None:
    videos = {video: csd.rows(8, 2) for video in "abc"}
    folder = csd.corpus(tmp_path / "csd", labels={video: csd.labels((0, 1)) for video in videos}, audio=videos)
    build(folder, tmp_path / "out", BuildSettings(policy="masked"), jobs=1)
    text = one_line(lambda: split(tmp_path / "out", protocol), InputError)
    assert "3 segments leave a part of 3 empty" in text
    assert not (tmp_path / "out" / "splits").exists()
    assert split(tmp_path / "out", "speaker-disjoint").info.segments == dict.fromkeys(PARTS, 1)


def test_what_is_no_dataset_cannot_be_split(tmp_path: Path, one_line: OneLine) -> None:
    assert "no such dataset folder" in one_line(lambda: split(tmp_path / "none", "random"), DatasetError)
    assert "not a dataset" in one_line(lambda: split(tmp_path, "random"), DatasetError)


def test_a_dataset_without_segments_or_with_a_damaged_shard(
    dataset: Path, csd: Any, tmp_path: Path, one_line: OneLine
) -> None:
    (dataset / "segments" / "part-00000.parquet").write_bytes(b"")
    assert "part-00000.parquet: missing or damaged" in one_line(lambda: split(dataset, "random"), DatasetError)
    folder = csd.corpus(tmp_path / "e", labels={"v": csd.labels((9, 10))}, audio={"v": csd.rows(2, 2)})
    build(folder, tmp_path / "empty", BuildSettings(policy="masked"), jobs=1)
    assert "has no segment" in one_line(lambda: split(tmp_path / "empty", "random"), DatasetError)


def test_classes_missing_from_a_part_are_warned_of(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "f.json").write_text(json.dumps({"train": VIDEOS[:18], "test": VIDEOS[18:]}))
    result = split(dataset, "folds", folds=tmp_path / "f.json")
    empty = {name for name, parts in result.info.classes.items() if not parts["test"] and sum(parts.values())}
    assert empty
    for name in empty:
        assert f"class {name!r} has no segment in test" in result.warnings


@pytest.mark.parametrize(
    "ratios", [(0.5, 0.5), (0.7, 0.2, 0.2), (-0.1, 0.6, 0.5), (0.0, 0.5, 0.5), (float("nan"), 0.5, 0.5), ()]
)
def test_impossible_ratios(ratios: tuple[float, ...], one_line: OneLine) -> None:
    assert "--ratios" in one_line(lambda: check_ratios(ratios), ConfigError)


def test_ratios_as_people_type_them(one_line: OneLine) -> None:
    assert parse_ratios("0.7,0.15,0.15") == (0.7, 0.15, 0.15)
    assert check_ratios(parse_ratios(" .8, .1, .1 ")).tolist() == pytest.approx([0.8, 0.1, 0.1])
    assert "--ratios: '70/15/15' is not three numbers" in one_line(lambda: parse_ratios("70/15/15"), ConfigError)


def test_split_folders_are_found_by_name(dataset: Path, one_line: OneLine) -> None:
    assert "has no split yet" in one_line(lambda: split_path(dataset, None), DatasetError)
    split(dataset, "random", name="one")
    assert split_path(dataset, None) == split_path(dataset, "one") == dataset / "splits" / "one"
    split(dataset, "random", name="two")
    (dataset / "splits" / ".three.1.part").mkdir()
    (dataset / "splits" / ".three.1.part" / "split.json").write_text("{}")
    (dataset / "splits" / "unfinished").mkdir()
    assert split_names(dataset) == ["one", "two"]
    assert "has 2 splits; choose one with --split: one, two" in one_line(
        lambda: split_path(dataset, None), DatasetError
    )
    assert "three: no such split; choose one of: one, two" in one_line(
        lambda: split_path(dataset, "three"), DatasetError
    )
    (dataset / "splits" / "one" / "split.json").write_text("{}")
    assert "split.json" in one_line(lambda: read_split_info(dataset / "splits" / "one"), DatasetError)


def asked(**chosen: Any) -> Protocol:
    nothing = {"speaker_disjoint": False, "stratified": False, "random": False, "folds": None, "groups": None}
    return split_protocol(**(nothing | chosen))


def test_exactly_one_protocol(one_line: OneLine, tmp_path: Path) -> None:
    assert asked(speaker_disjoint=True) == "speaker-disjoint"
    assert asked(stratified=True) == "stratified"
    assert asked(random=True) == "random"
    assert asked(folds=tmp_path) == "folds"
    assert asked(speaker_disjoint=True, groups=tmp_path) == "speaker-disjoint"
    assert "no protocol was asked for" in one_line(asked, ConfigError)
    assert "several protocols" in one_line(lambda: asked(random=True, stratified=True), ConfigError)
    assert "--groups means nothing to --random" in one_line(lambda: asked(random=True, groups=tmp_path), ConfigError)


def folds_of(results: list[SplitResult]) -> list[set[str]]:
    return [{row["segment_id"] for row in assignment(result) if row["part"] == "test"} for result in results]


@pytest.mark.parametrize("protocol", ["speaker-disjoint", "stratified", "random"])
def test_every_segment_is_tested_once_a_repeat(dataset: Path, protocol: Protocol) -> None:
    results = split_series(dataset, protocol, k=4, repeats=2, name="s")
    assert [result.info.name for result in results] == [f"s-r{r}-k{k}" for r in (1, 2) for k in (1, 2, 3, 4)]
    for repeat in (results[:4], results[4:]):
        tests = folds_of(repeat)
        assert sum(map(len, tests)) == 100 == len(set().union(*tests))
        for number, result in enumerate(repeat, 1):
            info = result.info
            assert set(info.segments) == set(PARTS)
            assert info.ratios == pytest.approx({"train": 0.75 * 14 / 17, "valid": 0.75 * 3 / 17, "test": 0.25})
            assert info.series is not None
            assert (info.series.folds, info.series.fold, info.series.repeats) == (4, number, 2)
            if protocol == "speaker-disjoint":
                assert info.leakage.groups_in_several_parts == info.leakage.videos_in_several_parts == 0
    if protocol != "speaker-disjoint":
        assert folds_of(results[:4]) != folds_of(results[4:])
    assert [result.info.seed for result in results] == [42] * 4 + [43] * 4


def test_repeats_without_folds_are_splits_of_successive_seeds(dataset: Path) -> None:
    first, second = split_series(dataset, "random", repeats=2)
    assert (first.info.name, second.info.name) == ("random-r1", "random-r2")
    assert assignment(second) == assignment(split(dataset, "random", seed=43))


def test_repeats_that_come_out_the_same_are_told(dataset: Path) -> None:
    told: list[str] = []
    first, second = split_series(dataset, "speaker-disjoint", repeats=2, warn=told.append)
    same = assignment(first) == assignment(second)
    assert [line for line in told if "is the same split as" in line] == (
        ["speaker-disjoint-r2 is the same split as speaker-disjoint-r1: so few groups have one best assignment"]
        if same
        else []
    )


def test_a_series_is_refused_whole(dataset: Path, one_line: OneLine, snapshot: Snapshot) -> None:
    split(dataset, "random", name="s-k3")
    before = snapshot(dataset)
    assert "the split 's-k3' exists" in one_line(lambda: split_series(dataset, "random", k=3, name="s"), OutputError)
    text = one_line(lambda: split_series(dataset, "speaker-disjoint", k=21), InputError)
    assert "only 20 groups for 21 parts" in text
    assert "--k-folds" in one_line(lambda: split_series(dataset, "random", k=1), ConfigError)
    assert "fixed test part" in one_line(lambda: split_series(dataset, "folds", k=3), ConfigError)
    assert "fixed test part" in one_line(lambda: split_series(dataset, "random", k=3, test_from="s-k3"), ConfigError)
    assert snapshot(dataset) == before


@pytest.mark.parametrize("protocol", ["speaker-disjoint", "stratified", "random"])
def test_a_test_part_is_kept_across_protocols(dataset: Path, tmp_path: Path, protocol: Protocol) -> None:
    (tmp_path / "f.json").write_text(json.dumps({"train": VIDEOS[:12], "test": VIDEOS[16:18]}))
    folds = split(dataset, "folds", folds=tmp_path / "f.json")
    kept = split(dataset, protocol, test_from="folds", name="kept")
    assert folds_of([kept]) == folds_of([folds])
    assert kept.info.test_from == "folds"
    assert kept.info.ratios == pytest.approx({"train": 0.9 * 14 / 17, "valid": 0.9 * 3 / 17, "test": 0.1})
    assert set(kept.info.segments) == set(PARTS)
    (again,) = split_series(dataset, protocol, repeats=1, test_from="folds", name="series")
    assert assignment(again) == assignment(kept)


def test_a_test_part_that_tears_groups_is_refused(dataset: Path, tmp_path: Path, one_line: OneLine) -> None:
    split(dataset, "random")
    text = one_line(lambda: split(dataset, "speaker-disjoint", test_from="random"), InputError)
    assert "--test-from" in text
    assert "groups have segments in the kept test part and outside it (video:v0" in text
    (tmp_path / "f.json").write_text(json.dumps({"train": VIDEOS}))
    split(dataset, "folds", folds=tmp_path / "f.json")
    assert "folds: has no test part" in one_line(
        lambda: split(dataset, "random", name="x", test_from="folds"), InputError
    )
    assert "no such split" in one_line(lambda: split(dataset, "random", name="x", test_from="none"), DatasetError)
    fixed = {"folds": tmp_path / "f.json", "name": "x", "test_from": "random"}
    assert "means nothing to folds" in one_line(lambda: split(dataset, "folds", **fixed), ConfigError)


def test_what_is_impossible_is_said_before_anything_is_written(csd: Any, tmp_path: Path) -> None:
    labels = {}
    for number, video in enumerate(VIDEOS):
        values, times = csd.labels((0, 1), (1, 2))
        values[:, 1:] = 0
        values[:, 6 if number < 2 else 1] = 1
        labels[video] = (values, times)
    audio = {video: csd.rows(8, 2) for video in VIDEOS}
    build(
        csd.corpus(tmp_path / "csd", labels=labels, audio=audio),
        tmp_path / "out",
        BuildSettings(policy="masked"),
        jobs=1,
    )
    told: list[tuple[str, bool]] = []
    result = split(
        tmp_path / "out",
        "speaker-disjoint",
        warn=lambda line: told.append((line, (tmp_path / "out" / "splits" / "speaker-disjoint").exists())),
    )
    assert [line for line, _ in told] == list(result.warnings)
    assert not any(written for _, written in told)
    assert "class 'fear' is in only 2 of the groups, so it cannot be in each of 3 parts" in result.warnings
    assert sum(1 for count in result.info.classes["fear"].values() if count) == 2


def test_folds_from_an_installed_mmsdk(dataset: Path, monkeypatch: pytest.MonkeyPatch, one_line: OneLine) -> None:
    monkeypatch.setitem(sys.modules, "mmsdk", None)
    text = one_line(lambda: split(dataset, "folds", folds=Path("mmsdk")), InputError)
    assert "mmsdk: cannot be imported" in text
    folds = SimpleNamespace(
        standard_train_fold=VIDEOS[:12], standard_valid_fold=VIDEOS[12:15], standard_test_fold=[*VIDEOS[15:], "gone"]
    )
    installed = ModuleType("mmsdk.mmdatasdk")
    installed.cmu_mosei = SimpleNamespace(standard_folds=folds)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mmsdk", ModuleType("mmsdk"))
    monkeypatch.setitem(sys.modules, "mmsdk.mmdatasdk", installed)
    info = split(dataset, "folds", folds=Path("mmsdk")).info
    assert (info.segments, info.group_note) == ({"train": 60, "valid": 15, "test": 25}, "parts as in mmsdk, by video")
    assert info.fold_ids_not_in_dataset == {"test": 1}
    folds.standard_test_fold = VIDEOS[:1]
    text = one_line(lambda: split(dataset, "folds", folds=Path("mmsdk"), name="x"), InputError)
    assert "v00 is in train and in test" in text
    installed.cmu_mosei = None  # type: ignore[attr-defined]
    text = one_line(lambda: split(dataset, "folds", folds=Path("mmsdk"), name="x"), InputError)
    assert "has no standard folds" in text
