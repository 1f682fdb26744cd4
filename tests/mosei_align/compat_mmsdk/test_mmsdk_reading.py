"""Files as mmsdk reads them, and refused where it refuses or crashes."""

from pathlib import Path

import numpy as np
import pytest

from mosei_align.compat_mmsdk import RecipeFiles, align, read_sequences
from mosei_align.sources.csd import CsdFile
from mosei_schemas.errors import InputError


def recipe_files(folder: Path) -> RecipeFiles:
    indexes = []
    for role in ("text", "audio", "video", "labels"):
        with CsdFile(folder / f"{role}.csd") as file:
            indexes.append(file.index())
    return RecipeFiles(*indexes)


def plan(folder: Path) -> None:
    with recipe_files(folder) as files:
        files.plan()


@pytest.fixture
def corpus(csd, tmp_path):
    """Writes a corpus of the videos a, b and c; what is named is exchanged."""

    def write(**changed):
        sequences = {role: {video: csd.rows(4, 2) for video in "abc"} for role in ("text", "audio", "video", "labels")}
        for role, entries in changed.items():
            sequences[role] |= entries
        return csd.corpus(tmp_path / "csd", **sequences)

    return write


def test_keys_come_in_the_order_of_their_bytes_and_types_as_stored(csd, tmp_path: Path) -> None:
    features, intervals = csd.rows(2, 3)
    keys = ["b", "a[2]", "a[10]", "a", "a!", "é", "B"]
    kinds = [np.float64, np.float32, np.float16, np.int32, np.float64, np.float32, ">f4"]
    path = csd.write(
        tmp_path / "x.csd",
        "group",
        {key: (features.astype(kind), intervals.astype(np.float32)) for key, kind in zip(keys, kinds, strict=True)},
        {"root name": '"COVAREP"'},
    )
    (name, entries), *others = read_sequences([path]).items()
    assert (name, others) == ("COVAREP", [])
    assert list(entries) == ["B", "a", "a!", "a[10]", "a[2]", "b", "é"]
    for key, kind in zip(keys, kinds, strict=True):
        assert entries[key].features.dtype == np.dtype(kind).newbyteorder("=")
        assert entries[key].intervals.dtype == np.float32
        assert entries[key].features.tolist() == features.tolist()


def test_a_folder_is_read_by_file_name_and_a_mapping_by_its_names(csd, tmp_path: Path) -> None:
    folder = csd.corpus(tmp_path, video={"a": csd.rows(1, 1)}, audio={"a": csd.rows(1, 1)})
    assert list(read_sequences(folder)) == ["COVAREP", "FACET 4.2"]
    named = read_sequences({"v": folder / "video.csd", "a": folder / "audio.csd"})
    assert list(named) == ["v", "a"]


def test_two_files_of_one_name_are_refused(csd, tmp_path: Path, one_line) -> None:
    for name in ("one", "two"):
        csd.write(tmp_path / f"{name}.csd", "COVAREP", {"a": csd.rows(1, 1)})
    assert "two.csd: COVAREP" in one_line(lambda: read_sequences(tmp_path), InputError)


REFUSED = {
    "missing_features": "no 'features'",
    "missing_intervals": "no 'intervals'",
    "one_dim_features": "'features' have shape",
    "truncated_features": "feature rows",
    "truncated_intervals": "feature rows",
}


@pytest.mark.real
@pytest.mark.parametrize("fatal", REFUSED)
def test_what_stops_mmsdk_is_one_line_with_file_and_id(golden_input: Path, one_line, fatal: str) -> None:
    text = one_line(lambda: read_sequences([golden_input / "fatal" / f"{fatal}.csd"]), InputError)
    assert f"{fatal}.csd: Rz1IjkPTK-I: " in text
    assert REFUSED[fatal] in text
    assert "policy" in text


@pytest.mark.real
def test_another_width_is_aligned_as_mmsdk_does_but_refused_by_the_recipe(golden, one_line) -> None:
    path = golden.input / "fatal" / "other_width.csd"
    streams = {**golden.three, **read_sequences([path])}
    aligned = align(streams, "glove_vectors").sequences["FACET 4.2"]
    assert {entry.features.shape[1] for entry in aligned.values()} == {30, 35}
    indexes = []
    for source in ("glove_vectors", "COVAREP", "fatal/other_width", "labels"):
        with CsdFile(golden.input / f"{source}.csd") as file:
            indexes.append(file.index())
    with RecipeFiles(*indexes) as files:
        assert "other_width.csd: Rz1IjkPTK-I: 30 columns, other videos have 35" in one_line(files.plan, InputError)


def test_the_recipe_finds_all_trouble_before_it_begins(csd, corpus, one_line) -> None:
    features, intervals = csd.rows(4, 2)
    for role, entry, told in (
        ("audio", {"b": (None, intervals)}, "audio.csd: b: mmsdk crashes when it aligns: no 'features'"),
        ("labels", {"b": (features, None)}, "labels.csd: b: mmsdk crashes when it aligns: no 'intervals'"),
        ("video", {"b": (features[:3], intervals)}, "video.csd: b: mmsdk refuses the file: 3 feature rows"),
        ("audio", {"b": (features[:, :1], intervals)}, "audio.csd: b: 1 columns, other videos have 2"),
        ("text", {"b[0]": (features, intervals)}, "text.csd: b[0]: glove_vectors: mmsdk crashes"),
        ("labels", {"b[0]": (features, intervals)}, "labels.csd: b[0]: All Labels: mmsdk crashes"),
        ("audio", {"b": (features[:, :, None], intervals)}, "audio.csd: b: mmsdk refuses the file: 'features' have"),
        ("audio", {"b": (features, intervals[:, :1])}, "audio.csd: b: mmsdk refuses the file: 'intervals' have"),
    ):
        folder = corpus(**{role: entry})
        assert told in one_line(lambda folder=folder: plan(folder), InputError)


def test_what_mmsdk_deletes_anyway_is_not_looked_at(csd, tmp_path: Path) -> None:
    features, intervals = csd.rows(4, 2)
    whole = (features, intervals)
    folder = csd.corpus(
        tmp_path / "csd",
        text={"a": whole, "b": (None, intervals), "b[1]": (features, None)},
        audio={"a": whole},
        video={"a": whole, "b": (features, None)},
        labels={"a": whole, "b": (features, None)},
    )
    with recipe_files(folder) as files:
        purge = files.plan()
        made = {video: files.video(video, purge) for video in files.videos}
    assert list(made) == ["a", "b"]
    assert len(made["a"].unified["COVAREP"]) == 4
    assert tuple(made["b"].losses[0]) == (
        "B1_words_average",
        "glove_vectors",
        "b[0]",
        "video: id absent from COVAREP",
    )


def test_a_slash_nests_groups_in_which_mmsdk_finds_nothing(csd, tmp_path: Path, one_line) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"2011/05": csd.rows(1, 1)})
    assert "x.csd: 2011: mmsdk crashes when it aligns" in one_line(lambda: read_sequences([path]), InputError)


def test_widths_that_differ_within_a_video_are_mmsdks_crash(csd, corpus, one_line) -> None:
    folder = corpus(audio={"b[0]": csd.rows(4, 3)})
    sequences = read_sequences(folder)
    assert "b: COVAREP: the video's entries do not fit" in one_line(lambda: align(sequences, "glove_vectors"))


def test_three_sequences_cannot_share_a_name(csd, tmp_path: Path, one_line) -> None:
    for role in ("text", "audio", "video", "labels"):
        csd.write(tmp_path / f"{role}.csd", "same", {"a": csd.rows(1, 1)})
    assert "the sequence is also in text.csd" in one_line(lambda: recipe_files(tmp_path), InputError)
