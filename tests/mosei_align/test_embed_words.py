"""Words and a table of vectors become a sequence of vectors with the words' own ids and times."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mosei_align.build import build
from mosei_align.embed import EmbedResult, embed
from mosei_align.sources.csd import CsdFile
from mosei_schemas.errors import ConfigError, InputError, OutputError
from mosei_schemas.manifest import BuildSettings

OneLine = Callable[..., str]
TABLE = "hello 1 2\nsp 9 9\nworld 3 4\nHello 5 6\nnaïve 7 8\n"


@pytest.fixture
def words(csd: Any, tmp_path: Path) -> Path:
    return csd.write(
        tmp_path / "words.csd",
        "words",
        {
            "v": csd.words("hello", "sp", "WORLD", "xyzzy", "Hello"),
            "w": csd.words("xyzzy", "plugh", "sp", "naïve", step_s=0.3),
        },
        {"root name": '"words"', "dataset name": '"CMU-MOSEI"'},
    )


def run(
    tmp_path: Path, words: Path, table: str = TABLE, **options: Any
) -> tuple[EmbedResult, dict[str, np.ndarray[Any, Any]]]:
    """Embed; and the features of every id in the new file."""
    (tmp_path / "table.txt").write_text(table, encoding="utf-8")
    out = tmp_path / "vectors.csd"
    result = embed(words, tmp_path / "table.txt", out, **options)
    with h5py.File(out) as file:
        data = file[options.get("root", "glove_vectors")]["data"]
        return result, {key: group["features"][()] for key, group in data.items()}


def test_every_word_gets_its_vector_and_every_pause_zeros(words: Path, tmp_path: Path) -> None:
    result, features = run(tmp_path, words)
    nan = [np.nan, np.nan]
    assert np.array_equal(features["v"], np.array([[1, 2], [0, 0], [3, 4], nan, [5, 6]]), equal_nan=True)
    assert np.array_equal(features["w"], np.array([nan, nan, [0, 0], [7, 8]]), equal_nan=True)
    assert features["v"].dtype == np.float32
    assert (result.videos, result.words, result.pauses, result.width) == (2, 7, 2, 2)
    assert result.vocabulary == 6
    assert result.unknown == [("xyzzy", 2), ("plugh", 1)]
    assert (result.skipped, result.rows_dropped) == ({}, 0)


def test_unknown_words_can_be_zeros(words: Path, tmp_path: Path) -> None:
    result, features = run(tmp_path, words, unknown="zero")
    assert not features["v"][3].any()
    assert not features["w"][:3].any()
    assert result.unknown == [("xyzzy", 2), ("plugh", 1)]


def test_the_table_has_no_say_in_what_a_pause_is(words: Path, tmp_path: Path) -> None:
    _, features = run(tmp_path, words, pause_token="hello")
    assert features["v"][0].tolist() == [0, 0]
    assert features["v"][1].tolist() == [9, 9]


def test_the_spelling_as_it_stands_comes_before_lower_case(words: Path, tmp_path: Path) -> None:
    _, features = run(tmp_path, words)
    assert features["v"][4].tolist() == [5, 6]
    _, features = run(tmp_path, words, "hello 1 2\n", overwrite=True)
    assert features["v"][4].tolist() == [1, 2]


def test_unknown_words_come_most_frequent_first_then_by_spelling(csd: Any, tmp_path: Path) -> None:
    tokens = [*"ccbbbaadz", "known"]
    path = csd.write(tmp_path / "words.csd", "words", {"v": csd.words(*tokens)})
    result, _ = run(tmp_path, path, "known 1\n")
    assert result.unknown == [("b", 3), ("a", 2), ("c", 2), ("d", 1), ("z", 1)]
    assert dict(result.unknown) == {k: n for k, n in Counter(tokens).items() if k != "known"}


def test_ids_and_times_are_those_of_the_words(csd: Any, words: Path, tmp_path: Path) -> None:
    run(tmp_path, words)
    with CsdFile(words) as one, CsdFile(tmp_path / "vectors.csd") as other:
        assert list(one.index().entries) == list(other.index().entries)
        assert other.index().metadata["dataset name"] == "CMU-MOSEI"
        assert other.index().declared == "glove_vectors"
        assert other.index().metadata["dimension names"] == '["v0", "v1"]'
    for video in ("v", "w"):
        before, after = csd.read(words, video), csd.read(tmp_path / "vectors.csd", video)
        assert after.start_s.tolist() == before.start_s.tolist()
        assert after.end_s.tolist() == before.end_s.tolist()


def test_copies_are_joined_unsorted_rows_sorted_and_unusable_ones_dropped(csd: Any, tmp_path: Path) -> None:
    tokens = np.array([[b"world"], [b"hello"], [b"hello"]])
    times = [[4, 5], [2, 3], [np.nan, 3]]
    path = csd.write(tmp_path / "words.csd", "words", {"v": (tokens, times), "v[0]": csd.words("sp")})
    result, features = run(tmp_path, path)
    assert features.keys() == {"v"}
    assert features["v"].tolist() == [[0, 0], [1, 2], [3, 4]]
    assert (result.rows_dropped, result.words, result.pauses) == (1, 2, 1)


def test_videos_that_cannot_be_read_are_skipped_and_named(csd: Any, tmp_path: Path) -> None:
    entries = {
        "v": csd.words("hello"),
        "short": (np.array([[b"hello"], [b"hello"]]), [[0, 1]]),
        "half": (None, [[0, 1]]),
        "none": (np.empty((0, 1), "S1"), np.empty((0, 2))),
        "w": csd.words("hello"),
    }
    result, features = run(tmp_path, csd.write(tmp_path / "words.csd", "words", entries))
    assert features.keys() == {"v", "w"}
    assert result.videos == 2
    assert result.skipped == {"half": "no 'features'", "none": "no rows", "short": "2 feature rows, 1 intervals"}


def test_a_build_finds_the_new_sequence(csd: Any, words: Path, tmp_path: Path) -> None:
    run(tmp_path, words)
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 2.5)), "w": csd.labels((0, 0.6))})
    for name in ("words.csd", "vectors.csd"):
        (tmp_path / name).rename(folder / name)
    result = build(folder, tmp_path / "out", BuildSettings(policy="masked"), jobs=1)
    assert result.manifest.modalities["text"].dim == 2
    assert (result.manifest.counts.kept, result.manifest.counts.dropped) == (1, 1)
    assert result.manifest.counts.steps_kept == 4


def test_equal_inputs_give_equal_bytes(words: Path, tmp_path: Path) -> None:
    run(tmp_path, words)
    first = (tmp_path / "vectors.csd").read_bytes()
    run(tmp_path, words, overwrite=True)
    assert (tmp_path / "vectors.csd").read_bytes() == first


def test_progress_counts_the_videos(words: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    run(tmp_path, words, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 2), (2, 2)]


def test_an_existing_output_is_kept_unless_asked(words: Path, tmp_path: Path, one_line: OneLine) -> None:
    (tmp_path / "vectors.csd").write_text("precious")
    text = one_line(lambda: run(tmp_path, words), OutputError)
    assert "vectors.csd: exists; replace it with --overwrite" in text
    assert (tmp_path / "vectors.csd").read_text() == "precious"
    result, _ = run(tmp_path, words, overwrite=True)
    assert result.videos == 2


def test_wrong_inputs_are_one_line_and_leave_nothing(csd: Any, words: Path, tmp_path: Path, one_line: OneLine) -> None:
    numbers = csd.write(tmp_path / "n.csd", "COVAREP", {"v": csd.rows(2, 2)})
    assert "its features are numbers, not words" in one_line(lambda: run(tmp_path, numbers), InputError)
    assert "holds none of the 6 words of words.csd" in one_line(lambda: run(tmp_path, words, "tisch 1 2\n"), InputError)
    assert "line 2 has 2 fields" in one_line(lambda: run(tmp_path, words, "hello 1 2\na 1\n"), InputError)
    assert "--unknown: 'mean' is not possible" in one_line(lambda: run(tmp_path, words, unknown="mean"), ConfigError)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["n.csd", "table.txt", "words.csd"]


def test_the_output_must_be_a_csd_file(words: Path, tmp_path: Path, one_line: OneLine) -> None:
    (tmp_path / "t.txt").write_text(TABLE)
    text = one_line(lambda: embed(words, tmp_path / "t.txt", tmp_path / "vectors.h5"), OutputError)
    assert "vectors.h5: the name must end in .csd" in text


def test_an_unwritable_output_is_one_line(words: Path, tmp_path: Path, one_line: OneLine) -> None:
    (tmp_path / "t.txt").write_text(TABLE)
    text = one_line(lambda: embed(words, tmp_path / "t.txt", tmp_path / "t.txt" / "x.csd"), OutputError)
    assert "cannot be written" in text


def test_an_error_while_writing_leaves_the_old_file(words: Path, tmp_path: Path) -> None:
    (tmp_path / "vectors.csd").write_text("precious")

    def stop(done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, words, overwrite=True, progress=stop)
    assert (tmp_path / "vectors.csd").read_text() == "precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["table.txt", "vectors.csd", "words.csd"]


def test_a_wrong_root_names_the_output_and_not_a_temporary_file(words: Path, tmp_path: Path, one_line: OneLine) -> None:
    text = one_line(lambda: run(tmp_path, words, root="a/b"), OutputError)
    assert "the root name is empty or has a slash in it" in text
    assert ".part" not in text


def test_words_of_pauses_only_need_no_word_of_the_table(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "words.csd", "words", {"v": csd.words("sp", "sp")})
    result, features = run(tmp_path, path)
    assert not features["v"].any()
    assert (result.words, result.pauses, result.vocabulary) == (0, 2, 0)
