"""Tables of word vectors: what is read, and what is refused with its line."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mosei_align.sources.vectors import WordVectors, read_vectors
from mosei_schemas.errors import InputError

OneLine = Callable[..., str]


def read(tmp_path: Path, content: str | bytes, *wanted: str) -> WordVectors:
    (tmp_path / "t.txt").write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_vectors(tmp_path / "t.txt", set(wanted))


def test_only_wanted_words_are_kept_and_all_are_counted(tmp_path: Path) -> None:
    table = read(tmp_path, "a 1 2.5\nb -3 4e-1\nc 5 6\n", "b", "zz")
    assert (table.width, table.table_words, table.duplicates) == (2, 3, 0)
    assert list(table.vectors) == ["b"]
    assert table.vectors["b"].dtype == np.float32
    assert table.vectors["b"].tolist() == [-3, np.float32(0.4)]


def test_a_header_line_is_skipped(tmp_path: Path) -> None:
    table = read(tmp_path, "2 3\na 1 2 3\nb 4 5 6\n", "a", "2")
    assert (table.width, table.table_words, list(table.vectors)) == (3, 2, ["a"])


def test_two_numbers_on_a_later_line_are_a_word(tmp_path: Path) -> None:
    assert read(tmp_path, "a 1\n7 8\n", "7").vectors["7"].tolist() == [8]


def test_words_may_hold_spaces_and_odd_blanks(tmp_path: Path) -> None:
    table = read(tmp_path, "a 1 2\n. . . 3 4\nat\u00a0x 5 6\n\u0085 7 8\n", ". . .", "at\u00a0x", "\u0085")
    assert {word: v.tolist() for word, v in table.vectors.items()} == {
        ". . .": [3, 4],
        "at\u00a0x": [5, 6],
        "\u0085": [7, 8],
    }


def test_the_first_of_two_lines_for_a_word_counts(tmp_path: Path) -> None:
    table = read(tmp_path, "a 1\nb 2\na 3\nb 4\na 5\n", "a")
    assert table.vectors["a"].tolist() == [1]
    assert (table.duplicates, table.table_words) == (2, 5)


@pytest.mark.parametrize("ending", ["", "\n", "\r\n", " \n"])
def test_line_endings(tmp_path: Path, ending: str) -> None:
    assert read(tmp_path, f"a 1 2{ending}", "a").vectors["a"].tolist() == [1, 2]


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    table = read(tmp_path, gzip.compress(b"a 1 2\nb 3 4\n"), "b")
    assert table.vectors["b"].tolist() == [3, 4]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("a 1 2\nb 1\n", "line 2 has 2 fields, not a word and 2 numbers"),
        ("a 1 2\nc 1 2\n\n", "line 3 has 1 fields, not a word and 2 numbers"),
        ("a\n", "line 1 has 1 fields"),
        ("a 1 2\nb 1 x\n", "line 2 has a field that is no number"),
        ("a 1 2\nb  1\n", "line 2 has a field that is no number"),
        ("3 2\na 1 2\nb 1 nan\n", "line 3 has a NaN or an infinity"),
        ("a 1 2\nb inf 1\n", "line 2 has a NaN or an infinity"),
        ("", "holds no vectors"),
        ("2 300\n", "holds no vectors"),
        (b"a 1 2\nb \xff\xfe 2\n", "is damaged: not text in UTF-8, or cut short"),
        (b"\x1f\x8bnot gzip", "cannot be read"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_the_line(
    tmp_path: Path, one_line: OneLine, content: str | bytes, told: str
) -> None:
    text = one_line(lambda: read(tmp_path, content, "a", "b", "b "), InputError)
    assert "t.txt" in text
    assert told in text


def test_a_wrong_number_in_a_word_nobody_wants_costs_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "a 1 2\nb x y\nc nan 1\n", "a").table_words == 3


def test_a_number_too_large_for_float32(tmp_path: Path, one_line: OneLine) -> None:
    assert "line 1 has a NaN or an infinity" in one_line(lambda: read(tmp_path, "a 1e39\n", "a"), InputError)


@pytest.mark.parametrize("keep", [0.1, 0.5, 0.95])
def test_a_gzip_file_cut_short(tmp_path: Path, one_line: OneLine, keep: float) -> None:
    rng = np.random.default_rng(0)
    lines = "".join(f"w{k} {rng.normal()} {rng.normal()}\n" for k in range(3000))
    packed = gzip.compress(lines.encode())
    text = one_line(lambda: read(tmp_path, packed[: int(len(packed) * keep)], "w1"), InputError)
    assert "cut short" in text


def test_a_gzip_file_with_a_flipped_byte(tmp_path: Path, one_line: OneLine) -> None:
    packed = bytearray(gzip.compress("".join(f"w{k} {k}\n" for k in range(3000)).encode()))
    packed[-6] ^= 0xFF
    assert "t.txt" in one_line(lambda: read(tmp_path, bytes(packed), "w1"), InputError)


def test_a_missing_table(tmp_path: Path, one_line: OneLine) -> None:
    text = one_line(lambda: read_vectors(tmp_path / "none.txt", set()), InputError)
    assert "none.txt: cannot be read (No such file or directory)" in text


def test_a_first_word_with_a_space_under_a_header(tmp_path: Path) -> None:
    assert read(tmp_path, "2 2\nat the 1 2\nb 3 4\n", "at the").vectors["at the"].tolist() == [1, 2]
