"""What a build refuses, and what it leaves behind when something goes wrong: nothing."""

import errno
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from mosei_align.build import build
from mosei_align.embed import embed
from mosei_align.engines.local import available_cores, run_tasks
from mosei_align.sources.corpus import csd_files
from mosei_align.sources.modalities import load_settings
from mosei_align.split import split
from mosei_align.validate import validate
from mosei_schemas.errors import ConfigError, InputError, OutputError
from mosei_schemas.manifest import BuildSettings

OneLine = Callable[..., str]
Snapshot = Callable[[Path], dict[str, bytes]]
MASKED = BuildSettings(policy="masked", videos_per_shard=1)


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
    assert f"{tmp_path / 'file' / 'out'}: cannot be written (" in text
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "in"]


def boom_at(number: int, error: BaseException) -> Callable[..., Any]:
    """A stand-in for a function of the build that works until its `number`-th call."""
    from mosei_align.alignment.video import align_video

    calls = iter(range(1, 1000))

    def work(*arguments: Any) -> Any:
        if next(calls) == number:
            raise error
        return align_video(*arguments)

    return work


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt(), MemoryError(), InputError("odd")])
@pytest.mark.parametrize("existing", [False, True])
def test_an_error_half_way_leaves_what_was_there(
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
    monkeypatch.setattr("mosei_align.build.align_video", boom_at(3, error))
    with pytest.raises(type(error)):
        build(folder, place / "out", MASKED, jobs=1, overwrite=True)
    assert snapshot(place) == before
    assert [p.name for p in place.iterdir()] == (["out"] if existing else [])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_full_disk_is_one_line_and_leaves_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_line: OneLine, number: int
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(pq, "write_table", refuse)
    place = tmp_path / "place"
    text = one_line(lambda: build(folder, place / "out", MASKED, jobs=1), OutputError)
    assert f"out: cannot be written ({os.strerror(number)})" in text
    assert list(place.iterdir()) == []


def test_a_progress_display_that_fails_leaves_nothing(folder: Path, tmp_path: Path) -> None:
    def stop(done: int, _total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(folder, tmp_path / "place" / "out", MASKED, jobs=1, progress=stop)
    assert list((tmp_path / "place").iterdir()) == []


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
    from mosei_align import build as module

    real = module.align_video

    def truncate(*arguments: Any) -> Any:
        raw = (folder / "audio.csd").read_bytes()
        (folder / "audio.csd").write_bytes(raw[: len(raw) // 2])
        return real(*arguments)

    monkeypatch.setattr(module, "align_video", truncate)
    with pytest.raises(InputError, match=r"audio\.csd: unreadable: it is cut short"):
        build(folder, tmp_path / "place" / "out", MASKED, jobs=1)
    assert list((tmp_path / "place").iterdir()) == []


def collect(work: Callable[[Any], Any], tasks: list[Any], jobs: int) -> dict[int, Any]:
    results: dict[int, Any] = {}
    run_tasks(work, tasks, jobs, results.__setitem__)
    return results


def test_tasks_run_here_in_order_with_one_job() -> None:
    order: list[int] = []
    run_tasks(abs, [-3, -1, -2], 1, lambda number, result: order.extend([number, result]))
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
    assert "--jobs 1" in text


def test_after_an_error_the_tasks_that_wait_are_not_run() -> None:
    with pytest.raises(TypeError):
        collect(time.sleep, ["no number", *[0.25] * 12], 2)
    raised = time.monotonic()
    for child in multiprocessing.active_children():
        child.join()
    # Two tasks may be running and one more be on its way; all of them take 1.5 s.
    assert time.monotonic() - raised < 1.1
