"""A whole build on a real dask cluster, one of whose workers is killed on the way."""

import os
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from mosei_align.build import build
from mosei_align.engines.cluster import cluster_engine
from mosei_align.engines.cluster_settings import DaskSettings
from mosei_align.synthetic.corpus import write_corpus
from mosei_align.synthetic.recipe import Recipe
from mosei_schemas.manifest import BuildSettings

pytest.importorskip("distributed")
SETTINGS = BuildSettings(policy="masked", videos_per_shard=1)


def workers_of(process: psutil.Process) -> list[psutil.Process]:
    """The processes that do the work: those with the most memory among all below this one."""
    found = [child for child in process.children(recursive=True) if child.is_running()]
    return sorted(found, key=lambda child: child.memory_info().rss, reverse=True)[:2]


def contents(dataset: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(dataset)): path.read_bytes()
        for path in sorted(dataset.rglob("*"))
        if path.is_file() and path.name != "build.json"
    }


def test_a_build_that_loses_a_worker_is_complete_and_the_same_to_the_byte(tmp_path: Path) -> None:
    write_corpus(tmp_path / "csd", Recipe(videos=16, seed=2, text_width=16, audio_width=12, video_width=8))
    plain = build(tmp_path / "csd", tmp_path / "plain", SETTINGS, jobs=1)
    killed: list[int] = []

    def kill_one(done: int, _total: int) -> None:
        if done >= 3 and not killed:
            victim = workers_of(psutil.Process())[0]
            killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)

    result = build(
        tmp_path / "csd",
        tmp_path / "cluster",
        SETTINGS,
        engine=cluster_engine(DaskSettings(workers=2), [tmp_path]),
        progress=kill_one,
    )
    assert killed
    assert result.run.engine == "dask"
    assert result.manifest == plain.manifest
    assert contents(tmp_path / "cluster") == contents(tmp_path / "plain")
    left: list[Any] = [path.name for path in tmp_path.iterdir()]
    assert sorted(left) == ["cluster", "csd", "plain"]
