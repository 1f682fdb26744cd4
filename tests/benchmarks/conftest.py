"""Corpora for the benchmarks: small ones made on the way, or those of full size that the environment names.

MOSEI_BENCH_CORPUS: a folder made by `mosei-align sample --scale mosei`; MOSEI_BENCH_GZIP_CORPUS: one with `--gzip`.
"""

import os
from pathlib import Path

import pytest

from mosei_align.synthetic.corpus import write_corpus
from mosei_align.synthetic.recipe import Recipe


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus: the one that MOSEI_BENCH_CORPUS names, or 120 videos."""
    if given := os.environ.get("MOSEI_BENCH_CORPUS"):
        return Path(given)
    folder = tmp_path_factory.mktemp("bench") / "csd"
    write_corpus(folder, Recipe(videos=120, seed=1))
    return folder


@pytest.fixture(scope="session")
def gzip_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus chunked and compressed as mmsdk writes: the one that MOSEI_BENCH_GZIP_CORPUS names, or 60 videos."""
    if given := os.environ.get("MOSEI_BENCH_GZIP_CORPUS"):
        return Path(given)
    folder = tmp_path_factory.mktemp("bench") / "gzip"
    write_corpus(folder, Recipe(videos=60, seed=1), gzip=True)
    return folder
