"""Making the large arrays and putting them where they belong: what the worker processes do after the planning."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from mosei_align.sources.csd_writer import GZIP_LEVEL
from mosei_align.synthetic.rows import Array, Rows

_BLOCK_BYTES: Final = 2**19
"""Made and written at once: small enough to be still in the core's cache when it is written."""
_PIECE_BYTES: Final = 2**24


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows from `start` up to `stop` of an array whose first byte is at `offset` of the file."""

    path: Path
    offset: int
    rows: Rows
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows from `start` up to `stop` of an array that is stored in compressed chunks of `chunk` = (rows, columns)."""

    rows: Rows
    chunk: tuple[int, int]
    start: int
    stop: int


Packed = list[tuple[tuple[int, int], bytes]]
"""Compressed chunks, each with the row and the column of its first value."""


def pieces(path: Path, offset: int, rows: Rows) -> Iterator[Piece]:
    """Cut an array into pieces of some megabytes, so that several processes can make a long one."""
    step = max(1, _PIECE_BYTES // rows.row_bytes)
    for start in range(0, len(rows), step):
        yield Piece(path, offset, rows, start, min(start + step, len(rows)))


def stretches(rows: Rows, chunk: tuple[int, int]) -> list[Stretch]:
    """Cut an array into stretches of whole chunks, of half a megabyte or of one row of chunks."""
    step = chunk[0] * max(1, _BLOCK_BYTES // (rows.row_bytes * chunk[0]))
    return [Stretch(rows, chunk, start, min(start + step, len(rows))) for start in range(0, len(rows), step)]


def fill(some: list[Piece]) -> None:
    """Make the pieces and write them; the files and their length are there already."""
    for piece in some:
        width = piece.rows.row_bytes
        step = max(1, _BLOCK_BYTES // width)
        descriptor = os.open(piece.path, os.O_WRONLY)
        try:
            for start in range(piece.start, piece.stop, step):
                block = piece.rows.make(start, min(start + step, piece.stop))
                _write_at(descriptor, block, piece.offset + start * width)
        finally:
            os.close(descriptor)


def deflate(stretch: Stretch) -> Packed:
    """Make a stretch and compress its chunks, as HDF5 would: those at the edges are filled up with zeros."""
    values = stretch.rows.make(stretch.start, stretch.stop)
    height, width = stretch.chunk
    packed = []
    for row in range(0, len(values), height):
        for column in range(0, values.shape[1], width):
            part = values[row : row + height, column : column + width]
            whole = np.zeros(stretch.chunk, values.dtype)
            whole[: part.shape[0], : part.shape[1]] = part
            packed.append(((stretch.start + row, column), zlib.compress(whole.tobytes(), GZIP_LEVEL)))
    return packed


def _write_at(descriptor: int, values: Array, offset: int) -> None:
    data = np.ascontiguousarray(values).data.cast("B")
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
