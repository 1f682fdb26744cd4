"""Making one shard: read and align its videos, write the shard; runs in a worker."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from mosei_align.alignment.paper import first_rows_of_video
from mosei_align.alignment.results import AlignedVideo, LedgerRow, MmsdkLoss, Segment
from mosei_align.alignment.video import VideoInput, align_videos
from mosei_align.building.pieces import PIECE_LEDGER, PIECE_LOSSES, Piece, new_piece, publish_piece
from mosei_align.building.plan import ShardTask, recipe_indexes
from mosei_align.compat_mmsdk import Purge, RecipeFiles
from mosei_align.compat_mmsdk.segments import recipe_segments
from mosei_align.dataset.shards import ledger_table, losses_table, segments_table, write_table
from mosei_align.dataset.tally import ModalityTally
from mosei_align.garbage import no_collections
from mosei_align.sources.csd import CsdFile
from mosei_align.sources.labels import LabelRows, read_labels
from mosei_align.sources.sequence import open_stream, read_first_rows, read_sequence
from mosei_schemas.manifest import Shard
from mosei_schemas.publish import unwritable


@no_collections()
def make_shard(task: ShardTask) -> Piece:
    """Make one shard and publish it among the task's pieces.

    Returns:
        Its record, as on disk.

    Raises:
        MoseiError: see the message; nothing of the shard is left.
    """
    found = _align(task)
    staging: Path | None = None
    try:
        staging = new_piece(task.pieces, task.number)
        piece = Piece(
            number=task.number,
            plan_sha256=task.plan_sha256,
            videos=len(task.videos),
            videos_kept=found.videos_kept,
            segments=_write_segments(task, found.segments, staging) if found.segments else None,
            ledger=write_table(ledger_table(found.ledger), staging, PIECE_LEDGER),
            losses=write_table(losses_table(found.losses), staging, PIECE_LOSSES)
            if task.settings.policy == "mmsdk"
            else None,
            tallies={name: tally.record() for name, tally in found.tallies.items()},
        )
        publish_piece(staging, task.pieces, piece)
    except OSError as error:
        raise unwritable(task.pieces, error) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
    return piece


@dataclass(slots=True)
class _Aligned:
    """What the videos of a shard come to."""

    tallies: dict[str, ModalityTally]
    ledger: list[LedgerRow] = field(default_factory=list)
    segments: list[Segment] = field(default_factory=list)
    losses: list[MmsdkLoss] = field(default_factory=list)
    videos_kept: int = 0


def _align(task: ShardTask) -> _Aligned:
    """Read and align the videos of a shard. Nothing but the result holds their features afterwards."""
    found = _Aligned({name: ModalityTally.empty(index.columns) for name, index in task.modalities.items()})
    with _Files(task) as files:
        for aligned in files.align():
            found.ledger += aligned.ledger
            found.segments += aligned.segments
            found.losses += aligned.losses
            found.videos_kept += bool(aligned.segments)
            if aligned.ledger or task.purge is not None:
                for name, tally in found.tallies.items():
                    tally.add_video(aligned, name)
    return found


def _write_segments(task: ShardTask, segments: list[Segment], staging: Path) -> Shard:
    dims = {name: index.columns for name, index in task.modalities.items()}
    mmsdk = task.settings.policy == "mmsdk"
    table = segments_table(segments, dims, task.label_columns, task.speakers, mmsdk=mmsdk)
    segments.clear()  # The table keeps what it needs of them.
    return write_table(table, staging, f"segments.{task.settings.file_format}")


class _Files:
    """The open files of a shard, and what the policy makes of a video in them."""

    def __init__(self, task: ShardTask) -> None:
        self._task = task
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        task, enter = self._task, self._stack.enter_context
        try:
            self._labels = enter(CsdFile(task.labels.path))
            self._modalities = {name: enter(CsdFile(index.path)) for name, index in task.modalities.items()}
            self._words = enter(CsdFile(task.words.path)) if task.words else None
            if task.purge is not None:
                self._mmsdk = enter(RecipeFiles(*recipe_indexes(task.labels, task.modalities)))
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def align(self) -> Iterator[AlignedVideo]:
        """Align the videos by the rule of the policy."""
        task = self._task
        videos = ((video, read_labels(self._labels, task.labels, video)) for video in task.videos)
        if task.purge is not None:
            return (self._recipe(*video, task.purge) for video in videos)
        if task.settings.policy == "paper":
            files, indexes = self._modalities, task.modalities
            return (first_rows_of_video(*video, files, indexes, task.settings) for video in videos)
        return iter(align_videos((self._input(*video) for video in videos), task.settings))

    def _input(self, video: str, labels: LabelRows) -> VideoInput:
        task = self._task
        streams = {name: open_stream(self._modalities[name], index, video) for name, index in task.modalities.items()}
        words = read_sequence(self._words, task.words, video) if self._words and task.words else None
        return VideoInput(video, labels, streams, words)

    def _recipe(self, video: str, labels: LabelRows, purge: Purge) -> AlignedVideo:
        """Align one video as mmsdk does."""
        task = self._task
        made = self._mmsdk.video(video, purge)
        facts, tokens = {}, None
        for name, index in task.modalities.items():
            stream = open_stream(self._modalities[name], index, video)
            read = sum(len(entry.features) for entry in made.unified[index.declared].values())
            facts[name] = stream.facts._replace(rows_read=read)
        if self._words and task.words:
            words = read_first_rows(self._words, task.words, video, None)
            tokens = words.features[:, 0] if words.rows == facts["text"].rows else None
        return recipe_segments(made, labels, facts, purge, tokens)
