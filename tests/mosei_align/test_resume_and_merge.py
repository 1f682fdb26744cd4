"""Finished shards outlive an interrupted build, travel between machines, and are put together to the same bytes."""

import json
import multiprocessing
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mosei_align.build import BuildResult, build, build_part
from mosei_align.building.pieces import Piece, new_piece, publish_piece, read_pieces
from mosei_align.building.plan import ShardTask
from mosei_align.building.shard import make_shard
from mosei_align.building.workdir import claimed, hidden_workdir, parts_folder, read_plan
from mosei_align.merge import merge
from mosei_align.sources.modalities import load_settings
from mosei_align.split import split
from mosei_schemas.dataset import read_manifest, read_segments
from mosei_schemas.errors import ConfigError, InputError, MoseiError, OutputError
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.publish import this_process
from mosei_schemas.tables import segments_schema

OneLine = Callable[..., str]
Content = Callable[[Path], dict[str, bytes]]
MASKED = BuildSettings(policy="masked", videos_per_shard=1)
IDS = ["t", "u", "v", "w", "x"]


@pytest.fixture
def folder(csd: Any, tmp_path: Path) -> Path:
    """Five videos, so five shards; nothing is kept of the fourth."""
    return csd.corpus(
        tmp_path / "in" / "csd",
        labels={video: csd.labels((0, 2), (2, 4)) if video != "w" else csd.labels((50, 51)) for video in IDS},
        words={video: csd.words(*"abcdefgh") for video in IDS},
        **{role: {video: csd.rows(8, 3) for video in IDS} for role in ("text", "audio", "video")},
    )


@pytest.fixture
def whole(folder: Path, tmp_path: Path, content: Content) -> dict[str, bytes]:
    """What an undisturbed build makes."""
    return content(build(folder, tmp_path / "whole", MASKED, jobs=1).out)


def interrupted(folder: Path, out: Path, after: int, chosen: BuildSettings = MASKED, **options: Any) -> Path:
    """Stop a build when `after` videos are done; returns its work folder."""

    def stop(done: int, _total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(folder, out, chosen, jobs=1, progress=stop, **options)
    return hidden_workdir(out)


def pieces_of(work: Path) -> dict[str, tuple[int, int]]:
    """Finished shards: inode and time of change of their records."""
    found = {path.parent.name: path.stat() for path in (work / "pieces").glob("*/piece.json")}
    return {name: (told.st_ino, told.st_mtime_ns) for name, told in found.items()}


# ---------------------------------------------------------------- resume


@pytest.mark.parametrize("after", [1, 3, 5])
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_resumed_build_is_the_same_to_the_last_byte(
    folder: Path,
    tmp_path: Path,
    content: Content,
    whole: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    after: int,
    jobs: int,
) -> None:
    if jobs == 2:
        folder = Path(shutil.copytree(folder, tmp_path / "elsewhere"))
    work = interrupted(folder, tmp_path / "out", after)
    kept = pieces_of(work)
    assert len(kept) == after
    seen: list[tuple[int, int]] = []

    def look(done: int, total: int) -> None:
        seen.append((done, total))
        there = pieces_of(work)
        assert {name: there[name] for name in kept} == kept

    result = build(folder, tmp_path / "out", MASKED, jobs=jobs, resume=True, progress=look)
    assert seen == [(done, 5) for done in range(after + 1, 6)]
    assert content(result.out) == whole
    assert (result.run.shards_resumed, result.run.workers, result.run.engine) == (after, jobs, "local")
    assert not work.exists()
    assert read_manifest(result.out) == result.manifest


def test_resuming_nothing_is_a_build(folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes]) -> None:
    result = build(folder, tmp_path / "out", MASKED, jobs=1, resume=True)
    assert content(result.out) == whole
    assert result.run.shards_resumed == 0


def test_finished_shards_are_neither_passed_over_nor_thrown_away_unasked(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes], one_line: OneLine
) -> None:
    work = interrupted(folder, tmp_path / "out", 2)
    kept = pieces_of(work)
    text = one_line(lambda: build(folder, tmp_path / "out", MASKED, jobs=1), OutputError)
    assert text == (
        f"{work}: an interrupted build has left 2 finished shards here; go on with --resume, or start afresh with "
        "--overwrite"
    )
    assert pieces_of(work) == kept
    result = build(folder, tmp_path / "out", MASKED, jobs=1, overwrite=True)
    assert result.run.shards_resumed == 0
    assert content(result.out) == whole
    assert not work.exists()


def test_a_build_that_replaces_a_dataset_is_resumed_with_both_flags(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes], one_line: OneLine
) -> None:
    first = build(folder, tmp_path / "out", MASKED.model_copy(update={"videos_per_shard": 2}), jobs=1)
    before = content(first.out)
    work = interrupted(folder, first.out, 2, overwrite=True)
    assert content(first.out) == before
    assert "already holds a dataset" in one_line(lambda: build(folder, first.out, MASKED, jobs=1, resume=True))
    assert len(pieces_of(work)) == 2
    result = build(folder, first.out, MASKED, jobs=1, resume=True, overwrite=True)
    assert result.run.shards_resumed == 2
    assert content(result.out) == whole


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"policy": "strict"}, "policy 'masked', not 'strict'"),
        ({"nonfinite": "zero", "min_coverage_steps": 2}, "min_coverage_steps 1, not 2, nonfinite 'frame', not 'zero'"),
        ({"steps": "uniform", "uniform_bin_s": 0.5}, "steps 'words', not 'uniform', uniform_bin_s None, not 0.5"),
        ({"file_format": "arrow"}, "file_format 'parquet', not 'arrow'"),
        ({"videos_per_shard": 2}, "videos_per_shard 1, not 2"),
    ],
)
def test_other_settings_are_not_mixed_in(
    folder: Path, tmp_path: Path, one_line: OneLine, change: dict[str, Any], told: str
) -> None:
    work = interrupted(folder, tmp_path / "out", 2)
    kept = pieces_of(work)
    other = MASKED.model_copy(update=change)
    text = one_line(lambda: build(folder, tmp_path / "out", other, jobs=1, resume=True), ConfigError)
    assert text == (
        f"{work}: holds shards of another configuration: {told}; give the same options and files as before, or remove "
        "this folder to start afresh"
    )
    assert pieces_of(work) == kept


def test_other_files_are_not_mixed_in(folder: Path, csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    interrupted(folder, tmp_path / "out", 2)

    def told(**options: Any) -> str:
        return one_line(lambda: build(folder, tmp_path / "out", MASKED, jobs=1, resume=True, **options), ConfigError)

    csd.corpus(folder, audio={video: csd.rows(9, 3) for video in IDS})
    assert "configuration: another audio file (audio.csd);" in told()
    csd.corpus(folder, audio={video: csd.rows(8, 3) for video in IDS})
    (folder / "words.csd").rename(tmp_path / "words.csd")
    assert "configuration: another words file (words.csd);" in told()
    (tmp_path / "words.csd").rename(folder / "words.csd")
    (folder / "speakers.csv").write_text("t,anna\n")
    assert "configuration: no speakers file;" in told()
    (folder / "speakers.csv").unlink()
    (tmp_path / "r.toml").write_text(
        '[labels]\nroots = ["All Labels"]\ncolumns = ["a", "b", "c", "d", "e", "f", "g"]\n'
    )
    text = told(sources=load_settings(tmp_path / "r.toml"))
    assert "label columns ['sentiment', 'happy'" in text
    assert "not ['a', 'b'" in text


def test_shards_of_another_version_are_not_mixed_in(
    folder: Path, tmp_path: Path, one_line: OneLine, content: Content, whole: dict[str, bytes]
) -> None:
    work = interrupted(folder, tmp_path / "out", 2)
    plan = json.loads((work / "plan.json").read_text())
    (work / "plan.json").write_text(json.dumps(plan | {"created_by": "mosei-align 0.0.1"}))
    text = one_line(lambda: build(folder, tmp_path / "out", MASKED, jobs=1, resume=True), ConfigError)
    assert "made by mosei-align 0.0.1, not mosei-align " in text
    (work / "plan.json").write_text(json.dumps(plan | {"of_the_future": 1}))
    text = one_line(lambda: build(folder, tmp_path / "out", MASKED, jobs=1, resume=True), InputError)
    assert "plan.json: not the plan of a build of this version" in text
    # Who starts afresh need not be able to read it.
    result = build(folder, tmp_path / "out", MASKED, jobs=1, overwrite=True)
    assert content(result.out) == whole


@pytest.mark.parametrize(
    "damage", ["flipped", "short", "missing", "record", "no record", "other plan", "figure", "other number"]
)
def test_a_damaged_shard_is_made_again(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes], damage: str
) -> None:
    work = interrupted(folder, tmp_path / "out", 3)
    piece = work / "pieces" / "00001"
    kept = pieces_of(work)
    raw = (piece / "segments.parquet").read_bytes()
    record = json.loads((piece / "piece.json").read_text())
    if damage == "flipped":
        (piece / "segments.parquet").write_bytes(raw[:100] + bytes([raw[100] ^ 1]) + raw[101:])
    elif damage == "short":
        (piece / "ledger.arrow").write_bytes((piece / "ledger.arrow").read_bytes()[:-1])
    elif damage == "missing":
        (piece / "segments.parquet").unlink()
    elif damage == "record":
        (piece / "piece.json").write_text("{")
    elif damage == "no record":
        (piece / "piece.json").unlink()
    elif damage == "figure":
        (piece / "piece.json").write_text(json.dumps(record | {"videos_kept": record["videos_kept"] + 1}))
    elif damage == "other plan":
        (piece / "piece.json").write_text(json.dumps(record | {"plan_sha256": "0" * 64}))
    else:
        (piece / "piece.json").write_text(json.dumps(record | {"number": 2}))
    seen: list[int] = []

    def look(done: int, _total: int) -> None:
        seen.append(done)
        there = pieces_of(work)
        assert all(there[name] == kept[name] for name in ("00000", "00002"))

    result = build(folder, tmp_path / "out", MASKED, jobs=1, resume=True, progress=look)
    assert content(result.out) == whole
    assert result.run.shards_resumed == 2
    assert seen == [3, 4, 5]


def test_what_a_killed_worker_left_is_cleared_away(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes]
) -> None:
    """A process that is killed cannot tidy up: half a shard, a plan, a lock."""
    work = interrupted(folder, tmp_path / "out", 2)
    half = work / "pieces" / ".00003.node.4711.part"
    half.mkdir()
    (half / "segments.parquet").write_bytes(b"PAR1")
    result = build(folder, tmp_path / "out", MASKED, jobs=1, resume=True)
    assert content(result.out) == whole
    assert not work.exists()


def test_a_killed_build_without_a_finished_shard_is_no_obstacle(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes]
) -> None:
    work = interrupted(folder, tmp_path / "out", 1)
    shutil.rmtree(work / "pieces" / "00000")
    (work / "pieces" / ".00000.node.4711.part").mkdir()
    assert content(build(folder, tmp_path / "out", MASKED, jobs=1).out) == whole
    assert not work.exists()


@pytest.mark.parametrize("jobs", [2, 3])
def test_the_number_of_processes_changes_no_byte(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes], jobs: int
) -> None:
    result = build(folder, tmp_path / "out", MASKED, jobs=jobs)
    assert content(result.out) == whole
    assert json.loads((result.out / "build.json").read_text())["workers"] == jobs


def test_half_a_dataset_of_a_killed_build_is_cleared_away_and_nobody_elses(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes]
) -> None:
    node, dead = os.uname().nodename, 2**22 + 7
    stale = [tmp_path / f".out.{node}.{dead}-1.{kind}" for kind in ("part", "old")]
    others = [
        tmp_path / f".out.{this_process()}.old",
        tmp_path / f".out.elsewhere.{dead}-1.part",
        tmp_path / f".out.v2.{node}.{dead}-1.part",
    ]
    for path in (*stale, *others, tmp_path / "out"):
        path.mkdir()
    assert content(build(folder, tmp_path / "out", MASKED, jobs=1).out) == whole
    assert not any(path.exists() for path in stale)
    assert all(path.exists() for path in others)


# ---------------------------------------------------------------- workers that die


def die_at_the_third(task: ShardTask) -> Piece:
    if task.number == 2:
        time.sleep(0.3)
        os._exit(9)
    return make_shard(task)


def die_by_a_signal(task: ShardTask) -> Piece:
    if task.number == 4:
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGKILL)
    return make_shard(task)


@pytest.mark.parametrize("work", [die_at_the_third, die_by_a_signal])
def test_a_worker_that_dies_costs_its_shard_only(
    folder: Path,
    tmp_path: Path,
    content: Content,
    whole: dict[str, bytes],
    one_line: OneLine,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[ShardTask], Piece],
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("mosei_align.build.make_shard", work)
        text = one_line(lambda: build(folder, tmp_path / "out", MASKED, jobs=2), OutputError)
    done = len(pieces_of(hidden_workdir(tmp_path / "out")))
    assert "a worker process died, probably for want of memory (" in text
    assert "of 5 shards are done and kept); use fewer --jobs; then go on with --resume" in text
    assert 1 <= done <= 4
    result = build(folder, tmp_path / "out", MASKED, jobs=1, resume=True)
    assert result.run.shards_resumed == done
    assert content(result.out) == whole


# ---------------------------------------------------------------- one at a time


def test_a_second_build_is_told_who_is_at_work(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes], one_line: OneLine
) -> None:
    told: list[str] = []

    def look(done: int, _total: int) -> None:
        if done == 2:
            for options in ({}, {"resume": True}, {"overwrite": True}):
                told.append(
                    one_line(
                        lambda given=options: build(folder, tmp_path / "out", MASKED, jobs=1, **given), OutputError
                    )
                )

    result = build(folder, tmp_path / "out", MASKED, jobs=1, progress=look)
    work = hidden_workdir(tmp_path / "out")
    assert (
        told
        == [
            f"{work}: process {os.getpid()} on {os.uname().nodename} is at work here; wait for it, or choose another "
            "folder with --out"
        ]
        * 3
    )
    assert content(result.out) == whole


def test_builds_that_begin_together_make_one_dataset(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes]
) -> None:
    """Threads of one process hold locks of their own, as processes do."""
    outcomes: list[BuildResult | MoseiError] = []

    def go() -> None:
        try:
            outcomes.append(build(folder, tmp_path / "out", MASKED, jobs=1))
        except MoseiError as error:
            outcomes.append(error)

    for _ in range(4):
        outcomes.clear()
        threads = [threading.Thread(target=go) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(outcomes) == 4
        assert sum(isinstance(outcome, BuildResult) for outcome in outcomes) == 1
        for outcome in outcomes:
            assert isinstance(outcome, BuildResult) or any(
                words in str(outcome) for words in ("is at work here", "already holds a dataset")
            ), outcome
        assert content(tmp_path / "out") == whole
        assert not hidden_workdir(tmp_path / "out").exists()
        shutil.rmtree(tmp_path / "out")


def test_a_dataset_that_appears_meanwhile_is_not_replaced(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Content, one_line: OneLine
) -> None:
    """Between the first look at the output and the lock another build may begin and end."""
    from mosei_align import build as module

    real, called = module.claimed, []

    def late(work: Path, sharing: Any) -> Any:
        if not called:
            called.append(1)
            build(folder, tmp_path / "out", MASKED.model_copy(update={"videos_per_shard": 3}), jobs=1)
        return real(work, sharing)

    monkeypatch.setattr(module, "claimed", late)
    assert "already holds a dataset" in one_line(lambda: build(folder, tmp_path / "out", MASKED, jobs=1), OutputError)
    assert read_manifest(tmp_path / "out").settings.videos_per_shard == 3
    assert not hidden_workdir(tmp_path / "out").exists()


def hold(folder: Path, sharing: Any, ready: Any, leave: Any) -> None:
    with claimed(folder, sharing):
        ready.set()
        leave.wait(20)


@pytest.mark.parametrize(
    ("theirs", "ours", "stops"),
    [
        ("alone", "alone", True),
        ("alone", "together", True),
        ("together", "alone", True),
        ("together", "together", False),
    ],
)
def test_who_may_work_beside_whom(tmp_path: Path, one_line: OneLine, theirs: Any, ours: Any, stops: bool) -> None:
    context = multiprocessing.get_context("spawn")
    ready, leave = context.Event(), context.Event()
    other = context.Process(target=hold, args=(tmp_path / "work", theirs, ready, leave))
    other.start()
    assert ready.wait(20)

    def enter() -> None:
        with claimed(tmp_path / "work", ours):
            pass

    if stops:
        assert f"process {other.pid} on " in one_line(enter, OutputError)
    else:
        enter()
    # Whoever is killed holds nothing any more.
    other.kill()
    other.join()
    enter()


# ---------------------------------------------------------------- shards of several runs


def run_parts(folder: Path, out: Path, parts: int, chosen: BuildSettings = MASKED) -> None:
    for number in range(1, parts + 1):
        build_part(folder, out, chosen, (number, parts), jobs=1)


@pytest.mark.parametrize("parts", [1, 2, 3, 5])
def test_runs_of_some_shards_and_a_merge_make_the_same_dataset(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes], parts: int
) -> None:
    out, finished = tmp_path / "out", 0
    for number in range(1, parts + 1):
        mine = len(range(number - 1, 5, parts))
        finished += mine
        told = build_part(folder, out, MASKED, (number, parts), jobs=1 + (number == 2))
        assert (told.mine, told.resumed, told.finished, told.folder) == (mine, 0, finished, parts_folder(out))
        assert told.plan.shards == 5
    assert not out.exists()
    result = merge(out)
    assert content(out) == whole
    assert (result.run.engine, result.run.shards_resumed) == ("merge", 0)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out", "whole"]


def test_runs_may_be_at_work_at_the_same_time(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes]
) -> None:
    threads = [
        threading.Thread(target=build_part, args=(folder, tmp_path / "out", MASKED, (number, 3)), kwargs={"jobs": 1})
        for number in (1, 2, 3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    merge(tmp_path / "out")
    assert content(tmp_path / "out") == whole


def test_a_run_that_is_repeated_goes_on_where_it_was(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    build_part(folder, out, MASKED, (1, 2), jobs=1)
    kept = pieces_of(parts_folder(out))
    assert set(kept) == {"00000", "00002", "00004"}
    again = build_part(folder, out, MASKED, (1, 2), jobs=1)
    assert (again.mine, again.resumed, again.finished) == (3, 3, 3)
    assert pieces_of(parts_folder(out)) == kept
    # Other numbers of parts fit together as well: it is the shards that count.
    other = build_part(folder, out, MASKED, (3, 3), jobs=1)
    assert (other.mine, other.resumed, other.finished) == (1, 1, 3)


def test_shards_may_be_collected_from_several_places(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes]
) -> None:
    for number in (1, 2, 3):
        place = tmp_path / f"node{number}"
        csd_there = shutil.copytree(folder, place / "csd")
        build_part(Path(csd_there), place / "ds", MASKED, (number, 3), jobs=1)
    found = [tmp_path / f"node{number}" / "ds.parts" for number in (3, 1, 2)]
    before = [pieces_of(place) for place in found]
    merge(tmp_path / "out", found)
    assert content(tmp_path / "out") == whole
    # They were named, so they are the user's to remove.
    assert [pieces_of(place) for place in found] == before


def test_a_folder_named_twice_is_one_folder(
    folder: Path, tmp_path: Path, content: Content, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    run_parts(folder, tmp_path / "ds", 2)
    monkeypatch.chdir(tmp_path)
    merge(tmp_path / "out", [Path("ds.parts"), tmp_path / "ds.parts", Path("in/../ds.parts")])
    assert content(tmp_path / "out") == whole


def test_a_merge_without_folders_or_with_shards_missing(folder: Path, tmp_path: Path, one_line: OneLine) -> None:
    out = tmp_path / "out"
    text = one_line(lambda: merge(out), InputError)
    assert text == f"{out}.parts: no finished shards here; make them with 'mosei-align build --shard I/N'"
    assert not parts_folder(out).exists()
    assert "nowhere: no finished shards here" in one_line(lambda: merge(out, [tmp_path / "nowhere"]), InputError)
    assert "csd: no finished shards here" in one_line(lambda: merge(out, [folder]), InputError)
    build_part(folder, out, MASKED, (2, 3), jobs=1)
    text = one_line(lambda: merge(tmp_path / "other", [out]), InputError)
    assert text == f"{out}: no finished shards here; name {out}.parts"
    text = one_line(lambda: merge(out), InputError)
    assert f"{out}.parts: 3 of 5 shards are missing or damaged: 0, 2, 3; run the --shard I/N runs again" in text
    assert not out.exists()
    assert len(pieces_of(parts_folder(out))) == 2


def test_a_merge_of_a_shard_that_is_there_twice(folder: Path, tmp_path: Path, one_line: OneLine) -> None:
    run_parts(folder, tmp_path / "a", 2)
    build_part(folder, tmp_path / "b", MASKED, (5, 5), jobs=1)
    text = one_line(lambda: merge(tmp_path / "out", [tmp_path / "a.parts", tmp_path / "b.parts"]), InputError)
    assert text == (
        f"{tmp_path}/b.parts: shard 4 is also in {tmp_path}/a.parts; name every folder once, and make every shard once"
    )


def test_a_merge_of_two_configurations(folder: Path, tmp_path: Path, one_line: OneLine) -> None:
    build_part(folder, tmp_path / "a", MASKED, (1, 2), jobs=1)
    other = MASKED.model_copy(update={"nonfinite": "zero"})
    build_part(folder, tmp_path / "b", other, (2, 2), jobs=1)
    text = one_line(lambda: merge(tmp_path / "out", [tmp_path / "a.parts", tmp_path / "b.parts"]), InputError)
    assert f"b.parts: its shards are of another configuration than those of {tmp_path}/a.parts" in text
    assert "nonfinite 'zero', not 'frame'" in text
    text = one_line(lambda: build_part(folder, tmp_path / "b", MASKED, (1, 2), jobs=1), ConfigError)
    assert "b.parts: holds shards of another configuration: nonfinite 'zero', not 'frame'" in text


def test_a_merge_of_a_damaged_shard(
    folder: Path, tmp_path: Path, one_line: OneLine, content: Content, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    run_parts(folder, out, 2)
    spoiled = parts_folder(out) / "pieces" / "00001" / "segments.parquet"
    spoiled.write_bytes(spoiled.read_bytes()[:-3])
    assert "1 of 5 shards are missing or damaged: 1;" in one_line(lambda: merge(out), InputError)
    again = build_part(folder, out, MASKED, (2, 2), jobs=1)
    assert (again.mine, again.resumed) == (2, 1)
    merge(out)
    assert content(out) == whole


def test_a_merge_replaces_a_dataset_only_when_asked(
    folder: Path, tmp_path: Path, one_line: OneLine, content: Content, whole: dict[str, bytes]
) -> None:
    out = build(folder, tmp_path / "out", MASKED.model_copy(update={"policy": "strict"}), jobs=1).out
    split(out, "random")
    run_parts(folder, out, 2)
    assert "already holds a dataset" in one_line(lambda: merge(out), OutputError)
    assert merge(out, overwrite=True).splits_removed == ("random",)
    assert content(out) == whole


def test_a_merge_while_a_run_is_at_work_is_refused(folder: Path, tmp_path: Path, one_line: OneLine) -> None:
    out, told = tmp_path / "out", []
    build_part(folder, out, MASKED, (1, 2), jobs=1)

    def look(_done: int, _total: int) -> None:
        told.append(one_line(lambda: merge(out), OutputError))

    build_part(folder, out, MASKED, (2, 2), jobs=1, progress=look)
    assert len(told) == 2
    assert all("out.parts: process " in text and "is at work here" in text for text in told)
    assert merge(out).manifest.counts.kept == 8


def test_more_parts_than_shards(folder: Path, tmp_path: Path, one_line: OneLine) -> None:
    text = one_line(lambda: build_part(folder, tmp_path / "out", MASKED, (1, 6), jobs=1), ConfigError)
    assert text == "--shard: 6 parts of 5 shards; use at most 5 parts"


def test_the_current_folder_as_the_output_of_parts(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Content, whole: dict[str, bytes]
) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    run_parts(folder, Path(), 2)
    assert (tmp_path / "out.parts").is_dir()
    merge(Path())
    assert content(tmp_path / "out") == whole


def test_a_shard_that_another_worker_has_finished_meanwhile(folder: Path, tmp_path: Path) -> None:
    work = interrupted(folder, tmp_path / "out", 3)
    plan = read_plan(work)
    assert plan is not None
    (mine,) = read_pieces(work / "pieces", plan.sha256, [1]).values()

    def publish(piece: Piece) -> None:
        staging = new_piece(work / "pieces", 1)
        for file in mine.files:
            shutil.copy(work / "pieces" / "00001" / file.name, staging)
        publish_piece(staging, work / "pieces", piece)
        assert not staging.exists()

    before = pieces_of(work)
    publish(mine)
    assert pieces_of(work) == before
    # One of another plan, which a worker of a build long dead has put there, is not the same.
    publish(mine.model_copy(update={"plan_sha256": "0" * 64}))
    assert read_pieces(work / "pieces", plan.sha256, [1]) == {}
    publish(mine)
    assert read_pieces(work / "pieces", plan.sha256, [1]) == {1: mine}


# ---------------------------------------------------------------- Arrow


@pytest.mark.parametrize("policy", ["masked", "strict"])
def test_arrow_holds_what_parquet_holds(defective_corpus: Path, tmp_path: Path, content: Content, policy: str) -> None:
    chosen = BuildSettings.model_validate({"policy": policy, "videos_per_shard": 9})
    parquet = build(defective_corpus, tmp_path / "p", chosen, jobs=1)
    arrow = build(defective_corpus, tmp_path / "a", chosen.model_copy(update={"file_format": "arrow"}), jobs=1)
    assert [shard.name for shard in arrow.manifest.shards] == [
        shard.name.replace(".parquet", ".arrow") for shard in parquet.manifest.shards
    ]
    assert (arrow.out / "ledger.parquet").read_bytes() == (parquet.out / "ledger.parquet").read_bytes()
    told = {"settings", "shards"}
    assert arrow.manifest.model_dump(exclude=told) == parquet.manifest.model_dump(exclude=told)
    schema = segments_schema({n: i.dim for n, i in arrow.manifest.modalities.items()}, arrow.manifest.label_columns)
    for ours, theirs in zip(arrow.manifest.shards, parquet.manifest.shards, strict=True):
        with pa.memory_map(str(arrow.out / ours.name)) as source:
            table = pa.ipc.open_file(source).read_all()
        assert table.schema.equals(schema, check_metadata=True)
        assert table.equals(pq.read_table(parquet.out / theirs.name))
        assert ours.rows == theirs.rows == table.num_rows
    both = [
        pa.concat_tables(read_segments(result.out, result.manifest, schema.names)).combine_chunks()
        for result in (arrow, parquet)
    ]
    assert both[0].equals(both[1])
    again = build(defective_corpus, tmp_path / "b", arrow.manifest.settings, jobs=2)
    assert content(again.out) == content(arrow.out)
    run_parts(defective_corpus, tmp_path / "c", 2, arrow.manifest.settings)
    assert content(merge(tmp_path / "c").out) == content(arrow.out)


def test_the_largest_shards_are_made_first(small_corpus: Path, tmp_path: Path) -> None:
    sizes = list[int]()

    def watched(work: Any, tasks: Any, done: Any) -> None:
        sizes.extend(task.label_rows for task in tasks)
        for number, task in enumerate(tasks):
            done(number, work(task))

    build(small_corpus, tmp_path / "out", BuildSettings(policy="masked", videos_per_shard=4), engine=watched)
    assert len(set(sizes)) > 1
    assert sizes == sorted(sizes, reverse=True)
