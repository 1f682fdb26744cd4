"""Reading one `.csd` file: HDF5 with `/<root>/data/<id>/features` and `/<root>/data/<id>/intervals`.

A file is indexed once (names, shapes and types, no values) and then read a video at a time. What a file could do to its
reader is refused in `hdf5`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import h5py
import numpy as np
import numpy.typing as npt

from mosei_align.sources.arrays import ArrayInfo
from mosei_align.sources.csd_metadata import read_metadata
from mosei_align.sources.entries import Entries, Entry
from mosei_align.sources.hdf5 import (
    DAMAGE,
    check_chunks,
    guarded,
    member_names,
    open_hdf5,
    refused_by_system,
    unreadable,
)
from mosei_align.sources.layout import PlainLayout
from mosei_align.sources.summary import bytes_of_all, features_kind, kinds_of, structure_hash, usual_dtype
from mosei_align.sources.walk import walk
from mosei_schemas.errors import InputError

_CLAIMED_LIMIT: Final = 512 << 20
"""What the arrays of a file may come to, whatever its size; one array may be there under many names ..."""
_CLAIMED_SHARE: Final = 16
"""... or else how many times its size."""

ArrayName = Literal["features", "intervals"]


@dataclass(frozen=True, slots=True)
class CsdIndex:
    """The structure of a `.csd` file.

    Attributes:
        path: the file.
        root: name of its root group.
        declared: the `root name` of its metadata (mmsdk's name for the sequence); the group's name where it has none.
        metadata: key -> text; JSON strings are unpacked, anything else is left as it stands.
        entries: video id -> its entries; `id`, `id[0]`, `id[1]`, ... belong to one video, in this order.
        width: columns of the feature arrays (what most videos have), None where no video has any.
        structure_sha256: SHA-256 over every key with shapes and types.
    """

    path: Path
    root: str
    declared: str
    metadata: dict[str, str]
    entries: Entries
    width: int | None
    is_text: bool
    """Whether the features are strings (words) and not numbers."""
    dtype: str
    """The type that most feature arrays have, e.g. `float32`."""
    structure_sha256: str = field(repr=False)

    @property
    def columns(self) -> int:
        """`width`, or 1 where no array tells it and so none can be read."""
        return self.width or 1


class CsdFile:
    """A `.csd` file to read; use it as a context manager. HDF5 opens it only if there is something to ask it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self.__dict__.pop("_descriptor", None)  # The number may soon be that of another file.

    @cached_property
    def _group(self) -> h5py.Group:
        file = self._stack.enter_context(open_hdf5(self.path))
        with guarded(self.path):
            return _root_group(file, self.path)

    @cached_property
    def file_bytes(self) -> int:
        """The size of the file."""
        try:
            return self.path.stat().st_size
        except OSError as error:
            raise unreadable(self.path, error) from error

    def index(self) -> CsdIndex:
        """Walk the file once and describe it; reads no feature values.

        Raises:
            InputError: a link that is not a hard one, an id that looks like a path, no `data` group, or a damaged file.
        """
        with guarded(self.path):
            return self._index()

    def _index(self) -> CsdIndex:
        root = str(self._group.name).lstrip("/")
        metadata = read_metadata(self._group, self.path)
        data = _child_group(self._group, b"data", self.path)
        entries = walk(data, self.path, self.file_bytes, PlainLayout.of(self._descriptor, self.file_bytes))
        claimed = bytes_of_all(entries)
        if claimed > max(_CLAIMED_LIMIT, _CLAIMED_SHARE * self.file_bytes):
            raise InputError(
                f"its arrays come to {claimed} bytes, the file to {self.file_bytes}",
                path=self.path,
                remedy="no honest file packs so well; store the arrays unpacked if this one is",
            )
        kinds = kinds_of(entries)
        width, is_text = features_kind(kinds)
        declared = metadata.get("root name", "").strip() or root
        dtype, structure = usual_dtype(kinds), structure_hash(entries)
        return CsdIndex(self.path, root, declared, metadata, entries, width, is_text, dtype, structure)

    def read_rows(
        self, entry: Entry, name: ArrayName, runs: Sequence[tuple[int, int]] | None = None
    ) -> npt.NDArray[Any]:
        """Read one array of an entry, or runs of its rows one after the other, as stored, in native byte order.

        Values that lie in the file in one piece are read from there, past HDF5.

        Args:
            entry: of this file's index, without a problem.
            name: which array.
            runs: (first, last + 1) rows each, in order; None for all rows.

        Raises:
            OSError: the array is damaged.
            InputError: the operating system cannot read the file, or it is no longer what it was.
        """
        info = entry.features if name == "features" else entry.intervals
        assert info is not None
        assert info.dtype is not None
        runs = ((0, info.shape[0]),) if runs is None else runs
        values = np.empty((sum([b - a for a, b in runs]), *info.shape[1:]), info.dtype)
        if info.offset is not None:
            done = 0
            for a, b in runs:
                self._fill(info, a, values[done : done + b - a])
                done += b - a
        elif values.size:
            try:
                self._select(entry.path + b"/" + name.encode(), values, runs)
            except (*DAMAGE, MemoryError, zlib.error) as error:
                if refused_by_system(error):
                    raise unreadable(self.path, error) from error
                raise OSError(str(error)) from error
        return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))

    @cached_property
    def _descriptor(self) -> int:
        try:
            return self._stack.enter_context(self.path.open("rb", buffering=0)).fileno()
        except OSError as error:
            raise unreadable(self.path, error) from error

    def read_in_place(self, info: ArrayInfo, first: int, target: npt.NDArray[np.float32]) -> None:
        """Read rows of an array that has an `offset`, from row `first` on, into `target` ((n, D), contiguous).

        Raises:
            OSError: the array is damaged.
            InputError: the operating system cannot read the file, or it is no longer what it was.
        """
        if info.dtype == target.dtype:
            self._fill(info, first, target)
            return
        values = np.empty(target.shape, info.dtype)
        self._fill(info, first, values)
        with np.errstate(over="ignore", invalid="ignore"):
            target[:] = values

    def _fill(self, info: ArrayInfo, first: int, target: npt.NDArray[Any]) -> None:
        """Fill `target`, whose rows are of the array's own shape and type, with those from `first` on, past HDF5."""
        assert info.offset is not None
        number, wanted, done = self._descriptor, target.nbytes, 0
        offset = info.offset + first * target.strides[0]
        while done < wanted:
            rest = target.data if not done else target.reshape(-1).view(np.uint8)[done:].data
            try:
                count = os.preadv(number, [rest], offset + done)
            except OSError as error:
                raise unreadable(self.path, error) from error
            if not count:
                raise InputError("was cut short while it was read", path=self.path, remedy="put the whole file back")
            done += count

    def _select(self, path: bytes, values: npt.NDArray[Any], runs: Sequence[tuple[int, int]]) -> None:
        dataset = h5py.h5d.open(self._group.id, b"data/" + path)
        check_chunks(dataset)
        space, done = dataset.get_space(), 0
        for a, b in runs:
            block = values[done : done + b - a]
            start, count = (a, *(0 for _ in values.shape[1:])), block.shape
            space.select_hyperslab(start, count)
            dataset.read(h5py.h5s.create_simple(count), space, block)
            done += b - a


def _root_group(file: h5py.File, path: Path) -> h5py.Group:
    for name in member_names(h5py.h5g.open(file.id, b"/"), path):
        child = h5py.h5o.open(file.id, name)
        if isinstance(child, h5py.h5g.GroupID) and b"data" in member_names(child, path):
            return h5py.Group(child)
    raise InputError(
        "no root group with a 'data' group in it", path=path, remedy="a .csd file has /<root name>/data/<video id>"
    )


def _child_group(parent: h5py.Group, name: bytes, path: Path) -> h5py.h5g.GroupID:
    child = h5py.h5o.open(parent.id, name)
    if not isinstance(child, h5py.h5g.GroupID):
        raise InputError("is not a group", path=path, ident=name.decode(), remedy="this is not a .csd file")
    return child
