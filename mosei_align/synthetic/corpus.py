"""Writing a synthetic corpus: five `.csd` files, folds, speakers and the truth, in a stream."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mosei_align.engines.local import available_cores
from mosei_align.synthetic.arrays import write_contiguous, write_deflated
from mosei_align.synthetic.crew import Crew
from mosei_align.synthetic.production import Planned, Product, produce
from mosei_align.synthetic.recipe import Recipe
from mosei_align.synthetic.space import estimated_bytes, refuse_too_large
from mosei_align.synthetic.truth import TruthFile
from mosei_schemas.errors import OutputError
from mosei_schemas.names import PARTS
from mosei_schemas.publish import new_directory, unwritable

FOLDS_FILE: Final = "folds.json"
SPEAKERS_FILE: Final = "speakers.csv"
TRUTH_FILE: Final = "truth.json"
README_FILE: Final = "README.txt"

_PLANNED_AT_ONCE: Final = 16
_WORTH_PROCESSES: Final = 10**9
"""Bytes that one process writes in the time in which others start up, several times over."""
_WORTH_PROCESSES_GZIP: Final = 2 * 10**7


@dataclass(frozen=True, slots=True)
class CorpusSummary:
    """What a corpus came to.

    Attributes:
        path: the folder.
        videos, labelled_videos, segments: how many there are.
        strict, masked: how many segments are kept (key None) or dropped, by reason, under each policy.
        defects: how many defects of each kind were planted.
        size_bytes: all files together.
    """

    path: Path
    videos: int
    labelled_videos: int
    segments: int
    strict: Mapping[str | None, int]
    masked: Mapping[str | None, int]
    defects: Mapping[str, int]
    size_bytes: int


def write_corpus(
    out: Path,
    recipe: Recipe,
    progress: Callable[[int], None] | None = None,
    *,
    jobs: int | None = 1,
    gzip: bool = False,
) -> CorpusSummary:
    """Write a corpus into the folder `out`, which must be new or empty.

    A few megabytes of frames are in memory at a time. The folder appears when all of it is written.

    Args:
        out: the folder.
        recipe: what to make; equal recipes give equal bytes, however many processes make them.
        progress: called with the number of videos written so far, after each.
        jobs: processes that make the arrays; 1 is this one alone. None is one a core, or this one where the corpus is
            too small for others to be worth it.
        gzip: write the arrays as mmsdk does: in chunks, compressed with gzip-9. Much slower to write and to read.

    Raises:
        OutputError: `out` holds something already or cannot be written, or the disk has too little room.
    """
    _refuse_occupied(out)
    needed = estimated_bytes(recipe, gzip=gzip)
    refuse_too_large(out, needed)
    if jobs is None:
        jobs = available_cores() if needed > (_WORTH_PROCESSES_GZIP if gzip else _WORTH_PROCESSES) else 1
    with new_directory(out.absolute()) as folder, Crew(jobs) as crew:
        tally = _Tally(progress or (lambda _done: None))
        _write_files(folder, recipe, crew, tally, gzip=gzip)
    size = sum(path.stat().st_size for path in out.iterdir())
    return CorpusSummary(
        out,
        recipe.videos,
        tally.labelled,
        sum(tally.strict.values()),
        dict(tally.strict),
        dict(tally.masked),
        dict(tally.defects),
        size,
    )


class _Tally:
    """Running counts for the summary."""

    def __init__(self, progress: Callable[[int], None]) -> None:
        self._progress, self._done = progress, 0
        self.labelled = 0
        self.strict: Counter[str | None] = Counter()
        self.masked: Counter[str | None] = Counter()
        self.defects: Counter[str] = Counter()

    def add(self, product: Product) -> None:
        self.labelled += product.labelled
        self.strict.update(product.account.strict)
        self.masked.update(product.account.masked)
        self.defects.update(product.defects)

    def finish(self, videos: int) -> None:
        """So many more videos are written to the last byte."""
        for _ in range(videos):
            self._done += 1
            self._progress(self._done)


def _write_files(folder: Path, recipe: Recipe, crew: Crew, tally: _Tally, *, gzip: bool) -> None:
    folds: dict[str, list[str]] = {part: [] for part in PARTS}
    with (
        TruthFile(folder / TRUTH_FILE, recipe) as truth,
        (folder / SPEAKERS_FILE).open("w", encoding="utf-8", newline="") as stream,
    ):
        speakers = csv.writer(stream, lineterminator="\n")
        speakers.writerow(["video_id", "speaker_id"])

        def products() -> Iterator[Product]:
            for product in _products(recipe, crew):
                tally.add(product)
                truth.add(product.account)
                speakers.writerow([product.identity.video_id, product.identity.speaker_id])
                folds[product.identity.part].append(product.identity.video_id)
                yield product

        if gzip:
            write_deflated(folder, recipe, products(), crew, tally.finish)
        else:
            write_contiguous(folder, recipe, products(), crew, tally.finish)
    (folder / FOLDS_FILE).write_text(json.dumps(folds, indent=1) + "\n", encoding="utf-8")
    (folder / README_FILE).write_text(_readme(recipe, gzip=gzip), encoding="utf-8")


def _products(recipe: Recipe, crew: Crew) -> Iterator[Product]:
    starts = range(0, recipe.videos, _PLANNED_AT_ONCE)
    tasks = ((None, Planned(recipe, start, min(start + _PLANNED_AT_ONCE, recipe.videos))) for start in starts)
    for _, some in crew.map(produce, tasks):
        yield from some or ()


def _readme(recipe: Recipe, *, gzip: bool) -> str:
    flags = " --clean" * recipe.clean + " --gzip" * gzip
    return (
        "This corpus is synthetic: no person is in it, and results on it say nothing about CMU-MOSEI.\n"
        f"Made by: mosei-align sample OUT --videos {recipe.videos} --seed {recipe.seed}{flags}; "
        "truth.json tells what was planted and what must become of every segment.\n"
        f"Seed {recipe.seed}; the same version with the same options writes the same bytes.\n"
    )


def _refuse_occupied(out: Path) -> None:
    try:
        occupied = out.exists() and (not out.is_dir() or any(out.iterdir()))
    except OSError as error:
        raise unwritable(out, error) from error
    if occupied:
        raise OutputError("there is something here already", path=out, remedy="choose a new or an empty folder")
