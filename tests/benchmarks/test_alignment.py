"""Alignment kernels and the whole build, each as a ratio against a peer or a limit measured in the same run.

Run with `make bench`; each test prints a sentence and one line of JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mosei_align.alignment.frames import check_frames, step_means
from mosei_align.build import build
from mosei_align.options import build_settings
from mosei_align.sources.sequence import VideoSequence
from mosei_align.synthetic.corpus import write_corpus
from mosei_align.synthetic.recipe import Recipe
from mosei_schemas.names import State


def fastest(work: Callable[[], Any], rounds: int = 5) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def say(name: str, ours: float, peer: float, what: str) -> None:
    ratio = ours / peer
    print(f"\n{name}: {1000 * ours:.1f} ms, {what}: {1000 * peer:.1f} ms, ratio {ratio:.3f}")
    print(json.dumps({"benchmark": name, "seconds": ours, "peer": what, "peer_seconds": peer, "ratio": ratio}))


@pytest.fixture(scope="module")
def video() -> VideoSequence:
    """Two minutes of COVAREP-like frames."""
    rng = np.random.default_rng(0)
    start = np.arange(12_000) / 100
    return VideoSequence(State.OK, start, start + 0.01, rng.standard_normal((12_000, 74), np.float32))


@pytest.fixture(scope="module")
def words() -> tuple[Any, Any]:
    edges = np.sort(np.random.default_rng(1).uniform(0, 120, 361))
    return edges[:-1], edges[1:]


def test_step_means_against_a_scan_of_all_frames(benchmark: Any, video: VideoSequence, words: tuple[Any, Any]) -> None:
    """The usual way: compare every frame with every word, then np.average."""
    frames = check_frames(video, nonfinite="frame", zero_is_invalid=False)
    starts, ends = words

    def usual() -> list[Any]:
        return [
            np.average(video.features[(video.start_s < e) & (video.end_s > s)], axis=0)
            for s, e in zip(starts, ends, strict=True)
        ]

    benchmark(step_means, frames, starts, ends)
    say("step means", fastest(lambda: step_means(frames, starts, ends)), fastest(usual), "a scan per word")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench") / "csd"
    write_corpus(folder, Recipe(videos=60, seed=1, clean=True))
    return folder


def test_build_against_merely_reading(benchmark: Any, corpus: Path, tmp_path: Path) -> None:
    """One process each: the whole build beside reading the same feature arrays, warm."""

    def read_all() -> int:
        total = 0
        for path in sorted(corpus.glob("*.csd")):
            with h5py.File(path) as file:
                for group in next(iter(file.values()))["data"].values():
                    total += group["features"][:].nbytes
        return total

    def whole() -> None:
        build(corpus, tmp_path / "out", build_settings(policy="masked"), jobs=1, overwrite=True)

    size = read_all()
    benchmark.pedantic(whole, rounds=3, warmup_rounds=1)
    say(f"build of {size / 1e6:.0f} MB", fastest(whole, 3), fastest(read_all, 3), "reading its features")
