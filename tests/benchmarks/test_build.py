"""The whole build beside what merely reading or unpacking its input costs, in two processes each, warm."""

import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest
from measuring import JOBS, Memory, Reading, fastest, program, say

from mosei_align.build import build
from mosei_align.options import build_settings
from mosei_align.synthetic.corpus import write_corpus
from mosei_align.synthetic.recipe import Recipe

ROUNDS: Final = 9


def compare(name: str, folder: Path, out: Path, benchmark: Any, peer: str, limit: float) -> None:
    reading = Reading(folder)

    def whole() -> None:
        build(folder, out, build_settings(policy="masked"), jobs=JOBS)

    def anew() -> float:
        shutil.rmtree(out, ignore_errors=True)
        return fastest(whole, 1)

    benchmark.pedantic(whole, setup=lambda: shutil.rmtree(out, ignore_errors=True), rounds=1, warmup_rounds=1)
    # In turns, and the medians: of a machine whose speed swings, the least of short runs is a luckier draw than the
    # least of long ones.
    ours, theirs = zip(*((anew(), fastest(reading.run, 1)) for _ in range(ROUNDS)), strict=True)
    reading.close()
    say(f"{name} of {reading.bytes / 1e9:.1f} GB", median(ours), median(theirs), peer, limit=limit)


def test_build_against_merely_reading(benchmark: Any, corpus: Path, tmp_path: Path) -> None:
    peer = "two processes that merely read the features of its videos"
    compare("build", corpus, tmp_path / "out", benchmark, peer, 4)


def test_build_of_gzip_against_merely_unpacking(benchmark: Any, gzip_corpus: Path, tmp_path: Path) -> None:
    peer = "two processes that merely unpack the features of its videos"
    compare("build from gzip-9", gzip_corpus, tmp_path / "out", benchmark, peer, 1.3)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """400 videos."""
    folder = tmp_path_factory.mktemp("few") / "csd"
    write_corpus(folder, Recipe(videos=400, seed=1))
    return folder


def test_memory_of_all_processes_is_flat(corpus: Path, few: Path, tmp_path: Path) -> None:
    small, large = (
        Memory(
            *program("build", "--csd", folder, "--out", tmp_path / folder.name, "--jobs", JOBS, "--policy", "masked")
        )
        for folder in (few, corpus)
    )
    say("peak memory of all processes", large.pss, small.pss, "the same at 400 videos", limit=1.2, unit="MB")
    say("peak memory of all processes, shared pages counted for each", large.rss, 1000, "1 GB", limit=1, unit="MB")


def test_memory_of_a_video_of_four_hours(tmp_path: Path) -> None:
    folder = tmp_path / "csd"
    write_corpus(folder, Recipe(videos=1, seed=2, mean_segments=1000, median_segment_s=60, mean_gap_s=230))
    size = sum(path.stat().st_size for path in folder.glob("*.csd")) / 1e6
    began = time.perf_counter()
    peak = Memory(*program("build", "--csd", folder, "--out", tmp_path / "out", "--jobs", JOBS))
    print(f"\n{time.perf_counter() - began:.1f} s for one video of {size:.0f} MB")
    say("peak memory, one video of four hours", peak.rss, size, "its files", unit="MB")


def test_formats(benchmark: Any, corpus: Path, tmp_path: Path) -> None:
    def whole(file_format: str) -> None:
        settings = build_settings(policy="masked", file_format=file_format)
        build(corpus, tmp_path / file_format, settings, jobs=JOBS, overwrite=True)

    benchmark.pedantic(whole, args=("arrow",), rounds=1)
    times = {name: fastest(lambda name=name: whole(name), 1) for name in ("arrow", "parquet")}
    say("build to Arrow", times["arrow"], times["parquet"], "build to Parquet")
    sizes = {
        name: sum(path.stat().st_size for path in (tmp_path / name / "segments").iterdir()) / 1e6 for name in times
    }
    say("size as Arrow", sizes["arrow"], sizes["parquet"], "as Parquet", unit="MB")
