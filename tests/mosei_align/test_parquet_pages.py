"""Feature vectors as Parquet pages: other readers must find in them what Arrow's own writer would have put there."""

import hashlib
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mosei_align.dataset import parquet, thrift
from mosei_align.dataset.parquet import ROW_GROUP, parquet_options, write_parquet
from mosei_align.dataset.vector_pages import Vectors, encode
from mosei_schemas.tables import vector_type

ODD = np.array([0.0, -0.0, 1.5, np.nan, np.inf, -np.inf, 1e-45, 3.4e38], np.float32)


DUCKDB = duckdb.connect()


def encoding(page: int) -> Any:
    """Pages of this size of vectors; Arrow itself mixes up lists of words that it cuts so small."""
    return lambda vectors, codec, _page_bytes: encode(vectors, codec, page)


def lists(lengths: list[int], kind: pa.DataType, values: pa.Array) -> pa.Array:
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, values, type=kind)


def table_of(lengths: list[int], widths: dict[str, int], seed: int) -> pa.Table:
    """Rows with ids, words, and vectors in one or more columns, in this order."""
    rng = np.random.default_rng(seed)
    steps = sum(lengths)
    words = pa.array([f"w{k % 7}" for k in range(steps)])
    field = pa.field("element", pa.string(), nullable=False)
    columns: dict[str, tuple[pa.Array, pa.Field]] = {
        "id": (pa.array([f"v{k}[0]" for k in range(len(lengths))]), pa.field("id", pa.string(), nullable=False)),
        "words": (lists(lengths, pa.list_(field), words), pa.field("words", pa.list_(field), nullable=False)),
    }
    for name, width in widths.items():
        flat = np.where(rng.random(steps * width) < 0.1, rng.choice(ODD, steps * width), rng.random(steps * width))
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(flat.astype(np.float32)), type=vector_type(width))
        kind = pa.list_(pa.field("element", vector_type(width), nullable=False))
        columns[name] = lists(lengths, kind, vectors), pa.field(name, kind, nullable=False)
    speakers = pa.array([None if k % 3 == 0 else f"s{k % 5}" for k in range(len(lengths))], pa.string())
    columns["speaker"] = speakers, pa.field("speaker", pa.string())
    schema = pa.schema([field for _, field in columns.values()], metadata={"made": "for a test"})
    return pa.Table.from_arrays([array for array, _ in columns.values()], schema=schema)


def bits(table: pa.Table, name: str) -> bytes:
    """The vectors of a column as bytes: NaN and the sign of zero count."""
    return bytes(table[name].combine_chunks().flatten().flatten().to_numpy().tobytes())


def both(table: pa.Table, folder: Path) -> tuple[Path, Path]:
    """The table written here, and by Arrow alone."""
    ours, arrows = folder / "ours.parquet", folder / "arrows.parquet"
    write_parquet(table, ours)
    pq.write_table(table, arrows, row_group_size=ROW_GROUP, **parquet_options(table.schema))
    return ours, arrows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@settings(max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    widths=st.lists(st.sampled_from([1, 2, 3, 35, 64, 65, 74, 129]), min_size=1, max_size=3),
    page=st.sampled_from([1, 100, 1000, 8 << 20]),
    group=st.sampled_from([1, 2, 7, 128]),
    seed=st.integers(0, 99),
)
def test_three_readers_find_what_arrow_would_have_written(
    folder: Path, lengths: list[int], widths: list[int], page: int, group: int, seed: int
) -> None:
    """Arrow, polars and DuckDB, each with a reader of its own; pages and groups of any size."""
    names = {f"f{k}": width for k, width in enumerate(widths)}
    table = table_of(lengths, names, seed)
    with mock.patch.object(parquet, "ROW_GROUP", group), mock.patch.object(parquet, "encode", encoding(page)):
        write_parquet(table, folder / "ours.parquet")
    path = folder / "ours.parquet"
    read = pq.read_table(path)
    assert read.schema.equals(table.schema, check_metadata=True)
    read.validate(full=True)
    frame, bare = pl.read_parquet(path).to_arrow(), DUCKDB.read_parquet(str(path)).to_arrow_table()
    for name in table.schema.names:
        if name in names:
            assert bits(read, name) == bits(table, name)
            for other in (frame, bare):
                flat = other[name].combine_chunks().flatten().flatten()
                assert flat.to_numpy(zero_copy_only=False).tobytes() == bits(table, name)
                assert other[name].combine_chunks().value_lengths().to_pylist() == lengths
        else:
            assert read[name].to_pylist() == table[name].to_pylist() == frame[name].to_pylist()
            assert bare[name].to_pylist() == table[name].to_pylist()


def test_the_footer_says_what_arrow_would_say(folder: Path) -> None:
    table = table_of([3] * 600, {"text": 30, "audio": 5}, 1)
    ours, arrows = both(table, folder)
    mine, theirs = pq.read_metadata(ours), pq.read_metadata(arrows)
    assert mine.schema.equals(theirs.schema)
    assert mine.metadata == theirs.metadata
    assert (mine.num_rows, mine.num_row_groups, mine.created_by) == (600, 3, theirs.created_by)
    at = 4
    for number in range(mine.num_row_groups):
        group, other = mine.row_group(number), theirs.row_group(number)
        assert group.num_rows == other.num_rows
        assert group.total_byte_size == sum(group.column(k).total_uncompressed_size for k in range(group.num_columns))
        for k in range(group.num_columns):
            a, b = group.column(k), other.column(k)
            for fact in ("path_in_schema", "physical_type", "num_values", "compression", "statistics"):
                assert getattr(a, fact) == getattr(b, fact), fact
            assert set(a.encodings) == set(b.encodings)
            # One column follows the other, without a gap.
            assert (a.dictionary_page_offset or a.data_page_offset) == at
            at += a.total_compressed_size
    assert at + int.from_bytes(ours.read_bytes()[-8:-4], "little") + 8 == ours.stat().st_size


def test_parts_can_be_read_alone(folder: Path) -> None:
    table = table_of([2, 5, 1] * 100, {"text": 30, "audio": 5}, 2)
    ours, _ = both(table, folder)
    file = pq.ParquetFile(ours)
    assert bits(file.read_row_group(1, ["audio"]), "audio") == bits(table.slice(ROW_GROUP, ROW_GROUP), "audio")
    batches = list(file.iter_batches(50, columns=["text"]))
    assert bits(pa.Table.from_batches(batches), "text") == bits(table, "text")
    chosen = pq.read_table(ours, filters=[("id", "==", "v7[0]")])
    assert bits(chosen, "audio") == bits(table.slice(7, 1), "audio")


def test_slices_and_chunks_are_written_as_they_stand(folder: Path) -> None:
    table = table_of([2, 5, 1, 3], {"text": 3}, 3)
    for other in (table.slice(1, 2), pa.concat_tables([table.slice(2), table.slice(0, 3)])):
        ours, _ = both(other, folder)
        read = pq.read_table(ours)
        assert bits(read, "text") == bits(other, "text")
        assert read.drop(["text"]).to_pylist() == other.drop(["text"]).to_pylist()


def test_the_same_table_gives_the_same_bytes(folder: Path) -> None:
    table = table_of([2, 5, 1, 3], {"text": 3}, 3)
    first = both(table, folder)[0].read_bytes()
    assert both(table, folder)[0].read_bytes() == first
    assert write_parquet(table, folder / "hashed.parquet") == hashlib.sha256(first).hexdigest()
    assert both(table_of([2, 5, 1, 3], {"text": 3}, 4), folder)[0].read_bytes() != first


def empty_rows() -> pa.Table:
    return table_of([2, 0, 1], {"text": 3}, 1)


def no_rows() -> pa.Table:
    return table_of([1], {"text": 3}, 1).slice(0, 0)


def a_null() -> pa.Table:
    kind = pa.list_(pa.list_(pa.float32(), 2))
    return pa.table({"text": pa.array([[[1.0, 2.0]], None, [[3.0, None]]], kind)})


def other_floats() -> pa.Table:
    return pa.table({"text": pa.array([[[1.0, 2.0]]], pa.list_(pa.list_(pa.float64(), 2)))})


@pytest.mark.parametrize("make", [empty_rows, no_rows, a_null, other_floats])
def test_anything_else_is_left_to_arrow(folder: Path, make: Any) -> None:
    table = make()
    ours, arrows = both(table, folder)
    assert ours.read_bytes() == arrows.read_bytes()
    assert Vectors.of(table["text"]) is None


KINDS: Any = {thrift.BYTE: st.integers(0, 255), thrift.BINARY: st.binary(max_size=200)} | dict.fromkeys(
    (thrift.I16, thrift.I32, thrift.I64), st.integers(-(2**63), 2**63 - 1)
)


def structs(depth: int) -> Any:
    """Structs of everything that a footer has."""
    flags = st.sampled_from([thrift.TRUE, thrift.FALSE]).map(lambda kind: (kind, None))
    plain = [values.map(lambda value, kind=kind: (kind, value)) for kind, values in KINDS.items()]
    of_plain = [st.lists(v, max_size=20).map(lambda x, k=k: (thrift.LIST, (k, x))) for k, v in KINDS.items()]
    nested = [structs(depth - 1).map(lambda s: (thrift.STRUCT, s))] if depth else []
    of_nested = (
        [st.lists(structs(depth - 1), max_size=3).map(lambda x: (thrift.LIST, (thrift.STRUCT, x)))] if depth else []
    )
    of_flags = [st.lists(st.integers(1, 2), max_size=20).map(lambda x: (thrift.LIST, (thrift.TRUE, x)))]
    values = st.one_of(flags, *plain, *of_plain, *nested, *of_nested, *of_flags)
    return st.dictionaries(st.integers(1, 60), values, max_size=5)


@given(structs(2))
def test_thrift_goes_there_and_back(struct: thrift.Struct) -> None:
    assert thrift.read_struct(thrift.write_struct(struct)) == struct


def test_arrows_footer_goes_there_and_back(folder: Path) -> None:
    _, arrows = both(table_of([3] * 300, {"text": 30, "audio": 5}, 1), folder)
    raw = arrows.read_bytes()
    footer = raw[-8 - int.from_bytes(raw[-8:-4], "little") : -8]
    assert thrift.write_struct(thrift.read_struct(footer)) == footer


@pytest.mark.parametrize("raw", [b"", b"\x18", b"\x1b\x00", b"\x17" + bytes(8) + b"\x00", b"\x15"])
def test_what_is_no_struct_is_refused(raw: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        thrift.read_struct(raw)
