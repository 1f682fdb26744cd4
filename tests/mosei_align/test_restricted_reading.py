"""Reading some rows of a sequence, past HDF5 where that can be: the same values as reading all and choosing."""

import math
import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mosei_align.build import build
from mosei_align.intervals import Spans
from mosei_align.sources.csd import CsdFile
from mosei_align.sources.sequence import open_stream, read_first_rows, read_sequence
from mosei_schemas.errors import InputError
from mosei_schemas.manifest import BuildSettings
from mosei_schemas.names import State

NAN, INF = math.nan, math.inf
LAYOUTS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "chunked": {"chunks": (1, 1)},
    "gzip": {"compression": "gzip", "compression_opts": 9, "chunks": True},
    "shuffled": {"compression": "gzip", "shuffle": True, "fletcher32": True, "chunks": True},
}
PLAIN = ["<f4", ">f4", "<f8", ">f8"]
KINDS = [*PLAIN, "<i4", ">i2", "|u1", "<f2"]


def runs_of(rows: list[int]) -> list[tuple[int, int]]:
    """Runs (first, last + 1) of ascending numbers, one after the other."""
    found: list[tuple[int, int]] = []
    for row in rows:
        if found and found[-1][1] == row:
            found[-1] = (found[-1][0], row + 1)
        else:
            found.append((row, row + 1))
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", KINDS)
def test_runs_of_rows_are_those_of_a_slice(csd: Any, tmp_path: Path, kind: str, layout: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.integers(0, 99, (40, 3)).astype(kind)
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": (values, csd.rows(40, 1)[1])}, **LAYOUTS[layout])
    with CsdFile(path) as file:
        (entry,) = file.index().entries["v"]
        assert (entry.features.offset is not None) == (kind in PLAIN and layout == "contiguous")
        for chosen in ([], [0], [39], [0, 1, 2], [3, 7, 8, 20, 39], list(range(40)), list(range(1, 40, 2))):
            read = file.read_rows(entry, "features", runs_of(chosen))
            assert read.dtype.isnative
            assert read.shape == (len(chosen), 3)
            assert np.array_equal(read, values[chosen])
        assert np.array_equal(file.read_rows(entry, "features"), values)
        assert np.array_equal(file.read_rows(entry, "intervals", [(2, 4)]), csd.rows(40, 1)[1][2:4])


def test_rows_of_words_are_those_of_a_slice(csd: Any, tmp_path: Path) -> None:
    tokens = [b"a", b"", b"extraordinary", "é".encode(), b"sp"]
    for number, (words, options) in enumerate(
        [
            (np.array([[t] for t in tokens], "S17"), {}),
            (np.array([[t] for t in tokens], "S17"), {"compression": "gzip", "chunks": True}),
        ]
    ):
        path = csd.write(tmp_path / f"{number}.csd", "words", {"v": (words, csd.rows(5, 1)[1])}, **options)
        with CsdFile(path) as file:
            (entry,) = file.index().entries["v"]
            assert file.read_rows(entry, "features", [(1, 3), (4, 5)])[:, 0].tolist() == [b"", tokens[2], b"sp"]
            assert file.read_rows(entry, "features")[:, 0].tolist() == tokens


@pytest.mark.parametrize("pad", [h5py.h5t.STR_NULLPAD, h5py.h5t.STR_NULLTERM, h5py.h5t.STR_SPACEPAD])
def test_words_read_alike_however_hdf5_pads_them(csd: Any, tmp_path: Path, pad: int) -> None:
    path = csd.write(tmp_path / "x.csd", "words", {"v": (None, csd.rows(2, 1)[1])})
    with h5py.File(path, "r+") as file:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(6)
        kind.set_strpad(pad)
        space = h5py.h5s.create_simple((2, 1))
        array = h5py.h5d.create(file["words/data/v"].id, b"features", kind, space)
        array.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([[b"hello"], [b"you"]], "S6"))
    assert csd.read(path).tokens() == ["hello", "you"]


times = st.sampled_from([*(k / 4 for k in range(9)), NAN, INF])
rows = st.tuples(times, times).map(lambda pair: pair if any(map(math.isnan, pair)) else (min(pair), max(pair)))


@st.composite
def messy_video(draw: st.DrawFn) -> list[list[tuple[float, float]]]:
    """Times of one to three entries: unsorted, nested, repeated, NaN, of no length."""
    return draw(st.lists(st.lists(rows, max_size=7), min_size=1, max_size=3))


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    video=messy_video(),
    asked=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=4),
    layout=st.sampled_from(list(LAYOUTS)),
    kind=st.sampled_from(KINDS),
)
def test_rows_that_touch_a_span_are_those_of_the_whole(
    csd: Any,
    tmp_path_factory: pytest.TempPathFactory,
    video: list[list[tuple[float, float]]],
    asked: list[tuple[int, int]],
    layout: str,
    kind: str,
) -> None:
    entries, number = {"other": csd.rows(3, 2)}, 0
    for k, spans in enumerate(video):
        values = np.array([[number + n, 100 + n] for n in range(len(spans))]).reshape(-1, 2).astype(kind)
        number += len(spans)
        entries["v" if k == 0 else f"v[{k}]"] = (values, np.array(spans, "<f4").reshape(-1, 2))
    path = csd.write(tmp_path_factory.mktemp("x") / "x.csd", "COVAREP", entries, **LAYOUTS[layout])
    starts = np.array([min(pair) / 4 for pair in asked], float)
    ends = np.array([max(pair) / 4 for pair in asked], float)
    with CsdFile(path) as file:
        index = file.index()
        stream = open_stream(file, index, "v")
        whole, some = read_sequence(file, index, "v"), stream.times.runs(Spans.covering(starts, ends))
        asked_rows = stream.rows_of(some) if stream.state is State.OK else None
        features = np.empty((len(some), 2), np.float32)
        parts = [np.empty((1, 2), np.float32) for _ in range(len(some))]
        if asked_rows is not None:
            asked_rows.into(0, features)
            for number, part in enumerate(parts):
                asked_rows.into(number, part)
    assert (stream.state, stream.rows, stream.rows_dropped) == (whole.state, whole.rows, whole.rows_dropped)
    wide = [(a, max(b, math.nextafter(a, INF))) for a, b in zip(starts, ends, strict=True)]
    expected = [
        row
        for row, (a, b) in enumerate(zip(whole.start_s, whole.end_s, strict=True))
        if any(a < d and c < max(b, math.nextafter(a, INF)) for c, d in wide)
    ]
    if whole.state is not State.OK:
        assert len(some) == 0
        return
    assert asked_rows is not None
    assert len(asked_rows) == len(expected)
    assert some.numbers().tolist() == expected
    assert features.tolist() == whole.features[expected].tolist()
    assert [part[0].tolist() for part in parts] == features.tolist()
    assert some.places(np.array(expected, int)).tolist() == list(range(len(expected)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_first_rows_are_those_of_the_videos_own_entry_whatever_their_times(
    csd: Any, tmp_path: Path, layout: str
) -> None:
    features, intervals = csd.rows(8, 2)
    intervals[0], intervals[1] = (NAN, NAN), (9, 3)
    entries = {"v": (features, intervals), "v[0]": csd.rows(4, 2), "w[0]": csd.rows(4, 2)}
    path = csd.write(tmp_path / "x.csd", "COVAREP", entries, **LAYOUTS[layout])
    with CsdFile(path) as file:
        index = file.index()
        for count in (1, 5, 8, 50):
            found = read_first_rows(file, index, "v", count)
            assert (found.state, found.rows, len(found)) == (State.OK, 8, min(count, 8))
            assert found.features.tolist() == features[:count].tolist()
            assert np.array_equal(np.stack([found.start_s, found.end_s], 1), intervals[:count], equal_nan=True)
        assert read_first_rows(file, index, "w", 5).state is State.ID_MISSING
        assert read_first_rows(file, index, "nobody", 5).state is State.ID_MISSING


def test_only_what_a_span_touches_is_read(csd: Any, tmp_path: Path) -> None:
    """Rows outside may be unreadable: nobody notices."""
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": csd.rows(400, 2)}, chunks=(100, 2), compression="gzip")
    with h5py.File(path) as file:
        place = file["COVAREP/data/v/features"].id.get_chunk_info(2)
    raw = bytearray(path.read_bytes())
    raw[place.byte_offset : place.byte_offset + place.size] = bytes(place.size)
    path.write_bytes(raw)
    with CsdFile(path) as file:
        stream = open_stream(file, file.index(), "v")
        for end, message in ((50.0, None), (150.0, "filter")):
            runs = stream.times.runs(Spans.covering(np.array([0.0]), np.array([end])))
            rows = np.empty((len(runs), 2), np.float32)
            with pytest.raises(OSError, match=message) if message else nullcontext():
                stream.rows_of(runs).into(0, rows)
        assert stream.read().state is State.BAD_ARRAY


def test_a_file_that_shrinks_while_it_is_open_is_an_error(csd: Any, tmp_path: Path) -> None:
    """It was whole when it was indexed, so no segment is to blame."""
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": csd.rows(5000, 4), "w": csd.rows(5000, 4)})
    with CsdFile(path) as file:
        index = file.index()
        last = max("vw", key=lambda video: index.entries[video][0].features.offset)
        stream = open_stream(file, index, last)
        os.truncate(path, index.entries[last][0].features.offset + 16)
        with pytest.raises(InputError, match=r"x\.csd: was cut short while it was read"):
            stream.read()


def layout_message(path: Path, name: str) -> int:
    """Where the file says at which offset the array `v/name` lies; its size follows."""
    with h5py.File(path) as file:
        array = file[f"COVAREP/data/v/{name}"].id
        told = array.get_offset().to_bytes(8, "little") + array.get_storage_size().to_bytes(8, "little")
    raw = path.read_bytes()
    assert raw.count(told) == 1
    return raw.index(told)


@pytest.mark.parametrize("name", ["features", "intervals"])
@pytest.mark.parametrize("kind", ["<f4", "<i4"])
@pytest.mark.parametrize("offset", ["end", "beyond", "far"])
def test_an_array_that_ends_behind_the_file_is_refused(
    csd: Any, tmp_path: Path, name: str, kind: str, offset: str
) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {v: (np.ones((4, 2), kind), csd.rows(4, 1)[1]) for v in ("v", "w")})
    at, raw = layout_message(path, name), bytearray(path.read_bytes())
    place = {"end": len(raw) - 4, "beyond": len(raw) + 4096, "far": 2**62}[offset]
    raw[at : at + 8] = place.to_bytes(8, "little")
    path.write_bytes(raw)
    # Some versions of HDF5 notice it when the file is indexed.
    outcome = ""
    try:
        outcome = csd.read(path).state
    except InputError as error:
        outcome = error.problem
    assert outcome in (State.BAD_ARRAY, "its HDF5 structure is damaged")


def test_arrays_of_nothing_at_all(csd: Any, tmp_path: Path) -> None:
    path = csd.write(tmp_path / "x.csd", "COVAREP", {"v": (None, csd.rows(4, 1)[1]), "w": csd.rows(4, 2)}, {"a": "b"})
    with h5py.File(path, "r+") as file:
        file["COVAREP/data/v"].create_dataset("features", data=h5py.Empty("f4"))
        file["COVAREP/metadata"].create_dataset("empty", data=h5py.Empty(h5py.string_dtype()))
    found = csd.read(path)
    assert (found.state, found.detail) == (State.BAD_ARRAY, "'features' holds nothing at all")
    assert csd.read(path, "w").state is State.OK


Content = Callable[[Path], dict[str, bytes]]


def rewritten(source: Path, folder: Path, dtypes: dict[str, str], **options: Any) -> Path:
    """The same corpus in other bytes: chunked, packed, of another byte order."""
    folder.mkdir()
    for path in source.iterdir():
        if path.suffix != ".csd":
            shutil.copy(path, folder)
            continue
        with h5py.File(path) as old, h5py.File(folder / path.name, "w") as new:

            def copy(name: str, item: Any, new: h5py.File = new) -> None:
                if isinstance(item, h5py.Group):
                    new.require_group(name)
                    return
                array = "/data/" in name
                kind = dtypes.get(item.dtype.str, item.dtype) if array else item.dtype
                packed = options if array and item.size else {}
                new.create_dataset(name, data=item[()] if not array else item[()].astype(kind), dtype=kind, **packed)

            old.visititems(copy)
    return folder


SETTINGS = [
    BuildSettings(policy="masked", videos_per_shard=7),
    BuildSettings(policy="strict", videos_per_shard=7, steps="frames", frames_of="video"),
    BuildSettings(policy="paper", nonfinite="zero", steps="rows", first_rows=50, videos_per_shard=7),
]


@pytest.mark.parametrize("chosen", SETTINGS, ids=lambda s: f"{s.policy}-{s.steps}")
def test_packed_files_give_the_same_dataset(
    defective_corpus: Path, tmp_path: Path, content: Content, chosen: BuildSettings
) -> None:
    packed = rewritten(defective_corpus, tmp_path / "csd", {}, compression="gzip", compression_opts=1, chunks=True)
    ours = content(build(defective_corpus, tmp_path / "a", chosen, jobs=1).out)
    theirs = content(build(packed, tmp_path / "b", chosen, jobs=1).out)
    # The manifest tells the size of the files.
    assert ours.pop("manifest.json") != theirs.pop("manifest.json")
    assert ours == theirs


@pytest.mark.parametrize("dtypes", [{"<f4": ">f4", "<f8": ">f8"}, {"<f4": "<f8", "<f8": ">f8"}])
def test_another_byte_order_and_wider_floats_give_the_same_segments(
    defective_corpus: Path, tmp_path: Path, content: Content, dtypes: dict[str, str]
) -> None:
    other = rewritten(defective_corpus, tmp_path / "csd", dtypes)
    ours = content(build(defective_corpus, tmp_path / "a", SETTINGS[0], jobs=1).out)
    theirs = content(build(other, tmp_path / "b", SETTINGS[0], jobs=1).out)
    assert {name for name in ours if ours[name] != theirs[name]} == {"manifest.json"}
