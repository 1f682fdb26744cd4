"""Parquet files with feature vectors: Arrow writes all but the vectors, and the footer; `vector_pages` makes those.

Arrow writes the table with vectors of no steps into memory. Its footer then says all there is to say but where the
columns of vectors lie and how long they are, so these facts are changed in it and the rest is taken over byte for byte.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from mosei_align.dataset.arrow_arrays import array_of, offsets_of
from mosei_align.dataset.thrift import I32, I64, LIST, STRUCT, Struct, read_struct, write_struct
from mosei_align.dataset.vector_pages import BYTE_STREAM_SPLIT, DATA_PAGE, RLE, VectorChunk, Vectors, encode
from mosei_schemas.publish import sha256

ROW_GROUP: Final = 256
"""Rows of a group. Half of that costs a tenth more room and a twentieth of a build's time."""
_PLAIN_ROW_GROUP: Final = 1 << 11
"""Of tables without vectors, which are read as a whole: larger ones gain nothing, and the writer has them in memory."""
_PAGE_BYTES: Final = 8 << 20
_LEVEL: Final = 2
_LEVEL_OF: Final = {"audio": 1, "video": 1}
"""Words recur, and so do their vectors: the second level of zstd finds them again. Means of frames do not."""
_MAGIC: Final = b"PAR1"
_TAIL: Final = 8
"""The length of the footer and the magic bytes end a file."""


def write_parquet(table: pa.Table, path: Path) -> str:
    """Write a table, in groups of `ROW_GROUP` rows where it has vectors.

    Returns:
        The file's SHA-256.

    Raises:
        OSError: the file cannot be written.
    """
    vectors = {}
    for place, column in enumerate(table.columns):
        found = Vectors.of(column)
        if found is not None:
            vectors[place] = found
    if not vectors:
        pq.write_table(table, path, row_group_size=_PLAIN_ROW_GROUP, **parquet_options(table.schema))
        return sha256(path)
    others = _without(table, vectors)
    with path.open("wb") as stream:
        return _Spliced(stream, others).write(table.schema, vectors)


def parquet_options(schema: pa.Schema) -> dict[str, Any]:
    """How Arrow's own writer stores tables of this schema."""
    leaves = _leaves(schema)
    split = [leaf for leaf, kind in leaves if pa.types.is_floating(kind)]
    return {
        "compression": "zstd",
        # Large pages let zstd find a word's vector again; higher levels take longer and gain next to nothing.
        "compression_level": _LEVEL,
        "data_page_size": _PAGE_BYTES,
        "use_dictionary": [leaf for leaf, kind in leaves if pa.types.is_string(kind)],
        "column_encoding": dict.fromkeys(split, "BYTE_STREAM_SPLIT"),
        "write_statistics": [leaf for leaf, _ in leaves if "." not in leaf],
        "store_schema": True,
    }


class _Spliced:
    """A file in the making, from one that Arrow has written without the vectors."""

    def __init__(self, stream: BinaryIO, others: pa.Buffer) -> None:
        self._stream, self._others = stream, memoryview(others)
        self._at, self._hash = 0, hashlib.sha256()

    def write(self, schema: pa.Schema, vectors: dict[int, Vectors]) -> str:
        """Write everything; returns the SHA-256."""
        length = int.from_bytes(self._others[-_TAIL:-4], "little")
        footer = read_struct(bytes(self._others[-_TAIL - length : -_TAIL]))
        leaves = _leaf_places(schema, vectors)
        codecs = {leaf: _codec(schema.field(place).name) for leaf, place in leaves.items()}
        self._put(_MAGIC)
        first = 0
        for group in footer[_File.GROUPS][1][1]:
            last = first + group[_Group.ROWS][1]
            self._group(group, {leaf: vectors[place].rows(first, last) for leaf, place in leaves.items()}, codecs)
            first = last
        raw = write_struct(footer)
        self._put(raw, len(raw).to_bytes(4, "little"), _MAGIC)
        return self._hash.hexdigest()

    def _group(self, group: Struct, vectors: dict[int, Vectors], codecs: dict[int, pa.Codec]) -> None:
        began, unpacked = self._at, 0
        for leaf, column in enumerate(group[_Group.COLUMNS][1][1]):
            facts = column[_Column.FACTS][1]
            start = self._at
            if leaf in vectors:
                chunk = encode(vectors[leaf], codecs[leaf], _PAGE_BYTES)
                _describe(facts, chunk, start)
                self._put(*chunk.parts)
            else:
                places = {n: facts[n][1] for n in (_Facts.DATA_AT, _Facts.DICTIONARY_AT) if n in facts}
                old = min(places.values())
                facts |= {n: (I64, place - old + start) for n, place in places.items()}
                self._put(self._others[old : old + facts[_Facts.STORED][1]])
            unpacked += facts[_Facts.UNPACKED][1]
        group[_Group.UNPACKED] = I64, unpacked
        group[_Group.AT] = I64, began
        group[_Group.STORED] = I64, self._at - began

    def _put(self, *parts: Any) -> None:
        for part in parts:
            self._stream.write(part)
            self._hash.update(part)
            self._at += len(part)


def _codec(name: str) -> pa.Codec:
    """What packs the vectors of a column."""
    return pa.Codec("zstd", compression_level=_LEVEL_OF.get(name, _LEVEL))


class _File:
    GROUPS = 4


class _Group:
    COLUMNS, UNPACKED, ROWS, _SORTED, AT, STORED = range(1, 7)


class _Column:
    FACTS = 3


class _Facts:
    ENCODINGS, VALUES, UNPACKED, STORED, DATA_AT, DICTIONARY_AT, PAGES, SIZES = 2, 5, 6, 7, 9, 11, 13, 16


def _describe(facts: Struct, chunk: VectorChunk, start: int) -> None:
    """Change what the footer says of a column that Arrow has written without its vectors."""
    pages = {1: (I32, DATA_PAGE), 2: (I32, BYTE_STREAM_SPLIT), 3: (I32, chunk.pages)}
    facts |= {
        _Facts.ENCODINGS: (LIST, (I32, [RLE, BYTE_STREAM_SPLIT])),
        _Facts.VALUES: (I64, chunk.values),
        _Facts.UNPACKED: (I64, chunk.bytes_unpacked),
        _Facts.STORED: (I64, chunk.bytes_stored),
        _Facts.DATA_AT: (I64, start),
        _Facts.PAGES: (LIST, (STRUCT, [pages])),
    }
    if _Facts.SIZES in facts:
        levels = (LIST, (I64, list(chunk.levels)))
        facts[_Facts.SIZES] = STRUCT, {2: levels, 3: (LIST, (I64, [0, 0, chunk.values]))}


def _without(table: pa.Table, vectors: dict[int, Vectors]) -> pa.Buffer:
    """The file that Arrow makes of the table with rows of no steps in the columns of vectors."""
    columns = list(table.columns)
    for place in vectors:
        kind = table.schema.field(place).type
        none = pa.FixedSizeListArray.from_arrays(array_of([], pa.float32()), type=kind.value_type)
        offsets = offsets_of([0] * len(table))
        columns[place] = pa.ListArray.from_arrays(offsets, none, type=kind)
    sink = pa.BufferOutputStream()
    rest = pa.Table.from_arrays(columns, schema=table.schema)
    pq.write_table(rest, sink, row_group_size=ROW_GROUP, **parquet_options(table.schema))
    return sink.getvalue()


def _leaf_places(schema: pa.Schema, wanted: dict[int, Vectors]) -> dict[int, int]:
    """Number of the leaf column in the file -> number of the field, for fields that are one leaf each."""
    leaves = [place for place, field in enumerate(schema) for _ in _leaves(pa.schema([field]))]
    return {leaf: place for leaf, place in enumerate(leaves) if place in wanted}


def _leaves(schema: pa.Schema) -> list[tuple[str, pa.DataType]]:
    """Parquet's own names of the leaf columns, with their types."""
    found = []
    for field in schema:
        path, kind = field.name, field.type
        while pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
            path, kind = f"{path}.list.element", kind.value_type
        found.append((path, kind))
    return found
