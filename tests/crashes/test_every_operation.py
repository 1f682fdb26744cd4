"""Commands that meet a fault at any of their operations on the file system: nothing is lost, nothing half is seen.

The suite disturbs a share of the operations; all of them with `MOSEI_CRASH_STEP=1`.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from crashing import KILLED, Content, Runner, content, finished, leftovers

from mosei_align import split as split_module
from mosei_align.splits import write
from mosei_schemas.dataset import read_manifest, split_names
from mosei_schemas.errors import OutputError

BUILD = ("build", "--policy", "masked", "--jobs", "1", "--videos-per-shard", "32")
SPLIT = ("split", "--speaker-disjoint")
SPLIT_AT = "parquet/splits/speaker-disjoint"
Wholes = dict[str, Content]
Built = dict[str, Path]


def clear(place: Path) -> None:
    """Back to the inputs alone."""
    for path in place.iterdir():
        if path.is_dir() and path.name != "csd":
            shutil.rmtree(path)


def test_a_build_that_is_killed_anywhere_goes_on(run: Runner, place: Path, wholes: Wholes) -> None:
    for at in run.operations(place, *BUILD):
        clear(place)
        assert run(place, *BUILD, fault="kill", at=at).code == KILLED
        stands = (place / "parquet").exists()
        assert not stands or content(place / "parquet") == wholes["masked"]
        kept = finished(place)
        done = run(place, *BUILD, "--resume")
        assert done.code == 0, (at, done)
        assert content(place / "parquet") == wholes["masked"], at
        assert leftovers(place) == [], at
        assert ("nothing was left to do" in done.stdout) == stands
        if not stands:
            assert f'"shards_resumed": {len(kept)}' in (place / "parquet" / "build.json").read_text()


def test_a_build_over_a_dataset_that_is_killed_anywhere_leaves_one_or_the_other(
    run: Runner, place: Path, built: Built, wholes: Wholes
) -> None:
    shutil.copytree(built["strict"], place / "parquet")
    for at in run.operations(place, *BUILD, "--overwrite"):
        clear(place)
        shutil.copytree(built["strict"], place / "parquet")
        assert run(place, *BUILD, "--overwrite", fault="kill", at=at).code == KILLED
        assert content(place / "parquet") in (wholes["strict"], wholes["masked"]), at
        done = run(place, *BUILD, "--overwrite", "--resume")
        assert done.code == 0, (at, done)
        assert content(place / "parquet") == wholes["masked"], at
        assert leftovers(place) == [], at


def test_a_split_that_is_killed_anywhere_is_there_or_not(
    run: Runner, place: Path, built: Built, wholes: Wholes
) -> None:
    shutil.copytree(built["masked"], place / "parquet", ignore=shutil.ignore_patterns("splits"))
    for at in run.operations(place, *SPLIT):
        shutil.rmtree(place / "parquet" / "splits")
        assert run(place, *SPLIT, fault="kill", at=at).code == KILLED
        assert not (place / SPLIT_AT).exists() or content(place / SPLIT_AT) == wholes["split"]
        assert run(place, *SPLIT, "--overwrite").code == 0
        assert content(place / SPLIT_AT) == wholes["split"], at
        assert leftovers(place) == [], at


def test_a_merge_that_is_killed_anywhere_goes_on(run: Runner, place: Path, wholes: Wholes) -> None:
    assert run(place, *BUILD, "--shard", "1/1").code == 0
    shutil.copytree(place / "parquet.parts", place / "csd" / "parts")
    for at in run.operations(place, "merge"):
        clear(place)
        shutil.copytree(place / "csd" / "parts", place / "parquet.parts")
        assert run(place, "merge", fault="kill", at=at).code == KILLED
        stands, parts = (place / "parquet").exists(), (place / "parquet.parts" / "plan.json").exists()
        assert not stands or content(place / "parquet") == wholes["masked"]
        done = run(place, "merge")
        if not parts:
            # It had come to removing the shards, of which the dataset is made.
            assert stands
            assert "already holds a dataset" in done.line or "no finished shards here" in done.line
            continue
        assert done.code == 0, (at, done)
        assert content(place / "parquet") == wholes["masked"], at
        assert leftovers(place) == [], at


@pytest.mark.parametrize("fault", ["ENOSPC", "EDQUOT", "EIO", "EROFS"])
def test_a_disk_that_refuses_anywhere_is_one_line_and_what_is_done_is_kept(
    run: Runner, place: Path, built: Built, wholes: Wholes, fault: str
) -> None:
    told = {
        "ENOSPC": ("No space left on device", "free some space"),
        "EDQUOT": ("Disk quota exceeded", "the quota is used up"),
        "EIO": ("Input/output error", "check the disk"),
        "EROFS": ("Read-only file system", "the file system is read-only"),
    }[fault]
    shutil.copytree(built["strict"], place / "parquet")
    for at in run.operations(place, *BUILD, "--overwrite")[:: 1 + (fault != "ENOSPC")]:
        clear(place)
        shutil.copytree(built["strict"], place / "parquet")
        done = run(place, *BUILD, "--overwrite", fault=fault, at=at)
        assert content(place / "parquet") in (wholes["strict"], wholes["masked"]), at
        if done.code:
            assert all(part in done.line for part in told), (at, done)
            kept = finished(place)
            assert (f"({len(kept)} of 3 shards are done and kept)" in done.line) == bool(kept), (at, done)
            assert ("go on with --resume" in done.line) == bool(kept)
        else:
            assert content(place / "parquet") == wholes["masked"], (at, done)
        done = run(place, *BUILD, "--overwrite", "--resume")
        assert done.code == 0, (at, done)
        assert content(place / "parquet") == wholes["masked"], at
        assert leftovers(place) == [], at


@pytest.mark.parametrize(("fault", "code"), [("int", 130), ("term", 143)])
def test_a_signal_anywhere_cleans_up_and_says_how_to_go_on(
    run: Runner, place: Path, wholes: Wholes, fault: str, code: int
) -> None:
    for at in run.operations(place, *BUILD):
        clear(place)
        done = run(place, *BUILD, fault=fault, at=at)
        assert done.code == code, (at, done)
        kept = finished(place)
        word = {130: "interrupted", 143: "terminated"}[code]
        stands = (place / "parquet").exists()
        note = f"; {len(kept)} of 3 shards are done and kept; go on with --resume" if kept else ""
        assert done.stderr == f"mosei-align: {word}{note}\n" or stands, (at, done)
        # An interruption between making the work folder and looking after it leaves it there, with nothing in it.
        empty = not any((place / ".parquet.building").glob("pieces/*"))
        assert leftovers(place) in ([[], [".parquet.building"]] if kept or stands or empty else [[]]), at
        done = run(place, *BUILD, "--resume")
        assert done.code == 0, (at, done)
        assert content(place / "parquet") == wholes["masked"], at
        assert leftovers(place) == [], at


def test_an_input_that_goes_away_is_named(run: Runner, place: Path, wholes: Wholes) -> None:
    for at in run.operations(place, *BUILD):
        clear(place)
        done = run(place, *BUILD, fault="vanish", at=at)
        if done.code:
            assert "CMU_MOSEI_COVAREP.csd: no such file" in done.line
            (place / "gone").rename(place / "csd" / "CMU_MOSEI_COVAREP.csd")
            done = run(place, *BUILD, "--resume")
            assert done.code == 0, (at, done)
        else:
            (place / "gone").rename(place / "csd" / "CMU_MOSEI_COVAREP.csd")
            if "audio" not in read_manifest(place / "parquet").modalities:
                continue  # It was gone before the folder was looked at.
        assert content(place / "parquet") == wholes["masked"], at
        assert leftovers(place) == [], at


def test_a_dataset_that_is_replaced_while_it_is_split_gets_no_split_of_the_old_one(
    place: Path, built: Built, wholes: Wholes
) -> None:
    target = place / "parquet"
    shutil.copytree(built["masked"], target, ignore=shutil.ignore_patterns("splits"))
    fit = write.fit

    def replacing(*args: Any) -> Any:
        shutil.rmtree(target)
        shutil.copytree(built["strict"], target)
        return fit(built["masked"], *args[1:])

    with mock.patch.object(write, "fit", replacing), pytest.raises(OutputError, match="another dataset took"):
        split_module.split(target, "speaker-disjoint")
    assert {name: data for name, data in content(target).items() if "splits" not in name} == wholes["strict"]
    assert split_names(target) == []
    assert leftovers(place) == []


@pytest.mark.parametrize("fault", ["ENOSPC", "EIO"])
def test_a_split_on_a_disk_that_refuses_is_one_line_and_leaves_nothing(
    run: Runner, place: Path, built: Built, wholes: Wholes, fault: str
) -> None:
    shutil.copytree(built["masked"], place / "parquet", ignore=shutil.ignore_patterns("splits"))
    for at in run.operations(place, *SPLIT):
        shutil.rmtree(place / "parquet" / "splits")
        done = run(place, *SPLIT, fault=fault, at=at)
        if done.code:
            assert "cannot be written" in done.line, (at, done)
            assert not (place / SPLIT_AT).exists() or content(place / SPLIT_AT) == wholes["split"]
        assert run(place, *SPLIT, "--overwrite").code == 0
        assert content(place / SPLIT_AT) == wholes["split"], at
        assert leftovers(place) == [], at
