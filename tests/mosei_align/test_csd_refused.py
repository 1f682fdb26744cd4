"""What a file could do to its reader is refused in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mosei_align.build import build
from mosei_align.sources.csd import CsdFile
from mosei_align.sources.sequence import read_sequence
from mosei_schemas.errors import InputError
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import Reason, State

OneLine = Callable[..., str]


def read_all(path: Path) -> None:
    with CsdFile(path) as file:
        index = file.index()
        for video in index.entries:
            read_sequence(file, index, video)


@pytest.fixture
def path(csd: Any, tmp_path: Path) -> Path:
    return csd.write(
        tmp_path / "x.csd", "COVAREP", {"v": csd.rows(4, 2), "w": csd.rows(4, 2)}, {"root name": '"COVAREP"'}
    )


def test_no_such_file(tmp_path: Path, one_line: OneLine) -> None:
    assert "no such file" in one_line(lambda: read_all(tmp_path / "none.csd"), InputError)
    (tmp_path / "folder.csd").mkdir()
    assert "no such file" in one_line(lambda: read_all(tmp_path / "folder.csd"), InputError)


@pytest.mark.parametrize("content", [b"", b"hello", b"<html>404</html>" * 100, bytes(4096)])
def test_not_hdf5(tmp_path: Path, one_line: OneLine, content: bytes) -> None:
    (tmp_path / "x.csd").write_bytes(content)
    text = one_line(lambda: read_all(tmp_path / "x.csd"), InputError)
    assert "x.csd: not an HDF5 file" in text
    assert "download it again" in text


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.999])
def test_a_file_cut_short(path: Path, one_line: OneLine, share: float) -> None:
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    assert "x.csd: unreadable: it is cut short" in one_line(lambda: read_all(path), InputError)


def test_no_group_with_data(tmp_path: Path, one_line: OneLine) -> None:
    with h5py.File(tmp_path / "x.csd", "w") as file:
        file.create_group("COVAREP/dat")
        file.create_dataset("data", data=[1])
    assert "no root group with a 'data' group in it" in one_line(lambda: read_all(tmp_path / "x.csd"), InputError)


def test_data_that_is_an_array(tmp_path: Path, one_line: OneLine) -> None:
    with h5py.File(tmp_path / "x.csd", "w") as file:
        file.create_dataset("COVAREP/data", data=[1])
    assert "data: is not a group" in one_line(lambda: read_all(tmp_path / "x.csd"), InputError)


@pytest.mark.parametrize("where", ["/", "COVAREP", "COVAREP/data", "COVAREP/data/v", "COVAREP/metadata"])
@pytest.mark.parametrize(
    "link", [h5py.SoftLink("/COVAREP/data/v"), h5py.SoftLink("/nowhere"), h5py.ExternalLink("other.csd", "/secret")]
)
def test_soft_and_external_links_anywhere(path: Path, one_line: OneLine, where: str, link: object) -> None:
    with h5py.File(path, "r+") as file:
        file[where]["a link"] = link
    text = one_line(lambda: read_all(path), InputError)
    assert "a link: a soft or external link, which this program refuses to follow" in text


@pytest.mark.parametrize("name", ["features", "intervals"])
def test_a_link_in_the_place_of_an_array(path: Path, one_line: OneLine, name: str) -> None:
    with h5py.File(path, "r+") as file:
        del file["COVAREP/data/v"][name]
        file["COVAREP/data/v"][name] = h5py.SoftLink(f"/COVAREP/data/w/{name}")
    assert f"{name}: a soft or external link" in one_line(lambda: read_all(path), InputError)


@pytest.mark.parametrize(
    "name", [b"..", b"a\\b", b"a\nb", b"a\x1b[2Jb", b"a\x7f", b"a\xffb", "a\u202eb".encode(), b"v\t[0]"]
)
def test_ids_that_look_like_paths_or_hold_control_characters(path: Path, one_line: OneLine, name: bytes) -> None:
    with h5py.File(path, "r+") as file:
        h5py.h5g.create(file["COVAREP/data"].id, name)
    assert "looks like a path or holds control characters" in one_line(lambda: read_all(path), InputError)


def test_dots_inside_a_nested_id(path: Path, one_line: OneLine) -> None:
    with h5py.File(path, "r+") as file:
        nested = h5py.h5g.create(file["COVAREP/data"].id, b"a")
        inner = h5py.h5g.create(nested, b"..")
        h5py.h5g.create(inner, b"features")
    assert "'a/..'" in one_line(lambda: read_all(path), InputError)


def test_a_virtual_dataset(path: Path, csd: Any) -> None:
    with h5py.File(path, "r+") as file:
        del file["COVAREP/data/v/features"]
        layout = h5py.VirtualLayout((4, 2), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (4, 2))
        file["COVAREP/data/v"].create_virtual_dataset("features", layout)
    sequence = csd.read(path)
    assert (sequence.state, sequence.detail) == (State.BAD_ARRAY, "'features' is a virtual dataset, which is refused")
    assert csd.read(path, "w").state is State.OK


def test_a_dataset_with_its_values_in_another_file(path: Path, csd: Any, tmp_path: Path) -> None:
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    with h5py.File(path, "r+") as file:
        del file["COVAREP/data/v/features"]
        file["COVAREP/data/v"].create_dataset(
            "features", (4, 2), "f4", external=[(str(tmp_path / "secret.bin"), 0, 32)]
        )
    sequence = csd.read(path)
    assert sequence.state is State.BAD_ARRAY
    assert sequence.detail == "'features' keeps its values in another file, which is refused"


@pytest.mark.parametrize("chunks", [None, (1, 2)])
@pytest.mark.parametrize("shape", [(10**12, 2), (4, 10**10), (2**40, 2**20)])
def test_absurd_shapes_are_not_believed(path: Path, csd: Any, shape: tuple[int, int], chunks: object) -> None:
    if chunks is None and shape[0] * shape[1] > 2**60:
        pytest.skip("HDF5 itself refuses")
    with h5py.File(path, "r+") as file:
        del file["COVAREP/data/v/features"]
        array = file["COVAREP/data/v"].create_dataset("features", shape, "f4", chunks=chunks)
        if chunks:
            array[0, :2] = 1.0
    sequence = csd.read(path)
    assert sequence.state is State.BAD_ARRAY
    assert "'features' claims" in sequence.detail


def test_a_well_packed_array_is_no_absurd_claim(path: Path, csd: Any) -> None:
    with h5py.File(path, "r+") as file:
        group = file["COVAREP/data"].create_group("z")
        group.create_dataset("features", data=np.ones((200_000, 2), "f4"), compression="gzip", compression_opts=9)
        group.create_dataset("intervals", data=csd.rows(200_000, 1)[1], compression="gzip")
    assert csd.read(path, "z").state is State.OK


@pytest.mark.parametrize("arrays", [{"features": (5, 7), "intervals": (2**40, 0)}, {"features": (2**40, 0)}])
def test_absurd_lengths_of_label_arrays_are_not_believed(
    csd: Any, tmp_path: Path, arrays: dict[str, tuple[int, int]]
) -> None:
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 2))}, audio={"v": csd.rows(4, 2)})
    with h5py.File(folder / "labels.csd", "r+") as file:
        group = file["All Labels/data"].create_group("w")
        for name, shape in arrays.items():
            group.create_dataset(name, shape, "f4")
    result = build(folder, tmp_path / "out", BuildSettings(policy="masked"), jobs=1)
    assert result.manifest.counts.kept == 1
    assert set(result.manifest.counts.dropped_by_reason) <= {Reason.LABEL_ARRAYS}


def test_a_group_in_the_place_of_an_array(path: Path, csd: Any) -> None:
    with h5py.File(path, "r+") as file:
        del file["COVAREP/data/v/features"]
        file.create_group("COVAREP/data/v/features")
    assert (csd.read(path).state, csd.read(path).detail) == (State.BAD_ARRAY, "'features' is a group, not an array")


@pytest.mark.parametrize(
    "values",
    [
        np.array([(1, 2.0)] * 4, [("a", "i4"), ("b", "f4")]),
        np.array([[True, False]] * 4),
        np.array([[1 + 2j, 0]] * 4),
        np.array([["a", "b"]] * 4, h5py.string_dtype()),
    ],
)
def test_types_that_no_csd_file_has_a_use_for(path: Path, csd: Any, values: np.ndarray[Any, Any]) -> None:
    with h5py.File(path, "r+") as file:
        del file["COVAREP/data/v/features"]
        file["COVAREP/data/v"].create_dataset("features", data=values)
    assert csd.read(path).state is State.BAD_ARRAY
    assert csd.read(path, "w").state is State.OK


def test_an_array_in_the_place_of_a_video_is_a_video_without_arrays(path: Path, csd: Any) -> None:
    with h5py.File(path, "r+") as file:
        file["COVAREP/data"].create_dataset("stray", data=[1])
    assert csd.read(path, "stray").state is State.MISSING_ARRAY


def test_a_damaged_chunk_costs_one_video(csd: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    entries = {name: (rng.normal(size=(500, 2)), csd.rows(500, 1)[1]) for name in ("v", "w")}
    path = csd.write(tmp_path / "x.csd", "COVAREP", entries, compression="gzip", chunks=True)
    with h5py.File(path) as file:
        place = file["COVAREP/data/v/features"].id.get_chunk_info(0)
    raw = bytearray(path.read_bytes())
    raw[place.byte_offset + 10 : place.byte_offset + 400] = bytes(390)
    path.write_bytes(raw)
    sequence = csd.read(path)
    assert sequence.state is State.BAD_ARRAY
    assert "HDF5 cannot read it" in sequence.detail
    assert csd.read(path, "w").state is State.OK


@pytest.mark.parametrize("what", [b"SNOD", b"HEAP", b"TREE", "object header", "metadata"])
def test_a_damaged_tree_is_one_line(path: Path, one_line: OneLine, what: bytes | str) -> None:
    with h5py.File(path) as file:
        header = h5py.h5o.get_info(file["COVAREP/data/v"].id).addr
    raw = bytearray(path.read_bytes())
    if what == "metadata":
        at = raw.index(b"GCOL")
    else:
        at = header if isinstance(what, str) else raw.rindex(what)
    raw[at : at + 4] = bytes(4)
    path.write_bytes(raw)
    one_line(lambda: read_all(path), InputError)


def test_a_copy_number_of_many_digits(csd: Any, tmp_path: Path) -> None:
    key = f"v[{'9' * 5000}]"
    path = csd.write(tmp_path / "x.csd", "COVAREP", {key: csd.rows(4, 2)})
    with CsdFile(path) as file:
        assert len(file.index().entries) == 1


def test_a_name_that_cannot_be_written_down(csd: Any, tmp_path: Path) -> None:
    folder = csd.corpus(tmp_path / "csd", labels={"v": csd.labels((0, 2))})
    csd.write(folder / "audio.csd", "COVAREP", {"v": csd.rows(4, 2)}, {"root name": '"\\ud800"'})
    assert build(folder, tmp_path / "out", BuildSettings(policy="masked"), jobs=1).manifest.counts.kept == 1


def test_a_group_that_holds_itself_ends(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["COVAREP/data/loop"] = file["COVAREP/data"]
    with CsdFile(path) as file:
        assert len(file.index().entries) < 30
