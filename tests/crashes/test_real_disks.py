"""A disk that is really full or read-only: a small file system in memory, where this user may mount one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from crashing import Content, Runner, content, finished, leftovers

BUILD = ("build", "--csd", "../csd", "--policy", "masked", "--jobs", "1", "--videos-per-shard", "32")


def mount(*options: str) -> bool:
    return subprocess.run(["mount", *options], capture_output=True, check=False).returncode == 0


@pytest.fixture
def disk(place: Path) -> Iterator[Path]:
    """A file system of 200 kB."""
    if shutil.which("mount") is None:
        pytest.skip("there is no mount")
    folder = place / "disk"
    folder.mkdir()
    if not mount("-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)):
        pytest.skip("this user may not mount a file system")
    for name in ("stdout", "stderr"):
        (folder / name).symlink_to(place / f"told-{name}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_full_keeps_what_is_done(run: Runner, disk: Path, wholes: dict[str, Content]) -> None:
    sizes = iter(range(64, 4000, 96))
    errors = 0
    while True:
        assert mount("-o", f"remount,size={next(sizes)}k", str(disk))
        kept = finished(disk)
        done = run(disk, *BUILD, *(["--resume"] if kept else []))
        if done.code == 0:
            break
        assert "No space left on device" in done.line
        assert kept.items() <= finished(disk).items()
        assert ("of 3 shards are done and kept" in done.line) == bool(finished(disk))
        assert not (disk / "parquet").exists()
        errors += 1
    assert errors > 2
    assert content(disk / "parquet") == wholes["masked"]
    assert leftovers(disk) == []


def test_a_disk_that_is_read_only(run: Runner, disk: Path) -> None:
    assert mount("-o", "remount,ro", str(disk))
    done = run(disk, *BUILD)
    assert "Read-only file system" in done.line
    assert leftovers(disk) == []
