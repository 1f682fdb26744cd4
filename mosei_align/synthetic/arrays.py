"""The five `.csd` files of a corpus, with their large arrays made by several processes.

Contiguous arrays are made after the files: these are written with the places of the arrays left empty, closed, and
then filled in by everyone at once. Compressed chunks have no place until their size is known, so they are made a
little ahead of the file and written in order.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Final, Literal

from mosei_align.sources.csd_writer import CsdWriter, Deflated, Space, chunk_shape
from mosei_align.synthetic.crew import Crew
from mosei_align.synthetic.filling import Packed, Piece, Stretch, deflate, fill, pieces, stretches
from mosei_align.synthetic.plan import Root
from mosei_align.synthetic.production import FileEntry, Product
from mosei_align.synthetic.recipe import Recipe
from mosei_align.synthetic.rows import Array, Rows
from mosei_schemas.labels import MOSEI_LABELS

FILES: Final[Mapping[Root, str]] = {
    Root.WORDS: "CMU_MOSEI_TimestampedWords.csd",
    Root.VECTORS: "CMU_MOSEI_TimestampedWordVectors.csd",
    Root.AUDIO: "CMU_MOSEI_COVAREP.csd",
    Root.VIDEO: "CMU_MOSEI_VisualFacet42.csd",
    Root.LABELS: "CMU_MOSEI_Labels.csd",
}
_TASK_BYTES: Final = 2**24

Finish = Callable[[int], None]
"""Called with how many more videos are written to the last byte."""


def write_contiguous(folder: Path, recipe: Recipe, products: Iterable[Product], crew: Crew, finish: Finish) -> None:
    """Write the files with contiguous arrays."""
    # What is to be filled in waits in a file: memory does not grow with the number of videos.
    with TemporaryFile(dir=folder) as waiting:
        with ExitStack() as stack:
            writers = _open(folder, recipe, stack)
            for product in products:
                places = [p for entry in product.entries for p in _lay_out(folder, writers[entry.root], entry)]
                pickle.dump(places, waiting, pickle.HIGHEST_PROTOCOL)
        waiting.seek(0)
        for finished, _ in crew.map(fill, _tasks(waiting, recipe.videos)):
            finish(finished)


def write_deflated(folder: Path, recipe: Recipe, products: Iterable[Product], crew: Crew, finish: Finish) -> None:
    """Write the files with the arrays in chunks, compressed with gzip."""
    with ExitStack() as stack:
        writers = _open(folder, recipe, stack, "gzip")
        results = crew.map(deflate, _stretches(products))
        for product, _ in results:
            assert product is not None
            for entry in product.entries:
                arrays = (_deflated(values, results) for values in (entry.features, entry.intervals))
                writers[entry.root].add(entry.key, *arrays)
            finish(1)


def _open(
    folder: Path, recipe: Recipe, stack: ExitStack, compression: Literal[None, "gzip"] = None
) -> Mapping[Root, CsdWriter]:
    return {
        root: stack.enter_context(
            CsdWriter(folder / name, root, metadata=_metadata(recipe, root), compression=compression)
        )
        for root, name in FILES.items()
    }


def _lay_out(folder: Path, writer: CsdWriter, entry: FileEntry) -> Iterator[tuple[Path, int, Rows]]:
    """Write an entry, its descriptions as empty places, and yield these."""
    arrays = (entry.features, entry.intervals)
    offsets = writer.add(entry.key, *(Space(x.shape, x.dtype) if isinstance(x, Rows) else x for x in arrays))
    for values, offset in zip(arrays, offsets, strict=True):
        if isinstance(values, Rows) and offset is not None:
            yield folder / FILES[entry.root], offset, values


def _tasks(waiting: IO[bytes], videos: int) -> Iterator[tuple[int, list[Piece]]]:
    """(videos that end in it, pieces) of every task, of about `_TASK_BYTES` each."""
    some: list[Piece] = []
    finished = size = 0
    for _ in range(videos):
        for path, offset, rows in pickle.load(waiting):
            for piece in pieces(path, offset, rows):
                some.append(piece)
                size += (piece.stop - piece.start) * rows.row_bytes
                if size >= _TASK_BYTES:
                    yield finished, some
                    some, finished, size = [], 0, 0
        finished += 1
    yield finished, some


def _stretches(products: Iterable[Product]) -> Iterator[tuple[Product | None, Stretch | None]]:
    """Each video, and after it the stretches of its large arrays in the order in which they are written."""
    for product in products:
        yield product, None
        for entry in product.entries:
            for values in (entry.features, entry.intervals):
                if isinstance(values, Rows) and len(values):
                    yield from ((None, part) for part in _parts(values))


def _parts(rows: Rows) -> list[Stretch]:
    return stretches(rows, chunk_shape(rows.shape, rows.dtype))


def _deflated(
    values: Array | Rows | None, results: Iterator[tuple[Product | None, Packed | None]]
) -> Array | Deflated | None:
    """The array as the writer takes it; its chunks are the next results."""
    if not isinstance(values, Rows):
        return values
    if not len(values):
        return values.make(0, 0)
    chunks = (chunk for _ in _parts(values) for chunk in next(results)[1] or ())
    return Deflated(values.shape, values.dtype, chunks)


def _metadata(recipe: Recipe, root: Root) -> dict[str, Any]:
    description = f"synthetic {root}, seed {recipe.seed}; made by mosei-align sample, no human data"
    values: dict[str, Any] = {
        "computational sequence description": description,
        "dataset name": "synthetic CMU-MOSEI",
    }
    names = {Root.LABELS: list(MOSEI_LABELS), Root.WORDS: ["word"]}
    return values | ({"dimension names": names[root]} if root in names else {})
