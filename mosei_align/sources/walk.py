"""Walking through the entries of a `.csd` file: plain ones are looked up together, HDF5 is asked about the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import h5py

from mosei_align.sources.arrays import describe
from mosei_align.sources.entries import Entries, Entry, Found
from mosei_align.sources.hdf5 import HardLink, checked_id, hard_links, holds_just
from mosei_align.sources.layout import PlainLayout

_DEPTH: Final = 8
_ARRAYS: Final = (b"features", b"intervals")
_TOGETHER: Final = 1 << 12
"""So many entries are looked up at once: all of a corpus, and no more memory where a file has millions of names."""


def walk(data: h5py.h5g.GroupID, path: Path, file_bytes: int, layout: PlainLayout | None) -> Entries:
    """All entries of a file.

    Args:
        data: `/<root>/data`.
        path, file_bytes: the file.
        layout: looks up plain entries; None where HDF5 has to be asked about all.

    Raises:
        InputError: a link that is not a hard one, or an id that looks like a path.
        OSError, RuntimeError, KeyError, ...: what h5py raises at a damaged file.
    """
    visit = _Walk(path, file_bytes, layout)
    visit.members(data, hard_links(data, path), b"", 0)
    return visit.found.entries()


class _Walk:
    def __init__(self, path: Path, file_bytes: int, layout: PlainLayout | None) -> None:
        self._path, self._file_bytes, self._layout = path, file_bytes, layout
        self.found = Found()

    def members(self, parent: h5py.h5g.GroupID, links: Sequence[HardLink], above: bytes, depth: int) -> None:
        """Add some members' entries and those below: a "/" in an id nests groups, `2011/05` lies in `2011`."""
        for start in range(0, len(links), _TOGETHER):
            some = links[start : start + _TOGETHER]
            for link, number in zip(some, self._plain(some), strict=True):
                path = above + link.name
                key = checked_id(path, self._path)
                # In a damaged group HDF5 may list what it does not find.
                if number is not None and parent.links.get_info(link.name).u == link.address:
                    self.found.add(key, number)
                else:
                    self._ask(h5py.h5o.open(parent, link.name), key, path, depth)

    def _plain(self, links: Sequence[HardLink]) -> list[int | None]:
        """The numbers of the plain entries among some members; None for the others."""
        if self._layout is None:
            return [None] * len(links)
        plain = self._layout.entries([link.address for link in links])
        first = self.found.prepare(plain.features, plain.intervals)
        return [None if row < 0 else first + row for row in plain.rows.tolist()]

    def _ask(self, child: Any, key: str, path: bytes, depth: int) -> None:
        """Have HDF5 describe an entry, and go through what is below it."""
        if not isinstance(child, h5py.h5g.GroupID):
            self.found.add(key, Entry(path, None, None))
            return
        if holds_just(child, _ARRAYS):
            self.found.add(key, Entry(path, *(describe(child, name, self._file_bytes) for name in _ARRAYS)))
            return
        links = hard_links(child, self._path)
        names = [inner.name for inner in links]
        others = [inner for inner in links if inner.name not in _ARRAYS] if depth < _DEPTH else []
        below = [inner for inner in others if isinstance(h5py.h5o.open(child, inner.name), h5py.h5g.GroupID)]
        if not below or len(others) < len(links):
            arrays = (describe(child, name, self._file_bytes) if name in names else None for name in _ARRAYS)
            self.found.add(key, Entry(path, *arrays))
        self.members(child, below, path + b"/", depth + 1)
