"""The `.csd` writer: layout, metadata, defects on request, and the same bytes every time."""

import json
import time

import h5py
import numpy as np
import pytest

from mosei_align.sources.csd_writer import CsdWriter
from mosei_schemas.errors import OutputError


def write(path, compression=None):
    rng = np.random.default_rng(0)
    with CsdWriter(path, "FACET 4.2", metadata={"creator": "Zoë"}, compression=compression) as writer:
        for k in range(20):
            n = int(rng.integers(0, 40))
            writer.add(f"v{k}", rng.normal(size=(n, 3)).astype(np.float32), rng.normal(size=(n, 2)))
    return path


def test_the_layout_and_the_metadata(tmp_path):
    with h5py.File(write(tmp_path / "x.csd")) as file:
        assert list(file) == ["FACET 4.2"]
        assert not file.attrs
        data, metadata = file["FACET 4.2"]["data"], file["FACET 4.2"]["metadata"]
        assert len(data) == 20
        assert data["v1"]["features"].shape == (len(data["v1"]["intervals"]), 3)
        assert data["v1"]["features"].chunks is None
        told = {key: json.loads(item[0]) for key, item in metadata.items()}
        assert tuple(h5py.check_string_dtype(metadata["creator"].dtype)) == ("utf-8", None)
    assert told["root name"] == "FACET 4.2"
    assert told["creator"] == "Zoë"
    assert told["dimension names"] == ["d0", "d1", "d2"]


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_equal_inputs_give_equal_bytes(tmp_path, compression):
    first = write(tmp_path / "a.csd", compression)
    # HDF5 stores times in whole seconds, if it does.
    time.sleep(1.1)
    assert first.read_bytes() == write(tmp_path / "b.csd", compression).read_bytes()


def test_gzip_is_as_mmsdk_writes_it(tmp_path):
    with h5py.File(write(tmp_path / "x.csd", "gzip")) as file:
        features = file["FACET 4.2"]["data"]["v1"]["features"]
        assert (features.compression, features.compression_opts) == ("gzip", 9)


def test_text_arrays_missing_ones_and_ones_that_disagree(tmp_path):
    with CsdWriter(tmp_path / "x.csd", "words") as writer:
        writer.add("text", np.array([["naïve"], ["a"]]), np.zeros((2, 2)))
        writer.add("bytes", np.array([[b"longer"], [b"sp"]]), np.zeros((2, 2)))
        writer.add("bytes[0]", np.array([[b"sp"]]), np.zeros((5, 2)))
        writer.add("no features", None, np.zeros((1, 2)))
        writer.add("no intervals", np.empty((0, 1), "S1"), None)
    with h5py.File(tmp_path / "x.csd") as file:
        data = file["words"]["data"]
        assert data["text"]["features"][0, 0] == "naïve".encode()
        assert data["bytes"]["features"].dtype == "S6"
        assert data["bytes[0]"]["intervals"].shape == (5, 2)
        assert list(data["no features"]) == ["intervals"]
        assert list(data["no intervals"]) == ["features"]


def test_an_id_is_written_once(tmp_path):
    with CsdWriter(tmp_path / "x.csd", "words") as writer:
        writer.add("v", None, None)
        with pytest.raises(OutputError, match=r"x\.csd: v: .*already in the file"):
            writer.add("v", None, None)


def test_nothing_remains_of_a_file_that_was_not_finished(tmp_path):
    writer = CsdWriter(tmp_path / "x.csd", "words")
    with pytest.raises(OutputError), writer:
        writer.add("", None, None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("root", ["", "a/b"])
def test_a_root_must_be_one_group(tmp_path, root):
    with pytest.raises(OutputError, match="choose another root name"):
        CsdWriter(tmp_path / "x.csd", root)


def test_an_error_leaves_the_old_file(tmp_path):
    before = write(tmp_path / "x.csd").read_bytes()
    with pytest.raises(KeyboardInterrupt), CsdWriter(tmp_path / "x.csd", "other"):
        raise KeyboardInterrupt
    assert (tmp_path / "x.csd").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "x.csd").mkdir()
    with pytest.raises(OutputError, match=r"x\.csd: cannot be written"), CsdWriter(tmp_path / "x.csd", "words"):
        pass
