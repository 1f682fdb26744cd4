"""mmsdk's objects, by what they look like, as a folder of files."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from mosei_align.compat_mmsdk import as_folder, compare, read_sequences
from mosei_align.sources.csd import CsdFile
from mosei_schemas.errors import InputError


def sequence(name: str, data: dict[str, Any], **metadata: Any) -> SimpleNamespace:
    """What mmsdk's `computational_sequence` looks like."""
    return SimpleNamespace(data=data, metadata={"root name": name, **metadata}, root_name=name, rootName=name)


def entry(rows: int = 3, width: int = 2) -> dict[str, Any]:
    starts = np.arange(rows, dtype=np.float64)
    return {"features": np.ones((rows, width), np.float32), "intervals": np.stack([starts, starts + 1], axis=1)}


def test_a_dataset_in_memory_and_in_a_file(csd, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"a": csd.rows(4, 3), "a[0]": csd.rows(0, 3)})
    with h5py.File(path) as file:
        dataset = SimpleNamespace(
            computational_sequences={
                "mine": sequence("COVAREP", dict(file["COVAREP/data"])),
                "glove_vectors": sequence("glove_vectors", {"a[0]": entry(), "a[1]": entry(1)}, uuid="7", md5=None),
            }
        )
        with as_folder(dataset) as folder:
            files = sorted(folder.iterdir())
            assert [path.name for path in files] == ["00_mine.csd", "01_glove_vectors.csd"]
            found = read_sequences(files)
            assert compare({"COVAREP": found["COVAREP"]}, read_sequences([path])) == []
            assert list(found["glove_vectors"]) == ["a[0]", "a[1]"]
            with CsdFile(files[0]) as written:
                index = written.index()
            assert (index.root, index.declared) == ("mine", "COVAREP")
            with CsdFile(files[1]) as written:
                assert written.index().metadata["uuid"] == "7"
    assert not folder.exists()


def test_one_sequence_a_list_and_a_mapping() -> None:
    one, other = sequence("words", {"a": entry()}), sequence("COVAREP", {"a": entry()})
    for given, names in ((one, ["words"]), ([one, other], ["COVAREP", "words"]), ({"w": one}, ["words"])):
        with as_folder(given) as folder:
            assert sorted(read_sequences(folder)) == names


def test_words_kept_as_objects_and_arrays_that_are_not_there() -> None:
    data = {
        "a": {"features": np.array([["so"], [b"sp"]], object), "intervals": np.zeros((2, 2))},
        "b": {"intervals": np.zeros((2, 2))},
        "c": {"features": np.empty((0, 1), object), "intervals": np.zeros((0, 2))},
    }
    with as_folder(sequence("words", data)) as folder, CsdFile(next(folder.iterdir())) as file:
        index = file.index()
        assert index.entries["b"][0].features is None
        assert file.read_rows(index.entries["a"][0], "features").tolist() == [[b"so"], [b"sp"]]
        assert index.is_text


def closed(tmp_path: Path) -> dict[str, Any]:
    with h5py.File(tmp_path / "closed.csd", "w") as file:
        group = file.create_group("a")
        group["features"] = np.ones((1, 1))
        found: dict[str, Any] = {"a": {"features": group["features"], "intervals": np.zeros((1, 2))}}
        return found


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (3, "of type int"),
        ([], "no sequence"),
        ({"a": "b"}, "a: no sequence of mmsdk, but of type str"),
        ([sequence("x", {}), sequence("x", {})], "two sequences have this name"),
        (sequence("x/y", {}), "a slash"),
        ({"": sequence("x", {})}, "must not be empty"),
        (SimpleNamespace(data={}, metadata={}), "of type SimpleNamespace"),
        (sequence("x", {"a": {"features": np.array([[{}]], object)}}), "a: x: its arrays cannot be written"),
        (sequence("x", {"a": 3}), "a: x: its arrays cannot be written"),
        (sequence("x", {"": entry()}), "x: the id is empty"),
    ],
)
def test_what_is_no_dataset_is_one_line(given: object, told: str, one_line) -> None:
    def call() -> None:
        with as_folder(given):
            pytest.fail("accepted")

    assert told in one_line(call, InputError)


def test_arrays_of_a_closed_file_are_one_line(tmp_path: Path, one_line) -> None:
    given = sequence("x", closed(tmp_path))

    def call() -> None:
        with as_folder(given):
            pytest.fail("accepted")

    assert "a file that is still open" in one_line(call, InputError)


def test_metadata_that_json_cannot_hold_are_kept_as_text() -> None:
    given = sequence("x", {"a": entry()}, creator={1, 2}, **{"a/b": 1})
    with as_folder(given) as folder, CsdFile(next(folder.iterdir())) as file:
        assert file.index().metadata["creator"] == "{1, 2}"


def test_an_error_inside_the_block_goes_through_and_the_folder_goes_too() -> None:
    with pytest.raises(KeyError), as_folder(sequence("x", {"a": entry()})) as folder:
        raise KeyError
    assert not folder.exists()
