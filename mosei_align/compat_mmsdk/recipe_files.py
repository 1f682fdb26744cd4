"""The recipe on `.csd` files: plan once, then a video at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

import numpy as np

from mosei_align.compat_mmsdk.align import check_reference
from mosei_align.compat_mmsdk.purge import Purge, plan_purge, surviving_sequences
from mosei_align.compat_mmsdk.reading import (
    SequenceFile,
    check_video,
    check_widths,
    read_intervals,
    read_video,
    sequence_file,
)
from mosei_align.compat_mmsdk.recipe import RecipeVideo, words_then_labels
from mosei_align.compat_mmsdk.sequences import Array, Entries, Entry
from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_schemas.errors import InputError


class RecipeFiles:
    """Four open `.csd` files; use it as a context manager.

    Only the video at hand is in memory. A `Purge` can be pickled: one process plans, others, each with its own
    `RecipeFiles` of the same indexes, run the videos.

    Args:
        text, audio, video, labels: the indexes of the files.

    Raises:
        InputError: mmsdk refuses one of the files, or two of them have one name.
    """

    def __init__(self, text: CsdIndex, audio: CsdIndex, video: CsdIndex, labels: CsdIndex) -> None:
        found = [sequence_file(index) for index in (text, audio, video, labels)]
        self._sequences: dict[str, SequenceFile] = {}
        for sequence in found:
            if self._sequences.setdefault(sequence.name, sequence) is not sequence:
                raise InputError(
                    f"the sequence is also in {self._sequences[sequence.name].path.name}",
                    path=sequence.path,
                    ident=sequence.name,
                    remedy="correct the 'root name' in the metadata of one of them",
                )
        *self._streams, self._labels = self._sequences
        self._files: dict[str, CsdFile] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._files = {name: stack.enter_context(CsdFile(s.path)) for name, s in self._sequences.items()}
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @property
    def videos(self) -> list[str]:
        """Every video of any file, in mmsdk's order: the recipe's results put together in it are mmsdk's."""
        ids = {video for sequence in self._sequences.values() for video in sequence.videos}
        return sorted(ids, key=str.encode)

    def plan(self) -> Purge:
        """What mmsdk deletes across videos; and everything that would stop the recipe, found before it begins.

        Reads the intervals of few videos: those whose id begins another one's, and those with an entry `id[k]` in the
        text or the labels.

        Raises:
            InputError: a video that is not deleted lacks an array, has an entry `id[k]` in the text or the labels, or
                differs in width from most (mmsdk takes that; a dataset has no place for it).
        """
        purge = plan_purge({name: s.videos for name, s in self._sequences.items()}, self._survivors)
        aligned = self._shared(self._streams) - purge.words.keys()
        labelled = self._shared([*self._sequences]) - purge.words.keys() - purge.labels.keys()
        for name, sequence in self._sequences.items():
            kept = sorted(labelled if name == self._labels else aligned)
            for video in kept:
                check_video(sequence, video)
            check_widths(sequence, kept)
        for video in sorted(aligned):
            self._check_copies(video, self._streams[0])
        for video in sorted(labelled):
            copies = any("[" in key for key in self._sequences[self._labels].videos[video])
            if copies and len(self._survivors(video)) == len(self._streams):
                self._check_copies(video, self._labels)
        return purge

    def video(self, video_id: str, purge: Purge) -> RecipeVideo:
        """The recipe on one video.

        Raises:
            InputError: mmsdk would crash, or an array cannot be read.
        """
        gone = video_id in purge.words
        text, audio, video = (
            self._counted(name, video_id) if gone else self._read(name, video_id) for name in self._streams
        )
        unread = gone or not text or video_id in purge.labels
        labels = self._counted(self._labels, video_id) if unread else self._read(self._labels, video_id)
        with self._located():
            return words_then_labels(video_id, text, audio, video, labels, purge)

    def _shared(self, names: list[str]) -> set[str]:
        return set.intersection(*(set(self._sequences[name].videos) for name in names))

    def _read(self, name: str, video: str) -> Entries:
        return read_video(self._files[name], self._sequences[name], video)

    def _counted(self, name: str, video: str) -> Entries:
        """Entries of a video that is deleted: as many rows as there are, and nothing read."""
        found = {}
        for key, entry in self._sequences[name].videos.get(video, {}).items():
            rows = entry.intervals.shape[0] if entry.intervals is not None and entry.intervals.shape else 0
            found[key] = Entry(np.empty((rows, 0), np.float32), np.broadcast_to(np.float64(0), (rows, 2)))
        return found

    def _intervals(self, name: str, video: str) -> dict[str, Array]:
        return read_intervals(self._files[name], self._sequences[name], video)

    def _survivors(self, video: str) -> set[str]:
        with self._located():
            return surviving_sequences({name: self._intervals(name, video) for name in self._streams}, self._streams[0])

    def _check_copies(self, video: str, name: str) -> None:
        if all("[" not in key for key in self._sequences[name].videos[video]):
            return
        with self._located():
            for key, intervals in self._intervals(name, video).items():
                check_reference(key, intervals, name)

    @contextmanager
    def _located(self) -> Iterator[None]:
        """Put the file's path into errors of the functions that know only a sequence's name."""
        try:
            yield
        except InputError as error:
            name = error.problem.partition(": ")[0]
            if error.path is not None or name not in self._sequences:
                raise
            path = self._sequences[name].path
            raise InputError(error.problem, path=path, ident=error.ident, remedy=error.remedy) from error
