"""`.csd` files as mmsdk reads them: own types, keys in HDF5's order, refused where mmsdk refuses or crashes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mosei_align.compat_mmsdk.sequences import Array, Entries, Entry, Sequences, video_of
from mosei_align.sources import entries
from mosei_align.sources.apart import index_file
from mosei_align.sources.corpus import csd_files
from mosei_align.sources.csd import ArrayName, CsdFile, CsdIndex
from mosei_schemas.errors import InputError

OTHER_POLICY = "correct the file, or use policy strict or masked, which leave out only this video"


@dataclass(frozen=True, slots=True)
class SequenceFile:
    """What mmsdk sees in a `.csd` file, without values.

    Attributes:
        name: the sequence's name.
        path: the file.
        videos: video -> key -> where it lies; both in the order of mmsdk.
    """

    name: str
    path: Path
    videos: dict[str, dict[str, entries.Entry]]

    @property
    def keys(self) -> list[str]:
        """All keys in HDF5's order."""
        return sorted((key for entries in self.videos.values() for key in entries), key=str.encode)


def read_sequences(source: Path | Iterable[Path] | Mapping[str, Path]) -> Sequences:
    """Read `.csd` files whole.

    mmsdk notices a missing array only when it aligns, and then only if the id is in all sequences; here it is refused
    at once. Arrays of more than two dimensions, which it would take, are refused too. Arrays come in native byte order.

    Args:
        source: a folder, whose files are read by name (mmsdk reads them as the directory lists them); files in the
            order in which the sequences are wanted, named by their metadata's `root name`; or name -> file.

    Raises:
        InputError: a file that cannot be read, that mmsdk refuses, or at which it crashes; two sequences of one name.
    """
    found: Sequences = {}
    for name, path in _files(source):
        sequence = sequence_file(index_file(path), name)
        with CsdFile(path) as file:
            if sequence.name in found:
                raise InputError(
                    "another file has a sequence of this name, and mmsdk would drop one of them",
                    path=path,
                    ident=sequence.name,
                    remedy="keep only one of the two files",
                )
            entries = {
                key: entry for video in sequence.videos for key, entry in read_video(file, sequence, video).items()
            }
            found[sequence.name] = {key: entries[key] for key in sequence.keys}
    return found


def _files(source: Path | Iterable[Path] | Mapping[str, Path]) -> list[tuple[str | None, Path]]:
    if isinstance(source, Mapping):
        return list(source.items())
    return [(None, path) for path in (csd_files(source) if isinstance(source, Path) else source)]


def sequence_file(index: CsdIndex, name: str | None = None) -> SequenceFile:
    """Sort a file's keys as mmsdk does, and check what it checks when it opens the file.

    Args:
        index: the file.
        name: the sequence's name; None for the one in its metadata.

    Raises:
        InputError: mmsdk refuses the file.
    """
    found = {
        entry.path.decode("utf-8", "backslashreplace"): entry for group in index.entries.values() for entry in group
    }
    videos: dict[str, dict[str, entries.Entry]] = {}
    for key in sorted(found, key=lambda key: found[key].path):
        entry = found[key]
        outer, nested, _ = key.partition("/")
        if nested:
            # mmsdk looks no deeper than the first level, where a group that only nests others has no arrays.
            key, entry = outer, found.get(outer, entries.Entry(outer.encode(), None, None))
        if entry.features is not None and entry.intervals is not None:
            problem = _refused(entry)
            if problem:
                raise InputError(f"mmsdk refuses the file: {problem}", path=index.path, ident=key, remedy=OTHER_POLICY)
        videos.setdefault(video_of(key), {})[key] = entry
    return SequenceFile(name or index.declared, index.path, videos)


def _refused(entry: entries.Entry) -> str:
    features, intervals = entry.features, entry.intervals
    assert features is not None
    assert intervals is not None
    for name, info in (("features", features), ("intervals", intervals)):
        if info.problem:
            return f"'{name}' {info.problem}"
    if len(intervals.shape) != 2 or intervals.shape[1] != 2 or intervals.dtype is None or intervals.dtype.kind == "S":
        return f"'intervals' have shape {intervals.shape} and type {intervals.dtype}, not (n, 2) numbers"
    if len(features.shape) != 2:
        return f"'features' have shape {features.shape}, not (n, d)"
    if features.shape[0] != intervals.shape[0]:
        return f"{features.shape[0]} feature rows, {intervals.shape[0]} intervals"
    return ""


def check_video(sequence: SequenceFile, video: str) -> None:
    """Check one video for what mmsdk crashes at when it aligns.

    Raises:
        InputError: an entry without `features` or `intervals`; a nested one (an id with a slash) is such a one.
    """
    for key, entry in sequence.videos.get(video, {}).items():
        for name, info in (("features", entry.features), ("intervals", entry.intervals)):
            if info is None:
                raise InputError(
                    f"mmsdk crashes when it aligns: no '{name}'", path=sequence.path, ident=key, remedy=OTHER_POLICY
                )


def read_video(file: CsdFile, sequence: SequenceFile, video: str) -> Entries:
    """All entries of one video, in mmsdk's order; none where the video is not in the file.

    Raises:
        InputError: see `check_video`; or HDF5 cannot read an array.
    """
    check_video(sequence, video)
    return {
        key: Entry(_read(file, key, entry, "features"), _read(file, key, entry, "intervals"))
        for key, entry in sequence.videos.get(video, {}).items()
    }


def read_intervals(file: CsdFile, sequence: SequenceFile, video: str) -> dict[str, Array]:
    """The intervals alone: key -> (N, 2); raises as `read_video` does."""
    check_video(sequence, video)
    return {key: _read(file, key, entry, "intervals") for key, entry in sequence.videos.get(video, {}).items()}


def _read(file: CsdFile, key: str, entry: entries.Entry, name: ArrayName) -> Array:
    try:
        return file.read_rows(entry, name)
    except OSError as error:
        raise InputError(
            f"HDF5 cannot read '{name}' ({error})", path=file.path, ident=key, remedy="download the file again"
        ) from error


def check_widths(sequence: SequenceFile, videos: Iterable[str]) -> None:
    """Refuse a sequence whose videos differ in width, which mmsdk takes and a table cannot hold.

    Args:
        sequence: the file.
        videos: those that count, because they are not deleted anyway. Arrays without rows never do.

    Raises:
        InputError: names the first entry that has another width than most.
    """
    widths: dict[str, int] = {}
    for video in videos:
        for key, entry in sequence.videos.get(video, {}).items():
            if entry.features is not None and entry.features.shape[0]:
                widths[key] = entry.features.shape[1]
    if len(set(widths.values())) > 1:
        counts: Sequence[int] = list(widths.values())
        usual = int(np.bincount(counts).argmax())
        key = next(key for key, width in widths.items() if width != usual)
        raise InputError(
            f"{widths[key]} columns, other videos have {usual}: mmsdk aligns this, but it is no table",
            path=sequence.path,
            ident=key,
            remedy=OTHER_POLICY,
        )
