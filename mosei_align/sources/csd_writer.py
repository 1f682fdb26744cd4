"""Writing `.csd` files: HDF5 in the layout of the official MOSEI files, one video at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import h5py
import numpy as np
import numpy.typing as npt

from mosei_schemas.errors import OutputError
from mosei_schemas.publish import new_file, unwritable

# The oldest object formats: the only ones that store no times, so that equal inputs give equal bytes, and what every
# HDF5 reads. The official files use them too.
_LIBVER: Final = ("earliest", "v110")

GZIP_LEVEL: Final = 9
"""What mmsdk compresses with."""

_UNKNOWN: Final = "unknown"
_METADATA: Final[Mapping[str, object]] = {
    "computational sequence description": _UNKNOWN,
    "computational sequence version": "1.0",
    "alignment compatible": "true",
    "dataset name": "CMU-MOSEI",
    "dataset version": "1.0",
    "creator": "mosei-align",
    "contact": _UNKNOWN,
    "featureset bib citation": _UNKNOWN,
    "dataset bib citation": _UNKNOWN,
}
"""What mmsdk asks of a file, beside `root name` and `dimension names`, which the writer knows itself."""


Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Space:
    """A contiguous array whose values come later, from whoever writes them at its offset once the file is closed."""

    shape: tuple[int, int]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Deflated:
    """An array that is compressed already.

    Attributes:
        shape, dtype: of the whole array, which must not be empty.
        chunks: every chunk of the shape that `chunk_shape` tells, with the row and the column of its first value; made
            by zlib, filled up with zeros at the edges. Asked for one by one as they are written.
    """

    shape: tuple[int, int]
    dtype: np.dtype[Any]
    chunks: Iterable[tuple[tuple[int, int], bytes]]


class CsdWriter:
    """A `.csd` file in the making: `/<root>/data/<id>/features|intervals` and `/<root>/metadata/<key>`.

    A context manager. The file takes its place at `path` when the block ends without an error; until then, and after
    an error, nothing is there. Only the video being added is in memory, and equal inputs give equal bytes.

    Args:
        path: the file to write; one that exists is replaced.
        root: the root group, e.g. `COVAREP`; also the metadata `root name`.
        metadata: JSON-able values by key, over the defaults. `dimension names` defaults to d0, d1, ... of the first
            video's width.
        compression: `gzip` writes chunked gzip-9 arrays as mmsdk does: small, and slow to read. The default writes
            contiguous ones.
    """

    def __init__(
        self,
        path: Path,
        root: str,
        *,
        metadata: Mapping[str, object] | None = None,
        compression: Literal[None, "gzip"] = None,
    ) -> None:
        if not root or "/" in root:
            raise OutputError(
                "the root name is empty or has a slash in it", path=path, ident=root, remedy="choose another root name"
            )
        self._path, self._root = path, root
        self._metadata = {**_METADATA, "root name": root, **(metadata or {})}
        self._filters = {"compression": "gzip", "compression_opts": GZIP_LEVEL} if compression else {}
        self._width: int | None = None
        self._stack = ExitStack()
        self._file: h5py.File | None = None

    def __enter__(self) -> Self:
        temporary = self._stack.enter_context(new_file(self._path))
        try:
            self._file = h5py.File(temporary, "w", libver=_LIBVER)
        except OSError as error:
            self._stack.close()
            raise unwritable(self._path, error) from error
        self._data = self._file.create_group(f"{self._root}/data")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        try:
            if error is None:
                self._write_metadata()
            self._file.close()
        except (OSError, RuntimeError) as failure:
            # HDF5 raises RuntimeError where a write is refused while it closes. The stack then removes the file.
            refused = unwritable(self._path, _as_os_error(failure))
            self._stack.__exit__(type(refused), refused, refused.__traceback__)
            if error is None:
                raise refused from failure
            return
        self._stack.__exit__(kind, error, trace)

    def add(
        self, key: str, features: Array | Space | Deflated | None, intervals: Array | Space | Deflated | None
    ) -> tuple[int | None, int | None]:
        """Write one entry.

        Args:
            key: a video id, or `id[k]` for one of several entries of a video. A slash in it nests groups.
            features: (n, d) floats, or (n, 1) bytes or text (written as fixed-width UTF-8 bytes); None writes no
                `features` array.
            intervals: (n, 2) start and end in seconds; None writes no `intervals` array. Nothing checks that it has
                as many rows as `features`: test corpora need that defect.

        Returns:
            The offsets in the file of `features` and `intervals` where they are a `Space`, None where not.

        Raises:
            OutputError: the key is empty or was added before, or the disk refuses.
        """
        if not key or key in self._data:
            raise OutputError(
                "the id is empty or already in the file",
                path=self._path,
                ident=key,
                remedy="give every entry a name of its own, such as id[0], id[1]",
            )
        if features is not None and self._width is None:
            self._width = features.shape[1]
        try:
            group = self._data.create_group(key)
            return self._write_array(group, "features", features), self._write_array(group, "intervals", intervals)
        except (OSError, RuntimeError) as error:
            raise unwritable(self._path, _as_os_error(error)) from error

    def _write_array(self, group: h5py.Group, name: str, values: Array | Space | Deflated | None) -> int | None:
        if isinstance(values, Space):
            return _reserve(group, name, values)
        if isinstance(values, Deflated):
            self._write_chunks(group, name, values)
        elif values is not None:
            # HDF5 has no chunks for an array without elements.
            filters = self._filters if values.size else {}
            group.create_dataset(name, data=_as_bytes(values), track_times=False, **filters)
        return None

    def _write_chunks(self, group: h5py.Group, name: str, values: Deflated) -> None:
        assert self._filters
        dataset = group.create_dataset(name, values.shape, values.dtype, track_times=False, **self._filters)
        for first, data in values.chunks:
            dataset.id.write_direct_chunk(first, data)

    def _write_metadata(self) -> None:
        assert self._file is not None
        names = {"dimension names": [f"d{i}" for i in range(self._width or 0)]}
        group = self._file.create_group(f"{self._root}/metadata")
        for key, value in sorted({**names, **self._metadata}.items()):
            text = json.dumps(value, ensure_ascii=False)
            group.create_dataset(key, data=[text], dtype=h5py.string_dtype("utf-8"), track_times=False)


@lru_cache(maxsize=1024)
def chunk_shape(shape: tuple[int, int], dtype: np.dtype[Any]) -> tuple[int, int]:
    """Rows and columns of the chunks of a compressed array: what h5py, and so mmsdk, chooses for one of this shape."""
    with h5py.File("chunks", "w", driver="core", backing_store=False) as file:
        rows, columns = file.create_dataset("x", shape, dtype, chunks=True).chunks
    return rows, columns


def _reserve(group: h5py.Group, name: str, space: Space) -> int | None:
    """Make a contiguous array without its values; None where it has none."""
    dataset = group.create_dataset(name, space.shape, space.dtype, track_times=False)
    if not all(space.shape):
        return None
    # HDF5 gives an array its place when the first value is written, and not at once: asked to do it at once, it would
    # say so in the file.
    place = h5py.h5s.create_simple(space.shape)
    place.select_hyperslab((0, 0), (1, 1))
    dataset.id.write(h5py.h5s.create_simple((1, 1)), place, np.zeros((1, 1), space.dtype))
    return int(dataset.id.get_offset())


def _as_bytes(features: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.char.encode(features, "utf-8") if features.dtype.kind == "U" else features


def _as_os_error(error: OSError | RuntimeError) -> OSError:
    return error if isinstance(error, OSError) else OSError(None, str(error))
