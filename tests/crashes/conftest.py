"""A small corpus of several shards, and what undisturbed commands make of it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from crashing import Content, Runner, content

from mosei_align.synthetic.corpus import write_corpus
from mosei_align.synthetic.recipe import Recipe


@pytest.fixture(scope="session")
def run() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three shards of 32 videos."""
    folder = tmp_path_factory.mktemp("crashes") / "csd"
    write_corpus(folder, Recipe(videos=100, seed=3, mean_segments=2, mean_gap_s=2, text_width=8, audio_width=8))
    return folder


@pytest.fixture
def place(tmp_path: Path, corpus: Path) -> Path:
    """A folder to work in, with the corpus in it under names of its own."""
    folder = tmp_path / "place"
    (folder / "csd").mkdir(parents=True)
    for path in corpus.iterdir():
        os.link(path, folder / "csd" / path.name)
    return folder


@pytest.fixture(scope="session")
def built(run: Runner, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Undisturbed datasets by policy; the masked one has a split."""
    found = {}
    for policy in ("strict", "masked"):
        folder = tmp_path_factory.mktemp(policy)
        shutil.copytree(corpus, folder / "csd")
        assert run(folder, "build", "--policy", policy, "--jobs", "1", "--videos-per-shard", "32").code == 0
        found[policy] = folder / "parquet"
    assert run(folder, "split", "--speaker-disjoint").code == 0
    return found


@pytest.fixture(scope="session")
def wholes(built: dict[str, Path]) -> dict[str, Content]:
    """The contents of these, and of the split."""
    everything = content(built["masked"])
    split = {name.removeprefix("splits/speaker-disjoint/"): b for name, b in everything.items() if "splits" in name}
    masked = {name: data for name, data in everything.items() if "splits" not in name}
    return {"strict": content(built["strict"]), "masked": masked, "split": split}
