"""Helpers of the mosei_align tests: tiny `.csd` files, folders of them, and the real data where it is."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest

from mosei_align.sources.csd import CsdFile
from mosei_align.sources.sequence import VideoSequence, read_sequence
from mosei_align.synthetic import Recipe, write_corpus
from mosei_schemas.errors import MoseiError

Array = npt.NDArray[Any]
Entries = Mapping[str, tuple[Any, Any]]

ROOTS = {"text": "glove_vectors", "audio": "COVAREP", "video": "FACET 4.2", "labels": "All Labels", "words": "words"}


class Csd:
    """Writes tiny `.csd` files with h5py and nothing of the project."""

    @staticmethod
    def write(
        path: Path, root: str, entries: Entries, metadata: Mapping[str, str] | None = None, **options: Any
    ) -> Path:
        """One file. Entries are key -> (features, intervals), None for an array that is not there.

        Metadata values are stored as they stand; None writes no metadata group. `options` go to `create_dataset`.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(path, "w") as file:
            data = file.create_group(f"{root}/data")
            for key, arrays in entries.items():
                group = data.create_group(key)
                for name, values in zip(("features", "intervals"), arrays, strict=True):
                    if values is not None:
                        group.create_dataset(name, data=values, **(options if np.size(values) else {}))
            if metadata is not None:
                told = file.create_group(f"{root}/metadata")
                for key, text in metadata.items():
                    told.create_dataset(key, data=[text], dtype=h5py.string_dtype("utf-8"))
        return path

    @staticmethod
    def corpus(folder: Path, **sequences: Entries) -> Path:
        """A folder with `text.csd`, `audio.csd`, ... under the official roots."""
        folder.mkdir(parents=True, exist_ok=True)
        for role, entries in sequences.items():
            Csd.write(folder / f"{role}.csd", ROOTS[role], entries)
        return folder

    @staticmethod
    def rows(count: int, width: int, step_s: float = 0.5, first_s: float = 0.0) -> tuple[Array, Array]:
        """`count` rows of `width` distinct numbers that are never zero, one after the other in time."""
        starts = first_s + step_s * np.arange(count)
        features = 1 + np.arange(count * width, dtype=np.float32).reshape(count, width)
        return features, np.stack([starts, starts + step_s], axis=1)

    @staticmethod
    def labels(*spans: tuple[float, float], width: int = 7) -> tuple[Array, Array]:
        """One label row a span; row k has the sentiment k % 3 - 1 and as its emotion the one of number k % 6."""
        values = np.zeros((len(spans), width), np.float32)
        for k in range(len(spans)):
            values[k, 0] = k % 3 - 1
            if width == 7:
                values[k, 1 + k % 6] = 1
        return values, np.array(spans, np.float64).reshape(-1, 2)

    @staticmethod
    def words(*tokens: str, step_s: float = 0.5, first_s: float = 0.0) -> tuple[Array, Array]:
        """Words one after the other in time."""
        starts = first_s + step_s * np.arange(len(tokens))
        return np.array([[t.encode()] for t in tokens]), np.stack([starts, starts + step_s], axis=1)

    @staticmethod
    def read(path: Path, video: str = "v") -> VideoSequence:
        """One video of a file, through the project."""
        with CsdFile(path) as file:
            return read_sequence(file, file.index(), video)


@pytest.fixture(scope="session")
def csd() -> type[Csd]:
    """See `Csd`."""
    return Csd


@pytest.fixture(scope="session")
def snapshot() -> Callable[[Path], dict[str, bytes]]:
    """A folder's files, hidden ones too: relative path -> content."""

    def take(folder: Path) -> dict[str, bytes]:
        return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}

    return take


@pytest.fixture(scope="session")
def content(snapshot: Callable[[Path], dict[str, bytes]]) -> Callable[[Path], dict[str, bytes]]:
    """What of a dataset must not differ from run to run: all but `build.json`, which must be there."""

    def take(folder: Path) -> dict[str, bytes]:
        files = snapshot(folder)
        del files["build.json"]
        return files

    return take


@pytest.fixture(scope="session")
def one_line() -> Callable[..., str]:
    """Call something that must raise one of the project's errors, and return its one line."""

    def call(work: Callable[[], object], kind: type[MoseiError] = MoseiError) -> str:
        with pytest.raises(kind) as caught:
            work()
        text = str(caught.value)
        assert text.isprintable()
        assert text
        return text

    return call


SMALL_RECIPE = {
    "mean_segments": 3.0,
    "median_segment_s": 4.0,
    "mean_gap_s": 2.0,
    "text_width": 8,
    "audio_width": 9,
    "video_width": 8,
    "audio_rate_hz": 50.0,
}


@pytest.fixture(scope="session")
def defective_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic corpus with at least one defect of every kind."""
    folder = tmp_path_factory.mktemp("defective") / "csd"
    write_corpus(folder, Recipe(videos=26, seed=3, **SMALL_RECIPE))
    return folder


@pytest.fixture(scope="session")
def clean_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic corpus without defects."""
    folder = tmp_path_factory.mktemp("clean") / "csd"
    write_corpus(folder, Recipe(videos=8, seed=4, clean=True, **SMALL_RECIPE))
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with the real files; skips where there is none."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "real"
    folder = Path(os.environ.get("MOSEI_REAL_DATA") or beside)
    if not folder.is_dir():
        pytest.skip("no real data here (MOSEI_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def golden_input(real_data: Path) -> Path:
    """The input of the golden data that mmsdk was run on; skips where there is none."""
    folder = real_data.parent / "golden" / "mmsdk" / "input"
    if not folder.is_dir():
        pytest.skip("no golden data beside the real data")
    return folder
