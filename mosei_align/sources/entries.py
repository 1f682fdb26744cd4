"""The entries of a `.csd` file by video: the keys of `/<root>/data` and what their two arrays look like."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from mosei_align.sources.arrays import ArrayInfo, ArrayInfos, is_usual

_COPY_KEY: Final = re.compile(r"^(?P<base>.+)\[(?P<number>\d{1,9})\]$", re.DOTALL)
_ONLY: Final = -1
ELSEWHERE: Final = -1


class Entry(NamedTuple):
    """One key of `/<root>/data`: where it is and what its two arrays look like (None where there is none)."""

    path: bytes
    features: ArrayInfo | None
    intervals: ArrayInfo | None


class Entries(Mapping[str, tuple[Entry, ...]]):
    """Video id -> its entries; `id`, `id[0]`, `id[1]`, ... belong to one video, in this order.

    Nearly all videos of a corpus have one entry with two usual arrays. Those are kept as numbers, and made into objects
    when somebody asks for them.

    Args:
        usual: the ids of such videos.
        features, intervals: their arrays.
        others: all other videos.

    Attributes:
        features, intervals, others: these.
    """

    def __init__(
        self, usual: Sequence[str], features: ArrayInfos, intervals: ArrayInfos, others: dict[str, tuple[Entry, ...]]
    ) -> None:
        self.features, self.intervals, self.others = features, intervals, others
        rows = dict(zip(usual, range(len(usual)), strict=True)) | dict.fromkeys(others, ELSEWHERE)
        self._rows = {video: rows[video] for video in sorted(rows)}

    def __getitem__(self, video: str) -> tuple[Entry, ...]:
        row = self._rows[video]
        if row == ELSEWHERE:
            return self.others[video]
        return (_entry(video, row, self.features, self.intervals),)

    def __iter__(self) -> Iterator[str]:
        """The ids, in order."""
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, video: object) -> bool:
        return video in self._rows

    def __repr__(self) -> str:
        return repr(dict(self))

    def rows(self) -> Iterable[tuple[str, int]]:
        """Every video, in order, with its number among the usual ones; `ELSEWHERE` for others."""
        return self._rows.items()

    def of_videos(self, videos: Iterable[str]) -> Entries:
        """Those of some videos, as far as they are here."""
        there = [video for video in videos if video in self._rows]
        usual = [video for video in there if self._rows[video] != ELSEWHERE]
        rows = np.array([self._rows[video] for video in usual], np.int64)
        others = {video: self.others[video] for video in there if video in self.others}
        return Entries(usual, self.features.of_rows(rows), self.intervals.of_rows(rows), others)


class Found:
    """Entries that a walk through a file comes upon, in any order."""

    def __init__(self) -> None:
        self._of_video: dict[str, list[tuple[int, str, Entry | int]]] = {}
        self._features: list[ArrayInfos] = []
        self._intervals: list[ArrayInfos] = []
        self._prepared = 0

    def prepare(self, features: ArrayInfos, intervals: ArrayInfos) -> int:
        """Take in the arrays of some entries that will be added by number; returns the first number."""
        self._features.append(features)
        self._intervals.append(intervals)
        self._prepared += len(features)
        return self._prepared - len(features)

    def add(self, key: str, entry: Entry | int) -> None:
        """Add the entry of a key."""
        match = _COPY_KEY.match(key) if key.endswith("]") else None
        video, number = (match["base"], int(match["number"])) if match else (key, _ONLY)
        self._of_video.setdefault(video, []).append((number, key, entry))

    def entries(self) -> Entries:
        """All of them."""
        features, intervals = ArrayInfos.joined(self._features), ArrayInfos.joined(self._intervals)
        described: list[tuple[ArrayInfo, ArrayInfo]] = []
        usual: dict[str, int] = {}
        others: dict[str, tuple[Entry, ...]] = {}
        for video, found in self._of_video.items():
            _, key, entry = found[0]
            if len(found) > 1 or key != video:
                in_order = sorted(found, key=lambda one: one[0])
                others[video] = tuple(_entry(key, entry, features, intervals) for _, key, entry in in_order)
            elif isinstance(entry, int):
                usual[video] = entry
            elif is_usual(entry.features) and is_usual(entry.intervals):
                usual[video] = len(features) + len(described)
                described.append((entry.features, entry.intervals))
            else:
                others[video] = (entry,)
        rows = np.array(list(usual.values()), np.int64)
        features = ArrayInfos.joined([features, ArrayInfos.of([a for a, _ in described])]).of_rows(rows)
        intervals = ArrayInfos.joined([intervals, ArrayInfos.of([b for _, b in described])]).of_rows(rows)
        return Entries(list(usual), features, intervals, others)


def _entry(key: str, entry: Entry | int, features: ArrayInfos, intervals: ArrayInfos) -> Entry:
    """An entry that may be known by its number only."""
    if isinstance(entry, int):
        return Entry(key.encode(), features.info(entry), intervals.info(entry))
    return entry
