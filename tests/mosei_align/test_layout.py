"""Reading past HDF5 where plain arrays lie: the answer is HDF5's own, or none is given, however damaged the file is."""

import os
import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from mosei_align.sources.arrays import ArrayInfo, describe
from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_align.sources.hdf5 import hard_links, holds_just
from mosei_align.sources.layout import PlainLayout
from mosei_schemas.errors import InputError

Arrays = tuple[ArrayInfo, ArrayInfo]
Writer = Callable[[h5py.Group], object]
NAMES = (b"features", b"intervals")
TIMES = np.array([[0, 1], [1, 2], [2, 3], [3, 4.5]])
VALUES = np.arange(1, 13, dtype="f4").reshape(4, 3)


def plain(group: h5py.Group, features: Any = VALUES, intervals: Any = TIMES, **options: Any) -> None:
    group.create_dataset("features", data=features, **options)
    group.create_dataset("intervals", data=intervals, **options)


def index_or_error(path: Path) -> CsdIndex | str:
    try:
        with CsdFile(path) as file:
            return file.index()
    except InputError as error:
        return str(error)


def looked_up(layout: PlainLayout, addresses: dict[bytes, int]) -> dict[bytes, Arrays | None]:
    """What is found past HDF5 for the entries at some addresses."""
    rows, features, intervals = layout.entries(list(addresses.values()))
    found = ((features.info(row), intervals.info(row)) if row >= 0 else None for row in rows.tolist())
    return dict(zip(addresses, found, strict=True))


def answers(path: Path) -> dict[bytes, Arrays | None]:
    """What is found past HDF5 for every entry, ids without a slash only; nothing where the file rules it out."""
    with path.open("rb") as raw, h5py.File(path) as file:
        layout = PlainLayout.of(raw.fileno(), path.stat().st_size)
        data = file["COVAREP/data"]
        return looked_up(layout, dict(hard_links(data.id, path))) if layout else {}


def asked(path: Path, key: bytes) -> Arrays:
    """The same from HDF5, which may raise anything."""
    with h5py.File(path) as file:
        group = h5py.h5o.open(file["COVAREP/data"].id, key)
        assert isinstance(group, h5py.h5g.GroupID)
        assert holds_just(group, NAMES)
        features, intervals = (describe(group, name, path.stat().st_size) for name in NAMES)
        return features, intervals


def agrees(path: Path, key: bytes, found: Arrays) -> bool:
    """Whether HDF5 finds the same, dtype and all, and finds nothing wrong with it."""
    try:
        expected = asked(path, key)
    except (RuntimeError, KeyError, OSError, AssertionError):
        return False
    return repr(expected) == repr(found) and not any(info.problem for info in expected)


@contextmanager
def hdf5_alone(patch: pytest.MonkeyPatch) -> Iterator[None]:
    with patch.context() as inner:
        inner.setattr(PlainLayout, "of", lambda *_: None)
        yield


def written(path: Path, write: Writer, **options: Any) -> Path:
    with h5py.File(path, "w", **options) as file:
        write(file.create_group("COVAREP/data"))
    return path


def typed(kind: str) -> Writer:
    return lambda data: plain(data.create_group("v"), VALUES.astype(kind), TIMES.astype(kind))


def created(features: Callable[[h5py.Group], object]) -> Writer:
    """An entry with `intervals` as usual and `features` made by a function, and a plain one."""

    def write(data: h5py.Group) -> None:
        features(data.create_group("v"))
        data["v"].create_dataset("intervals", data=TIMES)
        plain(data.create_group("w"))

    return write


def string(padding: int) -> Callable[[h5py.Group], object]:
    def write(group: h5py.Group) -> None:
        kind = h5py.h5t.C_S1.copy()
        kind.set_size(6)
        kind.set_strpad(padding)
        array = h5py.h5d.create(group.id, b"features", kind, h5py.h5s.create_simple((2, 1)))
        array.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array([[b"hello"], [b"you"]], "S6"))

    return write


def floats(change: Callable[[h5py.h5t.TypeFloatID], object]) -> Callable[[h5py.Group], object]:
    """`features` of a type that differs from the usual 32-bit one in one respect."""

    def write(group: h5py.Group) -> None:
        kind = h5py.h5t.IEEE_F32LE.copy()
        change(kind)
        h5py.h5d.create(group.id, b"features", kind, h5py.h5s.create_simple((4, 3))).write(
            h5py.h5s.ALL, h5py.h5s.ALL, VALUES
        )

    return write


def compact(group: h5py.Group) -> None:
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.COMPACT)
    h5py.h5d.create(group.id, b"features", h5py.h5t.IEEE_F32LE, h5py.h5s.create_simple((4, 3)), properties)


def virtual(group: h5py.Group) -> None:
    layout = h5py.VirtualLayout((4, 2), "f4")
    layout[:] = h5py.VirtualSource("other.csd", "x", (4, 2))
    group.create_virtual_dataset("features", layout)


def described_at_length(data: h5py.Group) -> None:
    for key in "vw":
        plain(data.create_group(key))
    for k in range(40):
        data["v"].attrs[f"note {k}"] = "x" * 200
        data["w/features"].attrs[f"note {k}"] = "x" * 200


def many(data: h5py.Group) -> None:
    """Enough entries for a tree of several levels."""
    for k in range(1500):
        plain(data.create_group(f"{k * 7919 % 100_003:x}"), VALUES[: 1 + k % 4], TIMES[: 1 + k % 4])


def moved_about(data: h5py.Group) -> None:
    for key in "abcdefgh":
        plain(data.create_group(key))
    data.copy("a", "copy of a")
    data.move("b", "b, renamed with a much longer name than it had before")
    del data["c"]
    for key in ("d", "e"):
        for name in ("features", "intervals"):
            del data[key][name]
        plain(data[key], VALUES * 2)
    del data["f/features"]
    data["f/features"] = VALUES[:2]
    data.move("g/features", "g/x")
    data.move("g/x", "g/features")
    data["h/third"] = 1
    del data["h/third"]
    data["linked"] = data["a"]
    shared = data.create_group("shares an array")
    shared["features"] = data["a/features"]
    shared["intervals"] = data["b, renamed with a much longer name than it had before/intervals"]


PLAIN: dict[str, Writer] = {
    **{f"type {kind}": typed(kind) for kind in ("<f4", ">f4", "<f8", ">f8")},
    "words": lambda data: plain(data.create_group("v"), np.array([[b"a"], [b"extraordinary"]], "S17")),
    "utf-8": created(
        lambda group: group.create_dataset("features", (2, 1), h5py.string_dtype("utf-8", 9), [[b"a"]] * 2)
    ),
    "words of many lengths": lambda data: [
        plain(data.create_group(f"v{k}"), np.array([[b"a"], [b"ab"]], f"S{2 + k % 40}"), TIMES[:2]) for k in range(80)
    ],
    "ids": lambda data: [plain(data.create_group(key)) for key in ("a", "a[0]", "a[10]", "vidéo-日本_1", "x" * 400)],
    "one dimension": lambda data: plain(data.create_group("v"), VALUES[0]),
    "four dimensions": lambda data: plain(data.create_group("v"), VALUES[None, None]),
    "times of change": lambda data: plain(data.create_group("v"), track_times=True),
    "many": many,
    "moved about": moved_about,
    "nothing": lambda _: None,
}

OTHERS: dict[str, Writer] = {
    **{f"type {kind}": typed(kind) for kind in ("<i4", ">i2", "|u1", "<f2", "<c8")},
    **{f"padding {k}": created(string(k)) for k in (h5py.h5t.STR_NULLTERM, h5py.h5t.STR_SPACEPAD)},
    "bias": created(floats(lambda kind: kind.set_ebias(100))),
    "normalisation": created(floats(lambda kind: kind.set_norm(h5py.h5t.NORM_NONE))),
    "inner padding": created(floats(lambda kind: kind.set_inpad(h5py.h5t.PAD_ONE))),
    "fields": created(floats(lambda kind: kind.set_fields(31, 24, 7, 1, 22))),
    "precision": created(floats(lambda kind: (kind.set_fields(30, 23, 7, 0, 23), kind.set_precision(31)))),
    "no rows": lambda data: plain(data.create_group("v"), VALUES[:0], TIMES[:0]),
    "no words": lambda data: plain(data.create_group("v"), np.empty((0, 1), "S5"), TIMES[:0]),
    "attributes": lambda data: (plain(data.create_group("v")), data["v/features"].attrs.create("note", "short")),
    "attributes of a group": lambda data: (plain(data.create_group("v")), data["v"].attrs.create("note", "short")),
    "chunked": lambda data: plain(data.create_group("v"), chunks=(2, 1)),
    "gzip": lambda data: plain(data.create_group("v"), compression="gzip"),
    "checked": lambda data: plain(data.create_group("v"), fletcher32=True),
    "fill value": lambda data: plain(data.create_group("v"), fillvalue=3),
    "may grow": created(lambda group: group.create_dataset("features", data=VALUES, maxshape=(None, 3))),
    "text of any length": created(
        lambda group: group.create_dataset("features", data=[["a"]], dtype=h5py.string_dtype())
    ),
    "scalar": created(lambda group: group.create_dataset("features", data=1.0)),
    "five dimensions": created(lambda group: group.create_dataset("features", data=VALUES[None, None, None])),
    "nothing at all": created(lambda group: group.create_dataset("features", data=h5py.Empty("f4"))),
    "never written": created(lambda group: group.create_dataset("features", (4, 3), "f4")),
    "compact": created(compact),
    "virtual": created(virtual),
    "elsewhere": created(lambda group: group.create_dataset("features", (4, 2), "f4", external=[("other", 0, 32)])),
    "a group": created(lambda group: group.create_group("features")),
    "missing": created(lambda _: None),
    "soft link": created(lambda group: group.__setitem__("features", h5py.SoftLink("/COVAREP/data/w/features"))),
    "external link": created(lambda group: group.__setitem__("features", h5py.ExternalLink("x", "/y"))),
    "more members": created(lambda group: (group.create_dataset("features", data=VALUES), group.create_group("more"))),
    "an earlier member": created(
        lambda group: (group.create_dataset("features", data=VALUES), group.create_group("a"))
    ),
    "many members": created(lambda group: [group.create_dataset(f"{k}", data=VALUES) for k in range(40)]),
    "other names": lambda data: [data.create_dataset(f"v/{name}", data=VALUES) for name in ("feature", "interval")],
    "named type": created(
        lambda group: (
            group.file.__setitem__("kind", np.dtype("f4")),
            group.create_dataset("features", data=VALUES, dtype=group.file["kind"]),
        )
    ),
    "an array for an entry": lambda data: data.create_dataset("v", data=VALUES),
    "itself": lambda data: data.__setitem__("v", data),
    "order of creation": lambda data: plain(data.create_group("v", track_order=True)),
    "attributes at length": described_at_length,
}


@pytest.mark.parametrize("variant", PLAIN)
def test_every_plain_entry_is_found_past_hdf5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    path = written(tmp_path / "x.csd", PLAIN[variant])
    for key, found in answers(path).items():
        assert found is not None
        assert agrees(path, key, found)
        with h5py.File(path) as file, path.open("rb") as raw:
            for name, info in zip(("features", "intervals"), found, strict=True):
                values = file["COVAREP/data"][key][name][()]
                assert info.offset is not None
                assert os.pread(raw.fileno(), values.nbytes, info.offset) == values.tobytes()
    with hdf5_alone(monkeypatch):
        expected = index_or_error(path)
    assert index_or_error(path) == expected
    assert isinstance(expected, CsdIndex)


@pytest.mark.parametrize("variant", OTHERS)
def test_other_entries_are_left_to_hdf5(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    path = written(tmp_path / "x.csd", OTHERS[variant])
    found = answers(path)
    assert found[b"v"] is None
    assert b"w" not in found or variant == "attributes at length" or found[b"w"]
    with hdf5_alone(monkeypatch):
        expected = index_or_error(path)
    assert repr(index_or_error(path)) == repr(expected)


def of_short_addresses(path: Path) -> Path:
    properties = h5py.h5p.create(h5py.h5p.FILE_CREATE)
    properties.set_sizes(4, 4)
    with h5py.File(h5py.h5f.create(bytes(path), h5py.h5f.ACC_TRUNC, properties)) as file:
        plain(file.create_group("COVAREP/data/v"))
    return path


FORMS: dict[str, tuple[Callable[[Path], Path], bool]] = {
    "earliest": (lambda path: written(path, PLAIN["ids"], libver=("earliest", "v110")), True),
    "latest": (lambda path: written(path, PLAIN["ids"], libver="latest"), False),
    "user block": (lambda path: written(path, PLAIN["ids"], userblock_size=512), False),
    "short addresses": (of_short_addresses, False),
    "pages": (lambda path: written(path, PLAIN["ids"], fs_strategy="page", fs_page_size=4096), False),
}


@pytest.mark.parametrize("form", FORMS)
def test_files_of_another_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    write, is_answered = FORMS[form]
    path = write(tmp_path / "x.csd")
    found = answers(path)
    assert (bool(found) and all(found.values())) == is_answered
    with hdf5_alone(monkeypatch):
        expected = index_or_error(path)
    assert isinstance(expected, CsdIndex)
    assert index_or_error(path) == expected


def test_a_slash_in_an_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(data: h5py.Group) -> None:
        for key in ("2011/05/a", "2011/05/b[0]", "2011", "plain"):
            plain(data.require_group(key))

    path = written(tmp_path / "x.csd", write)
    with hdf5_alone(monkeypatch):
        expected = index_or_error(path)
    assert index_or_error(path) == expected
    asked_of_hdf5 = []
    monkeypatch.setattr("mosei_align.sources.walk.holds_just", lambda *_: asked_of_hdf5.append(1))
    index_or_error(path)
    assert len(asked_of_hdf5) == 2  # `2011` and `2011/05`, which hold groups


@pytest.mark.parametrize("variant", ["ids", "words of many lengths", "moved about"])
def test_entries_looked_up_in_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variant: str) -> None:
    path = written(tmp_path / "x.csd", PLAIN[variant])
    expected = index_or_error(path)
    monkeypatch.setattr("mosei_align.sources.walk._TOGETHER", 3)
    assert index_or_error(path) == expected


def test_a_synthetic_corpus_is_indexed_alike(
    defective_corpus: Path, clean_corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in [*defective_corpus.glob("*.csd"), *clean_corpus.glob("*.csd")]:
        with hdf5_alone(monkeypatch):
            expected = index_or_error(path)
        assert isinstance(expected, CsdIndex)
        assert index_or_error(path) == expected


def test_a_clean_corpus_is_answered_whole(clean_corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mosei_align.sources.walk.describe", lambda *_: pytest.fail("HDF5 was asked"))
    for path in clean_corpus.glob("*.csd"):
        assert isinstance(index_or_error(path), CsdIndex)


def places_of(raw: bytes, group: int) -> tuple[int, int, int, int, int]:
    """Addresses of a group's header, tree, heap, names and of its first symbols."""

    def number(at: int) -> int:
        return int.from_bytes(raw[at : at + 8], "little")

    tree, heap = number(group + 24), number(group + 32)
    return group, tree, heap, number(heap + 24), number(tree + 32)


def structures(path: Path, keys: str) -> list[range]:
    """Where the file keeps the structure of entries, and how far it is used."""
    found, raw = [], path.read_bytes()
    with h5py.File(path) as file:
        for key in keys:
            group = file["COVAREP/data"][key]
            starts = places_of(raw, h5py.h5o.get_info(group.id).addr)
            found += [range(at, at + size) for at, size in zip(starts, (40, 48, 32, 88, 88), strict=True)]
            headers = [h5py.h5o.get_info(array.id).addr for array in group.values()]
            found += [range(at, at + 272) for at in headers]
    return found


def mutated(raw: bytes, places: list[range], rng: random.Random) -> bytes:
    """One or two changes of the kinds that matter: a flipped bit, zeros, ones, noise, another number or address."""
    damaged = bytearray(raw)
    for _ in range(rng.choice((1, 1, 1, 2))):
        part = rng.choice(places)
        at, count = rng.choice(part), rng.choice((1, 1, 2, 4, 8))
        word = part.start + (at - part.start) // 8 * 8
        small = rng.choice(
            (0, 1, 2, 3, 7, 8, 9, 16, 24, 40, 255, 256, 2**31, 2**63 - 1, 2**64 - 9, len(raw), len(raw) - 4)
        )
        place = rng.choice(places).start
        at, new = rng.choice(
            (
                (at, bytes([damaged[at] ^ 1 << rng.randrange(8)])),
                (at, bytes(count)),
                (at, b"\xff" * count),
                (at, rng.randbytes(count)),
                (at, bytes([damaged[at] + rng.choice((-1, 1, 8, -8)) & 255])),
                (word, small.to_bytes(8, "little")),
                (word, place.to_bytes(8, "little")),
                (word, damaged[place : place + 8]),
            )
        )
        new = new[: part.stop - at]
        damaged[at : at + len(new)] = new
    return bytes(damaged)


def base(path: Path) -> Path:
    def write(data: h5py.Group) -> None:
        plain(data.create_group("v"))
        plain(data.create_group("w"), np.array([[b"a"], [b"extraordinary"]], "S17"), TIMES[:2].astype(">f4"))
        plain(data.create_group("x"), track_times=True)
        # Of the forms that are known by then.
        plain(data.create_group("y"), VALUES[:2], TIMES[:2])
        plain(data.create_group("z"), track_times=True)

    return written(path, write)


def test_damage_never_changes_an_answer(tmp_path: Path) -> None:
    """What is read past HDF5 in a damaged file, HDF5 reads too. It is asked only then: it may never come to an end."""
    whole, path = base(tmp_path / "whole.csd"), tmp_path / "x.csd"
    places, raw, rng = structures(whole, "vwxyz"), whole.read_bytes(), random.Random(0)
    with h5py.File(whole) as file:
        addresses = dict(hard_links(file["COVAREP/data"].id, whole))
    answered = refused = 0
    for _ in range(1500):
        path.write_bytes(mutated(raw, places, rng))
        with path.open("rb") as stream:
            layout = PlainLayout.of(stream.fileno(), len(raw))
            assert layout
            found = looked_up(layout, addresses)
        refused += not all(found.values())
        if path.read_bytes() != raw:
            for key, arrays in found.items():
                answered += arrays is not None
                assert arrays is None or agrees(path, key, arrays), (key, arrays)
    assert answered > 500
    assert refused > 300


@pytest.mark.parametrize("damage", ["another name", "a name twice", "a search key"])
def test_what_hdf5_lists_and_does_not_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    path = base(tmp_path / "x.csd")
    with h5py.File(path) as file:
        _, tree, _, names, _ = places_of(path.read_bytes(), h5py.h5o.get_info(file["COVAREP/data"].id).addr)
    raw = bytearray(path.read_bytes())
    assert raw[names + 8 : names + 10] == b"v\0"
    at, new = {
        "another name": (names + 8, b"~"),
        "a name twice": (names + 8, b"w"),
        "a search key": (tree + 40, bytes(8)),
    }[damage]
    raw[at : at + len(new)] = new
    path.write_bytes(raw)
    assert len(answers(path)) > 1
    with hdf5_alone(monkeypatch):
        expected = index_or_error(path)
    assert "damaged" in str(expected) or damage == "a name twice"
    assert index_or_error(path) == expected


@pytest.mark.parametrize("place", [0, 2**64 - 1, 2**62, "end"])
def test_an_array_in_no_possible_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: int | str) -> None:
    path = base(tmp_path / "x.csd")
    raw = bytearray(path.read_bytes())
    with h5py.File(path) as file:
        features = file["COVAREP/data/v/features"].id
        told = features.get_offset().to_bytes(8, "little") + features.get_storage_size().to_bytes(8, "little")
        at = raw.index(told, h5py.h5o.get_info(features).addr)
    raw[at : at + 8] = (place if isinstance(place, int) else len(raw) - 40).to_bytes(8, "little")
    path.write_bytes(raw)
    assert answers(path)[b"v"] is None
    with hdf5_alone(monkeypatch):
        expected = index_or_error(path)
    assert repr(index_or_error(path)) == repr(expected)


def test_a_file_that_ends_anywhere(tmp_path: Path) -> None:
    """A file that shrinks while it is open is left to HDF5."""
    whole, path = base(tmp_path / "whole.csd"), tmp_path / "x.csd"
    raw = whole.read_bytes()
    with h5py.File(whole) as file:
        addresses = dict(hard_links(file["COVAREP/data"].id, whole))
    expected = answers(whole)
    for length in range(0, len(raw), 40):
        path.write_bytes(raw[:length])
        for claimed in (length, len(raw)):
            with path.open("rb") as stream:
                layout = PlainLayout.of(stream.fileno(), claimed)
                if layout:
                    for key, found in looked_up(layout, addresses).items():
                        assert found in (None, expected[key])


@pytest.mark.parametrize("address", [0, 8, 2**40, 2**63 - 1, 2**63, 2**64 - 17, 2**64 - 1])
def test_no_address_is_too_odd(tmp_path: Path, address: int) -> None:
    path = base(tmp_path / "x.csd")
    with path.open("rb") as raw:
        layout = PlainLayout.of(raw.fileno(), path.stat().st_size)
        assert layout
        assert looked_up(layout, {b"v": address}) == {b"v": None}


def test_an_index_survives_pickling(tmp_path: Path) -> None:
    index = index_or_error(base(tmp_path / "x.csd"))
    assert pickle.loads(pickle.dumps(index)) == index
