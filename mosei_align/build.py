"""`.csd` files -> dataset directory: the only place that knows the order of the stages."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from mosei_align.building.assemble import assemble, check_target, finished_before, run_facts
from mosei_align.building.pieces import Piece, clear_piece, count_pieces, read_pieces
from mosei_align.building.plan import Plan, ShardTask, make_plan, make_tasks
from mosei_align.building.shard import make_shard
from mosei_align.building.watch import Stopwatch
from mosei_align.building.workdir import (
    PIECES,
    claimed,
    differences,
    discard,
    discard_if_unused,
    hidden_workdir,
    parts_folder,
    read_plan,
    write_plan,
)
from mosei_align.compat_mmsdk import as_folder
from mosei_align.engines.local import Engine, available_cores, local_engine
from mosei_align.sources.corpus import open_corpus
from mosei_align.sources.csd import CsdIndex
from mosei_align.sources.modalities import SourceSettings
from mosei_schemas.dataset import is_dataset
from mosei_schemas.errors import ConfigError, MoseiError, OutputError
from mosei_schemas.manifest import BuildRun, BuildSettings, Manifest
from mosei_schemas.publish import sweep

Progress = Callable[[int, int], None]
_WORKERS_NEED: Final = (make_shard.__module__,)
_RESUME: Final = "go on with --resume"


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did: the manifest, and facts of this run that are no part of it."""

    out: Path
    manifest: Manifest
    run: BuildRun
    ignored: tuple[CsdIndex, ...]
    splits_removed: tuple[str, ...]
    stood: bool = False
    """Nothing was left to do: an interrupted build had come as far as this."""


@dataclass(frozen=True, slots=True)
class PartResult:
    """What a run with `--shard` did.

    Attributes:
        folder: where the finished shards lie until `merge`.
        plan: what the runs build together.
        mine: shards of this run; `resumed` of them were finished before.
        finished: shards of all runs that are finished now.
    """

    folder: Path
    plan: Plan
    mine: int
    resumed: int
    finished: int


def build(
    source: Path | object,
    out: Path,
    settings: BuildSettings,
    *,
    sources: SourceSettings | None = None,
    speakers_file: Path | None = None,
    jobs: int | None = None,
    engine: Engine | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress | None = None,
) -> BuildResult:
    """Align `.csd` files into a dataset directory.

    Nothing appears at `out` until everything is written. The dataset's bytes depend on the inputs and on `settings`,
    not on `jobs` or `engine`. If the build is interrupted, finished shards are kept beside `out` for `resume`.

    Args:
        source: a folder of `.csd` files, or what mmsdk holds in memory: an `mmdataset`, a `computational_sequence`, or
            several of those.
        out: the dataset directory to make.
        settings: policy, coverage, cleaning.
        sources: which root fills which role; None for the official names.
        speakers_file: CSV of video id and speaker id; None takes `speakers.csv` of the folder if it is there.
        jobs: worker processes of the local engine; None for one a core.
        engine: where the shards are made (see `engines`); None for `jobs` processes of this machine.
        overwrite: replace the dataset at `out`, and finished shards of an interrupted build.
        resume: keep finished shards of an interrupted build; where the dataset at `out` is what this build would make,
            keep that.
        progress: called with (videos done, videos in all).

    Raises:
        InputError, ConfigError, OutputError: see the message, one line.
    """
    watch = Stopwatch()
    may_stand = resume and not overwrite and is_dataset(out)
    if not may_stand:
        check_target(out, overwrite=overwrite)
    work = hidden_workdir(out)
    workers = jobs or available_cores() if engine is None else jobs
    kind = "local" if engine is None else "dask"
    with (
        nullcontext(source) if isinstance(source, Path) else as_folder(source) as folder,
        claimed(work, "alone"),
        _kept_only_if_interrupted(work),
        _telling_what_is_kept(work) as under_way,
    ):
        # The workers end before the dataset is put together: then there is room for the ledger of all segments.
        with local_engine(workers or 1, _WORKERS_NEED) if engine is None else nullcontext(engine) as run:
            sweep(out)
            _check_leftover(work, resume=resume, overwrite=overwrite)
            corpus = open_corpus(folder, sources or SourceSettings(), workers or 1)
            plan, speakers = make_plan(corpus, settings, speakers_file)
            before = finished_before(out, plan) if may_stand else None
            if before is not None:
                return BuildResult(out, before.manifest, before.run, corpus.ignored, (), stood=True)
            check_target(out, overwrite=overwrite)  # Again: another build may have ended since.
            pieces = _prepare(work, plan, range(plan.shards), resume=resume)
            resumed = len(pieces)
            tasks = make_tasks(corpus, plan, speakers, work / PIECES)
            ignored = corpus.ignored
            del corpus
            under_way.append(plan)
            _run(run, [task for task in tasks if task.number not in pieces], pieces, progress)
        del tasks  # What is known of all files makes room, too.
        facts = partial(run_facts, watch, kind, workers, resumed)
        done = assemble(out, plan, [(work / PIECES, pieces[n]) for n in range(plan.shards)], facts)
    return BuildResult(out, done.manifest, done.run, ignored, done.splits_removed)


def build_part(
    folder: Path,
    out: Path,
    settings: BuildSettings,
    part: tuple[int, int],
    *,
    sources: SourceSettings | None = None,
    speakers_file: Path | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> PartResult:
    """Make every N-th shard of a dataset, for `merge` to put together with those of the other runs.

    Runs may share the folder `OUT.parts` and be at work at the same time. A run that is repeated goes on where it was.

    Args:
        folder: the `.csd` files.
        settings, sources, speakers_file, jobs, progress: as in `build`.
        out: the dataset directory that `merge` will make.
        part: (I, N) with 1 <= I <= N: this run makes the shards I - 1, I - 1 + N, ...

    Raises:
        ConfigError: N is more than there are shards, or the folder holds shards of another configuration.
        InputError, OutputError: see the message, one line.
    """
    number, parts = part
    work = parts_folder(out)
    workers = jobs or available_cores()
    with (
        claimed(work, "together"),
        _telling_what_is_kept(work) as under_way,
        local_engine(workers, _WORKERS_NEED) as run,
    ):
        corpus = open_corpus(folder, sources or SourceSettings(), workers)
        plan, speakers = make_plan(corpus, settings, speakers_file)
        if parts > plan.shards:
            raise ConfigError(
                f"{parts} parts of {plan.shards} shards", ident="--shard", remedy=f"use at most {plan.shards} parts"
            )
        mine = range(number - 1, plan.shards, parts)
        pieces = _prepare(work, plan, mine, resume=True)
        resumed = len(pieces)
        tasks = [task for task in make_tasks(corpus, plan, speakers, work / PIECES) if task.number in mine]
        under_way.append(plan)
        _run(run, [task for task in tasks if task.number not in pieces], pieces, progress)
        return PartResult(work, plan, len(mine), resumed, count_pieces(work / PIECES))


def _run(engine: Engine, tasks: Sequence[ShardTask], pieces: dict[int, Piece], progress: Progress | None) -> None:
    """Make shards, adding each to `pieces`.

    The largest come first: then the last ones end at nearly the same time, and each fits into the memory that a worker
    has had for the one before.
    """
    tasks = sorted(tasks, key=lambda task: task.label_rows, reverse=True)
    finished = sum(piece.videos for piece in pieces.values())
    videos = finished + sum(len(task.videos) for task in tasks)

    def done(_number: int, piece: Piece) -> None:
        nonlocal finished
        pieces[piece.number] = piece
        finished += piece.videos
        if progress is not None:
            progress(finished, videos)

    engine(make_shard, tasks, done)


@contextmanager
def _telling_what_is_kept(work: Path) -> Iterator[list[Plan]]:
    """Let an error or an interruption say how much is done and how to go on, once there is a plan in the list."""
    under_way: list[Plan] = []
    try:
        yield under_way
    except BaseException as error:
        done = count_pieces(work / PIECES)
        if not under_way or not done:
            raise
        kept = f"{done} of {under_way[0].shards} shards are done and kept"
        if not isinstance(error, MoseiError):
            error.add_note(f"{kept}; {_RESUME}")
            raise
        remedy = f"{error.remedy}; then {_RESUME}" if error.remedy else _RESUME
        raise type(error)(f"{error.problem} ({kept})", path=error.path, ident=error.ident, remedy=remedy) from error


def _prepare(work: Path, plan: Plan, mine: Sequence[int], *, resume: bool) -> dict[int, Piece]:
    """Make a work folder ready for this plan; returns the finished shards among `mine` that can be kept."""
    there = read_plan(work) if resume else None
    if there is None:
        write_plan(work, plan)
    elif there != plan:
        raise ConfigError(
            f"holds shards of another configuration: {differences(plan, there)}",
            path=work,
            remedy="give the same options and files as before, or remove this folder to start afresh",
        )
    kept = read_pieces(work / PIECES, plan.sha256, mine) if resume else {}
    for number in mine:
        if number not in kept:
            clear_piece(work / PIECES, number)
    return kept


def _check_leftover(work: Path, *, resume: bool, overwrite: bool) -> None:
    finished = count_pieces(work / PIECES)
    if finished and not resume and not overwrite:
        raise OutputError(
            f"an interrupted build has left {finished} finished shards here",
            path=work,
            remedy="go on with --resume, or start afresh with --overwrite",
        )


@contextmanager
def _kept_only_if_interrupted(work: Path) -> Iterator[None]:
    """Remove the work folder at the end, unless an error leaves finished shards in it that are worth keeping."""
    try:
        yield
    except BaseException:
        discard_if_unused(work)
        raise
    discard(work)
