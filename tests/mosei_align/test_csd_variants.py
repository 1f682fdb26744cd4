"""Every variant of a `.csd` file that is found in the wild reads right."""

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_schemas.names import State


def index_of(path: Path) -> CsdIndex:
    with CsdFile(path) as file:
        return file.index()


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<f8", ">f8"])
def test_intervals_of_every_float_type_become_float64(csd: Any, tmp_path: Path, kind: str) -> None:
    features, intervals = csd.rows(5, 3, step_s=0.1)
    sequence = csd.read(csd.write(tmp_path / "x.csd", "COVAREP", {"v": (features, intervals.astype(kind))}))
    assert sequence.start_s.dtype == sequence.end_s.dtype == np.dtype(np.float64)
    assert sequence.start_s.tolist() == intervals.astype(kind)[:, 0].astype(float).tolist()
    assert sequence.end_s.tolist() == intervals.astype(kind)[:, 1].astype(float).tolist()


@pytest.mark.parametrize("kind", [">f4", ">f8", "<f8", "<i4", ">i4", "<i8", "<u2", "|u1", "<f2"])
def test_features_of_every_number_type_become_native_float32(csd: Any, tmp_path: Path, kind: str) -> None:
    values = np.array([[1, 2], [3, 250]]).astype(kind)
    sequence = csd.read(csd.write(tmp_path / "x.csd", "COVAREP", {"v": (values, csd.rows(2, 1)[1])}))
    assert sequence.state is State.OK
    assert sequence.features.dtype == np.dtype("=f4")
    assert sequence.features.dtype.isnative
    assert sequence.features.tolist() == [[1, 2], [3, 250]]


def test_integer_intervals_read_as_seconds(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": (np.ones((2, 1)), np.array([[0, 1], [1, 3]]))})
    assert csd.read(path).end_s.tolist() == [1.0, 3.0]


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "gzip", "compression_opts": 9, "chunks": True}, {"chunks": (2, 1), "shuffle": True}],
)
def test_every_layout_gives_the_same_values(csd: Any, tmp_path: Path, options: dict[str, Any]) -> None:
    features, intervals = csd.rows(300, 7)
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": (features, intervals)}, **options)
    sequence = csd.read(path)
    assert np.array_equal(sequence.features, features)
    assert np.array_equal(np.stack([sequence.start_s, sequence.end_s], axis=1), intervals)


def test_words_of_widths_that_vary_by_video_read_whole(csd: Any, tmp_path: Path) -> None:
    times = csd.rows(2, 1)[1]
    entries = {f"v{w}": (np.array([[b"sp"], [b"x" * w]], f"S{w}"), times) for w in range(9, 18)}
    path = csd.write(tmp_path / "x.csd", "words", entries)
    index = index_of(path)
    assert index.is_text
    assert index.width == 1
    for w in range(9, 18):
        sequence = csd.read(path, f"v{w}")
        assert sequence.features.tolist() == [b"sp", b"x" * w]


def test_words_of_two_entries_with_different_widths_are_not_cut(csd: Any, tmp_path: Path) -> None:
    path = csd.write(
        tmp_path / "x.csd", "words", {"v": csd.words("a"), "v[0]": csd.words("extraordinarily", first_s=1.0)}
    )
    assert csd.read(path).features.tolist() == [b"a", b"extraordinarily"]


def test_an_id_and_its_copies_are_one_video_in_order(csd: Any, tmp_path: Path) -> None:
    entries = {
        "v[10]": (np.full((1, 1), 4.0), np.array([[1.0, 2.0]])),
        "v[2]": (np.full((1, 1), 3.0), np.array([[1.0, 2.0]])),
        "v[0]": (np.full((1, 1), 2.0), np.array([[1.0, 2.0]])),
        "v": (np.full((1, 1), 1.0), np.array([[1.0, 2.0]])),
        "w[1]": (np.full((1, 1), 9.0), np.array([[0.0, 2.0]])),
    }
    path = csd.write(tmp_path / "x.csd", "COVAREP", entries)
    assert [entry.path for entry in index_of(path).entries["v"]] == [b"v", b"v[0]", b"v[2]", b"v[10]"]
    assert set(index_of(path).entries) == {"v", "w"}
    assert csd.read(path).features[:, 0].tolist() == [1, 2, 3, 4]
    assert csd.read(path, "w").features[:, 0].tolist() == [9]


def test_copies_are_merged_by_time(csd: Any, tmp_path: Path) -> None:
    path = csd.write(
        tmp_path / "x.csd",
        "COVAREP",
        {"v": (np.array([[1.0], [3.0]]), [[0, 1], [2, 3]]), "v[0]": (np.array([[2.0]]), [[1, 2]])},
    )
    sequence = csd.read(path)
    assert sequence.features[:, 0].tolist() == [1, 2, 3]
    assert sequence.was_unsorted
    assert sequence.rows == 3


def test_ids_are_exact_never_prefixes(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"255224": csd.rows(2, 1), "255226": csd.rows(3, 1)})
    assert csd.read(path, "25522").state is State.ID_MISSING
    assert len(csd.read(path, "255226")) == 3


def test_a_slash_in_an_id_nests_groups_and_is_read_back(csd: Any, tmp_path: Path) -> None:
    entries = {"2011/05/a": csd.rows(2, 1), "2011/05/b[0]": csd.rows(3, 1), "plain": csd.rows(4, 1)}
    path = csd.write(tmp_path / "x.csd", "COVAREP", entries)
    assert list(index_of(path).entries) == ["2011/05/a", "2011/05/b", "plain"]
    assert len(csd.read(path, "2011/05/b")) == 3


def test_an_id_may_be_the_folder_of_another(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"2011": csd.rows(2, 1), "2011/05": csd.rows(3, 1)})
    assert list(index_of(path).entries) == ["2011", "2011/05"]


def test_unicode_ids_are_kept(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"vidéo-日本_1": csd.rows(2, 1)})
    assert list(index_of(path).entries) == ["vidéo-日本_1"]
    assert len(csd.read(path, "vidéo-日本_1")) == 2


def test_empty_arrays_are_a_state_and_do_not_vote_down_a_full_one(csd: Any, tmp_path: Path) -> None:
    empty = (np.empty((0, 35), np.float32), np.empty((0, 2)))
    path = csd.write(tmp_path / "x.csd", "COVAREP", {**{f"e{k}": empty for k in range(9)}, "v": csd.rows(1, 74)})
    assert index_of(path).width == 74
    assert csd.read(path).state is State.OK
    assert csd.read(path, "e0").state is State.EMPTY


def test_no_number_of_empty_arrays_votes_down_a_full_one(csd: Any, tmp_path: Path) -> None:
    empty = (np.empty((0, 35), np.float32), np.empty((0, 2)))
    path = csd.write(tmp_path / "x.csd", "COVAREP", {**{f"e{k}": empty for k in range(1001)}, "v": csd.rows(1, 74)})
    assert index_of(path).width == 74


def test_empty_arrays_alone_tell_the_width(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"e": (np.empty((0, 35), np.float32), np.empty((0, 2)))})
    assert index_of(path).width == 35


def test_the_width_is_what_most_videos_have_and_the_smaller_of_two_ties(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "a.csd", "COVAREP", {"a": csd.rows(900, 5), "b": csd.rows(2, 4), "c": csd.rows(2, 4)})
    assert index_of(path).width == 4
    assert csd.read(path, "a").state is State.BAD_ARRAY
    assert csd.read(path, "a").detail == "5 columns, other videos have 4"
    tie = csd.write(tmp_path / "b.csd", "COVAREP", {"a": csd.rows(2, 5), "b": csd.rows(2, 4)})
    assert index_of(tie).width == 4


def test_a_video_of_words_among_numbers_is_a_bad_array(csd: Any, tmp_path: Path) -> None:
    path = csd.write(
        tmp_path / "x.csd", "COVAREP", {"a": csd.rows(2, 1), "b": csd.rows(2, 1), "v": csd.words("hello", "you")}
    )
    assert not index_of(path).is_text
    assert csd.read(path).state is State.BAD_ARRAY


def test_the_declared_name_comes_from_the_metadata(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "group", {"v": csd.rows(1, 1)}, {"root name": '"FACET 4.2"'})
    assert (index_of(path).root, index_of(path).declared) == ("group", "FACET 4.2")


@pytest.mark.parametrize(
    ("metadata", "declared"),
    [
        (None, "group"),
        ({}, "group"),
        ({"root name": ""}, "group"),
        ({"root name": '"  "'}, "group"),
        ({"root name": "not json at all"}, "not json at all"),
        ({"root name": '"spaced "'}, "spaced"),
        ({"other": "[" * 3000}, "group"),
        ({"other": "adsfasd {"}, "group"),
    ],
)
def test_metadata_that_is_missing_or_odd_costs_nothing(
    csd: Any, tmp_path: Path, metadata: dict[str, str] | None, declared: str
) -> None:
    path = csd.write(tmp_path / "x.csd", "group", {"v": csd.rows(2, 1)}, metadata)
    index = index_of(path)
    assert index.declared == declared
    assert len(csd.read(path)) == 2
    assert index.metadata == {
        key: json.loads(text) if text[:1] == '"' else text for key, text in (metadata or {}).items()
    }


def test_metadata_in_other_shapes_are_read_or_left_out(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "group", {"v": csd.rows(2, 1)}, {"kept": '"yes"'})
    with h5py.File(path, "r+") as file:
        told = file["group/metadata"]
        told.create_dataset("scalar", data="plain")
        told.create_dataset("fixed", data=np.array([b'"bytes"']))
        told.create_dataset("two", data=np.array([b"a", b"b"]))
        told.create_dataset("number", data=[3])
        told.create_dataset("broken utf-8", data=np.array([b"\xff\xfe"]))
        told.create_group("nested")
        told.create_dataset("claims much", (1,), "S900000000")
    assert index_of(path).metadata == {
        "kept": "yes",
        "scalar": "plain",
        "fixed": "bytes",
        "broken utf-8": "\ufffd\ufffd",
    }


def test_a_metadata_dataset_instead_of_a_group_is_left_alone(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "group", {"v": csd.rows(2, 1)})
    with h5py.File(path, "r+") as file:
        file["group"].create_dataset("metadata", data=[1])
    assert index_of(path).metadata == {}


def test_the_first_group_with_data_in_it_is_the_root(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "b", {"v": csd.rows(2, 1)})
    with h5py.File(path, "r+") as file:
        file.create_group("a/nothing")
        file.create_dataset("0", data=[1])
        file.create_group("c/data/w")
    assert index_of(path).root == "b"


def test_the_structure_hash_goes_by_shapes_and_types_not_by_values_or_place(csd: Any, tmp_path: Path) -> None:
    features, intervals = csd.rows(3, 2)

    def digest(name: str, key: str, f: Any, i: Any) -> str:
        return index_of(csd.write(tmp_path / name / "x.csd", "COVAREP", {key: (f, i)})).structure_sha256

    first = digest("a", "v", features, intervals)
    assert first == digest("b", "v", features * 2, intervals)
    others = [
        digest("c", "w", features, intervals),
        digest("d", "v", features[:2], intervals),
        digest("e", "v", features.astype(np.float64), intervals),
        digest("f", "v", None, intervals),
        digest("g", "v[0]", features, intervals),
    ]
    assert len({first, *others}) == 6


def test_reading_opens_nothing_for_writing(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": csd.rows(3, 2)})
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    path.chmod(0o444)
    csd.read(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before
