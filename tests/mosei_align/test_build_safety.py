"""What a build refuses, and what it leaves behind when something goes wrong: finished shards, or nothing."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mosei_align.build import build
from mosei_align.building.pieces import Piece
from mosei_align.building.plan import ShardTask
from mosei_align.building.shard import make_shard
from mosei_align.embed import embed
from mosei_align.engines.local import available_cores, local_engine
from mosei_align.sources.corpus import csd_files
from mosei_align.sources.modalities import load_settings
from mosei_align.split import split
from mosei_align.validate import validate
from mosei_schemas.errors import ConfigError, InputError, OutputError
from mosei_schemas.manifest import BuildSettings

OneLine = Callable[..., str]
Snapshot = Callable[[Path], dict[str, bytes]]
MASKED = BuildSettings(policy="masked", videos_per_shard=1)
STRICT = BuildSettings(policy="strict", videos_per_shard=1)


@pytest.fixture
def folder(csd: Any, tmp_path: Path) -> Path:
    """Three videos with text, audio, video and words."""
    ids = ["u", "v", "w"]
    return csd.corpus(
        tmp_path / "in" / "csd",
        labels={video: csd.labels((0, 2), (2, 4)) for video in ids},
        words={video: csd.words(*"abcdefgh") for video in ids},
        **{role: {video: csd.rows(8, 3) for video in ids} for role in ("text", "audio", "video")},
    )


@pytest.mark.parametrize("missing", ["text", "audio", "video"])
def test_strict_without_a_sequence_says_which(folder: Path, tmp_path: Path, one_line: OneLine, missing: str) -> None:
    (folder / f"{missing}.csd").unlink()
    text = one_line(lambda: build(folder, tmp_path / "out", BuildSettings(), jobs=1), ConfigError)
    assert f"policy strict needs text, audio and video, but there is no {missing}" in text
    assert "build with --policy masked" in text
    assert not (tmp_path / "out").exists()


def test_strict_names_sequences_that_it_did_not_recognise(
    folder: Path, csd: Any, tmp_path: Path, one_line: OneLine
) -> None:
    (folder / "video.csd").unlink()
    csd.write(folder / "odd.csd", "MyFaces", {"v": csd.rows(8, 3)})
    text = one_line(lambda: build(folder, tmp_path / "out", BuildSettings(), jobs=1), ConfigError)
    assert "found but not recognised: 'MyFaces'; name it with --root" in text
    result = build(folder, tmp_path / "out", BuildSettings(), sources=load_settings(None, {"video": "MyFaces"}), jobs=1)
    assert result.manifest.modalities["video"].root == "MyFaces"
    assert result.manifest.counts.kept == 2


def test_labels_alone_are_refused_under_masked(folder: Path, tmp_path: Path, one_line: OneLine) -> None:
    for name in ("text", "audio", "video"):
        (folder / f"{name}.csd").unlink()
    text = one_line(lambda: build(folder, tmp_path / "out", MASKED, jobs=1), InputError)
    assert "no text, audio or video sequence beside the labels" in text
    assert "mosei-align embed" in text


def test_an_existing_dataset_is_replaced_only_when_asked(
    folder: Path, tmp_path: Path, one_line: OneLine, snapshot: Snapshot
) -> None:
    out = tmp_path / "out"
    build(folder, out, MASKED, jobs=1)
    split(out, "random")
    before = snapshot(out)
    text = one_line(lambda: build(folder, out, MASKED, jobs=1), OutputError)
    assert "already holds a dataset" in text
    assert "--overwrite" in text
    assert snapshot(out) == before
    (folder / "audio.csd").unlink()
    replaced = build(folder, out, MASKED, jobs=1, overwrite=True)
    assert replaced.splits_removed == ("random",)
    assert list(replaced.manifest.modalities) == ["text", "video"]
    assert not (out / "splits").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name != "in"] == ["out"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_no_dataset_is_never_replaced(folder: Path, tmp_path: Path, one_line: OneLine, overwrite: bool) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("something")
    for name in ("thesis", "file"):
        text = one_line(
            lambda name=name: build(folder, tmp_path / name, MASKED, jobs=1, overwrite=overwrite), OutputError
        )
        assert "exists and is not a dataset" in text
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"
    assert (tmp_path / "file").read_text() == "something"


def test_an_empty_folder_may_be_filled(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert build(folder, tmp_path / "out", MASKED, jobs=1).manifest.counts.kept == 6


def test_the_current_folder_may_be_filled(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out").mkdir()
    monkeypatch.chdir(tmp_path / "out")
    assert build(folder, Path(), MASKED, jobs=1).manifest.counts.kept == 6


def test_parents_of_the_output_are_made(folder: Path, tmp_path: Path) -> None:
    build(folder, tmp_path / "a" / "b" / "out", MASKED, jobs=1)
    assert (tmp_path / "a" / "b" / "out" / "manifest.json").is_file()


def test_an_output_below_a_file_is_one_line(folder: Path, tmp_path: Path, one_line: OneLine) -> None:
    (tmp_path / "file").write_text("")
    text = one_line(lambda: build(folder, tmp_path / "file" / "out", MASKED, jobs=1), OutputError)
    assert f"{tmp_path / 'file' / '.out.building'}: cannot be written (" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "in"]


def boom_at(number: int, error: BaseException) -> Callable[..., Any]:
    """A stand-in for a function of the build that works until its `number`-th call."""
    from mosei_align.alignment.video import align_videos

    calls = iter(range(1, 1000))

    def work(*arguments: Any) -> Any:
        if next(calls) == number:
            raise error
        return align_videos(*arguments)

    return work


ERRORS = [RuntimeError("a bug"), KeyboardInterrupt(), MemoryError(), InputError("odd")]


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("existing", [False, True])
def test_an_error_before_one_shard_is_finished_leaves_what_was_there(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshot: Snapshot,
    error: BaseException,
    existing: bool,
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if existing:
        build(folder, place / "out", MASKED, jobs=1)
    before = snapshot(place)
    monkeypatch.setattr("mosei_align.building.shard.align_videos", boom_at(1, error))
    with pytest.raises(type(error)):
        build(folder, place / "out", MASKED, jobs=1, overwrite=True)
    assert snapshot(place) == before
    assert [p.name for p in place.iterdir()] == (["out"] if existing else [])


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("existing", [False, True])
def test_an_error_half_way_leaves_what_was_there_and_the_finished_shards(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    content: Snapshot,
    error: BaseException,
    existing: bool,
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    if existing:
        build(folder, place / "out", STRICT, jobs=1)
    before = content(place / "out") if existing else None
    with monkeypatch.context() as patched:
        patched.setattr("mosei_align.building.shard.align_videos", boom_at(3, error))
        with pytest.raises(type(error)) as caught:
            build(folder, place / "out", MASKED, jobs=1, overwrite=True)
    if isinstance(error, InputError):
        assert str(caught.value) == "odd (2 of 3 shards are done and kept); go on with --resume"
    assert (content(place / "out") if existing else None) == before
    assert sorted(p.name for p in place.iterdir()) == [".out.building", *(["out"] if existing else [])]
    kept = place / ".out.building"
    assert sorted(str(p.relative_to(kept)) for p in kept.rglob("*") if p.is_dir()) == [
        *("pieces", "pieces/00000", "pieces/00001")
    ]
    result = build(folder, place / "out", MASKED, jobs=1, overwrite=True, resume=True)
    assert result.run.shards_resumed == 2
    assert [p.name for p in place.iterdir()] == ["out"]
    whole = build(folder, tmp_path / "whole", MASKED, jobs=1)
    assert content(result.out) == content(whole.out)


@pytest.mark.parametrize(
    ("number", "jobs"),
    [(errno.ENOSPC, 1), (errno.EDQUOT, 1), (errno.EACCES, 1), (errno.EROFS, 1), (errno.ENOSPC, 2)],
)
def test_a_full_disk_is_one_line_and_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_line: OneLine, number: int, jobs: int
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    if jobs == 1:
        monkeypatch.setattr(pq, "write_table", refuse)
    else:
        # Another process: there only what it imports can be changed.
        monkeypatch.setattr("mosei_align.build.make_shard", make_shard_on_a_full_disk)
    place = tmp_path / "place"
    text = one_line(lambda: build(folder, place / "out", MASKED, jobs=jobs), OutputError)
    assert f"place/.out.building/pieces: cannot be written ({os.strerror(number)})" in text
    assert list(place.iterdir()) == []


def make_shard_on_a_full_disk(task: ShardTask) -> Piece:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pq, "write_table", refuse)
        return make_shard(task)


def test_a_disk_that_is_full_only_when_the_shards_are_put_together_keeps_them(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_line: OneLine, content: Snapshot
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = tmp_path / "place"
    with monkeypatch.context() as patched:
        patched.setattr("mosei_align.building.assemble.write_bytes", refuse)
        text = one_line(lambda: build(folder, place / "out", MASKED, jobs=1), OutputError)
    assert "out: cannot be written (No space left on device)" in text
    assert [p.name for p in place.iterdir()] == [".out.building"]
    result = build(folder, place / "out", MASKED, jobs=1, resume=True)
    assert result.run.shards_resumed == 3
    assert content(result.out) == content(build(folder, tmp_path / "whole", MASKED, jobs=1).out)


def test_a_progress_display_that_fails_costs_no_finished_shard(folder: Path, tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(folder, tmp_path / "place" / "out", MASKED, jobs=1, progress=stop)
    assert [p.name for p in (tmp_path / "place").iterdir()] == [".out.building"]
    resumed = build(folder, tmp_path / "place" / "out", MASKED, jobs=1, resume=True)
    assert resumed.run.shards_resumed == 2


def test_the_inputs_are_never_changed(folder: Path, tmp_path: Path) -> None:
    (folder / "speakers.csv").write_text("v,anna\n")
    (tmp_path / "table.txt").write_text("a 1 2\nb 3 4\n")
    watched = [*folder.iterdir(), tmp_path / "table.txt"]

    def state() -> list[tuple[str, bytes, int]]:
        return [(path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(watched)]

    before, names = state(), sorted(p.name for p in folder.iterdir())
    build(folder, tmp_path / "out", MASKED, jobs=1)
    validate(folder)
    embed(folder / "words.csd", tmp_path / "table.txt", tmp_path / "vectors.csd")
    split(tmp_path / "out", "speaker-disjoint")
    assert state() == before
    assert sorted(p.name for p in folder.iterdir()) == names


def test_read_only_inputs_are_enough(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert build(folder, tmp_path / "out", MASKED, jobs=1).manifest.counts.kept == 6
    finally:
        folder.chmod(0o755)


def test_a_speakers_file_that_is_wrong_stops_the_build(folder: Path, tmp_path: Path, one_line: OneLine) -> None:
    (folder / "speakers.csv").write_text("v,anna\nv,bob\n")
    assert "speakers.csv: v: line 2" in one_line(lambda: build(folder, tmp_path / "out", MASKED, jobs=1), InputError)
    given = tmp_path / "none.csv"
    text = one_line(lambda: build(folder, tmp_path / "out", MASKED, speakers_file=given, jobs=1), InputError)
    assert "none.csv: cannot be read" in text
    assert not (tmp_path / "out").exists()


def test_a_file_that_breaks_between_index_and_reading_costs_no_dataset(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mosei_align.building import shard

    real, calls = shard.read_labels, iter(range(1000))

    def truncate(*arguments: Any) -> Any:
        if next(calls) == MASKED.videos_per_shard:
            os.truncate(folder / "audio.csd", 512)
        return real(*arguments)

    monkeypatch.setattr(shard, "read_labels", truncate)
    with pytest.raises(InputError, match=r"audio\.csd: was cut short while it was read") as caught:
        build(folder, tmp_path / "place" / "out", MASKED, jobs=1)
    # The first shard was finished.
    told = "(1 of 3 shards are done and kept); put the whole file back; then go on with --resume"
    assert str(caught.value).endswith(told)
    assert [p.name for p in (tmp_path / "place").iterdir()] == [".out.building"]


def collect(work: Callable[[Any], Any], tasks: list[Any], jobs: int) -> dict[int, Any]:
    results: dict[int, Any] = {}
    with local_engine(jobs) as run:
        run(work, tasks, results.__setitem__)
    return results


def test_tasks_run_here_in_order_with_one_job() -> None:
    order: list[int] = []
    with local_engine(1) as run:
        run(abs, [-3, -1, -2], lambda number, result: order.extend([number, result]))
    assert order == [0, 3, 1, 1, 2, 2]
    assert collect(abs, [], 4) == {}
    assert available_cores() >= 1


def test_other_processes_give_the_same_results_and_their_errors(tmp_path: Path) -> None:
    assert collect(abs, [-3, -1, -2], 2) == {0: 3, 1: 1, 2: 2}
    with pytest.raises(InputError, match="no such folder") as caught:
        collect(csd_files, [tmp_path / "none", tmp_path / "nor this"], 2)
    assert caught.value.path in {tmp_path / "none", tmp_path / "nor this"}


def test_a_worker_that_dies_is_one_line(one_line: OneLine) -> None:
    text = one_line(lambda: collect(os._exit, [9, 9], 2), OutputError)
    assert "a worker process died" in text
    assert "use fewer --jobs" in text


def test_after_an_error_the_tasks_that_wait_are_not_run() -> None:
    with pytest.raises(TypeError):
        collect(time.sleep, ["no number", *[0.25] * 12], 2)
    raised = time.monotonic()
    for child in multiprocessing.active_children():
        child.join()
    # Two tasks may be running and one more be on its way; all of them take 1.5 s.
    assert time.monotonic() - raised < 1.1


def test_an_engine_can_be_used_again_and_stays_usable_after_a_tasks_error() -> None:
    found: dict[int, Any] = {}
    with local_engine(2) as run:
        run(abs, [-1, -2], found.__setitem__)
        with pytest.raises(TypeError):
            run(abs, ["no number"], found.__setitem__)
        run(abs, [-7], found.__setitem__)
    assert found == {0: 7, 1: 2}


def test_what_is_done_before_a_worker_dies_has_been_reported(tmp_path: Path, one_line: OneLine) -> None:
    done: dict[int, Any] = {}
    with local_engine(2) as run:
        run(abs, [-5], done.__setitem__)
        one_line(lambda: run(os._exit, [3], done.__setitem__), OutputError)
    assert done == {0: 5}


def interrupt_self(seconds: float) -> float:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(seconds)
    return seconds


def test_workers_leave_the_interrupt_to_the_parent() -> None:
    assert collect(interrupt_self, [0.1, 0.1], 2) == {0: 0.1, 1: 0.1}


def test_workers_do_not_run_the_script_that_starts_them(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "plain.py"
    script.write_text(
        "print('begun')\n"
        "from pathlib import Path\n"
        "from mosei_align.build import build\n"
        "from mosei_schemas.manifest import BuildSettings\n"
        f"built = build(Path({str(folder)!r}), Path('out'), BuildSettings(videos_per_shard=1), jobs=2)\n"
        "print(built.manifest.counts.labelled)\n"
    )
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("begun\n6\n", "", 0)


def test_the_main_module_is_there_again_once_workers_are_started() -> None:
    main = sys.modules["__main__"]
    collect(abs, [-1], 2)
    with pytest.raises(TypeError):
        collect(abs, ["no number"], 2)
    assert sys.modules["__main__"] is main


def test_the_variables_that_workers_get_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with local_engine(2):
        assert (os.environ["MKL_NUM_THREADS"], os.environ["OMP_NUM_THREADS"]) == ("1", "3")
    assert "MKL_NUM_THREADS" not in os.environ
    assert collect(os.getenv, ["MKL_NUM_THREADS"] * 2, 2) == {0: "1", 1: "1"}


def test_a_clock_that_is_set_back_changes_nothing_but_the_time_of_day(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Snapshot
) -> None:
    days = iter(range(28, 0, -1))

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime(2026, 2, next(days), tzinfo=tz)

    whole = content(build(folder, tmp_path / "usual", MASKED, jobs=1).out)
    monkeypatch.setattr("mosei_align.building.watch.datetime", Clock)
    monkeypatch.setattr("time.time", lambda: float(next(days)))
    result = build(folder, tmp_path / "out", MASKED, jobs=1)
    assert result.run.started == "2026-02-28T00:00:00+00:00"
    assert 0 <= result.run.seconds < 60
    assert content(result.out) == whole
