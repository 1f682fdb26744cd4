"""A folder of files sorted into roles, from defaults, TOML and `--root`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mosei_align.sources.corpus import csd_files, open_corpus, read_map
from mosei_align.sources.modalities import DEFAULT_ROOTS, ROLES, SourceSettings, load_settings, parse_roots
from mosei_schemas.errors import ConfigError, InputError
from mosei_schemas.labels import MOSEI_LABELS

OneLine = Callable[..., str]


def settings_of(tmp_path: Path, toml: str) -> SourceSettings:
    (tmp_path / "roots.toml").write_text(toml)
    return load_settings(tmp_path / "roots.toml")


def test_the_official_names_fill_the_roles_in_order(csd: Any, tmp_path: Path) -> None:
    rows = {"v": csd.rows(2, 3)}
    folder = csd.corpus(
        tmp_path / "csd",
        video=rows,
        audio=rows,
        text=rows,
        labels={"v": csd.labels((0, 1))},
        words={"v": csd.words("a")},
    )
    corpus = open_corpus(folder, SourceSettings())
    assert list(corpus.modalities) == ["text", "audio", "video"]
    assert corpus.labels.path.name == "labels.csd"
    assert corpus.sequences["words"].is_text
    assert corpus.ignored == ()
    assert corpus.label_columns == MOSEI_LABELS


@pytest.mark.parametrize("name", ["facet_42", "FACET-4.2", "Facet 4.2", "cmu_mosei_visualfacet42"])
def test_case_and_punctuation_do_not_matter(csd: Any, tmp_path: Path, name: str) -> None:
    csd.write(tmp_path / "x.csd", name, {"v": csd.rows(2, 3)})
    csd.write(tmp_path / "l.csd", "all_labels", {"v": csd.labels((0, 1))})
    assert open_corpus(tmp_path, SourceSettings()).sequences["video"].root == name


def test_the_declared_name_counts_as_well_as_the_group(csd: Any, tmp_path: Path) -> None:
    csd.write(tmp_path / "a.csd", "nonsense", {"v": csd.rows(2, 3)}, {"root name": '"COVAREP"'})
    csd.write(tmp_path / "b.csd", "FACET 4.2", {"v": csd.rows(2, 3)}, {"root name": "asdf"})
    csd.write(tmp_path / "l.csd", "x", {"v": csd.labels((0, 1))}, {"root name": '"All Labels"'})
    sequences = open_corpus(tmp_path, SourceSettings()).sequences
    assert sequences["audio"].path.name == "a.csd"
    assert sequences["video"].path.name == "b.csd"


def test_no_default_name_fits_two_roles() -> None:
    defaults = SourceSettings()
    for role, names in DEFAULT_ROOTS.items():
        for name in names:
            assert [other for other in ROLES if defaults.matches(other, name)] == [role]


def test_what_fills_no_role_is_listed(csd: Any, tmp_path: Path) -> None:
    folder = csd.corpus(tmp_path, labels={"v": csd.labels((0, 1))}, audio={"v": csd.rows(1, 1)})
    csd.write(folder / "z.csd", "Mystery", {"v": csd.rows(1, 1)})
    assert [index.declared for index in open_corpus(folder, SourceSettings()).ignored] == ["Mystery"]


def test_hidden_files_and_others_are_left_alone(csd: Any, tmp_path: Path) -> None:
    csd.write(tmp_path / "b.csd", "COVAREP", {"v": csd.rows(1, 1)})
    csd.write(tmp_path / "a.csd", "FACET 4.2", {"v": csd.rows(1, 1)})
    (tmp_path / ".c.csd").write_text("partial download")
    (tmp_path / "d.csd.part").write_text("partial download")
    (tmp_path / "notes.txt").write_text("")
    assert [path.name for path in csd_files(tmp_path)] == ["a.csd", "b.csd"]


def test_a_folder_that_is_missing_a_file_or_empty(tmp_path: Path, one_line: OneLine) -> None:
    assert "none: no such folder" in one_line(lambda: csd_files(tmp_path / "none"), InputError)
    (tmp_path / "file").write_text("")
    assert "file: no such folder" in one_line(lambda: csd_files(tmp_path / "file"), InputError)
    (tmp_path / "empty").mkdir()
    assert "no .csd file in this folder" in one_line(lambda: csd_files(tmp_path / "empty"), InputError)


def test_two_files_with_one_root_name_both(csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    csd.write(tmp_path / "a.csd", "COVAREP", {"v": csd.rows(1, 1)})
    csd.write(tmp_path / "b.csd", "COVAREP", {"w": csd.rows(1, 1)})
    text = one_line(lambda: open_corpus(tmp_path, SourceSettings()), InputError)
    assert "b.csd: the root 'COVAREP' is also in a.csd" in text


def test_two_files_with_one_declared_name(csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    csd.write(tmp_path / "a.csd", "one", {"v": csd.rows(1, 1)}, {"root name": '"COVAREP"'})
    csd.write(tmp_path / "b.csd", "two", {"v": csd.rows(1, 1)}, {"root name": '"COVAREP"'})
    assert "also in a.csd" in one_line(lambda: open_corpus(tmp_path, SourceSettings()), InputError)


def test_two_candidates_for_one_role(csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    csd.write(tmp_path / "a.csd", "OpenFace_2", {"v": csd.rows(1, 1)})
    csd.write(tmp_path / "b.csd", "FACET 4.2", {"v": csd.rows(1, 1)})
    csd.write(tmp_path / "l.csd", "All Labels", {"v": csd.labels((0, 1))})
    text = one_line(lambda: open_corpus(tmp_path, SourceSettings()), InputError)
    assert "two sequences can be the video: 'OpenFace_2' and 'FACET 4.2'" in text
    assert "--root video=NAME" in text
    chosen = open_corpus(tmp_path, load_settings(None, {"video": "OpenFace_2"}))
    assert chosen.sequences["video"].path.name == "a.csd"
    assert [index.path.name for index in chosen.ignored] == ["b.csd"]


def test_words_cannot_be_the_text_nor_vectors_the_words(csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    csd.write(tmp_path / "a.csd", "glove_vectors", {"v": csd.words("a")})
    text = one_line(lambda: open_corpus(tmp_path, SourceSettings()), InputError)
    assert "a.csd: glove_vectors: cannot be the text: its features are words, not numbers" in text
    assert "mosei-align embed" in text
    csd.write(tmp_path / "a.csd", "words", {"v": csd.rows(1, 3)})
    text = one_line(lambda: open_corpus(tmp_path, SourceSettings()), InputError)
    assert "cannot be the words: its features are numbers, not words" in text


def test_no_labels(csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    csd.write(tmp_path / "a.csd", "COVAREP", {"v": csd.rows(1, 1)})
    assert "no label sequence among 'COVAREP'" in one_line(lambda: open_corpus(tmp_path, SourceSettings()), InputError)


def test_labels_without_a_row(csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    csd.corpus(tmp_path, labels={}, audio={"v": csd.rows(1, 1)})
    assert "not one labelled segment" in one_line(lambda: open_corpus(tmp_path, SourceSettings()), InputError)


def test_labels_of_empty_arrays_only(csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    csd.corpus(tmp_path, labels={"v": csd.labels()}, audio={"v": csd.rows(1, 1)})
    assert "not one labelled segment" in one_line(lambda: open_corpus(tmp_path, SourceSettings()), InputError)


MIXED = ("sad", "sentiment", "fear", "happy", "anger", "surprise", "disgust")


@pytest.mark.parametrize(
    ("width", "told", "columns"),
    [
        (7, None, MOSEI_LABELS),
        (7, '["sad", "sentiment", "fear", "happy", "anger", "surprise", "disgust"]', MIXED),
        (7, '[" Sad", "SENTIMENT ", "fear", "happy", "anger", "surprise", "disgust"]', MIXED),
        (7, '["d0", "d1", "d2", "d3", "d4", "d5", "d6"]', MOSEI_LABELS),
        (7, '["sentiment", "happy", "sad", "anger", "surprise", "disgust", "disgust"]', MOSEI_LABELS),
        (7, "asdf", MOSEI_LABELS),
        (7, "[" * 3000, MOSEI_LABELS),
        (7, "[1, 2, 3, 4, 5, 6, 7]", MOSEI_LABELS),
        (1, None, ("sentiment",)),
        (1, '["sentiment score"]', ("sentiment",)),
        (1, '["arousal"]', ("arousal",)),
        (1, '["a", "b"]', ("sentiment",)),
        (3, None, ("label_0", "label_1", "label_2")),
        (3, '["x", "y", "z"]', ("x", "y", "z")),
        (3, '["x", "y", "y"]', ("label_0", "label_1", "label_2")),
        (3, '["x", "y", "z\\u001b"]', ("label_0", "label_1", "label_2")),
    ],
)
def test_label_columns_from_metadata_or_by_number(
    csd: Any, tmp_path: Path, width: int, told: str | None, columns: tuple[str, ...]
) -> None:
    metadata = None if told is None else {"dimension names": told}
    csd.write(tmp_path / "l.csd", "All Labels", {"v": csd.labels((0, 1), width=width)}, metadata)
    assert open_corpus(tmp_path, SourceSettings()).label_columns == columns


def test_configured_label_columns_win(csd: Any, tmp_path: Path, one_line: OneLine) -> None:
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 1), width=2)})
    roots = 'roots = ["All Labels"]'
    settings = settings_of(tmp_path, f'[labels]\n{roots}\ncolumns = ["valence", "arousal"]')
    assert open_corpus(folder, settings).label_columns == ("valence", "arousal")
    for columns in ('["valence"]', '["a", "b", "c"]', '["a", "a"]', "[]"):
        wrong = settings_of(tmp_path, f"[labels]\n{roots}\ncolumns = {columns}")
        text = one_line(lambda wrong=wrong: open_corpus(folder, wrong), InputError)
        assert "label columns configured, the file has 2" in text
        assert "labels.csd" in text


def test_a_toml_file_replaces_single_roles(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, '[video]\nroots = ["MyFace"]')
    assert settings.video.roots == ("MyFace",)
    assert settings.audio.roots == DEFAULT_ROOTS["audio"]
    assert settings.matches("video", "my-face")
    assert not settings.matches("video", "FACET 4.2")


def test_roots_on_the_command_line_win_over_the_toml_file(tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_text('[video]\nroots = ["A"]\n[audio]\nroots = ["B"]')
    settings = load_settings(tmp_path / "r.toml", {"video": "C"})
    assert (settings.video.roots, settings.audio.roots) == (("C",), ("B",))


def test_an_empty_root_leaves_a_modality_out(csd: Any, tmp_path: Path) -> None:
    rows = {"v": csd.rows(1, 1)}
    csd.corpus(tmp_path, labels={"v": csd.labels((0, 1))}, audio=rows, video=rows)
    corpus = open_corpus(tmp_path, load_settings(None, parse_roots(["video="])))
    assert list(corpus.modalities) == ["audio"]


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('[vidoe]\nroots = ["A"]', "vidoe"),
        ('[video]\nroot = ["A"]', "video.root"),
        ("[video]", "video.roots"),
        ('[video]\nroots = "A"', "video.roots"),
        ("[video]\nroots = [1]", "video.roots.0"),
        ('video = "A"', "video"),
        ('[audio]\nroots = ["A"]\ncolumns = ["a"]', "audio.columns"),
        ("[video\n", "not valid TOML"),
        ("\udcff", "not valid TOML"),
    ],
)
def test_a_wrong_toml_file_is_one_line_that_names_the_key(
    tmp_path: Path, one_line: OneLine, toml: str, told: str
) -> None:
    (tmp_path / "r.toml").write_text(toml, errors="surrogateescape")
    text = one_line(lambda: load_settings(tmp_path / "r.toml"), ConfigError)
    assert "r.toml" in text
    assert told in text


def test_a_missing_toml_file(tmp_path: Path, one_line: OneLine) -> None:
    text = one_line(lambda: load_settings(tmp_path / "none.toml"), ConfigError)
    assert "none.toml: cannot be read (No such file or directory)" in text


def test_parsing_root_options(one_line: OneLine) -> None:
    assert parse_roots(None) == parse_roots([]) == {}
    assert parse_roots(["video=OpenFace_2", " audio = COVAREP ", "text="]) == {
        "video": "OpenFace_2",
        "audio": "COVAREP",
        "text": "",
    }
    assert parse_roots(["video=a=b"]) == {"video": "a=b"}
    assert "--root: 'video' is not ROLE=NAME" in one_line(lambda: parse_roots(["video"]), ConfigError)
    assert "smell: no such role" in one_line(lambda: load_settings(None, parse_roots(["smell=x"])), ConfigError)


def test_a_map_with_and_without_a_header(tmp_path: Path) -> None:
    for header in ("", "video_id,speaker_id\n", "Video,who\n", " ID ,x\n", "\ufeffvideo_id,speaker\n"):
        (tmp_path / "s.csv").write_text(f'{header}v1, anna \n\n"v,2",bob\r\nv1,anna\n', encoding="utf-8")
        assert read_map(tmp_path / "s.csv", "speaker") == {"v1": "anna", "v,2": "bob"}
    (tmp_path / "s.csv").write_text("")
    assert read_map(tmp_path / "s.csv", "speaker") == {}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"v1,a\nv2\n", "line 2 is not 'video id,speaker'"),
        (b"v1,a\nv2,b,c\n", "line 2 is not"),
        (b"v1,a\nv2,\n", "line 2 is not"),
        (b",a\n", "line 1 is not"),
        (b"v1,a\nv1,b\n", "v1: line 2 gives the video a second speaker"),
        (b"v1,a\nvideo_id,speaker\nvideo_id,other\n", "video_id: line 3"),
        (b"\xff\xfe\x00", "not a CSV file in UTF-8"),
        (b'v1,"' + b"x" * 200_000, "not a CSV file in UTF-8"),
    ],
)
def test_a_wrong_map_is_one_line_that_names_the_line(
    tmp_path: Path, one_line: OneLine, content: bytes, told: str
) -> None:
    (tmp_path / "s.csv").write_bytes(content)
    text = one_line(lambda: read_map(tmp_path / "s.csv", "speaker"), InputError)
    assert "s.csv" in text
    assert told in text


def test_a_missing_map(tmp_path: Path, one_line: OneLine) -> None:
    assert "cannot be read (No such file" in one_line(lambda: read_map(tmp_path / "none.csv", "group"), InputError)
    assert "cannot be read (Is a directory)" in one_line(lambda: read_map(tmp_path, "group"), InputError)


def test_index_types_survive(csd: Any, tmp_path: Path) -> None:
    csd.corpus(tmp_path, labels={"v": csd.labels((0, 1))}, text={"v": (np.ones((1, 4)), [[0, 1]])})
    corpus = open_corpus(tmp_path, SourceSettings())
    assert corpus.modalities["text"].width == 4
    assert corpus.folder == tmp_path
