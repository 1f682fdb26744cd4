"""`.csd` files -> dataset directory: the only place that knows the order of the stages."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from mosei_align.alignment.video import align_video
from mosei_align.dataset.shards import ledger_table, segments_table, shard_name, write_table
from mosei_align.dataset.tally import ModalityTally, modality_info
from mosei_align.engines.local import available_cores, run_tasks
from mosei_align.sources.corpus import SPEAKERS_FILE, Corpus, open_corpus, read_map
from mosei_align.sources.csd import CsdFile, CsdIndex
from mosei_align.sources.labels import read_labels
from mosei_align.sources.modalities import SourceSettings
from mosei_align.sources.sequence import read_sequence
from mosei_schemas.dataset import LEDGER, MANIFEST, is_dataset, split_names, to_json
from mosei_schemas.errors import ConfigError, InputError, OutputError
from mosei_schemas.manifest import BuildSettings, Counts, InputFile, Manifest, Shard
from mosei_schemas.names import MODALITIES, Reason, StepSource
from mosei_schemas.publish import new_directory, sha256, write_bytes
from mosei_schemas.version import __version__

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class BuildResult:
    """What a build did: the manifest, and facts of this run that are no part of it."""

    out: Path
    manifest: Manifest
    ignored: tuple[CsdIndex, ...]
    splits_removed: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class _ShardTask:
    number: int
    videos: tuple[str, ...]
    labels: CsdIndex
    modalities: dict[str, CsdIndex]
    words: CsdIndex | None
    label_columns: tuple[str, ...]
    speakers: dict[str, str]
    settings: BuildSettings
    staging: Path


@dataclass(frozen=True, slots=True)
class _ShardResult:
    shard: Shard | None
    ledger: pa.Table
    tallies: dict[str, ModalityTally]
    videos_kept: int


def build(
    folder: Path,
    out: Path,
    settings: BuildSettings,
    *,
    sources: SourceSettings | None = None,
    speakers_file: Path | None = None,
    jobs: int | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> BuildResult:
    """Align a folder of `.csd` files into a dataset directory.

    Nothing appears at `out` until everything is written. The dataset's bytes depend on the inputs and on `settings`,
    not on `jobs`.

    Args:
        folder: the `.csd` files.
        out: the dataset directory to make.
        settings: policy, coverage, cleaning.
        sources: which root fills which role; None for the official names.
        speakers_file: CSV of video id and speaker id; None takes `speakers.csv` of the folder if it is there.
        jobs: worker processes; None for one a core.
        overwrite: replace the dataset at `out`.
        progress: called with (videos done, videos in all).

    Raises:
        InputError, ConfigError, OutputError: see the message, one line.
    """
    began = time.time()
    check_target(out, overwrite=overwrite)
    splits_removed = tuple(split_names(out))
    corpus = open_corpus(folder, sources or SourceSettings())
    _check_policy(corpus, settings)
    speakers, speakers_input = _speakers(folder, speakers_file)
    with new_directory(out) as staging:
        tasks = _tasks(corpus, settings, speakers, staging)
        results: dict[int, _ShardResult] = {}
        videos = len(corpus.labels.entries)
        finished = 0

        def done(number: int, result: _ShardResult) -> None:
            nonlocal finished
            results[number] = result
            finished += len(tasks[number].videos)
            if progress is not None:
                progress(finished, videos)

        run_tasks(_build_shard, tasks, jobs or available_cores(), done)
        ordered = [results[number] for number in range(len(tasks))]
        ledger = pa.concat_tables([result.ledger for result in ordered])
        ledger_shard = write_table(ledger, staging, LEDGER)
        manifest = Manifest(
            created_by=f"mosei-align {__version__}",
            settings=settings,
            inputs=[*_inputs(corpus), *speakers_input],
            modalities={
                name: modality_info(index, [result.tallies[name] for result in ordered])
                for name, index in corpus.modalities.items()
            },
            label_columns=list(corpus.label_columns),
            speakers=len({speakers[v] for v in corpus.labels.entries if v in speakers}),
            counts=_counts(ledger, videos, sum(result.videos_kept for result in ordered)),
            shards=[result.shard for result in ordered if result.shard is not None],
            ledger=ledger_shard,
        )
        write_bytes(staging / MANIFEST, to_json(manifest))
    return BuildResult(out, manifest, corpus.ignored, splits_removed, time.time() - began)


def check_target(out: Path, *, overwrite: bool) -> None:
    """Refuse an output that exists, unless it is an empty folder, or a dataset that may be replaced.

    Raises:
        OutputError: something stands there.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_dataset(out):
        raise OutputError("exists and is not a dataset", path=out, remedy="choose another folder with --out")
    if not overwrite:
        raise OutputError(
            "already holds a dataset",
            path=out,
            remedy="replace it with --overwrite or choose another folder with --out",
        )


def _check_policy(corpus: Corpus, settings: BuildSettings) -> None:
    missing = [name for name in MODALITIES if name not in corpus.modalities]
    others = ", ".join(repr(index.declared) for index in corpus.ignored)
    hint = f" (found but not recognised: {others}; name it with --root)" if others else ""
    if settings.policy == "strict" and missing:
        raise ConfigError(
            f"policy strict needs text, audio and video, but there is no {' and no '.join(missing)}{hint}",
            path=corpus.folder,
            remedy="add the missing file or build with --policy masked",
        )
    if not corpus.modalities:
        raise InputError(
            f"no text, audio or video sequence beside the labels{hint}",
            path=corpus.folder,
            remedy="add one, or turn words into vectors with 'mosei-align embed'",
        )


def _speakers(folder: Path, given: Path | None) -> tuple[dict[str, str], list[InputFile]]:
    path = given if given is not None else folder / SPEAKERS_FILE
    if given is None and not path.is_file():
        return {}, []
    speakers = read_map(path, "speaker")
    record = InputFile(
        role="speakers",
        name=path.name,
        root="",
        bytes=path.stat().st_size,
        structure_sha256=sha256(path),
        videos=len(speakers),
    )
    return speakers, [record]


def _tasks(corpus: Corpus, settings: BuildSettings, speakers: dict[str, str], staging: Path) -> list[_ShardTask]:
    videos = sorted(corpus.labels.entries)
    size = settings.videos_per_shard
    return [
        _ShardTask(
            number=number,
            videos=tuple(chosen),
            labels=_only(corpus.labels, chosen),
            modalities={name: _only(index, chosen) for name, index in corpus.modalities.items()},
            words=_only(corpus.sequences["words"], chosen) if "words" in corpus.sequences else None,
            label_columns=corpus.label_columns,
            speakers={video: speakers[video] for video in chosen if video in speakers},
            settings=settings,
            staging=staging,
        )
        for number, chosen in enumerate(videos[k : k + size] for k in range(0, len(videos), size))
    ]


def _only(index: CsdIndex, videos: list[str]) -> CsdIndex:
    """The part of an index that a shard needs: what is sent to a worker stays small."""
    entries = {video: index.entries[video] for video in videos if video in index.entries}
    return replace(index, metadata={}, entries=entries)


def _build_shard(task: _ShardTask) -> _ShardResult:
    """Align the videos of one shard, one at a time, and write the shard; runs in a worker."""
    ledger, segments = [], []
    dims = {name: index.columns for name, index in task.modalities.items()}
    tallies = {name: ModalityTally.empty(width) for name, width in dims.items()}
    videos_kept = 0
    with ExitStack() as stack:
        labels_file = stack.enter_context(CsdFile(task.labels.path))
        files = {name: stack.enter_context(CsdFile(index.path)) for name, index in task.modalities.items()}
        words_file = stack.enter_context(CsdFile(task.words.path)) if task.words else None
        for video in task.videos:
            labels = read_labels(labels_file, task.labels, video)
            sequences = {name: read_sequence(files[name], index, video) for name, index in task.modalities.items()}
            words = read_sequence(words_file, task.words, video) if words_file and task.words else None
            aligned = align_video(video, labels, sequences, words, task.settings)
            ledger += aligned.ledger
            segments += aligned.segments
            videos_kept += bool(aligned.segments)
            for name, tally in tallies.items():
                tally.add_video(aligned, name)
    shard = None
    if segments:
        table = segments_table(segments, dims, task.label_columns, task.speakers)
        shard = write_table(table, task.staging, shard_name(task.number))
    return _ShardResult(shard, ledger_table(ledger), tallies, videos_kept)


def _inputs(corpus: Corpus) -> list[InputFile]:
    return [
        InputFile(
            role=role,
            name=index.path.name,
            root=index.declared,
            bytes=index.path.stat().st_size,
            structure_sha256=index.structure_sha256,
            videos=len(index.entries),
        )
        for role, index in sorted(corpus.sequences.items())
    ]


def _counts(ledger: pa.Table, videos: int, videos_kept: int) -> Counts:
    kept = ledger.column("kept").to_numpy()
    steps = ledger.column("steps").to_numpy()
    uniform = np.array(ledger.column("steps_from").to_pylist(), object) == str(StepSource.UNIFORM)
    reasons = Counter(reason for reason in ledger.column("reason").to_pylist() if reason is not None)
    return Counts(
        labelled=ledger.num_rows,
        kept=int(kept.sum()),
        dropped=int((~kept).sum()),
        dropped_by_reason={reason: reasons[reason] for reason in Reason if reasons[reason]},
        videos_labelled=videos,
        videos_kept=videos_kept,
        steps_kept=int(steps[kept].sum()),
        kept_with_uniform_steps=int((kept & uniform).sum()),
    )
