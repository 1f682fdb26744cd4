"""What several packages' tests share: a small synthetic corpus, the datasets built from it, the real files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from mosei_align.build import build
from mosei_align.options import build_settings
from mosei_align.sources import apart
from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_align.split import split
from mosei_align.synthetic.corpus import write_corpus
from mosei_align.synthetic.recipe import Recipe

# No test is about how long it takes.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

_ANSWERS = apart._answers
REPOSITORY = Path(__file__).resolve().parent.parent


def real_data() -> Path | None:
    """The folder of real files, or None where there is none."""
    named = os.environ.get("MOSEI_REAL_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "real"
    return folder if (folder / "README.md").is_file() else None


@pytest.fixture(scope="session", autouse=True)
def _indexing_without_a_child() -> Iterator[None]:
    """Forking takes a process of the size of the tests' longer than a small file; damaged files have it (`apart`)."""

    def answer(path: Path) -> CsdIndex | Exception:
        try:
            with CsdFile(path) as file:
                return file.index()
        except Exception as error:
            return error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "_answers", lambda paths, _at_once: [answer(path) for path in paths])
        yield


@pytest.fixture(scope="module")
def indexing_apart() -> Iterator[None]:
    """Indexing in a child, as in the programs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(apart, "_answers", _ANSWERS)
        yield


@pytest.fixture(scope="session")
def real_folder() -> Path:
    folder = real_data()
    if folder is None:
        pytest.skip("the real files are not here (MOSEI_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """36 short videos with narrow features and every defect."""
    folder = tmp_path_factory.mktemp("corpus") / "csd"
    recipe = Recipe(videos=36, seed=5, mean_segments=4, mean_gap_s=4, text_width=24, audio_width=12, video_width=8)
    write_corpus(folder, recipe)
    return folder


@pytest.fixture(scope="session")
def _built(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dataset") / "parquet"
    build(small_corpus, folder, build_settings(policy="masked"), jobs=1)
    split(folder, "speaker-disjoint", ratios=(0.6, 0.2, 0.2))
    split(folder, "random", ratios=(0.6, 0.2, 0.2))
    return folder


@pytest.fixture
def dataset(_built: Path, tmp_path: Path) -> Path:
    """A masked dataset with the splits `speaker-disjoint` and `random`; a copy, so a test may damage it."""
    folder = tmp_path / "parquet"
    shutil.copytree(_built, folder)
    return folder


@pytest.fixture(scope="session")
def shared_dataset(_built: Path) -> Path:
    """The same dataset for tests that only read."""
    return _built
